// The simulated world itself: hosts, clock, whose turn it is, names, and its trace.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim_fixture.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class SimHostTest : public SimTest {};
class SimClockTest : public SimTest {};
class SimTurnTest : public SimTest {};
class SimNameTest : public SimTest {};
class SimTraceTest : public SimTest {};

// ---- Numbers ----

TEST(SimRandomTest, TheyAreWithinTheirBounds) {
  sim::Random random(1);
  std::vector<int> seen(10);
  int chances = 0;
  for (int i = 0; i < 10'000; ++i) {
    ++seen[random.below(10)];
    const std::uint64_t between = random.between(5, 7);
    EXPECT_TRUE(between >= 5 && between <= 7);
    const Duration time = random.up_to(3ns);
    EXPECT_TRUE(time >= 0ns && time <= 3ns);
    EXPECT_FALSE(random.chance(0));
    EXPECT_TRUE(random.chance(1));
    if (random.chance(0.25)) ++chances;
  }
  for (const int times : seen) EXPECT_NEAR(times, 1000, 150);
  EXPECT_NEAR(chances, 2500, 250);
  EXPECT_EQ(random.up_to(0ns), 0ns);
}

TEST(SimRandomTest, TheSameSeedGivesTheSame) {
  sim::Random one(42);
  sim::Random same(42);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(one.next(), same.next());
}

// Else a thousand seeds would be one long run, seen from a thousand places.
TEST(SimRandomTest, TheNumbersOfASeedAreNotThoseOfItsNeighbourOneLater) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    sim::Random one(seed);
    std::vector<std::uint64_t> numbers;
    for (int i = 0; i < 100; ++i) numbers.push_back(one.next());
    sim::Random next(seed + 1);
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(std::count(numbers.begin(), numbers.end(), next.next()), 0) << seed << " " << i;
      if (testing::Test::HasFailure()) return;
    }
  }
}

// ---- Hosts ----

TEST_F(SimHostTest, HostsHaveAddressesInTheOrderInWhichTheyWereAdded) {
  EXPECT_EQ(a().ipv4(), *Address::parse_ip("10.0.0.1", 0));
  EXPECT_EQ(a().ipv6(), *Address::parse_ip("fd00::1", 0));
  EXPECT_EQ(b().ipv4(), *Address::parse_ip("10.0.0.2", 0));
  EXPECT_EQ(b().ipv6(), *Address::parse_ip("fd00::2", 0));
}

TEST_F(SimHostTest, HostsAreFoundByTheirNames) {
  Host& third = world().add_host("third");
  EXPECT_EQ(third.name(), "third");
  EXPECT_EQ(&world().host("third"), &third);
  ASSERT_EQ(world().hosts().size(), 3U);
  EXPECT_EQ(world().hosts()[0].get(), &a());
  EXPECT_EQ(world().hosts()[2].get(), &third);
  EXPECT_EQ(&third.backend(), &third.reactor().backend());
}

TEST_F(SimHostTest, ManyHostsHaveDifferentAddresses) {
  for (int i = 3; i <= 300; ++i) world().add_host("h" + std::to_string(i));
  for (std::size_t i = 1; i < 300; ++i) {
    EXPECT_NE(world().hosts()[i]->ipv4(), world().hosts()[i - 1]->ipv4());
    EXPECT_NE(world().hosts()[i]->ipv6(), world().hosts()[i - 1]->ipv6());
  }
  Host& last = *world().hosts()[299];
  Service service(a().reactor(), server_, at_);
  Caller caller(last.reactor(), client_, {.host = a().ipv4().host(), .port = kPort});
  ASSERT_TRUE(until([&] { return service.peer != nullptr && client_.has("connect"); }));
  EXPECT_EQ(caller.socket.local_address().host(), last.ipv4().host());
}

TEST_F(SimHostTest, AHostIsUpFromTheStartAndHasNothingOpen) {
  EXPECT_TRUE(a().up());
  EXPECT_EQ(a().program(), nullptr);
  EXPECT_EQ(a().open_fds(), 0U);
  EXPECT_EQ(a().reactor().backend().kind(), BackendKind::sim);
  EXPECT_EQ(&a().reactor(), &a().reactor());
}

TEST_F(SimHostTest, OpenFdsAreThoseOfTheHost) {
  ASSERT_TRUE(join());
  EXPECT_EQ(a().open_fds(), 2U);  // the listener and the connection
  EXPECT_EQ(b().open_fds(), 1U);
  client().end();
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(a().open_fds(), 1U);
  EXPECT_EQ(b().open_fds(), 0U);
  service_->server.close();
  world().run_for(1s);
  EXPECT_EQ(a().open_fds(), 0U);
}

// ---- Clock ----

TEST_F(SimClockTest, TheWorldBeginsWhenItIsTold) {
  EXPECT_EQ(world().now(), Instant{});
  EXPECT_EQ(world().seed(), 1U);
  EXPECT_EQ(a().reactor().backend().unix_seconds(), 784111777);
  make({.seed = 5, .start = Instant(3h), .unix_seconds_at_start = 1000});
  EXPECT_EQ(world().now(), Instant(3h));
  EXPECT_EQ(world().seed(), 5U);
  EXPECT_EQ(a().reactor().now(), Instant(3h));
  world().run_for(90s);
  EXPECT_EQ(a().reactor().backend().unix_seconds(), 1090);
  EXPECT_EQ(b().reactor().now(), Instant(3h + 90s));
}

TEST_F(SimClockTest, RunForEndsExactlyThere) {
  world().run_for(1ns);
  EXPECT_EQ(world().now(), Instant(1ns));
  bool fired = false;
  world().after(1h, [&] { fired = true; });
  const Timer timer = a().reactor().after(2h, [] {});
  world().run_for(59min);
  EXPECT_EQ(world().now(), Instant(59min + 1ns));
  EXPECT_FALSE(fired);
  world().run_for(123456789ns);
  EXPECT_EQ(world().now(), Instant(59min + 123456790ns));
  EXPECT_EQ(a().reactor().now(), world().now());
  world().run_for(0ns);
  EXPECT_EQ(world().now(), Instant(59min + 123456790ns));
}

TEST_F(SimClockTest, WhatComesAtTheEndOfRunForHasHappened) {
  bool task = false;
  bool timer_fired = false;
  world().after(10ms, [&] { task = true; });
  const Timer timer = a().reactor().after(10ms, [&] { timer_fired = true; });
  world().run_for(10ms - 1ns);
  EXPECT_FALSE(task);
  EXPECT_FALSE(timer_fired);
  world().run_for(1ns);
  EXPECT_TRUE(task);
  EXPECT_TRUE(timer_fired);
}

TEST_F(SimClockTest, TimersFireAtTheirMillisecond) {
  std::vector<std::int64_t> fired;
  std::vector<Timer> timers;
  for (const Duration delay : {3ms, 1ms, 7ms, 86'400'000ms}) {
    timers.push_back(a().reactor().after(
        delay, [&] { fired.push_back(ns(world().now() - Instant{})); }));
  }
  world().run();
  EXPECT_EQ(fired, (std::vector<std::int64_t>{ns(1ms), ns(3ms), ns(7ms), ns(24h)}));
}

TEST_F(SimClockTest, AHandlerSeesTheTimeOfTheWorld) {
  bool same = false;
  const Timer timer =
      b().reactor().after(5ms, [&] { same = b().reactor().now() == world().now(); });
  world().run();
  EXPECT_TRUE(same);
}

TEST_F(SimClockTest, TheTimerOfOneHostDoesNotMoveAnotherBeforeItsEvents) {
  std::vector<std::string> order;
  std::vector<Timer> timers;
  for (int i = 1; i <= 20; ++i) {
    Host& host = i % 2 == 0 ? a() : b();
    timers.push_back(host.reactor().after(i * 1ms, [&order, i] {
      order.push_back(std::to_string(i));
    }));
  }
  world().run();
  std::string all;
  for (const std::string& one : order) all += one + " ";
  EXPECT_EQ(all, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 ");
}

TEST_F(SimClockTest, AYearIsSoonOver) {
  int fired = 0;
  Timer timer;
  Function<void()> again = [&] {
    ++fired;
    timer = a().reactor().after(24h, [&] { again(); });
  };
  again();
  world().run_for(365 * 24h);
  EXPECT_EQ(fired, 366);
  EXPECT_EQ(world().now(), Instant(365 * 24h));
}

TEST_F(SimClockTest, StepGoesNoFurtherThanItsLimit) {
  bool done = false;
  world().after(10ms, [&] { done = true; });
  EXPECT_FALSE(world().step(Instant(10ms - 1ns)));
  EXPECT_FALSE(done);
  EXPECT_LE(world().now(), Instant(10ms - 1ns));
  for (int i = 0; i < 10 && !done; ++i) EXPECT_TRUE(world().step(Instant(10ms)));
  EXPECT_TRUE(done);
  EXPECT_EQ(world().now(), Instant(10ms));
}

TEST_F(SimClockTest, StepSaysWhenNothingIsLeft) {
  EXPECT_FALSE(world().step());
  int done = 0;
  world().after(1ms, [&] { ++done; });
  world().after(2ms, [&] { ++done; });
  int steps = 0;
  while (steps < 100 && world().step()) ++steps;
  EXPECT_LT(steps, 100);
  EXPECT_EQ(done, 2);
  EXPECT_EQ(world().now(), Instant(2ms));
  EXPECT_FALSE(world().step());
}

TEST_F(SimClockTest, RunEndsWhenNothingIsLeftToHappen) {
  serve();
  call();
  world().run();
  EXPECT_TRUE(client_.has("connect"));
  EXPECT_EQ(service_->server.connections(), 1U);
}

TEST_F(SimClockTest, RunUntilAsksBeforeEveryStep) {
  int asked = 0;
  EXPECT_TRUE(world().run_until([&] { return ++asked == 1; }, 1s));
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(world().now(), Instant{});
  bool first = false;
  bool second = false;
  world().after(1ms, [&] { first = true; });
  world().after(2ms, [&] { second = true; });
  EXPECT_TRUE(world().run_until([&] { return first; }, 1s));
  EXPECT_FALSE(second);
  EXPECT_EQ(world().now(), Instant(1ms));
}

TEST_F(SimClockTest, RunUntilHasOnlySoMuchPatience) {
  bool done = false;
  world().after(5s, [&] { done = true; });
  EXPECT_FALSE(world().run_until([&] { return done; }, 4s));
  EXPECT_FALSE(done);
  EXPECT_LE(world().now(), Instant(4s));
  EXPECT_TRUE(world().run_until([&] { return done; }, 5s));
  EXPECT_EQ(world().now(), Instant(5s));
  EXPECT_FALSE(world().run_until([] { return false; }, 1s)) << "nothing is left to happen";
  EXPECT_LE(world().now(), Instant(6s));
}

TEST_F(SimClockTest, TasksOfTheWorldComeAtTheirTimeInTheirOrder) {
  std::string order;
  const auto put = [&](char letter) {
    return [&order, letter] { order += letter; };
  };
  world().after(3ns, put('d'));
  world().after(1ns, put('a'));
  world().after(3ns, put('e'));
  world().after(2ns, [&] {
    order += 'b';
    EXPECT_EQ(world().now(), Instant(2ns));
    world().after(0ns, put('c'));
    world().after(7ns, [&] {
      EXPECT_EQ(world().now(), Instant(9ns));
      order += 'f';
    });
  });
  world().run();
  EXPECT_EQ(order, "abcdef");
}

TEST_F(SimClockTest, TheTimeOfDayIsSetForOneHost) {
  const std::int64_t start = a().reactor().backend().unix_seconds();
  a().shift_time_of_day(3600);
  EXPECT_EQ(a().reactor().backend().unix_seconds(), start + 3600);
  EXPECT_EQ(b().reactor().backend().unix_seconds(), start);
  EXPECT_EQ(a().reactor().now(), Instant{});
  world().run_for(10s);
  EXPECT_EQ(a().reactor().backend().unix_seconds(), start + 3610);
  a().shift_time_of_day(-7200);
  EXPECT_EQ(a().reactor().backend().unix_seconds(), start - 3590);
  EXPECT_EQ(a().reactor().now(), Instant(10s));
}

TEST_F(SimClockTest, TheTimeOfDayDoesNotMoveTimers) {
  std::int64_t fired = 0;
  const Timer timer =
      a().reactor().after(10s, [&] { fired = ns(world().now() - Instant{}); });
  a().shift_time_of_day(1'000'000);
  world().run();
  EXPECT_EQ(fired, ns(10s));
}

// ---- Turns ----

TEST_F(SimTurnTest, ABusyHostStarvesNobody) {
  int busy = 0;
  bool other = false;
  Function<void()> again = [&] {
    if (++busy == 10'000 || other) return;
    EXPECT_TRUE(a().reactor().post([&] { again(); }));
  };
  again();
  ASSERT_TRUE(b().reactor().post([&] { other = true; }));
  ASSERT_TRUE(until([&] { return other; }));
  EXPECT_LT(busy, 1000);
  EXPECT_EQ(world().now(), Instant{});
}

TEST_F(SimTurnTest, DeferredTasksRunBeforeTimePasses) {
  std::int64_t ran = -1;
  Function<void()> task = [&] {
    EXPECT_TRUE(a().reactor().defer([&] { ran = ns(world().now() - Instant{}); }));
  };
  const Timer timer = a().reactor().after(3ms, [&] { task(); });
  const Timer next = b().reactor().after(4ms, [] {});
  world().run();
  EXPECT_EQ(ran, ns(3ms));
}

TEST_F(SimTurnTest, AFrozenHostHasNoTurnButItsPacketsArrive) {
  set_link({.latency = 10ms});
  ASSERT_TRUE(join());
  a().freeze(1s);
  client().write("one");
  world().after(500ms, [&] { client().write("two"); });
  world().run_for(999ms);
  EXPECT_EQ(server_.bytes, "");
  EXPECT_EQ(kernel(a()).get(peer().native_handle(), SocketFact::unread_bytes), 6);
  world().run_for(10ms);
  EXPECT_EQ(server_.bytes, "onetwo");
  EXPECT_EQ(server_.at_bytes(6), ns(1s));
}

TEST_F(SimTurnTest, TheTimersOfAFrozenHostFireWhenItGoesOn) {
  std::int64_t here = 0;
  std::int64_t there = 0;
  const Timer timer = a().reactor().after(10ms, [&] { here = ns(world().now() - Instant{}); });
  const Timer other = b().reactor().after(10ms, [&] { there = ns(world().now() - Instant{}); });
  a().freeze(2500ms);
  world().run();
  EXPECT_EQ(here, ns(2500ms));
  EXPECT_EQ(there, ns(10ms));
}

TEST_F(SimTurnTest, AShortFreezeDoesNotEndALongOne) {
  std::int64_t fired = 0;
  const Timer timer = a().reactor().after(10ms, [&] { fired = ns(world().now() - Instant{}); });
  a().freeze(1min);
  a().freeze(1s);
  world().run();
  EXPECT_EQ(fired, ns(1min));
}

TEST_F(SimTurnTest, AFrozenHostStillAnswersInItsKernel) {
  set_link({.latency = 10ms});
  serve();
  world().run_for(1ms);
  a().freeze(1min);
  mark();
  call();
  world().run_for(1s);
  EXPECT_EQ(client_.at("connect"), ns(20ms));
  EXPECT_FALSE(server_.has("connection"));
  ASSERT_TRUE(until([&] { return server_.has("connection"); }));
  EXPECT_EQ(server_.at("connection"), ns(1min));
}

// ---- Names ----

// What a name means on a host: addresses, or the error.
std::string look_up(World& world, Host& host, const std::string& name,
                    Family family = Family::none) {
  std::string found;
  Socket socket(host.reactor());
  socket.on_lookup([&](Socket&, const net::LookupResult& result) {
    found += (result.error ? std::string(name_of(result.error)) : result.address.ip()) + " ";
  });
  socket.on_error([](Socket&, const Error&) {});
  EXPECT_TRUE(socket.connect({.host = name, .port = 1, .family = family}).has_value());
  EXPECT_TRUE(world.run_until([&] { return socket.destroyed(); }, 10min));
  return found;
}

TEST_F(SimNameTest, TheNameOfAHostMeansItsAddressesOnEveryHost) {
  for (Host* host : {&a(), &b()}) {
    EXPECT_EQ(look_up(world(), *host, "a"), "10.0.0.1 fd00::1 ");
    EXPECT_EQ(look_up(world(), *host, "b"), "10.0.0.2 fd00::2 ");
    EXPECT_EQ(look_up(world(), *host, "b", Family::ipv4), "10.0.0.2 ");
    EXPECT_EQ(look_up(world(), *host, "b", Family::ipv6), "fd00::2 ");
  }
}

TEST_F(SimNameTest, LocalhostIsTheHostItself) {
  EXPECT_EQ(look_up(world(), b(), "localhost"), "127.0.0.1 ::1 ");
  EXPECT_EQ(look_up(world(), b(), "localhost", Family::ipv6), "::1 ");
}

TEST_F(SimNameTest, AnUnknownNameIsNotFound) {
  EXPECT_EQ(look_up(world(), a(), "nobody"), "ENOTFOUND ");
}

TEST_F(SimNameTest, AHostIsKnownThatIsAddedLater) {
  EXPECT_EQ(look_up(world(), a(), "late"), "ENOTFOUND ");
  world().add_host("late");
  EXPECT_EQ(look_up(world(), a(), "late"), "10.0.0.3 fd00::3 ");
}

TEST_F(SimNameTest, TheNameOfAHostThatIsDownIsStillKnown) {
  a().crash();
  EXPECT_EQ(look_up(world(), b(), "a"), "10.0.0.1 fd00::1 ");
}

TEST_F(SimNameTest, AClientConnectsByName) {
  serve();
  to_ = {.host = "a", .port = kPort};
  call();
  ASSERT_TRUE(until([&] { return client_.has("connect"); }));
  EXPECT_EQ(client().remote_address().host(), "10.0.0.1");
}

// ---- Trace ----

struct Told {
  std::string text;
  std::uint64_t hash = 0;
  std::uint64_t events = 0;
};

// A connection over a link with jitter. `draws`: numbers that the test takes for itself.
Told talk(std::uint64_t seed, int draws) {
  Told told;
  WorldOptions options{.seed = seed, .link = {.latency = 1ms, .jitter = 5ms, .loss = 0.1}};
  options.on_trace = [&](std::string_view line) {
    EXPECT_EQ(line.find('\n'), std::string_view::npos);
    (told.text += line) += '\n';
  };
  World world(std::move(options));
  Host& a = world.add_host("a");
  Host& b = world.add_host("b");
  Journal there;
  Journal here;
  there.begin(world);
  here.begin(world);
  for (int i = 0; i < draws; ++i) world.random().next();
  Service service(a.reactor(), there, {.port = 7});
  Caller caller(b.reactor(), here, {.host = "a", .port = 7});
  for (int i = 0; i < 20; ++i) {
    caller.socket.write(pattern(1000, static_cast<unsigned>(i)));
    world.run_for(1ms);
  }
  caller.socket.end();
  EXPECT_TRUE(world.run_until([&] { return here.has("close"); }, 10min));
  told.hash = world.trace_hash();
  told.events = world.events();
  return told;
}

TEST_F(SimTraceTest, TheSameSeedGivesTheSameEvents) {
  const Told one = talk(7, 0);
  const Told same = talk(7, 0);
  EXPECT_NE(one.text, "");
  EXPECT_EQ(one.text, same.text);
  EXPECT_EQ(one.hash, same.hash);
  EXPECT_EQ(one.events, same.events);
  EXPECT_GT(one.events, 20U);
}

TEST_F(SimTraceTest, AnotherSeedGivesOtherEvents) {
  const Told one = talk(7, 0);
  const Told other = talk(8, 0);
  EXPECT_NE(one.text, other.text);
  EXPECT_NE(one.hash, other.hash);
}

TEST_F(SimTraceTest, TheNumbersOfATestAreItsOwn) {
  EXPECT_EQ(talk(7, 0).text, talk(7, 1000).text);
}

TEST_F(SimTraceTest, ANoteIsALineOfTheTrace) {
  std::vector<std::string> lines;
  make({.on_trace = [&](std::string_view line) { lines.emplace_back(line); }});
  const std::uint64_t before = world().trace_hash();
  world().note("something of the test's");
  ASSERT_FALSE(lines.empty());
  EXPECT_NE(lines.back().find("something of the test's"), std::string::npos);
  EXPECT_EQ(lines.back().find('\n'), std::string::npos);
  EXPECT_NE(world().trace_hash(), before);
  end_world();
}

TEST_F(SimTraceTest, TheHashNeedsNobodyWhoListens) {
  make({.seed = 3});
  const std::uint64_t fresh = world().trace_hash();
  ASSERT_TRUE(join());
  EXPECT_NE(world().trace_hash(), fresh);
  EXPECT_GT(world().events(), 0U);
  EXPECT_EQ(world().violations(), 0U);
}

}  // namespace
}  // namespace weir::test
