#include "net/examples/kv_trial.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace weir::example::kv {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::array<const char*, 3> kNames = {"n1", "n2", "n3"};
constexpr int kClients = 3;
constexpr Duration kCalmPause = minutes(20);
constexpr Duration kBusyPause = seconds(1);
constexpr Duration kCalmMax = hours(48);    // between troubles
constexpr Duration kActionMax = seconds(20);  // between the actions of one
constexpr std::uint64_t kActionsMax = 8;
constexpr Duration kFreezeMax = minutes(4);
// At the end, without troubles: until the service is whole again; for reading every key.
constexpr Duration kRecoveryMax = hours(1);
constexpr Duration kReadingMax = hours(1);

class Machinery final : public sim::Program {
 public:
  explicit Machinery(std::unique_ptr<Node> node) : node_(std::move(node)) {}

 private:
  std::unique_ptr<Node> node_;
};

sim::WorldOptions world_options(TrialOptions& options) {
  return {.seed = options.seed,
          .link = {.latency = milliseconds(5), .jitter = milliseconds(20)},
          .on_trace = std::move(options.on_trace)};
}

}  // namespace

Trial::Trial(TrialOptions options)
    : bug_(options.bug),
      troubles_(options.troubles),
      length_(hours(24) * options.days),
      world_(world_options(options)) {
  for (std::size_t i = 0; i < machines_.size(); ++i) add_machine(i);
  listener_.said = [this](const std::string& line) { world_.note(line); };
  listener_.wrong = [this](const std::string& what) { fail(what); };
  Reactor& reactor = world_.add_host("clients").reactor();
  for (int i = 0; i < kClients; ++i) {
    clients_.push_back(std::make_unique<Client>(
        reactor, ClientOptions{.host = kNames[0], .pause = kCalmPause}, history_, world_.random(),
        listener_));
  }
}

void Trial::add_machine(std::size_t i) {
  Machine& machine = machines_[i];
  machine.host = &world_.add_host(kNames[i]);
  machine.report.name = kNames[i];
  machine.started = world_.now();
  machine.host->start([this, &machine](Reactor& reactor) -> std::unique_ptr<sim::Program> {
    const Options options = {.name = machine.report.name,
                             .primary = kNames[0],
                             .followers = {kNames[1], kNames[2]},
                             .bug = bug_};
    return std::make_unique<Machinery>(
        start_node(reactor, options, machine.disk, machine.report.heartbeats));
  });
}

Report Trial::run() {
  if (troubles_) await_trouble();
  const bool failed = world_.run_until([this] { return !report_.wrong.empty(); }, length_);
  if (!failed) world_.run_for(length_ - elapsed());
  for (std::size_t i = 0; i < machines_.size(); ++i) {
    if (machines_[i].host->up()) count_beats_due(machines_[i]);
    report_.nodes[i] = machines_[i].report;
  }
  if (!failed) check_the_end();
  report_.time = elapsed();
  report_.events = world_.events();
  report_.trace_hash = world_.trace_hash();
  report_.log_entries = machines_[0].disk.log.size();
  for (const auto& client : clients_) report_.answers += client->answers();
  return std::move(report_);
}

// ---- Machines ----

void Trial::boot(Machine& machine) {
  machine.started = world_.now();
  machine.frozen_until = {};
  machine.host->restart();
}

void Trial::power_off(Machine& machine) {
  count_beats_due(machine);
  machine.host->crash();
}

// A machine that is frozen is late with its heartbeats, and one that crashes then owes them.
void Trial::count_beats_due(Machine& machine) {
  const bool frozen = world_.now() < machine.frozen_until;
  const Instant end = frozen ? machine.frozen_from : world_.now();
  if (end <= machine.started) return;
  machine.report.beats_due += static_cast<std::uint64_t>((end - machine.started) / kHeartbeat);
}

void Trial::freeze(Machine& machine, Duration time) {
  if (!machine.host->up() || world_.now() < machine.frozen_until) return;
  machine.frozen_from = world_.now();
  machine.frozen_until = world_.now() + time;
  machine.host->freeze(time);
}

// The service promises to survive the loss of one disk, and of the next one when the first one's
// successor has what the others had.
bool Trial::all_disks_are_filled() {
  for (Machine& machine : machines_) {
    if (machine.disk.log.size() >= machine.entries_due) machine.filling = false;
    if (machine.filling || !machines_[0].disk.complete) return false;
  }
  return true;
}

void Trial::replace_disk(Machine& machine) {
  ++report_.disks_lost;
  world_.note("empty disk for " + machine.report.name);
  machine.disk = {};
  machine.filling = true;
  machine.entries_due = 0;
  for (const Machine& other : machines_) {
    machine.entries_due = std::max(machine.entries_due, other.disk.log.size());
  }
}

// ---- Troubles come together, in the middle of calm days ----

void Trial::await_trouble() {
  const Duration calm = world_.random().up_to(kCalmMax);
  if (elapsed() + calm > length_ - kRecoveryMax) return;
  world_.after(calm, [this] {
    ++report_.troubles;
    pause_clients(kBusyPause);
    trouble(world_.random().between(1, kActionsMax));
  });
}

void Trial::trouble(std::uint64_t actions) {
  if (actions == 0) {
    settle();
    await_trouble();
    return;
  }
  act();
  world_.after(world_.random().up_to(kActionMax), [this, actions] { trouble(actions - 1); });
}

void Trial::act() {
  sim::Random& random = world_.random();
  const std::uint64_t what = random.below(10);
  // The primary is where it hurts most.
  const bool primary = random.once_in(2);
  Machine& machine = machines_[primary ? 0 : random.between(1, 2)];
  if (what < 4) {
    crash(machine);
  } else if (what < 7) {
    cut(random.below(8));
  } else if (what == 7) {
    freeze(machine, random.up_to(kFreezeMax));
  } else {
    sim::Faults faults = sim::Faults::random(random);
    faults.jump = 0;  // freeze() counts what it costs
    world_.set_faults(what == 8 ? faults : sim::Faults());
  }
}

// Or boots what is down.
void Trial::crash(Machine& machine) {
  if (!machine.host->up()) {
    boot(machine);
    return;
  }
  ++report_.crashes;
  power_off(machine);
  const bool replaced = world_.random().once_in(3);
  if (replaced && all_disks_are_filled()) replace_disk(machine);
  const bool at_once = world_.random().once_in(2);
  if (at_once) boot(machine);
}

// Each bit is one of the ways: to the primary from one follower, the other, and the clients.
void Trial::cut(std::uint64_t draw) {
  sim::Host& primary = *machines_[0].host;
  sim::Host* const others[] = {machines_[1].host, machines_[2].host, &world_.host("clients")};
  for (sim::Host* other : others) {
    if (draw % 2 == 1) {
      world_.partition(primary, *other);
      ++report_.partitions;
    } else {
      world_.heal(primary, *other);
    }
    draw /= 2;
  }
}

void Trial::settle() {
  world_.set_faults({});
  world_.heal_all();
  for (Machine& machine : machines_) {
    if (!machine.host->up()) boot(machine);
  }
  pause_clients(kCalmPause);
}

void Trial::pause_clients(Duration longest) {
  for (const auto& client : clients_) client->set_pause(longest);
}

// ---- The end ----

// Everything has been well for a while: so the service must be, too.
void Trial::check_the_end() {
  clients_[0]->read_all();
  const auto done = [this] { return clients_[0]->has_read_all() || !report_.wrong.empty(); };
  if (!world_.run_until(done, kReadingMax)) fail("the service has not recovered");
  for (const Machine& machine : machines_) {
    if (machine.disk.log.size() != machines_[0].disk.log.size()) {
      fail("the log of " + machine.report.name + " is not the primary's");
    }
  }
}

void Trial::fail(const std::string& what) {
  if (report_.wrong.empty()) report_.wrong = what;
}

}  // namespace weir::example::kv
