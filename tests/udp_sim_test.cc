// UDP sockets between simulated hosts: what links lose, repeat, delay and turn around, groups and
// broadcasts, refusals, and what a host keeps for a program that is slow.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/random.h"
#include "tests/udp_world.h"
#include "weir/reactor/sim_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using sim::Faults;
using sim::Host;
using sim::Link;
using sim::World;
using sim::WorldOptions;
using Texts = std::vector<std::string>;

constexpr Duration kLatency = 12'345'678ns;
constexpr std::uint16_t kPort = 2000;
constexpr std::size_t kQueueMax = 256;
constexpr Duration kWait = 1min;

// Answers what it gets with its own bytes.
struct Echo final : sim::Program {
  Echo(Reactor& reactor, std::string& notes) : socket(reactor), log(notes) {
    const auto at = socket.bind({.port = kPort});
    EXPECT_TRUE(at.has_value()) << (at ? "" : at.error().message());
    socket.on_listening([this](UdpSocket&) { log += "up "; });
    socket.on_message([this](UdpSocket& here, const Datagram& one) {
      log += std::string(one.bytes) + " ";
      EXPECT_TRUE(here.send(one.bytes, one.from).has_value());
    });
    socket.on_close([this](UdpSocket&) { log += "close "; });
  }

  UdpSocket socket;
  std::string& log;
};

class UdpSimTest : public testing::Test {
 protected:
  UdpSimTest() { make({}); }
  void TearDown() override {
    parties_.clear();
    EXPECT_EQ(world_->violations(), 0U);
    world_.reset();
  }

  // Another world of three hosts, in the place of the one that is there.
  void make(WorldOptions options) {
    parties_.clear();
    world_.reset();
    world_ = std::make_unique<World>(std::move(options));
    for (const char* name : {"a", "b", "c"}) world_->add_host(name);
  }
  World& world() { return *world_; }
  Host& a() { return world_->host("a"); }
  Host& b() { return world_->host("b"); }
  Host& c() { return world_->host("c"); }
  void set_link(const Link& link) {
    world_->set_link(a(), b(), link);
    world_->set_link(a(), c(), link);
    world_->set_link(b(), c(), link);
  }

  Party& bound(Host& host, int port = 0, UdpOptions options = {}) {
    Party& made = parties_.emplace_back(host.reactor(), std::move(options));
    const auto at = made->bind({.port = port});
    EXPECT_TRUE(at.has_value()) << (at ? "" : at.error().message());
    return made;
  }
  Party& connected(Host& host, const UdpAt& peer) {
    Party& made = parties_.emplace_back(host.reactor());
    EXPECT_EQ(refusal(made->connect(peer)), "");
    world().run_for(0ms);
    EXPECT_TRUE(made->connected());
    return made;
  }
  static UdpAt on(Host& host, int port = kPort) {
    return {.port = port, .host = host.ipv4().host()};
  }
  // Numbers, as many as a turn takes at a time.
  void send_numbers(Party& from, const UdpAt& to, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(refusal(from->send(std::to_string(i), to)), "");
      if (i % 100 == 99) world().run_for(1ms);
    }
  }
  static std::vector<int> numbers(const Party& party) {
    std::vector<int> all;
    for (const std::string& one : party.got) all.push_back(std::stoi(one));
    return all;
  }
  [[nodiscard]] bool until(Function<bool()> done) {
    return world_->run_until(std::move(done), kWait);
  }

  std::deque<Party> parties_;

 private:
  std::unique_ptr<World> world_;
};

TEST_F(UdpSimTest, AMessageTakesOneWayAndSaysWhoSentIt) {
  set_link({.latency = kLatency});
  Party& here = bound(a(), kPort);
  Party& there = bound(b(), 1000);
  std::vector<Instant> when;
  const auto note = [&](UdpSocket&, const Datagram&) { when.push_back(world().now()); };
  here->on_message(note);
  there->on_message(note);
  const Instant begin = world().now();
  ASSERT_EQ(refusal(there->send("ping", on(a()), there.noted())), "");
  world().run_for(0ms);
  EXPECT_EQ(there.outcomes, (Texts{"ok"})) << "the host has it; the way is the network's affair";
  ASSERT_TRUE(until([&] { return here.got.size() == 1; }));
  EXPECT_EQ(here.from[0].ip(), b().ipv4().host());
  EXPECT_EQ(here.from[0].port, 1000);
  ASSERT_EQ(refusal(here->send("pong", here.from[0])), "");
  ASSERT_TRUE(until([&] { return there.got.size() == 1; }));
  EXPECT_EQ(there.from[0].ip(), a().ipv4().host());
  EXPECT_EQ(when, (std::vector<Instant>{begin + kLatency, begin + 2 * kLatency}));
}

TEST_F(UdpSimTest, HostsHaveNames) {
  bound(a(), kPort);
  Party& here = parties_.front();
  Party& there = parties_.emplace_back(b().reactor());
  ASSERT_EQ(refusal(there->send("by name", UdpAt{.port = kPort, .host = "a"})), "");
  ASSERT_TRUE(until([&] { return here.got.size() == 1; }));
  Party& six = parties_.emplace_back(b().reactor(), UdpOptions{.family = Family::ipv6});
  Party& here_six = parties_.emplace_back(a().reactor(), UdpOptions{.family = Family::ipv6});
  ASSERT_TRUE(here_six->bind({.port = kPort + 1, .host = "a"}).has_value());
  ASSERT_EQ(refusal(six->connect({.port = kPort + 1, .host = "a"})), "");
  ASSERT_TRUE(until([&] { return six.has("connect") && here_six.has("listening"); }));
  EXPECT_EQ(here_six->address()->host(), a().ipv6().host());
  ASSERT_EQ(refusal(six->send("six")), "");
  ASSERT_TRUE(until([&] { return here_six.got.size() == 1; }));
  EXPECT_EQ(here_six.from[0].ip(), b().ipv6().host());
}

TEST_F(UdpSimTest, TheAddressOfAnotherHostCannotBeBound) {
  Party& here = parties_.emplace_back(a().reactor());
  EXPECT_EQ(refusal(here->bind({.host = b().ipv4().host()})), "bind EADDRNOTAVAIL");
  EXPECT_EQ(refusal(here->bind({.host = a().ipv4().host()})), "");
}

// ---- Links ----

TEST_F(UdpSimTest, WhatIsLostNeverComes) {
  set_link({.loss = 1});
  Party& here = bound(a(), kPort);
  Party& there = bound(b());
  ASSERT_EQ(refusal(there->send("x", on(a()), there.noted())), "");
  world().run_for(1h);
  EXPECT_EQ(here.texts(), "");
  EXPECT_EQ(there.outcomes, (Texts{"ok"}));
  EXPECT_EQ(there->counters().sent, 1U);
  EXPECT_EQ(here->counters().dropped_receives, 0U) << "it was the network";
}

TEST_F(UdpSimTest, SomeAreLost) {
  set_link({.loss = 0.5});
  Party& here = bound(a(), kPort);
  Party& there = bound(b());
  send_numbers(there, on(a()), 1000);
  world().run_for(1s);
  EXPECT_GT(here.got.size(), 400U);
  EXPECT_LT(here.got.size(), 600U);
  const std::vector<int> all = numbers(here);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
}

TEST_F(UdpSimTest, DuplicatesComeTwice) {
  set_link({.latency = kLatency, .duplicate = 1});
  Party& here = bound(a(), kPort);
  Party& there = bound(b());
  send_numbers(there, on(a()), 100);
  world().run_for(1s);
  std::vector<int> all = numbers(here);
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), 200U);
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(all[i], static_cast<int>(i / 2));
  EXPECT_EQ(there->counters().sent, 100U);
  EXPECT_EQ(here->counters().received, 200U);
}

TEST_F(UdpSimTest, OnlyJitterTurnsThemAround) {
  for (const Duration jitter : {Duration::zero(), Duration(10ms)}) {
    make({.link = {.latency = kLatency, .jitter = jitter}});
    Party& here = bound(a(), kPort);
    Party& there = bound(b());
    send_numbers(there, on(a()), 200);
    ASSERT_TRUE(until([&] { return here.got.size() == 200; }));
    std::vector<int> all = numbers(here);
    EXPECT_EQ(std::is_sorted(all.begin(), all.end()), jitter == Duration::zero());
    std::sort(all.begin(), all.end());
    for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(all[i], static_cast<int>(i));
  }
}

TEST_F(UdpSimTest, APartitionLosesThem) {
  Party& here = bound(a(), kPort);
  Party& there = bound(b());
  world().partition(a(), b());
  ASSERT_EQ(refusal(there->send("lost", on(a()))), "");
  world().run_for(1min);
  world().heal(a(), b());
  ASSERT_EQ(refusal(there->send("found", on(a()))), "");
  world().run_for(1h);
  EXPECT_EQ(here.texts(), "found ");
  EXPECT_FALSE(there.has("error"));
}

TEST_F(UdpSimTest, TheSameSeedIsTheSameTrace) {
  const auto run = [&](std::uint64_t seed) {
    make({.seed = seed,
          .link = {.latency = 1ms, .jitter = 10ms, .loss = 0.3, .duplicate = 0.2}});
    std::string log;
    a().start([&](Reactor& reactor) { return std::make_unique<Echo>(reactor, log); });
    Party& there = bound(b());
    send_numbers(there, on(a()), 200);
    world().run_for(10s);
    EXPECT_GT(there.got.size(), 50U);
    const std::uint64_t hash = world().trace_hash();
    std::string all = log + there.texts();
    parties_.clear();
    make({});
    return std::pair(std::move(all), hash);
  };
  const auto first = run(1);
  EXPECT_EQ(run(1), first);
  EXPECT_NE(run(2).second, first.second);
}

// ---- Refusals ----

TEST_F(UdpSimTest, AnotherHostRefusesAClosedPort) {
  set_link({.latency = kLatency});
  Party& here = connected(b(), on(a()));
  const Instant begin = world().now();
  ASSERT_EQ(refusal(here->send("is anybody there?", here.noted())), "");
  ASSERT_TRUE(until([&] { return here.has("error"); }));
  EXPECT_EQ(world().now(), begin + 2 * kLatency);
  EXPECT_EQ(here.error(), "recv ECONNREFUSED");
  EXPECT_EQ(here.outcomes, (Texts{"ok"})) << "its own host had it";
  Party& there = bound(a(), kPort);
  ASSERT_EQ(refusal(here->send("now?", here.noted())), "");
  ASSERT_TRUE(until([&] { return there.got.size() == 1; }));
  EXPECT_EQ(here.errors.size(), 1U);
  EXPECT_EQ(here.outcomes, (Texts{"ok", "ok"}));
}

TEST_F(UdpSimTest, WithoutAPeerNobodyIsTold) {
  Party& here = bound(b(), 1000);
  for (const UdpAt& to : {on(a(), 9), UdpAt{.port = 9, .host = "10.0.0.77"},
                          UdpAt{.port = 9, .host = "192.0.2.1"}}) {
    ASSERT_EQ(refusal(here->send("x", to, here.noted())), "");
  }
  world().run_for(1h);
  EXPECT_EQ(here.outcomes, (Texts{"ok", "ok", "ok"}));
  EXPECT_FALSE(here.has("error"));
}

TEST_F(UdpSimTest, AHostThatIsDownOrCutOffRefusesNothing) {
  a().reactor();
  a().crash();
  Party& here = connected(b(), on(a()));
  ASSERT_EQ(refusal(here->send("x")), "");
  world().run_for(1h);
  EXPECT_FALSE(here.has("error"));
  a().restart();
  world().partition(a(), b());
  ASSERT_EQ(refusal(here->send("x")), "");
  world().run_for(1h);
  EXPECT_FALSE(here.has("error"));
  world().heal(a(), b());
  ASSERT_EQ(refusal(here->send("x")), "");
  ASSERT_TRUE(until([&] { return here.has("error"); }));
  EXPECT_EQ(here.error(), "recv ECONNREFUSED");
}

// ---- Groups and broadcasts ----

TEST_F(UdpSimTest, AGroupIsOnEveryHost) {
  set_link({.latency = kLatency});
  Party& from = bound(a());
  Party& own = bound(a(), kPort);
  Party& near = bound(b(), kPort);
  Party& far = bound(c(), kPort);
  Party& other = bound(c(), kPort + 1);
  for (Party* one : {&own, &near, &other}) {
    ASSERT_EQ(refusal((*one)->add_membership("239.1.2.3")), "");
  }
  const UdpAt group{.port = kPort, .host = "239.1.2.3"};
  ASSERT_EQ(refusal(from->send("1", group)), "");
  world().run_for(1s);
  EXPECT_EQ(own.texts() + near.texts(), "1 1 ");
  EXPECT_EQ(far.texts() + other.texts(), "") << "no member, another port";
  EXPECT_EQ(near.from[0].ip(), a().ipv4().host());
  EXPECT_EQ(near.from[0].port, from->address()->port());
  ASSERT_EQ(refusal(from->set_multicast_loopback(false)), "");
  ASSERT_EQ(refusal(from->send("2", group)), "");
  world().run_for(1s);
  EXPECT_EQ(own.texts(), "1 ");
  EXPECT_EQ(near.texts(), "1 2 ");
  ASSERT_EQ(refusal(far->add_membership("239.1.2.3", c().ipv4().host())), "");
  ASSERT_EQ(refusal(near->drop_membership("239.1.2.3")), "");
  ASSERT_EQ(refusal(from->send("3", group)), "");
  world().run_for(1s);
  EXPECT_EQ(near.texts(), "1 2 ");
  EXPECT_EQ(far.texts(), "3 ");
  EXPECT_FALSE(from.has("error"));
}

TEST_F(UdpSimTest, AMemberMayWantOneSource) {
  Party& wanted = bound(a());
  Party& unwanted = bound(b());
  Party& to = bound(c(), kPort);
  ASSERT_EQ(refusal(to->add_source_membership(a().ipv4().host(), "232.1.2.3")), "");
  const UdpAt group{.port = kPort, .host = "232.1.2.3"};
  ASSERT_EQ(refusal(unwanted->send("no", group)), "");
  ASSERT_EQ(refusal(wanted->send("yes", group)), "");
  world().run_for(1s);
  EXPECT_EQ(to.texts(), "yes ");
}

TEST_F(UdpSimTest, TheLinkOfEachHostLosesItsOwnCopy) {
  Party& from = bound(a());
  Party& near = bound(b(), kPort);
  Party& far = bound(c(), kPort);
  for (Party* one : {&near, &far}) ASSERT_EQ(refusal((*one)->add_membership("239.1.2.3")), "");
  world().set_link(a(), b(), {.loss = 1});
  ASSERT_EQ(refusal(from->send("x", UdpAt{.port = kPort, .host = "239.1.2.3"})), "");
  world().run_for(1s);
  EXPECT_EQ(near.texts(), "");
  EXPECT_EQ(far.texts(), "x ");
}

TEST_F(UdpSimTest, ABroadcastReachesEveryHost) {
  Party& from = bound(a());
  Party& own = bound(a(), kPort);
  Party& near = bound(b(), kPort);
  Party& far = bound(c(), kPort);
  Party& other = bound(c(), kPort + 1);
  const UdpAt all{.port = kPort, .host = "255.255.255.255"};
  ASSERT_EQ(refusal(from->send("no", all, from.noted())), "");
  world().run_for(1s);
  EXPECT_EQ(from.outcomes, (Texts{"EACCES"}));
  ASSERT_EQ(refusal(from->set_broadcast(true)), "");
  ASSERT_EQ(refusal(from->send("yes", all)), "");
  world().run_for(1s);
  EXPECT_EQ(own.texts() + near.texts() + far.texts(), "yes yes yes ");
  EXPECT_EQ(other.texts(), "");
  EXPECT_EQ(far.from[0].ip(), a().ipv4().host());
}

// ---- Slow programs, and what ends them ----

TEST_F(UdpSimTest, AQueueHolds256AndCountsWhatItDrops) {
  Party& here = bound(a(), kPort);
  Party& there = bound(b());
  world().run_for(1s);
  a().freeze(1s);
  send_numbers(there, on(a()), 300);
  world().run_for(2s);
  const std::vector<int> all = numbers(here);
  ASSERT_EQ(all.size(), kQueueMax);
  for (std::size_t i = 0; i < kQueueMax; ++i) EXPECT_EQ(all[i], static_cast<int>(i));
  EXPECT_EQ(here->counters().dropped_receives, 44U);
  EXPECT_EQ(there->counters().sent, 300U);
  ASSERT_EQ(refusal(there->send("300", on(a()))), "");
  world().run_for(1s);
  EXPECT_EQ(here.got.back(), "300");
  EXPECT_EQ(here->counters().dropped_receives, 44U);
}

TEST_F(UdpSimTest, AProgramEndsWithItsHostAndBeginsAnew) {
  std::string log;
  a().start([&](Reactor& reactor) { return std::make_unique<Echo>(reactor, log); });
  Party& there = bound(b(), 1000);
  ASSERT_EQ(refusal(there->send("one", on(a()))), "");
  ASSERT_TRUE(until([&] { return there.got.size() == 1; }));
  a().crash();
  ASSERT_EQ(refusal(there->send("lost", on(a()))), "");
  world().run_for(1s);
  a().restart();
  world().run_for(1s);
  ASSERT_EQ(refusal(there->send("two", on(a()))), "");
  ASSERT_TRUE(until([&] { return there.got.size() == 2; }));
  EXPECT_EQ(log, "up one up two ");
  EXPECT_EQ(there.texts(), "one two ");
  EXPECT_EQ(a().open_fds(), 1U);
}

TEST_F(UdpSimTest, NoDescriptorIsARefusal) {
  Faults faults;
  faults.no_descriptors = 1;
  world().set_faults(faults);
  Party& here = parties_.emplace_back(a().reactor());
  EXPECT_EQ(refusal(here->bind()), "socket EMFILE");
  EXPECT_EQ(refusal(here->send("x", on(b()))), "socket EMFILE");
  EXPECT_EQ(refusal(here->connect(on(b()))), "socket EMFILE");
  EXPECT_EQ(refusal(here->add_membership("239.1.2.3")), "socket EMFILE");
  EXPECT_FALSE(here->bound());
  world().set_faults({});
  EXPECT_EQ(refusal(here->bind()), "");
}

// A perfect network, and kernels that are slow, unwilling, short of memory and full of doubt.
TEST_F(UdpSimTest, WhateverTheKernelsDoEachDatagramComesOnce) {
  for_seeds(40, [&](Random& random) {
    Faults faults = Faults::random(random);
    faults.no_descriptors = faults.no_lookup = 0;
    faults.jump = 0;
    make({.seed = random.next(), .faults = faults, .link = {.latency = 1ms}});
    std::string log;
    a().start([&](Reactor& reactor) { return std::make_unique<Echo>(reactor, log); });
    Party& there = bound(b());
    Party& peer = connected(c(), on(a()));
    std::vector<int> expected;
    for (int i = 0; i < 200; ++i) {
      Party& from = i % 3 == 0 ? peer : there;
      const auto queued = i % 3 == 0 ? from->send(std::to_string(i), from.noted(i))
                                     : from->send(std::to_string(i), on(a()), from.noted(i));
      ASSERT_EQ(refusal(queued), "");
      if (i % 3 != 0) expected.push_back(i);
      if (random.chance(0.1)) world().run_for(random.chance(0.5) ? Duration(100us) : 20ms);
    }
    ASSERT_TRUE(until([&] { return there.got.size() + peer.got.size() >= 200; }));
    ASSERT_TRUE(until([&] { return there.numbers.size() + peer.numbers.size() >= 200; }));
    world().run_for(1s);
    EXPECT_EQ(numbers(there), expected);
    EXPECT_EQ(there.numbers, expected);
    EXPECT_EQ(peer.got.size(), 67U);
    for (const Party* one : {&there, &peer}) {
      for (const Error& error : one->errors) EXPECT_EQ(error.code, errno_code(ENOMEM));
      EXPECT_TRUE(one->errors.empty() || faults.no_memory > 0) << one->error();
    }
    EXPECT_EQ(b().reactor().counters().queue_bytes, 0U);
    ASSERT_EQ(refusal(there->close()), "");
    ASSERT_TRUE(until([&] { return there.has("close"); }));
    EXPECT_EQ(b().open_fds(), 0U);
    EXPECT_EQ(world().violations(), 0U);
  });
}

}  // namespace
}  // namespace weir::test
