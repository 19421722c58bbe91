// What stands behind a UdpSocket. Private to this package.
#pragma once

#include <list>
#include <optional>
#include <vector>

#include "weir/net/net_part.h"
#include "weir/net/udp_socket.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

// Owned by the reactor: it outlives its UdpSocket until nothing is in flight and no handler of it
// can be running. Invariants:
//   - the fd is closed only when no operation is in flight on it
//   - every datagram that a send took ends once: sent, or with an error for its callback or 'error'
//   - handlers run from completions and tasks only, and none after the UdpSocket is gone
//   - what the queue and the lookups hold together is within the limits of the options
class UdpCore final : public Resident, private Task {
 public:
  UdpCore(Reactor& reactor, UdpOptions options, UdpSocket& handle);
  // The handle goes: nobody is told anything any more.
  void detach() noexcept;
  void abandon() noexcept override;

  // The calls of UdpSocket.
  Expected<Address> bind(const UdpAt& at, Function<void(UdpSocket&)> once_listening);
  Expected<Address> bind_fd(int fd, Function<void(UdpSocket&)> once_listening);
  Expected<void> connect(const UdpAt& peer, Function<void(UdpSocket&)> once_connected);
  Expected<void> disconnect();
  Expected<Send> send(Buffer&& bytes, const IpEndpoint* to, UdpSocket::Sent sent);
  Expected<Send> send_by_name(Buffer&& bytes, const UdpAt& to, UdpSocket::Sent sent);
  Expected<void> close(Function<void(UdpSocket&)> done);
  Expected<void> set(DatagramOption option, int value, const char* syscall);
  Expected<int> get(DatagramFact fact, const char* syscall) const;
  Expected<void> set_multicast_interface(std::string_view interface);
  struct Group {
    std::string_view group;
    std::string_view source = {};
    std::string_view interface = {};
  };
  Expected<void> change_membership(const Group& group, bool join, const char* syscall);
  Expected<Address> address() const;
  Expected<Address> remote_address() const;
  UdpCounters counters() const;
  void ref();
  void unref();
  void off(ListenerId id) noexcept;

  bool bound() const noexcept { return fd_ >= 0; }
  bool connected() const noexcept { return connected_; }
  bool closing() const noexcept { return closing_; }
  int fd() const noexcept { return fd_; }
  Reactor& reactor() const noexcept { return reactor_; }
  std::size_t queued_bytes() const noexcept { return queued_bytes_; }
  std::size_t queued_datagrams() const noexcept { return queue_.size() - sent_ + resolving_sends_; }

  struct Listeners {
    Event<UdpSocket&, const Datagram&> message;
    Event<UdpSocket&, std::span<const Datagram>> messages;
    Event<UdpSocket&> listening;
    Event<UdpSocket&> connect;
    Event<UdpSocket&> drain;
    Event<UdpSocket&, const Error&> error;
    Event<UdpSocket&> close;
  };
  Listeners events;

 private:
  struct Receiving : DatagramsOp {
    explicit Receiving(UdpCore& its_core) noexcept;
    UdpCore& core;
  };
  struct Waiting : PollOp {
    explicit Waiting(UdpCore& its_core) noexcept;
    UdpCore& core;
  };
  struct Reading : Task {
    explicit Reading(UdpCore& its_core) noexcept
        : Task([](Task& task) noexcept { static_cast<Reading&>(task).core.read(); }),
          core(its_core) {}
    UdpCore& core;
  };
  struct Flushing : Task {
    explicit Flushing(UdpCore& its_core) noexcept
        : Task([](Task& task) noexcept { static_cast<Flushing&>(task).core.service(); }),
          core(its_core) {}
    UdpCore& core;
  };
  // Embedded: a time without memory cannot wait for some.
  struct Rest : TimerNode {
    explicit Rest(UdpCore& its_core) noexcept : TimerNode(on_fire), core(its_core) {}
    static void on_fire(TimerNode& node) noexcept;
    UdpCore& core;
  };
  struct Outgoing {
    Buffer bytes;
    IpEndpoint to;  // Family::none: the connected peer
    UdpSocket::Sent sent;
  };
  enum class Purpose : std::uint8_t { bind, connect, send };
  // A host name that is being looked up, and what for.
  struct Resolving final : LookupOwner {
    Resolving(UdpCore& its_core, Purpose its_purpose, UdpAt given) noexcept
        : core(its_core), purpose(its_purpose), at(std::move(given)) {}
    void on_looked_up(std::error_code code, std::vector<IpEndpoint> found) noexcept override {
      core.resolved(*this, code, std::move(found));
    }
    UdpCore& core;
    Purpose purpose;
    UdpAt at;
    Outgoing outgoing = {};
    Lookup* lookup = nullptr;
  };
  struct Finished {
    UdpSocket::Sent sent;
    std::error_code code;
  };
  struct Stop {
    UdpCore* core;
    void operator()() const { static_cast<void>(core->close({})); }
  };
  enum class SendResult : std::uint8_t { progress, blocked };

  ~UdpCore() = default;

  // Binding and connecting: udp_bind.cc.
  Expected<void> ensure_bound();
  Expected<void> open(const Address& at);
  void use(int fd);
  Expected<void> start_lookup(Purpose purpose, const UdpAt& at, Outgoing outgoing = {});
  void resolved(Resolving& which, std::error_code code, std::vector<IpEndpoint> found);
  void resolved_send(Outgoing& outgoing, const UdpAt& at, std::error_code code,
                     const IpEndpoint& found);
  void resolved_bind(const UdpAt& at, std::error_code code, const IpEndpoint& found);
  void resolved_connect(const UdpAt& at, std::error_code code, const IpEndpoint& found);
  Expected<void> connect_to(const Address& peer);
  bool is_pending(Purpose purpose) const noexcept;
  Error unusable(const char* syscall) const;

  // Sending: udp_send.cc.
  bool has_room(std::size_t bytes) const noexcept;
  Expected<Send> take(Outgoing outgoing);
  Expected<void> fit_family(IpEndpoint& to, const char* syscall) const;
  void flush() noexcept;
  void offer_all() noexcept;
  SendResult send_some(std::size_t& batches) noexcept;
  void send_failed(int error, std::uint32_t segment) noexcept;
  void finish_front(std::size_t entries, std::error_code code) noexcept;
  bool release(Outgoing& outgoing, std::error_code code);
  void finish(Outgoing& outgoing, const Error& error);
  void forget_queue(const Error& error) noexcept;

  // Receiving: udp_receive.cc.
  void start_receiving() noexcept;
  void received(const Completion& completion) noexcept;
  void rest(int error) noexcept;
  void read() noexcept;
  bool deliver(const Datagrams::Received& received);
  bool tell(std::span<const Datagram> datagrams);
  void count(const Datagram& datagram) noexcept {
    ++counters_.received;
    counters_.received_bytes += datagram.bytes.size();
  }

  // Life: udp_core.cc.
  void service() noexcept;
  bool tell_finished();
  void report(Error error);
  bool is_active() const noexcept;
  void hold_reactor() noexcept;
  void let_reactor_go() noexcept;
  void end_operations() noexcept;
  void finish_close_if_idle() noexcept;
  void go() noexcept;
  // False: the handle is gone, and with it the right to touch anything but the end of this core.
  template <class... Parameters, class... Arguments>
  bool emit(Event<UdpSocket&, Parameters...>& event, const Arguments&... arguments) {
    event.emit_each([&](auto& listener, bool) {
      listener(*handle_, arguments...);
      return handle_ != nullptr;
    });
    return handle_ != nullptr;
  }

  Reactor& reactor_;
  NetPart& net_;
  Datagrams& kernel_;
  UdpSocket* handle_;
  UdpOptions options_;
  Receiving receiving_;
  Waiting writable_;
  Reading reading_;
  Flushing flushing_;  // linked: the others have their turn before the queue goes on
  Rest rest_;  // after the kernel has refused to receive
  int fd_ = -1;
  std::list<Resolving> resolving_;
  std::size_t resolving_sends_ = 0;
  std::optional<std::stop_callback<Stop>> stop_;
  ListenerId once_listening_ = ListenerId::none;
  ListenerId once_connected_ = ListenerId::none;
  std::optional<UdpAt> connect_when_bound_;

  std::vector<Outgoing> queue_;
  std::size_t sent_ = 0;          // of the front of the queue
  std::size_t queued_bytes_ = 0;  // and those of lookups
  std::uint32_t segment_max_ = 0;  // the largest datagram that UDP_SEGMENT may be tried with
  std::vector<Finished> finished_;  // callbacks that are to be called
  std::vector<Error> errors_;       // to be reported
  UdpCounters counters_;
  Function<void(UdpSocket&)> closed_;

  bool coalesced_ = false;      // UDP_GRO is on
  bool saw_coalesced_ = false;  // the last receive had some
  bool connected_ = false;
  bool listening_due_ = false;
  bool connect_due_ = false;
  bool drain_due_ = false;
  bool closing_ = false;
  bool closed_told_ = false;
  bool referenced_ = true;
  bool holds_reactor_ = false;
};

}  // namespace weir::inline v1::net
