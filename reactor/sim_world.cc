#include "weir/reactor/sim_world.h"

#include "reactor/sim_network.h"

namespace weir::inline v1::sim {
namespace {

constexpr std::int64_t kDayJumpMax = 3600;  // seconds that the time of day jumps by chance

}  // namespace

// ---- Host ----

Host::Host(World& world, std::string name, std::uint32_t machine)
    : world_(world), name_(std::move(name)), machine_(machine) {}

Host::~Host() { crash(); }

const Address& Host::ipv4() const noexcept { return world_.network_->machine(machine_).ipv4; }

const Address& Host::ipv6() const noexcept { return world_.network_->machine(machine_).ipv6; }

bool Host::up() const noexcept { return world_.network_->machine(machine_).up; }

std::size_t Host::open_fds() const noexcept { return world_.network_->machine(machine_).open; }

Reactor& Host::reactor() {
  return reactors_.empty() ? make_reactor({}) : *reactors_.front();
}

Reactor& Host::add_reactor(ReactorOptions options) {
  reactor();
  return make_reactor(std::move(options));
}

SimBackend& Host::backend() {
  reactor();
  return *backends_.front();
}

Reactor& Host::make_reactor(ReactorOptions options) {
  WEIR_ASSERT(up());  // restart() comes first
  auto backend = std::make_unique<SimBackend>(*world_.network_, machine_);
  backends_.push_back(backend.get());
  reactors_.push_back(std::make_unique<Reactor>(std::move(backend), std::move(options)));
  reactors_.back()->prepare();
  return *reactors_.back();
}

bool Host::frozen() const noexcept { return frozen_until_ > world_.now(); }

void Host::start(Main main) {
  main_ = std::move(main);
  if (!up()) return restart();
  program_ = main_(reactor());
}

void Host::crash() {
  Network& network = *world_.network_;
  if (!up()) return;
  WEIR_ASSERT(!in_turn_);  // a handler's own reactor cannot go
  network.trace().note(network.now(), name_ + " goes down");
  network.cut_off(machine_);
  program_.reset();
  backends_.clear();
  reactors_.clear();
  network.take_down(machine_);
}

void Host::restart() {
  crash();
  Network& network = *world_.network_;
  network.trace().note(network.now(), name_ + " comes up");
  frozen_until_ = Instant::min();
  network.boot(machine_);
  if (main_) program_ = main_(reactor());
}

void Host::freeze(Duration time) {
  frozen_until_ = std::max(frozen_until_, later(world_.now(), time));
}

void Host::shift_time_of_day(std::int64_t seconds) {
  world_.network_->machine(machine_).unix_offset += seconds;
}

// ---- World ----

World::World(WorldOptions options)
    : options_(std::move(options)),
      random_(options_.seed ^ 0x5eed'0fa1'1bad'c0deU),
      network_(std::make_unique<Network>(options_)) {}

World::~World() {
  // In the order of their making; a program's last acts may ask for any host.
  for (const auto& host : hosts_) host->crash();
}

Host& World::add_host(std::string name) {
  const auto number = static_cast<std::uint32_t>(network_->machines());
  const std::uint32_t last = number + 1;
  WEIR_ASSERT(last < 0x10000);
  char ipv6[16];
  std::snprintf(ipv6, sizeof ipv6, "fd00::%x", last);
  const std::string ipv4 = "10.0." + std::to_string(last >> 8) + "." + std::to_string(last & 255);
  network_->add_machine({.name = name,
                         .ipv4 = *Address::parse_ip(ipv4, 0),
                         .ipv6 = *Address::parse_ip(ipv6, 0),
                         .hosts = SimOptions{}.hosts});
  hosts_.push_back(std::unique_ptr<Host>(new Host(*this, std::move(name), number)));
  return *hosts_.back();
}

Host& World::host(std::string_view name) const {
  for (const auto& host : hosts_) {
    if (host->name() == name) return *host;
  }
  WEIR_ASSERT(!"no host has this name");
  return *hosts_.front();
}

Instant World::now() const noexcept { return network_->now(); }

// One turn of each of the host's reactors that have something to do now. False: none has.
bool World::turn(Host& host) {
  if (!host.up() || host.frozen()) return false;
  bool any = false;
  // A handler may add a reactor.
  for (std::size_t i = 0; i < host.reactors_.size(); ++i) {
    if (!host.backends_[i]->ready()) continue;
    any = true;
    host.in_turn_ = true;
    host.reactors_[i]->run_once(Duration::zero());
    host.reactors_[i]->prepare();
    host.in_turn_ = false;
  }
  Random& random = network_->random();
  const Faults& faults = options_.faults;
  if (any && random.chance(faults.jump)) {
    if (random.once_in(2)) {
      host.freeze(random.up_to(faults.jump_max));
    } else {
      host.shift_time_of_day(static_cast<std::int64_t>(random.below(2 * kDayJumpMax)) -
                             kDayJumpMax);
    }
  }
  return any;
}

// Which host comes first is left to chance when anything is.
bool World::run_one_ready() {
  const std::size_t count = hosts_.size();
  if (count == 0) return false;
  next_host_ = options_.faults.late > 0 ? network_->random().below(count) : next_host_ + 1;
  for (std::size_t i = 0; i < count; ++i) {
    if (turn(*hosts_[(next_host_ + i) % count])) return true;
  }
  return false;
}

// What was done outside of a turn, by a test or by the handler of another host, may have changed
// when a reactor wants its next one.
void World::look_again() {
  for (const auto& host : hosts_) {
    if (!host->up() || host->frozen()) continue;
    for (const auto& reactor : host->reactors_) reactor->prepare();
  }
}

// Precondition: nobody has anything to do now.
Instant World::next_event() const noexcept {
  Instant next = network_->next_event();
  for (const auto& host : hosts_) {
    if (!host->up()) continue;
    if (host->frozen()) {
      next = std::min(next, host->frozen_until_);
      continue;
    }
    for (const SimBackend* backend : host->backends_) next = std::min(next, backend->next_turn());
  }
  return next;
}

bool World::step(Instant limit) {
  if (run_one_ready()) return true;
  look_again();
  if (run_one_ready()) return true;
  const Instant next = next_event();
  if (next == kNever || next > limit) return false;
  network_->advance(std::max(next, now()));
  return true;
}

void World::run() {
  while (step()) {
  }
}

void World::run_for(Duration time) {
  const Instant end = later(now(), time);
  while (step(end)) {
  }
  network_->advance(end);
}

bool World::run_until(Function<bool()> done, Duration patience) {
  const Instant end = later(now(), patience);
  while (!done()) {
    if (step(end)) continue;
    network_->advance(end);
    return done();
  }
  return true;
}

void World::after(Duration delay, Function<void()> task) {
  network_->call_at(later(now(), delay), std::move(task));
}

void World::set_faults(const Faults& faults) { network_->set_faults(faults); }

void World::set_link(Host& a, Host& b, const Link& link) {
  network_->set_link(a.machine_, b.machine_, link);
}

void World::partition(Host& a, Host& b) { network_->partition(a.machine_, b.machine_, true); }

void World::heal(Host& a, Host& b) { network_->partition(a.machine_, b.machine_, false); }

void World::heal_all() { network_->heal_all(); }

std::uint64_t World::events() const noexcept { return network_->trace().events(); }

std::uint64_t World::trace_hash() const noexcept { return network_->trace().hash(); }

void World::note(std::string_view line) { network_->trace().note(now(), line); }

std::uint64_t World::violations() const noexcept { return network_->violations(); }

}  // namespace weir::inline v1::sim
