// A simulated world in which everything happens at once: crashes, partitions, freezes and faults.
// Nothing is lost that was echoed, and when it is over everybody works again.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "tests/sim_fixture.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// Echoes.
struct Echo final : sim::Program {
  explicit Echo(Reactor& reactor) : server(reactor) {
    server.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    server.on_error([](Socket&, const Error&) {});
    server.on_server_error([](Server&, const Error&) {});
    listen();
  }
  void listen() {
    if (server.listen({.port = 7}).has_value()) return;
    again = server.reactor().after(100ms, [this] { listen(); });
  }
  Server server;
  Timer again;
};

// Connects, sends, and compares what comes back; again and again.
struct Asking final : sim::Program {
  Asking(Reactor& its_reactor, int& its_answers) : reactor(its_reactor), answers(its_answers) {
    ask();
  }
  void ask() {
    back.clear();
    sent = pattern(20'000, static_cast<unsigned>(++asked));
    socket = std::make_unique<Socket>(reactor);
    socket->on_data([this](Socket&, Buffer bytes) { back += bytes.view(); });
    socket->on_error([](Socket&, const Error&) {});
    socket->on_close([this](Socket&, std::error_code code) {
      EXPECT_TRUE(sent.starts_with(back)) << back.size();
      if (!code) {
        EXPECT_EQ(back.size(), sent.size());
        ++answers;
      }
      again = reactor.after(1s, [this] { ask(); });
    });
    socket->set_timeout(1min, [](Socket& idle) { idle.destroy(errno_code(ETIMEDOUT)); });
    EXPECT_TRUE(socket->connect({.host = "a", .port = 7}).has_value());
    socket->end(sent);
  }
  Reactor& reactor;
  int& answers;
  std::unique_ptr<Socket> socket;
  Timer again;
  std::string sent;
  std::string back;
  int asked = 0;
};

class SimMayhemTest : public SimTest {
 protected:
  void begin(std::uint64_t seed) {
    make({.seed = seed, .link = {.latency = 2ms, .jitter = 3ms, .loss = 0.01}});
    world().add_host("c");
    a().start([](Reactor& reactor) { return std::make_unique<Echo>(reactor); });
    for (Host* host : {&b(), &world().host("c")}) {
      host->start([this](Reactor& reactor) { return std::make_unique<Asking>(reactor, answers_); });
    }
  }
  // A server without memory ends a connection in the middle, and its client sees a clean end.
  Faults faults() {
    Faults some = Faults::random(world().random());
    some.no_memory = 0;
    return some;
  }
  void trouble() {
    sim::Random& random = world().random();
    Host& host = *world().hosts()[random.below(3)];
    Host& other = *world().hosts()[random.below(3)];
    switch (random.below(8)) {
      case 0: return host.crash();
      case 1: return host.restart();
      case 2: return host.up() ? host.freeze(random.up_to(5s)) : host.restart();
      case 3: return &host == &other ? void() : world().partition(host, other);
      case 4: return &host == &other ? void() : world().heal(host, other);
      case 5: return world().set_faults(faults());
      case 6: return host.shift_time_of_day(static_cast<std::int64_t>(random.below(1000)) - 500);
      default: return world().heal_all();
    }
  }
  std::uint64_t mayhem(std::uint64_t seed) {
    begin(seed);
    for (int i = 0; i < 100; ++i) {
      const Duration calm = world().random().up_to(1s);
      world().run_for(calm);
      trouble();
    }
    return world().trace_hash();
  }

  int answers_ = 0;
};

TEST_F(SimMayhemTest, WhenItIsOverEverybodyWorksAgain) {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE(seed);
    mayhem(seed);
    world().set_faults({});
    world().heal_all();
    for (const auto& host : world().hosts()) {
      if (!host->up()) host->restart();
    }
    world().run_for(10min);
    const int before = answers_;
    world().run_for(1min);
    EXPECT_GT(answers_, before + 80);
    EXPECT_EQ(world().violations(), 0U);
    for (const auto& host : world().hosts()) EXPECT_LE(host->open_fds(), 10U) << host->name();
    if (HasFailure()) return;
  }
}

TEST_F(SimMayhemTest, TheSameSeedGivesTheSame) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const std::uint64_t first = mayhem(seed);
    EXPECT_EQ(mayhem(seed), first) << seed;
    EXPECT_NE(mayhem(seed + 1000), first) << seed;
  }
}

}  // namespace
}  // namespace weir::test
