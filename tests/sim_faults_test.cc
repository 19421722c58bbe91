// Faults of the simulated world, each alone: what a program sees of it, and that its bytes stay
// exact; then all of them at once.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "tests/sim_raw.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kSeeds = 10;

// The errors that a journal has.
std::string errors(const Journal& journal) {
  std::string all;
  for (const Journal::Entry& entry : journal.entries) {
    if (entry.event[0] == 'E') all += entry.event + " ";
  }
  return all;
}

class SimFaultTest : public SimRawTest {
 protected:
  // Everything is echoed; then both end.
  void exchange() {
    serve().server.on_data(
        [](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    talk();
  }
  void talk() {
    call();
    for (std::size_t at = 0; at < kBytes; at += kBytes / 20) {
      client().write(bytes_.substr(at, kBytes / 20));
      world().run_for(1ms);
    }
    client().end();
    ASSERT_TRUE(until_both_closed())
        << "client: " << client_.order() << ", server: " << server_.order();
  }

  // The exchange under these faults, for some seeds: nothing is lost, and nobody sees an error.
  // `seen` is asked after each one; at least once it must say yes.
  void harmless(const Faults& faults, Function<bool()> seen) {
    bool once = false;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SCOPED_TRACE(seed);
      make({.seed = seed, .faults = faults, .link = kLink, .window_bytes = 32 * 1024});
      exchange();
      if (HasFailure()) return;
      EXPECT_TRUE(server_.bytes == bytes_) << server_.bytes.size();
      EXPECT_TRUE(client_.bytes == bytes_) << client_.bytes.size();
      EXPECT_EQ(errors(server_) + errors(client_), "");
      EXPECT_EQ(world().violations(), 0U);
      EXPECT_EQ(a().open_fds(), 1U);
      EXPECT_EQ(b().open_fds(), 0U);
      once = once || seen();
    }
    EXPECT_TRUE(once) << "nothing of the fault was seen";
  }
  // How it goes without a fault.
  void undisturbed() {
    make({.link = kLink, .window_bytes = 32 * 1024});
    exchange();
    usual_time_ = ns(world().now() - Instant{});
    usual_pieces_ = server_.count("data");
  }
  bool slower() { return ns(world().now() - Instant{}) > usual_time_; }

  static constexpr Link kLink = {.latency = 2ms};
  static constexpr std::size_t kBytes = 200'000;
  const std::string bytes_ = pattern(kBytes, 5);
  std::int64_t usual_time_ = 0;
  long usual_pieces_ = 0;
};

class SimRandomFaultsTest : public SimFaultTest {};

// ---- The kernel is free in when and how it answers ----

TEST_F(SimFaultTest, ShortReadsAreHarmless) {
  undisturbed();
  harmless({.short_read = 1}, [&] { return server_.count("data") > 2 * usual_pieces_; });
}

TEST_F(SimFaultTest, AShortReadIsShorterThanWhatHasArrived) {
  make({.faults = {.short_read = 1}});
  const auto [one, other] = pair();
  const Receive& receiving = receive(other);
  EXPECT_EQ(door().write(one, bytes_.substr(0, 1000)), 1000);
  world().run_for(1s);
  ASSERT_GT(receiving.results.size(), 1U);
  EXPECT_LT(receiving.results[0], 1000);
  for (const int result : receiving.results) EXPECT_GT(result, 0) << "0 would be the end";
  EXPECT_EQ(receiving.bytes, bytes_.substr(0, 1000));
}

TEST_F(SimFaultTest, ShortWritesAreHarmless) {
  harmless({.short_write = 1}, [] { return true; });
}

TEST_F(SimFaultTest, AShortWriteTakesLessThanThereIsRoomFor) {
  make({.faults = {.short_write = 1}});
  const auto [one, other] = pair();
  const std::string& bytes = hold(bytes_.substr(0, 1000));
  const Send& sending = send(one, bytes);
  world().run_for(1s);
  ASSERT_TRUE(sending.ended);
  EXPECT_GT(sending.last(), 0);
  EXPECT_LT(sending.last(), 1000);
  std::string room(1000, '\0');
  ASSERT_EQ(door().read(other, room), sending.last());
  room.resize(static_cast<std::size_t>(sending.last()));
  EXPECT_EQ(room, bytes.substr(0, room.size()));
}

TEST_F(SimFaultTest, LateResultsAreHarmless) {
  undisturbed();
  harmless({.late = 1}, [&] { return slower(); });
}

TEST_F(SimFaultTest, ALateResultIsAtMostSoLate) {
  std::int64_t latest = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    make({.seed = seed, .faults = {.late = 1, .late_max = 50ms}});
    ASSERT_TRUE(join());
    client().write("x");
    ASSERT_TRUE(until([&] { return server_.has("data"); }));
    latest = std::max(latest, server_.at("data"));
  }
  EXPECT_GT(latest, ns(30ms));
  EXPECT_LE(latest, ns(100ms));  // the send, and the receive
}

TEST_F(SimFaultTest, EagainIsHarmless) {
  undisturbed();
  harmless({.again = 0.7}, [&] { return slower(); });
}

TEST_F(SimFaultTest, RepeatingOperationsThatEndAreHarmless) {
  undisturbed();
  harmless({.ended = 0.7}, [&] { return slower(); });
}

TEST_F(SimFaultTest, LateCancelsAreHarmless) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .faults = {.late_cancel = 1}, .link = kLink});
    exchange();
    EXPECT_TRUE(client_.bytes == bytes_);
    service_->server.close();
    world().run_for(1s);
    EXPECT_EQ(a().open_fds(), 0U);
    EXPECT_EQ(b().open_fds(), 0U);
    EXPECT_EQ(world().violations(), 0U);
  }
}

TEST_F(SimFaultTest, ALateCancelWinsOrLosesAgainstWhatComes) {
  int lost = 0;
  int won = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .faults = {.late_cancel = 1}});
    const auto [one, other] = pair();
    Poll& waiting = poll_once(other, Events::readable);
    world().run_for(1ms);
    door().cancel(waiting);
    world().after(1500us, [this, to = one] { door().write(to, "x"); });
    world().run_for(1s);
    ASSERT_TRUE(waiting.ended);
    if (waiting.last() == -ECANCELED) {
      ++won;
    } else {
      EXPECT_EQ(waiting.last(), Events::readable);
      ++lost;
    }
  }
  EXPECT_GT(won, 20);
  EXPECT_GT(lost, 20);
}

TEST_F(SimFaultTest, AReceiveThatIsCancelledLateGivesWhatCameBefore) {
  int with_bytes = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .faults = {.late_cancel = 1}});
    const auto [one, other] = pair();
    Receive& receiving = receive(other);
    world().run_for(1ms);
    door().cancel(receiving);
    world().after(1500us, [this, to = one] { door().write(to, "x"); });
    world().run_for(1s);
    ASSERT_TRUE(receiving.ended);
    EXPECT_EQ(receiving.last(), -ECANCELED);
    char room[2];
    const int left = door().read(other, room);
    EXPECT_EQ(receiving.bytes.size() + static_cast<std::size_t>(std::max(left, 0)), 1U);
    if (!receiving.bytes.empty()) ++with_bytes;
  }
  EXPECT_GT(with_bytes, 20);
  EXPECT_LT(with_bytes, 80);
}

TEST_F(SimFaultTest, WaitsThatAreOverForNothingAreHarmless) {
  undisturbed();
  harmless({.spurious = 0.5}, [] { return true; });
}

TEST_F(SimFaultTest, AWaitThatIsOverForNothingIsATurnMore) {
  std::uint64_t turns = 0;
  for (const double spurious : {0.0, 0.5}) {
    make({.faults = {.spurious = spurious}});
    const int fd = *kernel(a()).open_datagram(*Address::parse_ip("10.0.0.1", 9));
    const int from = *kernel(b()).open_datagram(*Address::parse_ip("10.0.0.2", 9));
    int received = 0;
    const Watch watch = a().reactor().watch(fd, {Events::readable}, [&](Events) {
      char room[10];
      Address sender;
      if (kernel(a()).receive_from(fd, room, sender) == 1) ++received;
    });
    for (int i = 0; i < 100; ++i) {
      kernel(b()).send_to(from, "x", *Address::parse_ip("10.0.0.1", 9));
      world().run_for(10ms);
    }
    EXPECT_EQ(received, 100);
    if (spurious == 0.0) turns = a().reactor().counters().turns;
  }
  EXPECT_GT(a().reactor().counters().turns, turns);
}

// ---- It refuses ----

TEST_F(SimFaultTest, ReceivesThatFindNoMemoryAreHarmless) {
  undisturbed();
  harmless({.no_buffers = 0.7}, [&] {
    return slower() && a().reactor().counters().kernel.ring_dry > 0;
  });
}

TEST_F(SimFaultTest, NoMemoryEndsTheConnectionWithTheError) {
  ASSERT_TRUE(join());
  world().set_faults({.no_memory = 1});
  client().write("x");
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(errors(client_), "ENOMEM ");
  world().run_for(1s);
  EXPECT_EQ(b().open_fds(), 0U);
}

TEST_F(SimFaultTest, NoMemoryRefusesAConnect) {
  serve();
  world().run_for(1ms);
  world().set_faults({.no_memory = 1});
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ENOMEM close");
  world().run_for(1s);
  EXPECT_EQ(b().open_fds(), 0U);
  EXPECT_FALSE(server_.has("connection"));
}

TEST_F(SimFaultTest, AServerWithoutMemoryServesLater) {
  world().set_faults({.no_memory = 1});
  serve();
  world().run_for(1s);
  world().set_faults({});
  call();
  ASSERT_TRUE(until([&] { return server_.has("connection"); }));
  EXPECT_EQ(server_.count("server ENOMEM"), 1);
}

TEST_F(SimFaultTest, NoDescriptorsForAListener) {
  world().set_faults({.no_descriptors = 1});
  Server server(a().reactor());
  const auto refused = server.listen({.port = kPort});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, errno_code(EMFILE));
  world().set_faults({});
  EXPECT_TRUE(server.listen({.port = kPort}).has_value());
  EXPECT_EQ(a().open_fds(), 1U);
}

TEST_F(SimFaultTest, NoDescriptorForAConnect) {
  serve();
  world().set_faults({.no_descriptors = 1});
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "EMFILE close");
  EXPECT_EQ(b().open_fds(), 0U);
}

TEST_F(SimFaultTest, AServerWithoutDescriptorsRestsAndServesLater) {
  set_link({.latency = 10ms});
  serve();
  call();
  world().run_for(5ms);
  world().set_faults({.no_descriptors = 1});
  client().write("patience");
  world().run_for(1s);
  EXPECT_EQ(client_.order(), "connect") << "the backlog has it";
  EXPECT_FALSE(server_.has("connection"));
  EXPECT_EQ(server_.count("server EMFILE"), 1);
  world().set_faults({});
  ASSERT_TRUE(until([&] { return server_.bytes == "patience"; }));
  EXPECT_LE(server_.at("connection"), ns(1s + 5ms + 2 * limits::kAcceptBackoff));
}

TEST_F(SimFaultTest, AnAbortedAcceptIsAResetForItsClient) {
  set_link({.latency = 10ms});
  serve();
  world().set_faults({.aborted = 1});
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(errors(client_), "ECONNRESET ");
  EXPECT_FALSE(server_.has("connection"));
  world().set_faults({});
  forget();
  b().restart();
  ASSERT_TRUE(until([&] { return server_.has("connection"); }));
  EXPECT_EQ(client_.order(), "connect");
  EXPECT_EQ(a().open_fds(), 2U);
}

TEST_F(SimFaultTest, ALookupThatFailsMayBeTriedAgain) {
  serve();
  world().set_faults({.no_lookup = 1});
  to_ = {.host = "a", .port = kPort};
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "EAI_AGAIN close");
  EXPECT_EQ(b().open_fds(), 0U);
  world().set_faults({});
  forget();
  b().restart();
  ASSERT_TRUE(until([&] { return client_.has("connect"); }));
}

// ---- The network and the peers misbehave ----

TEST_F(SimFaultTest, AResetShowsAtBothEndsAndWhatArrivedIsAPrefix) {
  std::size_t shortest = kBytes;
  std::size_t longest = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .link = kLink});
    ASSERT_TRUE(join());
    world().set_faults({.reset = 1});
    client().write(bytes_);
    ASSERT_TRUE(until_both_closed());
    EXPECT_EQ(errors(client_), "ECONNRESET ");
    EXPECT_EQ(errors(server_), "ECONNRESET ");
    ASSERT_LT(server_.bytes.size(), kBytes);
    EXPECT_TRUE(bytes_.starts_with(server_.bytes));
    shortest = std::min(shortest, server_.bytes.size());
    longest = std::max(longest, server_.bytes.size());
    EXPECT_EQ(a().open_fds(), 1U);
    EXPECT_EQ(b().open_fds(), 0U);
  }
  EXPECT_LT(shortest, 20'000U) << "it breaks off at any byte";
  EXPECT_GT(longest, 60'000U);
}

TEST_F(SimFaultTest, AStallOnlyDelays) {
  undisturbed();
  harmless({.stall = 1, .stall_max = 500ms}, [&] { return slower(); });
}

TEST_F(SimFaultTest, AStallIsAtMostSoLong) {
  std::int64_t longest = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    make({.seed = seed, .link = kLink});
    ASSERT_TRUE(join());
    world().set_faults({.stall = 1});
    client().write("x");
    ASSERT_TRUE(until([&] { return server_.bytes == "x"; }));
    longest = std::max(longest, server_.at("data"));
  }
  EXPECT_GT(longest, ns(1s));
  EXPECT_LE(longest, ns(2s + kLink.latency));
}

TEST_F(SimFaultTest, JumpsOfTheClockAreHarmless) {
  undisturbed();
  harmless({.jump = 0.3, .jump_max = 10s}, [&] { return slower(); });
}

TEST_F(SimFaultTest, AJumpMaySetTheTimeOfDay) {
  bool set = false;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    make({.seed = seed, .faults = {.jump = 0.3}});
    ASSERT_TRUE(join());
    for (int i = 0; i < 10; ++i) {
      client().write("x");
      world().run_for(1min);
    }
    const std::int64_t passed = ns(world().now() - Instant{}) / 1'000'000'000;
    const std::int64_t shown = a().reactor().backend().unix_seconds() - 784111777;
    set = set || shown < passed - 1 || shown > passed + 1;
  }
  EXPECT_TRUE(set);
}

TEST_F(SimFaultTest, NothingDependsOnTheCheckOfMemory) {
  make({.check_memory = false});
  exchange();
  EXPECT_TRUE(client_.bytes == bytes_);
}

TEST_F(SimFaultTest, FaultsThatAreOffAreOff) {
  undisturbed();
  const std::int64_t usual = usual_time_;
  make({.faults = {.late = 1, .short_read = 1, .stall = 1}, .link = kLink,
        .window_bytes = 32 * 1024});
  world().set_faults({});
  exchange();
  EXPECT_EQ(ns(world().now() - Instant{}), usual);
}

// ---- All at once ----

struct Named {
  const char* name;
  double Faults::*probability;
};
constexpr Named kFaults[] = {
    {"late", &Faults::late},
    {"again", &Faults::again},
    {"short_read", &Faults::short_read},
    {"short_write", &Faults::short_write},
    {"ended", &Faults::ended},
    {"late_cancel", &Faults::late_cancel},
    {"spurious", &Faults::spurious},
    {"no_buffers", &Faults::no_buffers},
    {"no_memory", &Faults::no_memory},
    {"no_descriptors", &Faults::no_descriptors},
    {"aborted", &Faults::aborted},
    {"no_lookup", &Faults::no_lookup},
    {"reset", &Faults::reset},
    {"stall", &Faults::stall},
    {"jump", &Faults::jump},
};

TEST_F(SimRandomFaultsTest, EachIsAbsentHalfOfTheTimeAndElseWithinItsBounds) {
  for (const Named& fault : kFaults) {
    SCOPED_TRACE(fault.name);
    int absent = 0;
    double least = 1;
    double most = 0;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
      sim::Random random(seed);
      const double probability = Faults::random(random).*fault.probability;
      if (probability == 0) {
        ++absent;
        continue;
      }
      least = std::min(least, probability);
      most = std::max(most, probability);
    }
    EXPECT_GT(absent, 430);
    EXPECT_LT(absent, 570);
    EXPECT_GE(least, 0.001);
    EXPECT_LE(most, 0.25);
    EXPECT_GT(most, 0.015);
  }
}

TEST_F(SimRandomFaultsTest, AResetIsRare) {
  double most = 0;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    sim::Random random(seed);
    most = std::max(most, Faults::random(random).reset);
  }
  EXPECT_LT(most, 0.02);
}

TEST_F(SimRandomFaultsTest, TheSameSeedGivesTheSame) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    sim::Random one(seed);
    sim::Random same(seed);
    const Faults first = Faults::random(one);
    const Faults second = Faults::random(same);
    for (const Named& fault : kFaults) {
      EXPECT_EQ(first.*fault.probability, second.*fault.probability) << fault.name;
    }
    EXPECT_EQ(one.next(), same.next());
  }
}

TEST_F(SimRandomFaultsTest, WhatIsNotRudeLosesNothing) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    sim::Random random(seed);
    Faults faults = Faults::random(random);
    faults.no_memory = faults.no_descriptors = faults.aborted = faults.reset = 0;
    make({.seed = seed, .faults = faults, .link = {.latency = 2ms, .jitter = 3ms, .loss = 0.01},
          .window_bytes = 32 * 1024});
    exchange();
    ASSERT_TRUE(server_.bytes == bytes_) << server_.bytes.size();
    ASSERT_TRUE(client_.bytes == bytes_) << client_.bytes.size();
    ASSERT_EQ(errors(server_) + errors(client_), "");
  }
}

TEST_F(SimRandomFaultsTest, WhateverHappensWhatArrivesIsAPrefix) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .link = {.latency = 2ms, .jitter = 3ms, .loss = 0.05}});
    serve().server.on_data(
        [](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    world().set_faults(Faults::random(world().random()));
    call();
    client().end(bytes_);
    ASSERT_TRUE(until([&] { return client_.has("close"); })) << client_.order();
    EXPECT_TRUE(bytes_.starts_with(server_.bytes)) << server_.bytes.size();
    EXPECT_TRUE(server_.bytes.starts_with(client_.bytes)) << client_.bytes.size();
    EXPECT_EQ(world().violations(), 0U);
    if (HasFailure()) return;
  }
}

TEST_F(SimRandomFaultsTest, TheSameSeedGivesTheSameTrace) {
  const auto run = [&](std::uint64_t seed) {
    std::string text;
    WorldOptions options{.seed = seed, .link = {.latency = 2ms, .jitter = 3ms, .loss = 0.05}};
    options.on_trace = [&](std::string_view line) { (text += line) += '\n'; };
    make(std::move(options));
    serve().server.on_data(
        [](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    world().set_faults(Faults::random(world().random()));
    call();
    client().end(bytes_);
    EXPECT_TRUE(until([&] { return client_.has("close"); }));
    const std::uint64_t hash = world().trace_hash();
    make({});
    return std::pair(text, hash);
  };
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const auto one = run(seed);
    EXPECT_EQ(run(seed), one);
    const auto other = run(seed + 100);
    EXPECT_NE(other.first, one.first);
    EXPECT_NE(other.second, one.second);
  }
}

}  // namespace
}  // namespace weir::test
