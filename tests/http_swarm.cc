// The world of a swarm: hosts, links, faults, and how a run ends.
#include "tests/http_swarm.h"

#include <algorithm>
#include <utility>

#include "tests/http_swarm_client.h"
#include "tests/http_swarm_server.h"

namespace weir::test {
namespace http_swarm {
namespace {

using namespace std::chrono_literals;

// After the last fault: a host may stand still for 5 minutes, requests may take as long, and
// TCP gives up after 15.
constexpr Duration kFinishingTimeMax = 30min;
constexpr Duration kClosingTimeMax = 10min;
constexpr std::uint64_t kStepsBetweenChecks = 32;
constexpr std::size_t kChunksKeptMax = 1;  // the one that the next receive goes to

Duration milliseconds(std::uint64_t count) {
  return Duration(1ms) * static_cast<Duration::rep>(count);
}

class Swarm {
 public:
  Swarm(std::uint64_t seed, const SwarmOptions& options) : run_(seed, options) {}
  SwarmResult play();

 private:
  struct Dial {
    std::size_t line;
    unsigned host;
    Duration at;
  };

  sim::Random& random() { return run_.random(); }
  sim::Host& host(std::size_t index) { return *world_->hosts()[index]; }
  sim::WorldOptions world_options();
  void plan();
  void plan_lines();
  void plan_trouble();
  void start();
  void start_client(unsigned index);
  void crash(unsigned index);
  bool step(Instant limit);
  void work();
  void finish();
  void close_down();
  void check_leaks();
  bool all_over() const;
  void stuck(std::string_view what);

  Run run_;
  std::unique_ptr<sim::World> world_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::vector<Dial> dials_;
  std::vector<ClientProgram*> clients_;  // of the hosts behind the first
  ServerProgram* server_ = nullptr;
  Duration working_time_ = Duration::zero();
};

sim::WorldOptions Swarm::world_options() {
  sim::WorldOptions options{.seed = run_.seed()};
  sim::Random random(run_.seed() + 0x4774);
  if (!random.once_in(3)) options.window_bytes = std::size_t{1} << random.between(11, 18);
  if (random.once_in(6)) options.receive_memory_max = limits::kReceiveMemoryMin;
  run_.listen_to(options);
  return options;
}

void Swarm::plan() {
  if (!random().once_in(8)) run_.faults = sim::Faults::random(random());
  world_->set_faults(run_.faults);
  working_time_ = milliseconds(random().between(200, random().once_in(2) ? 5000 : 60'000));
  run_.server = random_server(random());
  world_->add_host("server");
  const std::uint64_t clients = random().between(1, 3);
  static const char* const kNames[] = {"alice", "bob", "carol"};
  for (std::uint64_t i = 0; i < clients; ++i) {
    sim::Host& client = world_->add_host(kNames[i]);
    const sim::Link link = random_link(random());
    world_->set_link(host(0), client, link);
  }
  clients_.resize(clients);
}

void Swarm::plan_lines() {
  const std::uint64_t count = random().between(1, random().once_in(4) ? 16 : 8);
  for (std::uint64_t i = 0; i < count; ++i) {
    Line& line = *run_.lines.emplace_back(std::make_unique<Line>());
    line.id = static_cast<std::uint32_t>(i + 1);
    line.name = "line " + std::to_string(line.id);
    line.script = random_script(random(), line.id, run_.server);
    line.told.resize(line.script.items.size());
    readers_.push_back(std::make_unique<Reader>(run_, line));
    Dial dial{.line = static_cast<std::size_t>(i), .host = 0, .at = {}};
    dial.host = static_cast<unsigned>(random().below(clients_.size()));
    dial.at = random().up_to(random().once_in(2) ? Duration(50ms) : working_time_ / 2);
    dials_.push_back(dial);
  }
}

void Swarm::start_client(unsigned index) {
  host(index + 1).start([this, index](Reactor& reactor) {
    auto program = std::make_unique<ClientProgram>(run_, reactor);
    clients_[index] = program.get();
    for (const Dial& dial : dials_) {
      Line& line = *run_.lines[dial.line];
      if (dial.host != index || line.started || line.over) continue;
      const Duration at = std::max(dial.at - run_.now().time_since_epoch(), Duration::zero());
      program->call_later(line, *readers_[dial.line], host(0).ipv4().host(), at);
    }
    return program;
  });
}

void Swarm::start() {
  host(0).start([this](Reactor& reactor) {
    auto program = std::make_unique<ServerProgram>(run_, reactor, host(0).ipv4().host());
    server_ = program.get();
    return program;
  });
  for (unsigned i = 0; i < clients_.size(); ++i) start_client(i);
}

void Swarm::crash(unsigned index) {
  if (run_.finishing || !host(index + 1).up()) return;
  run_.count("crash");
  clients_[index] = nullptr;
  host(index + 1).crash();
  if (random().once_in(4)) return;
  const Duration delay = random().up_to(5s);
  world_->after(delay, [this, index] {
    if (run_.finishing) return;
    run_.count("restart");
    host(index + 1).restart();
    });
}

void Swarm::plan_trouble() {
  const Duration most = working_time_ / 2;
  for (std::uint64_t i = random().once_in(4) ? random().between(1, 3) : 0; i > 0; --i) {
    run_.broken_network = true;
    const auto victim = static_cast<unsigned>(random().between(1, clients_.size()));
    const Duration at = random().up_to(most);
    const Duration lasts = milliseconds(any_size(random(), 60'000));
    world_->after(at, [this, victim] {
      if (run_.finishing) return;
      run_.count("partition");
      world_->partition(host(0), host(victim));
    });
    world_->after(at + lasts, [this, victim] { world_->heal(host(0), host(victim)); });
  }
  if (random().once_in(5)) {
    run_.broken_network = true;
    const auto victim = static_cast<unsigned>(random().below(clients_.size()));
    world_->after(random().up_to(most), [this, victim] { crash(victim); });
  }
  if (random().once_in(6)) {
    const auto victim = static_cast<unsigned>(random().below(clients_.size() + 1));
    const Duration at = random().up_to(most);
    const Duration time = milliseconds(any_size(random(), 20'000));
    world_->after(at, [this, victim, time] {
      run_.count("freeze");
      host(victim).freeze(time);
    });
  }
  for (std::uint64_t i = random().once_in(3) ? random().between(1, 2) : 0; i > 0; --i) {
    world_->after(random().up_to(working_time_), [this] {
      if (!run_.finishing) std::ignore = host(0).reactor().post([this] { server_->act(); });
    });
  }
}

// ---- Running ----

bool Swarm::step(Instant limit) {
  if (run_.failed()) return false;
  if (++run_.result.steps > run_.options().steps_max) {
    stuck("too many steps");
    return false;
  }
  if (!world_->step(limit)) return false;
  if (run_.result.steps % kStepsBetweenChecks == 0) server_->check();
  return !run_.failed();
}

bool Swarm::all_over() const {
  return std::ranges::all_of(run_.lines,
                             [](const auto& line) { return line->over || !line->started; });
}

void Swarm::work() {
  const Instant end = world_->now() + working_time_;
  while (step(end)) {
  }
}

void Swarm::stuck(std::string_view what) {
  std::string text(what);
  text += "\n" + server_->dump();
  for (const ClientProgram* client : clients_) {
    if (client != nullptr) text += client->dump();
  }
  run_.fail("world", text);
}

void Swarm::finish() {
  if (run_.failed()) return;
  run_.finishing = true;
  run_.log("world", "finishes");
  world_->set_faults({});
  world_->heal_all();
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i] == nullptr) continue;
    const bool posted = host(i + 1).reactor().post([this, i] { clients_[i]->finish_up(); });
    if (!posted) run_.fail("world", "post()");
  }
  const Instant end = world_->now() + kFinishingTimeMax;
  const auto done = [this] { return all_over() && server_->idle(); };
  while (!done() && step(end)) {
  }
  if (!run_.failed() && !done()) stuck("stuck: connections do not end");
}

void Swarm::close_down() {
  if (run_.failed()) return;
  run_.log("world", "closes down");
  if (!host(0).reactor().post([this] { server_->shut_down(); })) run_.fail("world", "post()");
  const Instant end = world_->now() + kClosingTimeMax;
  while (!server_->is_shut_down() && step(end)) {
  }
  if (run_.failed()) return;
  if (!server_->is_shut_down()) return stuck("stuck: the server does not close");
  const Instant rest = world_->now() + 10s;
  while (step(rest)) {
  }
  server_->check_in_the_end();
}

void Swarm::check_leaks() {
  for (std::size_t i = 0; i < world_->hosts().size() && !run_.failed(); ++i) {
    if (!host(i).up()) continue;
    const Counters counters = host(i).reactor().counters();
    const std::string& name = host(i).name();
    if (counters.sockets != 0) run_.fail(name, "Counters::sockets is not 0");
    if (counters.queue_bytes != 0) run_.fail(name, "Counters::queue_bytes is not 0");
    if (counters.receive_chunks > kChunksKeptMax) run_.fail(name, "receive chunks are in use");
    if (host(i).open_fds() != 0) run_.fail(name, "descriptors are open");
  }
  if (world_->violations() != 0) run_.fail("world", "violations");
}

SwarmResult Swarm::play() {
  world_ = std::make_unique<sim::World>(world_options());
  run_.world = world_.get();
  plan();
  plan_lines();
  if (run_.logs()) run_.log("server", describe(run_.server));
  start();
  plan_trouble();
  work();
  finish();
  close_down();
  if (!run_.failed()) {
    for (std::size_t i = 0; i < run_.lines.size(); ++i) {
      judge(run_, *run_.lines[i], *readers_[i]);
    }
  }
  check_leaks();
  SwarmResult& result = run_.result;
  result.trace_hash = world_->trace_hash();
  result.events = world_->events();
  result.virtual_time = world_->now().time_since_epoch();
  world_.reset();
  return std::move(result);
}

}  // namespace
}  // namespace http_swarm

SwarmResult run_http_swarm(std::uint64_t seed, const SwarmOptions& options) {
  return http_swarm::Swarm(seed, options).play();
}

}  // namespace weir::test
