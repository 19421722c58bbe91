// The simulated kernels and the network between them: machines, sockets, packets, one clock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reactor/sim_socket.h"
#include "reactor/sim_trace.h"
#include "weir/reactor/sim_backend.h"
#include "weir/reactor/sim_faults.h"
#include "weir/reactor/sim_world.h"

namespace weir::inline v1::sim {

// How a dual-stack socket sees an IPv4 address, ::ffff:127.0.0.1 (RFC 4291, 2.5.5.2); and back.
// Other addresses stay as they are.
Address mapped(const Address& address);
Address unmapped(const Address& address);

// 192.0.2.0/24, TEST-NET-1 (RFC 5737): what is sent there is never answered.
bool is_black_hole(const Address& address) noexcept;
bool is_wildcard(const Address& address) noexcept;

// One machine's kernel: what its reactors share.
struct Machine {
  std::string name;
  Address ipv4 = {};  // none: every address is this machine's
  Address ipv6 = {};
  bool up = true;
  Instant down_since = Instant::min();
  std::int64_t unix_offset = 0;  // of its time of day, seconds
  SimHosts hosts = {};           // names that only it knows
  std::vector<std::unique_ptr<Socket>> sockets = {};  // by descriptor; null: free
  std::size_t open = 0;
  std::size_t lowest_free = 0;  // no descriptor below is free
  std::vector<Socket*> listeners = {};  // and datagram sockets, in the order of their making
  std::size_t next_listener = 0;        // of several on one port
  std::map<std::string, Socket*> paths = {};  // files of Unix sockets; null: nobody listens
  static constexpr std::uint16_t kFirstFreePort = 40000;
  std::uint16_t next_port = kFirstFreePort;
};

// Invariants:
// 1. What two sockets tell each other goes through transmit() or enqueue(), in order. With no
//    link, fault or partition in the way it arrives within the call; no call back leaves the
//    kernel, it only makes operations worth another attempt (SimBackend::touch).
// 2. A socket that is closed stays until its peer knows, and as long as an event points at it.
// 3. Whatever is decided by chance is decided by `random`, in the order in which things happen.
class Network {
 public:
  explicit Network(WorldOptions& options);
  ~Network();

  // Machines and descriptors.
  std::uint32_t add_machine(Machine machine);
  Machine& machine(std::uint32_t number) noexcept { return *machines_[number]; }
  std::size_t machines() const noexcept { return machines_.size(); }
  Socket* find(std::uint32_t machine, int fd) const noexcept;
  Socket& add(std::uint32_t machine, std::unique_ptr<Socket> socket);
  void close(Socket& socket) noexcept;
  // No packet leaves or reaches it any more; then (down) its descriptors are gone too.
  void cut_off(std::uint32_t machine) noexcept;
  void take_down(std::uint32_t machine) noexcept;
  void boot(std::uint32_t machine) noexcept;

  // Whether a machine has the address, and its own address as `peer` sees it.
  bool owns(const Machine& machine, const Address& address) const noexcept;
  Address address_towards(std::uint32_t machine, const Address& peer) const;

  // Streams.
  // A socket for connecting to `peer`, from `local` when that has a family.
  Expected<int> open_stream(std::uint32_t machine, const Address& peer, const Address& local);
  Expected<int> listen(std::uint32_t machine, const Address& at, const ListenOptions& options);
  // Starts a connect; connect_result has the outcome, at once or later.
  void connect(Socket& socket, const Address& peer) noexcept;
  // The next connection of a listener that has one waiting.
  Socket& accept(Socket& listener) noexcept;
  void connect_pair(Socket& a, Socket& b) noexcept;
  // Bytes taken of at most `most`, -EAGAIN when the window is full, or what is wrong.
  std::int32_t send(Socket& from, std::span<const iovec> pieces, std::size_t most) noexcept;
  // Bytes, 0 at the end, -EAGAIN, or the connection's error.
  std::int32_t receive(Socket& socket, std::span<char> room) noexcept;
  // A socket that travels with the byte at `position` of what `from` sends.
  void pass(Socket& from, int fd, std::uint64_t position);
  std::int32_t shutdown(Socket& socket, Direction direction) noexcept;
  // If its peer cannot be reached now, it may find out by probes.
  void suspect(Socket& socket) noexcept;
  bool writable(const Socket& socket) const noexcept {
    return !socket.connected || socket.unacknowledged < options_.window_bytes;
  }

  // Datagrams.
  Expected<int> open_datagram(std::uint32_t machine, const Address& at,
                              const OpenDatagram& options);
  // Bytes, or -errno. `to`: none for the peer of a connected socket.
  int send_datagram(Socket& from, std::string_view bytes, const Address& to) noexcept;

  // Names, for a machine: addresses as text; empty: unknown.
  std::vector<std::string> lookup(std::uint32_t machine, const std::string& host) const;

  // Links.
  void set_link(std::uint32_t a, std::uint32_t b, const Link& link);
  void partition(std::uint32_t a, std::uint32_t b, bool apart) noexcept;
  void heal_all() noexcept;

  // Time.
  Instant now() const noexcept { return now_; }
  Instant next_event() const noexcept { return events_.empty() ? kNever : events_.front().at; }
  // Moves the clock, and lets happen what is due.
  void advance(Instant to);
  void call_at(Instant at, Function<void()> task);
  std::int64_t unix_seconds(std::uint32_t machine) const noexcept;

  // Of everything that backends and networks do by chance.
  Random& random() noexcept { return random_; }
  void fill(std::span<std::uint8_t> into) noexcept {
    for (std::uint8_t& byte : into) byte = static_cast<std::uint8_t>(random_.next());
  }
  const Faults& faults() const noexcept { return options_.faults; }
  void set_faults(const Faults& faults) { options_.faults = faults; }
  const WorldOptions& options() const noexcept { return options_; }

  Trace& trace() noexcept { return trace_; }
  void note(const Socket& socket, std::string_view what, std::int64_t result);
  void violation(std::string_view what);
  std::uint64_t violations() const noexcept { return violations_; }

 private:
  enum class EventKind : std::uint8_t {
    arrival,
    retry_connect,
    give_up_connect,
    give_up,
    probe,
    call
  };
  struct Event {
    Instant at;
    std::uint64_t number;  // in the order of their making
    EventKind kind;
    std::uint32_t detail;  // the task's slot, or which retry or hold-up it is about
    Socket* socket;
  };
  struct Way {
    Link link;
    Instant free_at = Instant::min();  // when the bytes before have left
    bool cut = false;
    Instant cut_since = Instant::min();
    bool instant = true;  // nothing in the link takes time or goes wrong
  };

  static bool comes_later(const Event& a, const Event& b) noexcept;
  void schedule(Instant at, EventKind kind, Socket* socket, std::uint32_t detail = 0);
  void happen(const Event& event);
  // To machine `to`, as an address; -1: nobody's.
  int machine_of(std::uint32_t from, const Address& address) const noexcept;
  std::uint16_t free_port(Machine& machine) const noexcept;
  bool taken(const Machine& machine, const Address& at, bool datagram, bool ipv6_only,
             bool shared) const noexcept;
  Socket* find_listener(std::uint32_t machine, const Address& at) noexcept;
  Way& way(std::uint32_t from, std::uint32_t to) noexcept { return ways_[from][to]; }
  bool passable(std::uint32_t from, std::uint32_t to) noexcept;
  bool at_once(std::uint32_t from, std::uint32_t to, const Socket& queue) noexcept;
  Instant arrival_time(std::uint32_t from, std::uint32_t to, std::size_t size) noexcept;
  bool by_chance(double probability, const Socket& from) noexcept;

  void connect_unix(Socket& socket) noexcept;
  void wait_for_answer(Socket& socket) noexcept;
  void enter_backlog(Socket& accepted) noexcept;
  void arrive_connect(Socket& socket, std::uint32_t retry) noexcept;
  void answer_connect(Socket& socket, Socket& listener);
  void end_connect(Socket& socket, int result) noexcept;
  void tell(Socket& from, Packet packet) noexcept;
  void transmit(Socket& from, std::span<const iovec> pieces, std::size_t size) noexcept;
  void enqueue(std::uint32_t from, Socket& to, Packet packet) noexcept;
  void deliver(Socket& to);
  void arrive(Socket& to, Packet& packet) noexcept;
  bool accepts_bytes(Socket& to) noexcept;
  void hold_up(Socket& to) noexcept;
  void lose_patience(Socket& to, Instant at) noexcept;
  void release_held_up() noexcept;
  void suspect_all() noexcept;
  Duration probe_patience(const Socket& socket, bool keep_alive) const noexcept;
  void probe(Socket& socket, bool keep_alive) noexcept;
  void give_up(Socket& to, std::uint32_t time) noexcept;
  void fail(Socket& socket, int error) noexcept;
  void lose_tail(Socket& from) noexcept;
  void close_listener(Socket& socket) noexcept;
  void drop_passed(Socket& socket) noexcept;
  Socket* find_receiver(std::uint32_t machine, const Address& to, const Address& from) noexcept;
  void carry_datagram(std::uint32_t from, std::uint32_t to, const Address& at, Datagram datagram);
  void arrive_datagram(std::uint32_t from, std::uint32_t to, const Address& at, Datagram datagram);
  void queue_datagram(Socket& socket, Datagram datagram);
  void report_unreachable(std::uint32_t machine, const Address& from, const Address& to) noexcept;
  void free_if_done(Socket& socket) noexcept;

  WorldOptions& options_;
  Instant now_;
  Random random_;
  Trace trace_;
  std::vector<std::unique_ptr<Machine>> machines_;
  IntrusiveList<Socket> unlisted_;      // those without a descriptor; owned
  std::vector<std::vector<Way>> ways_;  // from, to
  std::vector<Socket*> held_up_;
  std::vector<Event> events_;  // a heap, the next one in front
  std::vector<Function<void()>> tasks_;
  std::vector<std::uint32_t> free_tasks_;
  std::uint64_t next_number_ = 0;
  std::uint64_t violations_ = 0;
};

}  // namespace weir::inline v1::sim
