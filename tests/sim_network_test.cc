// The simulated network's streams: what takes how long, what is refused, and what breaks.
#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "tests/sim_fixture.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// A latency that no rounding leaves as it is.
constexpr Duration kLatency = 12'345'678ns;

class SimLatencyTest : public SimTest {};
class SimBandwidthTest : public SimTest {};
class SimWindowTest : public SimTest {};
class SimRefusalTest : public SimTest {};
class SimEndTest : public SimTest {};

// ---- Latency ----

TEST_F(SimLatencyTest, ConnectingTakesOneRoundTrip) {
  set_link({.latency = kLatency});
  serve();
  call();
  ASSERT_TRUE(until([&] { return client_.has("connect"); }));
  EXPECT_EQ(client_.at("connect"), ns(2 * kLatency));
}

// accept(2) gives a connection when the third packet of the handshake is there.
TEST_F(SimLatencyTest, TheServerHasTheConnectionOneWayLater) {
  set_link({.latency = kLatency});
  serve();
  call();
  ASSERT_TRUE(until([&] { return server_.has("connection"); }));
  EXPECT_EQ(server_.at("connection"), ns(3 * kLatency));
}

TEST_F(SimLatencyTest, DataTakesOneWay) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  client().write("ping");
  ASSERT_TRUE(until([&] { return server_.bytes == "ping"; }));
  EXPECT_EQ(server_.at("data"), ns(kLatency));
  peer().write("pong");
  ASSERT_TRUE(until([&] { return client_.bytes == "pong"; }));
  EXPECT_EQ(client_.at("data"), ns(2 * kLatency));
}

TEST_F(SimLatencyTest, WhatIsWrittenWithConnectIsThereAfterThreeWays) {
  set_link({.latency = kLatency});
  serve();
  call().socket.write("early");
  ASSERT_TRUE(until([&] { return server_.bytes == "early"; }));
  EXPECT_EQ(server_.at("data"), ns(3 * kLatency));
}

TEST_F(SimLatencyTest, AnEndTakesOneWayAndItsAnswerAnother) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  client().end();
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(client_.at("finish"), 0);
  EXPECT_EQ(server_.at("end"), ns(kLatency));
  EXPECT_EQ(server_.at("close"), ns(kLatency));
  EXPECT_EQ(client_.at("end"), ns(2 * kLatency));
  EXPECT_EQ(client_.at("close"), ns(2 * kLatency));
}

TEST_F(SimLatencyTest, AResetTakesOneWay) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(client_.at("close"), 0);
  EXPECT_EQ(server_.at("ECONNRESET"), ns(kLatency));
  EXPECT_EQ(server_.order(), "ECONNRESET close");
}

TEST_F(SimLatencyTest, WithoutALinkEverythingIsThereAtOnce) {
  serve();
  call().socket.end(pattern(100'000, 3));
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(world().now(), Instant{});
  EXPECT_EQ(server_.bytes, pattern(100'000, 3));
}

TEST_F(SimLatencyTest, ALinkOfTheOptionsIsBetweenEveryTwoHosts) {
  make({.link = {.latency = kLatency}});
  Host& c = world().add_host("c");
  serve();
  call();
  Journal third;
  third.begin(world());
  Caller caller(c.reactor(), third, to_);
  ASSERT_TRUE(until([&] { return third.has("connect") && client_.has("connect"); }));
  EXPECT_EQ(third.at("connect"), ns(2 * kLatency));
  EXPECT_EQ(client_.at("connect"), ns(2 * kLatency));
}

TEST_F(SimLatencyTest, ALinkIsThatOfItsTwoHostsAlone) {
  Host& c = world().add_host("c");
  set_link({.latency = kLatency});
  serve();
  call();
  Journal third;
  third.begin(world());
  Caller caller(c.reactor(), third, to_);
  ASSERT_TRUE(until([&] { return third.has("connect") && client_.has("connect"); }));
  EXPECT_EQ(third.at("connect"), 0);
  EXPECT_EQ(client_.at("connect"), ns(2 * kLatency));
}

TEST_F(SimLatencyTest, AHostReachesItselfAtOnceByAnyOfItsAddresses) {
  make({.link = {.latency = kLatency}});
  serve();
  for (const char* host : {"127.0.0.1", "::1", "10.0.0.1", "fd00::1", "localhost", "a"}) {
    SCOPED_TRACE(host);
    forget();
    Caller caller(a().reactor(), client_, {.host = host, .port = kPort});
    ASSERT_TRUE(until([&] { return client_.has("connect"); }));
    EXPECT_EQ(client_.at("connect"), 0);
  }
}

TEST_F(SimLatencyTest, ALinkThatChangesHoldsForWhatIsSentFromThenOn) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  client().write("a");
  world().run_for(1ms);
  set_link({.latency = 50ms});
  client().write("b");
  ASSERT_TRUE(until([&] { return server_.bytes == "ab"; }));
  EXPECT_EQ(server_.at_bytes(1), ns(kLatency));
  EXPECT_EQ(server_.at_bytes(2), ns(51ms));
}

TEST_F(SimLatencyTest, AFasterLinkDoesNotLetAStreamOvertakeItself) {
  set_link({.latency = 50ms});
  ASSERT_TRUE(join());
  client().write("a");
  world().run_for(1ms);
  set_link({.latency = 1ms});
  client().write("b");
  ASSERT_TRUE(until([&] { return server_.bytes.size() == 2; }));
  EXPECT_EQ(server_.bytes, "ab");
  EXPECT_EQ(server_.at_bytes(2), ns(50ms));
}

TEST_F(SimLatencyTest, JitterKeepsAStreamInOrder) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .link = {.latency = 1ms, .jitter = 20ms}});
    ASSERT_TRUE(join());
    const std::string bytes = pattern(5000, static_cast<unsigned>(seed));
    for (std::size_t at = 0; at < bytes.size(); at += 50) {
      client().write(bytes.substr(at, 50));
      world().run_for(100us);
    }
    client().end();
    ASSERT_TRUE(until_both_closed());
    EXPECT_EQ(server_.bytes, bytes);
    EXPECT_EQ(server_.order(), "end finish close");
  }
}

TEST_F(SimLatencyTest, JitterIsBetweenNothingAndWhatTheLinkSays) {
  make({.link = {.latency = kLatency, .jitter = 10ms}});
  ASSERT_TRUE(join());
  std::vector<std::int64_t> times;
  for (int i = 0; i < 200; ++i) {
    forget();
    client().write("x");
    world().run_for(100ms);
    times.push_back(server_.at("data"));
  }
  std::sort(times.begin(), times.end());
  EXPECT_GE(times.front(), ns(kLatency));
  EXPECT_LE(times.back(), ns(kLatency + 10ms));
  EXPECT_LT(times.front(), ns(kLatency + 1ms));
  EXPECT_GT(times.back(), ns(kLatency + 9ms));
}

// ---- Bandwidth ----

TEST_F(SimBandwidthTest, BytesTakeTheirTimeAndTheLatency) {
  set_link({.latency = kLatency, .bytes_per_second = 1'000'000});
  ASSERT_TRUE(join());
  client().end(pattern(100'000, 1));
  ASSERT_TRUE(until([&] { return server_.has("end"); }));
  EXPECT_EQ(server_.bytes, pattern(100'000, 1));
  EXPECT_EQ(server_.at_bytes(100'000), ns(100ms + kLatency));
  EXPECT_EQ(server_.at("end"), ns(100ms + kLatency));
}

TEST_F(SimBandwidthTest, ConnectionsShareALink) {
  set_link({.latency = kLatency, .bytes_per_second = 1'000'000});
  ASSERT_TRUE(join());
  Journal other;
  Caller second(b().reactor(), other, to_);
  other.begin(world());
  ASSERT_TRUE(until([&] { return other.has("connect"); }));
  world().run_for(1s);
  forget();
  client().write(pattern(100'000, 1));
  second.socket.write(pattern(100'000, 2));
  ASSERT_TRUE(until([&] { return server_.bytes.size() == 200'000; }));
  EXPECT_EQ(server_.at_bytes(200'000), ns(200ms + kLatency));
}

TEST_F(SimBandwidthTest, TheDirectionsDoNotShare) {
  set_link({.latency = kLatency, .bytes_per_second = 1'000'000});
  ASSERT_TRUE(join());
  client().write(pattern(100'000, 1));
  peer().write(pattern(100'000, 2));
  ASSERT_TRUE(until(
      [&] { return server_.bytes.size() == 100'000 && client_.bytes.size() == 100'000; }));
  EXPECT_EQ(server_.at_bytes(100'000), ns(100ms + kLatency));
  EXPECT_EQ(client_.at_bytes(100'000), ns(100ms + kLatency));
}

TEST_F(SimBandwidthTest, ALinkThatRestedIsFreeAgain) {
  set_link({.latency = kLatency, .bytes_per_second = 1'000'000});
  ASSERT_TRUE(join());
  client().write(pattern(100'000, 1));
  world().run_for(10s);
  forget();
  client().write(pattern(50'000, 1));
  ASSERT_TRUE(until([&] { return server_.bytes.size() == 50'000; }));
  EXPECT_EQ(server_.at_bytes(50'000), ns(50ms + kLatency));
}

TEST_F(SimBandwidthTest, MoreThanAWindowTakesNoLessThanItsTime) {
  set_link({.latency = kLatency, .bytes_per_second = 10'000'000});
  ASSERT_TRUE(join());
  client().write(pattern(4'000'000, 1));
  ASSERT_TRUE(until([&] { return server_.bytes.size() == 4'000'000; }));
  EXPECT_EQ(server_.bytes, pattern(4'000'000, 1));
  EXPECT_GE(server_.at_bytes(4'000'000), ns(400ms + kLatency));
  EXPECT_LE(server_.at_bytes(4'000'000), ns(2s));
}

// ---- Windows ----

constexpr std::size_t kWindow = 64 * 1024;

TEST_F(SimWindowTest, ASenderStopsAtAFullWindow) {
  make({.link = {.latency = kLatency}, .window_bytes = kWindow});
  ASSERT_TRUE(join(false));
  const std::string bytes = pattern(4 * kWindow, 1);
  client().write(bytes);
  world().run_for(1h);
  EXPECT_EQ(client().writable_length(), 3 * kWindow);
  EXPECT_EQ(kernel(a()).get(peer().native_handle(), SocketFact::unread_bytes),
            static_cast<int>(kWindow));
  EXPECT_EQ(server_.order() + client_.order(), "");
}

TEST_F(SimWindowTest, AReaderLetsTheSenderGoOnOneRoundTripLater) {
  make({.link = {.latency = kLatency}, .window_bytes = kWindow});
  ASSERT_TRUE(join(false));
  const std::string bytes = pattern(4 * kWindow, 1);
  client().write(bytes);
  world().run_for(1s);
  forget();
  server_.record_data(peer());
  ASSERT_TRUE(until([&] { return server_.bytes.size() == bytes.size(); }));
  EXPECT_EQ(server_.bytes, bytes);
  EXPECT_EQ(server_.at_bytes(1), 0);
  EXPECT_EQ(server_.at_bytes(kWindow), 0);
  EXPECT_EQ(server_.at_bytes(kWindow + 1), ns(2 * kLatency));
  EXPECT_EQ(server_.at_bytes(2 * kWindow), ns(2 * kLatency));
  EXPECT_EQ(server_.at_bytes(3 * kWindow), ns(4 * kLatency));
  EXPECT_EQ(server_.at_bytes(4 * kWindow), ns(6 * kLatency));
  EXPECT_EQ(client().writable_length(), 0U);
}

TEST_F(SimWindowTest, TheDirectionsHaveWindowsOfTheirOwn) {
  make({.link = {.latency = kLatency}, .window_bytes = kWindow});
  ASSERT_TRUE(join(false));
  client().write(pattern(2 * kWindow, 1));
  peer().write(pattern(5 * kWindow, 2));
  ASSERT_TRUE(until([&] { return client_.bytes.size() == 5 * kWindow; }));
  EXPECT_EQ(client_.bytes, pattern(5 * kWindow, 2));
  EXPECT_EQ(client().writable_length(), kWindow);
}

TEST_F(SimWindowTest, AnEndBehindAFullWindowComesAfterAllData) {
  make({.link = {.latency = kLatency}, .window_bytes = kWindow});
  ASSERT_TRUE(join(false));
  client().end(pattern(3 * kWindow, 1));
  world().run_for(1min);
  EXPECT_FALSE(client_.has("finish"));
  server_.record_data(peer());
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(server_.bytes, pattern(3 * kWindow, 1));
  EXPECT_EQ(server_.order(), "end finish close");
}

TEST_F(SimWindowTest, AFullWindowLastsForEver) {
  make({.window_bytes = kWindow});
  ASSERT_TRUE(join(false));
  client().write(pattern(2 * kWindow, 1));
  world().run_for(30 * 24h);
  EXPECT_EQ(client_.order(), "") << "the peer answers window probes";
  server_.record_data(peer());
  ASSERT_TRUE(until([&] { return server_.bytes.size() == 2 * kWindow; }));
}

// ---- Refusals ----

TEST_F(SimRefusalTest, NobodyListensThereIsKnownAfterARoundTrip) {
  set_link({.latency = kLatency});
  for (const std::string& host : {a().ipv4().host(), a().ipv6().host()}) {
    forget();
    to_ = {.host = host, .port = kPort};
    call();
    ASSERT_TRUE(until([&] { return client_.has("close"); }));
    EXPECT_EQ(client_.order(), "ECONNREFUSED close");
    EXPECT_EQ(client_.at("ECONNREFUSED"), ns(2 * kLatency));
    EXPECT_EQ(b().open_fds(), 0U);
  }
}

TEST_F(SimRefusalTest, AServerOfLoopbackIsNotForOthers) {
  at_.host = "127.0.0.1";
  serve();
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNREFUSED close");
  EXPECT_FALSE(server_.has("connection"));
}

TEST_F(SimRefusalTest, AnotherHostsLoopbackIsNotReached) {
  serve();
  to_ = {.host = "127.0.0.1", .port = kPort};
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNREFUSED close");
}

TEST_F(SimRefusalTest, AServerOfOneAddressIsNotReachedAtAnother) {
  at_.host = a().ipv6().host();
  serve();
  call();  // at the IPv4 address
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNREFUSED close");
}

TEST_F(SimRefusalTest, AnAddressOfNobodyIsUnreachable) {
  for (const char* host : {"10.0.0.77", "fd00::77"}) {
    forget();
    to_ = {.host = host, .port = kPort};
    call();
    ASSERT_TRUE(until([&] { return client_.has("close"); }));
    EXPECT_EQ(client_.order(), "EHOSTUNREACH close");
    EXPECT_LE(client_.at("EHOSTUNREACH"), ns(5s));
  }
}

TEST_F(SimRefusalTest, ABlackHoleTakes127Seconds) {
  to_ = {.host = "192.0.2.1", .port = kPort};
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_EQ(client_.at("ETIMEDOUT"), ns(kSynTime));
  EXPECT_EQ(b().open_fds(), 0U);
}

TEST_F(SimRefusalTest, AClientMayGiveUpBefore) {
  to_ = {.host = "192.0.2.1", .port = kPort, .timeout = 5s};
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_EQ(client_.at("ETIMEDOUT"), ns(5s));
  EXPECT_EQ(b().open_fds(), 0U);
}

TEST_F(SimRefusalTest, AHostThatIsDownDoesNotAnswer) {
  a().crash();
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_EQ(client_.at("ETIMEDOUT"), ns(kSynTime));
}

TEST_F(SimRefusalTest, AHostThatComesUpInTimeAnswersTheNextSyn) {
  serve();
  a().crash();
  world().after(20s, [&] { a().restart(); });
  call();
  ASSERT_TRUE(until([&] { return client_.has("connect") || client_.has("close"); }));
  EXPECT_EQ(client_.order(), "connect");
  EXPECT_GE(client_.at("connect"), ns(20s));
  EXPECT_LE(client_.at("connect"), ns(65s));  // SYNs at 0, 1, 3, 7, 15, 31 and 63 s
}

TEST_F(SimRefusalTest, OverTcpAFullBacklogIsWaitedFor) {
  set_link({.latency = kLatency});
  const int fd = *kernel(a()).listen(*Address::parse_ip("10.0.0.1", kPort), {.backlog = 2});
  std::deque<Caller> callers;
  to_ = {.host = "10.0.0.1", .port = kPort};
  for (int i = 0; i < 8; ++i) callers.emplace_back(b().reactor(), client_, to_);
  world().run_for(20s);
  const long room = client_.count("connect");
  EXPECT_GE(room, 2);
  EXPECT_LE(room, 3);  // Linux takes one more than the backlog says
  EXPECT_EQ(client_.entries.size(), static_cast<std::size_t>(room)) << client_.order();
  Server server(a().reactor());
  server.on_data([](Socket&, Buffer) {});
  ASSERT_TRUE(server.listen({.fd = fd}).has_value());
  ASSERT_TRUE(until([&] { return client_.count("connect") == 8; })) << client_.order();
  EXPECT_TRUE(until([&] { return server.connections() == 8; }));
}

TEST_F(SimRefusalTest, WhoStopsWaitingForABacklogIsNotInTheWay) {
  const int fd = *kernel(a()).listen(*Address::parse_ip("10.0.0.1", kPort), {.backlog = 1});
  std::deque<Caller> callers;
  to_ = {.host = "10.0.0.1", .port = kPort};
  for (int i = 0; i < 8; ++i) callers.emplace_back(b().reactor(), client_, to_);
  world().run_for(10s);
  for (int i = 0; i < 7; ++i) callers[static_cast<std::size_t>(i)].socket.destroy();
  world().run_for(1s);
  Server server(a().reactor());
  server.on_data([](Socket&, Buffer) {});
  ASSERT_TRUE(server.listen({.fd = fd}).has_value());
  ASSERT_TRUE(until([&] { return !callers.back().socket.connecting(); }));
  EXPECT_FALSE(callers.back().socket.destroyed()) << client_.order();
}

TEST_F(SimRefusalTest, AFullBacklogIsNotWaitedForLongerThan127Seconds) {
  const int fd = *kernel(a()).listen(*Address::parse_ip("10.0.0.1", kPort), {.backlog = 1});
  EXPECT_GE(fd, 0);
  std::deque<Caller> callers;
  to_ = {.host = "10.0.0.1", .port = kPort};
  for (int i = 0; i < 4; ++i) callers.emplace_back(b().reactor(), client_, to_);
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_GE(client_.count("ETIMEDOUT"), 1);
  EXPECT_EQ(client_.at("ETIMEDOUT"), ns(kSynTime));
}

TEST_F(SimRefusalTest, OverUnixSocketsAFullBacklogIsAnError) {
  const int fd = *kernel(a()).listen(Address::unix_path("/run/full"), {.backlog = 1});
  EXPECT_GE(fd, 0);
  std::deque<Caller> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back(a().reactor(), client_, net::ConnectOptions{.path = "/run/full"});
  }
  ASSERT_TRUE(until([&] { return client_.count("close") >= 2; }));
  EXPECT_GE(client_.count("EAGAIN"), 2);
  EXPECT_EQ(client_.count("EAGAIN") + client_.count("connect"), 4);
  EXPECT_EQ(client_.at("EAGAIN"), 0);
}

TEST_F(SimRefusalTest, WhatWaitsInTheBacklogOfAListenerThatClosesIsReset) {
  set_link({.latency = kLatency});
  const int fd = *kernel(a()).listen(*Address::parse_ip("10.0.0.1", kPort), {});
  call();
  ASSERT_TRUE(until([&] { return client_.has("connect"); }));
  world().run_for(1s);
  mark();
  kernel(a()).close(fd);
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "connect ECONNRESET close");
  EXPECT_EQ(client_.at("ECONNRESET"), ns(kLatency));
}

// ---- Ends ----

TEST_F(SimEndTest, AnEndComesAfterAllData) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  const std::string bytes = pattern(3'000'000, 1);
  client().end(bytes);
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(server_.bytes, bytes);
  EXPECT_EQ(server_.order(), "end finish close");
  EXPECT_EQ(client_.order(), "finish end close");
}

TEST_F(SimEndTest, TheOtherDirectionGoesOnAfterAnEnd) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  peer().set_allow_half_open(true);
  client().end();
  ASSERT_TRUE(until([&] { return server_.has("end"); }));
  world().run_for(1h);
  peer().end("an hour later");
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(client_.bytes, "an hour later");
  EXPECT_EQ(client_.order(), "finish end close");
}

TEST_F(SimEndTest, ClosingWithUnreadDataResets) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join(true, false));
  peer().write("not wanted");
  world().run_for(1s);
  forget();
  client().destroy();
  ASSERT_TRUE(until([&] { return server_.has("close"); }));
  EXPECT_EQ(server_.order(), "ECONNRESET close");
  EXPECT_EQ(server_.at("ECONNRESET"), ns(kLatency));
}

TEST_F(SimEndTest, DataForASocketThatIsClosedIsAnsweredWithAReset) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  peer().set_allow_half_open(true);
  client().destroy();
  ASSERT_TRUE(until([&] { return server_.has("end"); }));
  world().run_for(1s);
  mark();
  peer().write("too late");
  ASSERT_TRUE(until([&] { return server_.has("close"); }));
  EXPECT_TRUE(server_.has("EPIPE") || server_.has("ECONNRESET")) << server_.order();
  EXPECT_EQ(server_.at("close"), ns(2 * kLatency));
}

TEST_F(SimEndTest, WhatArrivesBeforeAResetCanBeRead) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  client().write("the last words");
  world().run_for(1ms);
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(server_.bytes, "the last words");
  EXPECT_EQ(server_.order(), "ECONNRESET close");
}

TEST_F(SimEndTest, BothMayEndAtOnce) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  client().end("from b");
  peer().end("from a");
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(server_.bytes, "from b");
  EXPECT_EQ(client_.bytes, "from a");
  EXPECT_EQ(server_.at("close"), ns(kLatency));
  EXPECT_EQ(client_.at("close"), ns(kLatency));
}

}  // namespace
}  // namespace weir::test
