// The simulated backend: a virtual clock and an in-memory network, public, so that users test
// their services with it as weir tests itself. For several hosts, faults and checks: sim_world.h.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/reactor/backend.h"

namespace weir::inline v1 {

namespace sim {
class Memory;
class Network;
class SimDatagrams;
struct Socket;
}  // namespace sim

// How the simulator finds names; others are ENOTFOUND. Addresses are numeric.
using SimHosts = std::map<std::string, std::vector<std::string>, std::less<>>;

struct SimOptions {
  std::size_t window_bytes = 256 * 1024;  // received but unread bytes that a socket holds
  std::size_t receive_memory_max = limits::kReceiveMemoryMaxDefault;
  Instant start{};
  std::int64_t unix_seconds_at_start = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
  SimHosts hosts = {{"localhost", {"127.0.0.1", "::1"}}};
};

// Everything happens in the order in which it was asked for, so the same program gives the same
// events. It has TCP with a receive window, FIN, RST and half-open connections, and Unix sockets;
// connecting to 192.0.2.0/24 (RFC 5737) is never answered. Names come from a host table. Its fds
// are numbers of its own. Files are the machine's real ones, read, written and sent at once;
// pipes and terminals are ENOTSUP.
//
// By itself it is one machine that has every address, where nothing is late, cut short or lost.
// Its clock moves only when nothing can happen before the next deadline; then it jumps. With no
// deadline and nothing to do, poll() waits for wake(). As part of a sim::World the world has the
// clock, and poll() never waits.
//
// Owner thread only, but for wake().
class SimBackend final : public Backend {
 public:
  explicit SimBackend(const SimOptions& options = {});
  // Part of a world: one of a machine's reactors.
  SimBackend(sim::Network& network, std::uint32_t machine);
  ~SimBackend() override;

  BackendKind kind() const noexcept override { return BackendKind::sim; }
  void submit(Op& op) noexcept override;
  void cancel(Op& op) noexcept override;
  std::size_t send_or_submit(SendOp& op) noexcept override;
  std::int32_t send_at_once(int fd, std::string_view bytes) noexcept override;
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override;
  void wake() noexcept override;
  Instant now() const noexcept override;
  std::int64_t unix_seconds() const noexcept override;
  void random(std::span<std::uint8_t> into) noexcept override;
  Expected<int> open(const Address& peer, const Address& local) noexcept override;
  Expected<int> listen(const Address& at, const ListenOptions& options) noexcept override;
  Expected<void> adopt_stream(int fd) noexcept override;
  Expected<void> adopt_listener(int fd, int backlog) noexcept override;
  Address address(int fd, End end) const noexcept override;
  Expected<PeerCredentials> peer_credentials(int fd) const noexcept override;
  std::int32_t receive_with_descriptors(int fd, std::span<char> room,
                                        std::vector<int>& descriptors) noexcept override;
  int set(int fd, SocketOption option, int value) noexcept override;
  int get(int fd, SocketFact fact) const noexcept override;
  std::int32_t shutdown(int fd, Direction direction) noexcept override;
  void remove_path(const std::string& path) noexcept override;
  void release(int fd) noexcept override;
  void close(int fd) noexcept override;
  Datagrams& datagrams() noexcept override;
  void close_file(int fd) noexcept override;
  int event_fd() noexcept override { return -1; }
  void prepare(Instant until) noexcept override { deadline_ = until; }
  std::size_t live_chunks() const noexcept override;
  bool memory_in_demand() const noexcept override;

  // Two connected stream sockets, like socketpair(2), for programs that play a foreign library.
  std::pair<int, int> make_pair();
  // Plain non-blocking calls on a simulated fd: bytes moved, 0 at the end, -EAGAIN, -ECONNRESET.
  int read(int fd, std::span<char> room) noexcept;
  int write(int fd, std::string_view bytes) noexcept;
  // Datagram sockets (UDP) as plain non-blocking calls, for foreign libraries; Reactor::watch()
  // says when one is readable. net::UdpSocket stands on the same. `at`: port 0 is a free one. A
  // queue holds 256 datagrams; what comes beyond is dropped.
  Expected<int> open_datagram(const Address& at);
  // Bytes sent, or -EMSGSIZE beyond 65507 bytes. Whether they arrive is the network's affair.
  int send_to(int fd, std::string_view bytes, const Address& to) noexcept;
  // Bytes of one datagram, cut off at the room, and its sender; or -EAGAIN.
  int receive_from(int fd, std::span<char> room, Address& from) noexcept;
  // What host names mean from now on.
  void set_hosts(SimHosts hosts);
  // Sockets and listeners of this machine that are open.
  std::size_t open_fds() const noexcept;

  // For the world. -------------------------------------------------------------------------------
  // What is parked on the socket is worth another attempt.
  static void touch(sim::Socket& socket) noexcept;
  static void touch_writer(sim::Socket& socket) noexcept;
  // Whether a turn would do anything now; and when, if nothing happens before.
  bool ready() const noexcept;
  Instant next_turn() const noexcept { return std::min(deadline_, next_due()); }

 private:
  struct Standalone;
  // What a chance has put off.
  struct PutOff {
    Instant due;
    Op* op;
  };
  struct Late {
    Instant due;
    Completion completion;
  };

  sim::Socket& socket(int fd) const noexcept;
  Instant next_due() const noexcept;
  std::size_t collect(std::span<Completion> batch) noexcept;
  void collect_late(std::span<Completion> batch, std::size_t& count) noexcept;
  void release_due() noexcept;
  void note(const Op& op, std::int32_t result) noexcept;
  void hand_over(Completion& completion) noexcept;
  void put_off(Op& op, Duration longest) noexcept;
  void unpark(Op& op) noexcept;
  void enforce_cancel(Op& op) noexcept;
  void force_out(sim::Socket& socket) noexcept;
  // What is sent from is checked not to change.
  void note_memory(Op& op) noexcept;
  void check_memory(Op& op) const;
  // Sends without a copy.
  static bool waits_for_release(const Op& op) noexcept;
  bool hand_over_lent(const Completion& completion);
  void forget_lent(sim::Socket& socket) noexcept;
  void shuffle(std::span<Completion> batch) noexcept;
  bool attempt(Op& op, Completion& out) noexcept;
  bool attempt_accept(Op& op, sim::Socket& socket, Completion& out) noexcept;
  bool attempt_connect(ConnectOp& op, sim::Socket& socket, Completion& out) noexcept;
  bool attempt_recv(Op& op, sim::Socket& socket, Completion& out) noexcept;
  bool attempt_send(SendOp& op, sim::Socket& socket, Completion& out) noexcept;
  bool tells_at_once() noexcept;
  bool is_refused_memory() noexcept;
  std::int32_t send_some(sim::Socket& socket, std::span<const iovec> pieces) noexcept;
  bool attempt_zero_copy(ZeroCopySendOp& op, sim::Socket& socket, Completion& out) noexcept;
  bool attempt_release(ZeroCopySendOp& op, Completion& out) noexcept;
  bool attempt_send_file(SendFileOp& op, sim::Socket& socket, Completion& out) noexcept;
  bool attempt_datagrams(Op& op, sim::Socket& socket, Completion& out) noexcept;
  bool attempt_poll(PollOp& op, sim::Socket& socket, Completion& out) noexcept;
  bool attempt_resolve(ResolveOp& op, Completion& out) noexcept;
  bool attempt_file(Op& op, Completion& out) noexcept;
  bool refused(Error& error, const char* syscall, const Address& address) noexcept;
  void violation(const std::string& what, int fd) const;

  std::unique_ptr<Standalone> standalone_;  // null as part of a world
  sim::Network& network_;
  std::uint32_t machine_ = 0;
  std::unique_ptr<sim::Memory> memory_;
  std::unique_ptr<sim::SimDatagrams> datagrams_;
  IntrusiveList<Op> attempts_;
  IntrusiveList<Op> starved_;
  std::vector<PutOff> put_off_;
  std::vector<PutOff> cancels_;  // asked for, and not in force yet
  std::vector<Late> late_;       // in order for each operation
  std::uint64_t returned_seen_ = 0;
  Instant deadline_ = kNever;  // of the reactor, as prepare() had it
  bool was_spurious_ = false;

  std::mutex wake_mutex_;
  std::condition_variable woken_;
  bool wake_pending_ = false;
};

}  // namespace weir::inline v1
