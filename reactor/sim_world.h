// A world of simulated machines in one thread: hosts with reactors of their own, a network between
// them, one virtual clock, and faults, all of it decided by one seed. SIMULATION.md is the guide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/reactor/reactor.h"
#include "weir/reactor/sim_backend.h"
#include "weir/reactor/sim_faults.h"
#include "weir/reactor/sim_random.h"

namespace weir::inline v1::sim {

class Network;
class World;

// The way from one host to another, for each direction by itself. A host reaches itself, by any
// of its addresses, at once; Unix sockets know no network.
struct Link {
  Duration latency = Duration::zero();  // one way
  Duration jitter = Duration::zero();   // up to so much more; datagrams then overtake one another
  std::uint64_t bytes_per_second = 0;   // 0: no limit
  double loss = 0;       // of streams: comes a retransmission later (RFC 6298); datagrams are gone
  double duplicate = 0;  // datagrams that come twice
};

struct WorldOptions {
  std::uint64_t seed = 1;
  Faults faults = {};  // from the start; World::set_faults() changes them
  Link link = {};      // between every two hosts; World::set_link() changes one
  std::size_t window_bytes = 256 * 1024;  // of a stream: sent and not yet read
  std::size_t receive_memory_max = limits::kReceiveMemoryMaxDefault;  // of each reactor
  // The bytes of a send are compared before and after, and received bytes are overwritten once
  // they are released. Costs a pass over the bytes.
  bool check_memory = true;
  Instant start{};
  std::int64_t unix_seconds_at_start = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
  // Gets every event as one line, without a newline: the trace whose hash is World::trace_hash().
  // Like on_violation it is called in the world's destructor, too.
  Function<void(std::string_view)> on_trace = {};
  // Gets what a program did against the contract with the kernel. Unset: it is printed with the
  // seed, and the process aborts.
  Function<void(std::string_view)> on_violation = {};
};

// What runs on a host, from Host::start() until the host crashes or the world ends. Its destructor
// runs before that of its reactor; in the end that is within the world's.
class Program {
 public:
  virtual ~Program() = default;
};

// One machine: addresses, a name, a table of descriptors, any number of reactors. Made by
// World::add_host(), owned by the world.
class Host {
 public:
  using Main = Function<std::unique_ptr<Program>(Reactor&)>;

  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host();

  const std::string& name() const noexcept { return name_; }
  // 10.0.0.1 and fd00::1 for the first host, and so on; port 0. The host's name means both, IPv4
  // first, for every host; "localhost", 127.0.0.1 and ::1 mean the host itself.
  const Address& ipv4() const noexcept;
  const Address& ipv6() const noexcept;

  // The first reactor, made when first asked for. It is run by the world: run() and run_once() are
  // not for it. `add_reactor` makes a further one on the same descriptors, like another thread.
  // All are gone after crash(). Precondition: the host is up.
  Reactor& reactor();
  Reactor& add_reactor(ReactorOptions options = {});
  // What the first reactor stands on: datagrams, plain reads and writes.
  SimBackend& backend();

  // Runs a program: `main` is called at once with the first reactor, and again by restart(). A host
  // that is down boots.
  void start(Main main);
  // The power fails. The program, the reactors and every socket are gone, and no packet tells it: a
  // peer learns of it when what it sends stays unanswered for 15 minutes (ETIMEDOUT), or is
  // answered with a reset because the host is up again. Not from a handler of this host.
  void crash();
  // Crashes if it runs, and boots again: `main` as it was given to start(), if there was one.
  void restart();
  bool up() const noexcept;
  // Null before start() and after crash().
  Program* program() const noexcept { return program_.get(); }

  // No turn for at least so long: SIGSTOP, or a virtual machine that is moved. Packets still come.
  void freeze(Duration time);
  bool frozen() const noexcept;
  // Sets the time of day forward or back. now() does not jump (CLOCK_MONOTONIC).
  void shift_time_of_day(std::int64_t seconds);

  // Descriptors that are open: what a program may have leaked.
  std::size_t open_fds() const noexcept;

 private:
  friend class World;
  Host(World& world, std::string name, std::uint32_t machine);
  Reactor& make_reactor(ReactorOptions options);

  World& world_;
  std::string name_;
  std::uint32_t machine_;
  Main main_;
  std::unique_ptr<Program> program_;
  std::vector<std::unique_ptr<Reactor>> reactors_;
  std::vector<SimBackend*> backends_;
  Instant frozen_until_ = Instant::min();
  bool in_turn_ = false;
};

// Owner: whoever makes it; it outlives what stands on its reactors, but programs.
// Thread: one. Nothing in it waits: run_for() of a year returns when all that happens is done.
// The same seed and the same program give the same events, whatever the compiler and its flags, as
// long as the program's own decisions do not depend on addresses, wall time or the standard's
// distributions: use random().
class World {
 public:
  explicit World(WorldOptions options = {});
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  // Ends as by crash() of every host.
  ~World();

  Host& add_host(std::string name);
  Host& host(std::string_view name) const;
  const std::vector<std::unique_ptr<Host>>& hosts() const noexcept { return hosts_; }

  std::uint64_t seed() const noexcept { return options_.seed; }
  // For the decisions of a test; apart from the numbers that the world itself uses.
  Random& random() noexcept { return random_; }
  Instant now() const noexcept;
  Duration elapsed() const noexcept { return now() - options_.start; }

  // Does one thing: a turn of a reactor that has something to do; or else moves the clock to what
  // comes next. False: nothing is left that could happen, or what could lies beyond `limit`.
  bool step(Instant limit = kNever);
  // Steps until nothing is left to happen.
  void run();
  // So much virtual time; the clock ends exactly there.
  void run_for(Duration time);
  // Until `done` says so, asked before every step. False: not within `patience`, which is over.
  [[nodiscard]] bool run_until(Function<bool()> done, Duration patience);
  // Calls `task` at that time, outside of every host: what may crash, partition and so on.
  void after(Duration delay, Function<void()> task);

  void set_faults(const Faults& faults);
  const Faults& faults() const noexcept { return options_.faults; }
  // Both directions.
  void set_link(Host& a, Host& b, const Link& link);
  // Nothing passes between the two until heal(): streams go on where they were then, if their
  // sender has not given up (15 minutes; 127 s for a connect), datagrams are lost.
  void partition(Host& a, Host& b);
  void heal(Host& a, Host& b);
  void heal_all();

  // What has happened so far: the number of events (results of operations, arrivals), and a hash of
  // all of them in order.
  std::uint64_t events() const noexcept;
  std::uint64_t trace_hash() const noexcept;
  // A line of the caller's own in the trace.
  void note(std::string_view line);
  // Times that a program broke the contract with the kernel; see WorldOptions::on_violation.
  std::uint64_t violations() const noexcept;

 private:
  friend class Host;
  bool turn(Host& host);
  bool run_one_ready();
  void look_again();
  Instant next_event() const noexcept;

  WorldOptions options_;
  Random random_;
  std::unique_ptr<Network> network_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::size_t next_host_ = 0;  // whose turn it is when nothing is random
};

}  // namespace weir::inline v1::sim
