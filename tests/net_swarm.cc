#include "tests/net_swarm.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "tests/net_swarm_node.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// After the last fault: a peer that is gone is given up after 15 minutes, a host may stand still
// for 5 minutes.
constexpr Duration kFinishingTimeMax = 25min;
constexpr std::uint64_t kStepsBetweenChecks = 16;

class Swarm {
 public:
  Swarm(std::uint64_t seed, const SwarmOptions& options) : scene_(seed, options) {}

  SwarmResult play();

 private:
  sim::WorldOptions world_options();
  void plan();
  void plan_server(HostPlan& host, unsigned number);
  void count_faults();
  void plan_trouble();
  void crash(unsigned host);
  bool step(Instant limit);
  void check();
  bool done();
  void work();
  void finish();
  bool release_one_waiting();
  void stuck();
  void check_leaks();

  sim::Random& random() { return run_.random(); }
  sim::Host& host(unsigned number) { return scene_.host(number); }

  Scene scene_;
  Run& run_ = scene_.run;
  std::vector<HostPlan>& hosts_ = scene_.hosts;
  std::vector<Node*>& nodes_ = scene_.nodes;
  Duration working_time_ = Duration::zero();  // until everybody is told to finish
  std::optional<sim::World> world_;  // last: its programs use all of the above
};

// ---- Plans ----

sim::WorldOptions Swarm::world_options() {
  sim::Random random(run_.seed() + 0x5eed);
  sim::WorldOptions options{.seed = run_.seed()};
  if (!random.once_in(3)) options.window_bytes = std::size_t{1} << random.between(11, 18);
  run_.greedy = random.once_in(12);
  if (random.once_in(8)) {
    options.check_memory = false;
    options.receive_memory_max = limits::kReceiveMemoryMin;
  } else if (run_.greedy || random.once_in(4)) {
    const std::uint64_t chunks = run_.greedy ? 1 : random.between(2, 8);
    options.receive_memory_max = limits::kReceiveChunkBytes * chunks;
  }
  run_.memory_max = options.receive_memory_max;
  run_.listen_to(options);
  return options;
}

void Swarm::plan_server(HostPlan& host, unsigned number) {
  sim::Random& random = run_.random();
  ServerPlan server;
  server.where = static_cast<Where>(random.below(4));
  server.options.socket = random_socket_options(random);
  server.options.pause_on_connect = random.once_in(5);
  if (random.once_in(6)) server.options.max_connections = random.below(5);
  // The first server of a host takes what others relay.
  if (number != 0 && random.once_in(3)) server.where = Where::unix_path;
  if (number != 0 && server.where != Where::unix_path && random.once_in(2)) {
    server.relays = true;
    server.relay_host = static_cast<unsigned>(random.below(hosts_.size()));
  }
  if (random.once_in(3)) {
    server.event = static_cast<unsigned>(random.between(1, 6));
    server.event_at = random.up_to(working_time_);
    if (random.once_in(3)) server.event_at_accept = static_cast<unsigned>(random.between(1, 3));
  }
  host.servers.push_back(std::move(server));
}

void Swarm::count_faults() {
  const sim::Faults& faults = run_.faults;
  const std::pair<double, const char*> all[] = {
      {faults.late, "fault late"},
      {faults.again, "fault again"},
      {faults.short_read, "fault short_read"},
      {faults.short_write, "fault short_write"},
      {faults.ended, "fault ended"},
      {faults.late_cancel, "fault late_cancel"},
      {faults.spurious, "fault spurious"},
      {faults.no_buffers, "fault no_buffers"},
      {faults.no_memory, "fault no_memory"},
      {faults.no_descriptors, "fault no_descriptors"},
      {faults.aborted, "fault aborted"},
      {faults.no_lookup, "fault no_lookup"},
      {faults.reset, "fault reset"},
      {faults.stall, "fault stall"},
      {faults.jump, "fault jump"}};
  bool any = false;
  for (const auto& [probability, name] : all) {
    if (probability > 0) run_.count(name);
    any = any || probability > 0;
  }
  if (!any) run_.count("no fault");
}

void Swarm::plan() {
  sim::Random& random = run_.random();
  if (!random.once_in(8)) run_.faults = sim::Faults::random(random);
  run_.faults.copied = run_.faults.late;
  run_.faults.not_lent = run_.faults.again / 8;
  world_->set_faults(run_.faults);
  count_faults();
  static const char* const kNames[] = {"alpha", "beta", "gamma", "delta"};
  working_time_ = random.between(100, random.once_in(2) ? 2000 : 20'000) * Duration(1ms);
  hosts_.resize(random.between(2, 4));
  nodes_.resize(hosts_.size());
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    world_->add_host(kNames[i]);
    const std::uint64_t servers = random.between(1, 3);
    for (unsigned server = 0; server < servers; ++server) plan_server(hosts_[i], server);
    if (random.once_in(12)) hosts_[i].budget = 1000 + any_size(random, 200'000);
  }
  for (std::size_t a = 0; a < hosts_.size(); ++a) {
    for (std::size_t b = a + 1; b < hosts_.size(); ++b) {
      const sim::Link link = random_link(random);
      world_->set_link(*world_->hosts()[a], *world_->hosts()[b], link);
    }
  }
  const std::uint64_t clients = random.between(3, random.once_in(3) ? 30 : 12);
  for (std::uint64_t i = 0; i < clients; ++i) {
    ClientPlan client;
    client.host = static_cast<unsigned>(random.below(hosts_.size()));
    client.target_host = static_cast<unsigned>(random.below(hosts_.size()));
    const auto& servers = hosts_[client.target_host].servers;
    client.target_server = static_cast<unsigned>(random.below(servers.size()));
    const bool unix = servers[client.target_server].where == Where::unix_path;
    if (unix) client.host = client.target_host;
    client.at = random.up_to(random.once_in(2) ? Duration(50ms) : working_time_ / 2);
    // Some come together.
    if (!scene_.clients.empty() && random.once_in(4)) client.at = scene_.clients.back().at;
    if (random.once_in(3)) client.reconnects = static_cast<unsigned>(random.between(1, 3));
    scene_.clients.push_back(client);
  }
}

void Swarm::crash(unsigned host) {
  if (run_.finishing || !this->host(host).up()) return;
  run_.count("crash");
  if (run_.logs()) run_.log(this->host(host).name(), "crashes");
  run_.unmatched.clear();
  this->host(host).crash();
  if (run_.random().once_in(4)) return;
  const Duration delay = run_.random().up_to(5s);
  world_->after(delay, [this, host] {
    if (run_.finishing) return;
    run_.count("restart");
    this->host(host).restart();
  });
}

void Swarm::plan_trouble() {
  sim::Random& random = run_.random();
  const Duration most = working_time_ / 2;
  const auto any_host = [&] { return static_cast<unsigned>(random.below(hosts_.size())); };
  for (std::uint64_t i = random.once_in(4) ? random.between(1, 3) : 0; i > 0; --i) {
    run_.broken_network = true;
    const unsigned a = any_host();
    const unsigned b = any_host();
    const Duration at = random.up_to(most);
    const Duration heals = at + random.up_to(Duration(1ms) * any_size(random, 2'000'000));
    if (a == b) continue;
    world_->after(at, [this, a, b] {
      if (run_.finishing) return;
      run_.count("partition");
      world_->partition(host(a), host(b));
    });
    world_->after(heals, [this, a, b] { world_->heal(host(a), host(b)); });
  }
  if (random.once_in(4)) {
    run_.broken_network = true;
    const unsigned victim = any_host();
    const Duration at = random.up_to(most);
    world_->after(at, [this, victim] { crash(victim); });
  }
  if (random.once_in(5)) {
    const unsigned victim = any_host();
    const Duration at = random.up_to(most);
    const Duration time = Duration(1ms) * any_size(random, 60'000);
    world_->after(at, [this, victim, time] {
      if (run_.finishing) return;
      run_.count("freeze");
      host(victim).freeze(time);
    });
  }
}

// ---- Running ----

bool Swarm::step(Instant limit) {
  if (run_.failed()) return false;
  if (++run_.result.steps > run_.options().steps_max) {
    run_.fail("world", "too many steps");
    return false;
  }
  if (!world_->step(limit)) return false;
  for (Node* node : nodes_) {
    if (node == nullptr) continue;
    const std::size_t bytes = node->reactor().backend().live_chunks() * limits::kReceiveChunkBytes;
    if (bytes > run_.memory_max) run_.fail(node->name(), "receive memory above its limit");
    if (node->memory_scarce()) run_.count("receive memory scarce");
  }
  if (run_.result.steps % kStepsBetweenChecks == 0) check();
  return !run_.failed();
}

void Swarm::check() {
  for (Node* node : nodes_) {
    if (node != nullptr) node->check();
  }
}

bool Swarm::done() {
  for (Node* node : nodes_) {
    if (node == nullptr) continue;
    // What a socket that was removed has lent keeps its connection.
    const bool lent = node->reactor().ledger().zero_copy_bytes != 0;
    if (lent || !node->finished()) return false;
  }
  return std::ranges::none_of(run_.ends, [](const auto& end) { return end->open(); });
}

void Swarm::work() {
  const Instant end = world_->now() + working_time_;
  while (step(end)) {
  }
  check();
}

void Swarm::finish() {
  if (run_.failed()) return;
  run_.finishing = true;
  if (run_.logs()) run_.log("world", "finishes");
  world_->set_faults({});
  world_->heal_all();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    sim::Host& host = *world_->hosts()[i];
    if (!host.up() && random().once_in(2)) host.restart();
    Node* node = nodes_[i];
    if (node == nullptr) continue;
    if (!node->reactor().post([node] { node->finish_up(); })) run_.fail(node->name(), "post()");
  }
  do {
    const Instant end = world_->now() + kFinishingTimeMax;
    while (!done() && step(end)) {
    }
  } while (!run_.failed() && !done() && release_one_waiting());
  if (!run_.failed() && !done()) stuck();
}

// Connections whose program could wait for ever are destroyed, one after the other.
bool Swarm::release_one_waiting() {
  for (const auto& end : run_.ends) {
    const char* why = end->open() ? end->may_wait() : nullptr;
    if (why == nullptr) continue;
    run_.count(std::string("waits ") + why);
    if (run_.logs()) run_.log(end->name(), std::string("waits ") + why);
    if (end->place().reactor().post([waiting = end.get()] { waiting->act(Act::destroy); })) {
      return true;
    }
  }
  return false;
}

void Swarm::stuck() {
  std::string text = "stuck:\n";
  for (const Node* node : nodes_) {
    if (node != nullptr) text += node->waits_for();
  }
  for (const auto& end : run_.ends) {
    if (end->open()) text += "  " + end->name() + ": " + end->state() + "\n";
  }
  run_.fail("world", text);
}

void Swarm::check_leaks() {
  const Instant end = world_->now() + 10s;
  while (step(end)) {
  }
  if (run_.failed()) return;
  check();
  for (const auto& one : run_.ends) one->check_in_the_end();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i] != nullptr) nodes_[i]->check_leaks();
    const sim::Host& host = *world_->hosts()[i];
    if (host.open_fds() == 0) continue;
    run_.fail(host.name(), std::to_string(host.open_fds()) + " descriptors are left open");
  }
  if (world_->violations() != 0) run_.fail("world", "violations of the contract with the kernel");
}

SwarmResult Swarm::play() {
  world_.emplace(world_options());
  run_.world = &*world_;
  plan();
  plan_trouble();
  for (unsigned i = 0; i < hosts_.size(); ++i) {
    host(i).start([this, i](Reactor& reactor) -> std::unique_ptr<sim::Program> {
      return std::make_unique<Node>(scene_, i, reactor);
    });
  }
  work();
  finish();
  if (!run_.failed()) check_leaks();
  run_.result.trace_hash = world_->trace_hash();
  run_.result.events = world_->events();
  run_.result.virtual_time = world_->now().time_since_epoch();
  world_.reset();
  return std::move(run_.result);
}

}  // namespace

SwarmResult run_net_swarm(std::uint64_t seed, const SwarmOptions& options) {
  return Swarm(seed, options).play();
}

}  // namespace weir::test
