// The simulated network in trouble: crashes, partitions and loss, as a stream's ends see them; and
// the addresses they see.
#include <algorithm>
#include <deque>
#include <string>

#include "tests/sim_fixture.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLatency = 12'345'678ns;

class SimCrashTest : public SimTest {};
class SimPartitionTest : public SimTest {};
class SimLossTest : public SimTest {};
class SimAddressTest : public SimTest {};
class SimUnixTest : public SimTest {};

// ---- Crashes ----

TEST_F(SimCrashTest, APeerThatSaysNothingLearnsNothing) {
  ASSERT_TRUE(join());
  a().crash();
  world().run_for(30 * 24h);
  EXPECT_EQ(client_.order(), "");
  a().restart();
  world().run_for(30 * 24h);
  EXPECT_EQ(client_.order(), "");
}

TEST_F(SimCrashTest, APeerThatSendsIsResetWhenTheHostIsUpAgain) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  a().crash();
  world().run_for(1min);
  a().restart();
  forget();
  client().write("are you there?");
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNRESET close");
  EXPECT_EQ(client_.at("ECONNRESET"), ns(2 * kLatency));
  EXPECT_EQ(server_.order(), "");
}

TEST_F(SimCrashTest, APeerThatEndsIsResetWhenTheHostIsUpAgain) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  a().restart();
  forget();
  client().end();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "finish ECONNRESET close");
  EXPECT_EQ(client_.at("ECONNRESET"), ns(2 * kLatency));
}

TEST_F(SimCrashTest, APeerThatSendsGivesUpWhileTheHostIsDown) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  a().crash();
  world().run_for(1min);
  forget();
  client().write("are you there?");
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_GE(client_.at("ETIMEDOUT"), ns(kSendTime));
  EXPECT_LE(client_.at("ETIMEDOUT"), ns(kSendTime + kSlack));
  EXPECT_EQ(b().open_fds(), 0U);
}

TEST_F(SimCrashTest, APeerThatIsSendingAgainIsResetOnceTheHostIsUp) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  a().crash();
  forget();
  client().write("are you there?");
  world().run_for(1min);
  EXPECT_EQ(client_.order(), "");
  a().restart();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNRESET close");
  EXPECT_LE(client_.at("ECONNRESET"), ns(1min + 130s));  // TCP_RTO_MAX is 120 s
}

TEST_F(SimCrashTest, WhatWasSentAndNotReceivedYetCountsAsUnanswered) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  client().write("on its way");
  world().run_for(1ms);
  a().crash();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_GE(client_.at("ETIMEDOUT"), ns(kSendTime));
  EXPECT_LE(client_.at("ETIMEDOUT"), ns(kSendTime + kSlack));
}

TEST_F(SimCrashTest, PacketsOfAHostThatIsGoneStillArrive) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  peer().write("the last words");
  world().run_for(1ms);
  a().crash();
  world().run_for(1s);
  EXPECT_EQ(client_.bytes, "the last words");
  EXPECT_EQ(client_.at("data"), ns(kLatency));
  EXPECT_EQ(client_.order(), "");
}

TEST_F(SimCrashTest, AFullWindowIsProbedAndSoACrashIsNoticed) {
  make({.link = {.latency = kLatency}, .window_bytes = 64 * 1024});
  ASSERT_TRUE(join(false));
  client().write(pattern(200'000, 1));
  world().run_for(10s);
  a().crash();
  mark();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
}

TEST_F(SimCrashTest, KeepAliveNoticesWithinSeconds) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  client().set_keep_alive(true, 5s);
  world().run_for(1min);
  EXPECT_EQ(client_.order(), "");
  a().crash();
  forget();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_LE(client_.at("ETIMEDOUT"), ns(16s));  // TCP_KEEPIDLE 5, 10 probes of 1 s
}

TEST_F(SimCrashTest, AServerNoticesThatItsClientIsGoneWhenItSends) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  b().crash();
  forget();
  peer().write("still there?");
  ASSERT_TRUE(until([&] { return server_.has("close"); }));
  EXPECT_EQ(server_.order(), "ETIMEDOUT close");
  EXPECT_GE(server_.at("ETIMEDOUT"), ns(kSendTime));
  EXPECT_LE(server_.at("ETIMEDOUT"), ns(kSendTime + kSlack));
  EXPECT_EQ(a().open_fds(), 1U);
}

TEST_F(SimCrashTest, ACrashBetweenSynAndAnswerLeavesNothingBehind) {
  set_link({.latency = kLatency});
  serve();
  call();
  world().run_for(kLatency + 1ms);
  b().crash();
  world().run_for(1h);
  EXPECT_EQ(b().open_fds(), 0U);
  EXPECT_FALSE(client_.has("connect"));
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimCrashTest, WhoWaitsForABacklogIsServedByTheRestartedHost) {
  set_link({.latency = kLatency});
  const Address at = Address::any_ipv4(kPort);
  EXPECT_TRUE(kernel(a()).listen(at, {.backlog = 1}).has_value());
  to_ = {.host = a().ipv4().host(), .port = kPort};
  std::deque<Caller> callers;
  for (int i = 0; i < 6; ++i) callers.emplace_back(b().reactor(), client_, to_);
  world().run_for(10s);
  const long connected = client_.count("connect");
  a().crash();
  world().run_for(5s);
  a().restart();
  serve();
  ASSERT_TRUE(until([&] { return client_.count("connect") + client_.count("close") == 6; }));
  EXPECT_EQ(client_.count("connect"), 6) << client_.order();
  EXPECT_TRUE(until([&] { return server_.count("connection") == 6 - connected; }));
}

// ---- Partitions ----

TEST_F(SimPartitionTest, AStreamGoesOnAfterHeal) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  world().partition(a(), b());
  client().write("from b");
  peer().write("from a");
  world().run_for(1min);
  EXPECT_EQ(server_.bytes + client_.bytes, "");
  world().heal(a(), b());
  ASSERT_TRUE(until([&] { return server_.bytes == "from b" && client_.bytes == "from a"; }));
  EXPECT_GE(server_.at("data"), ns(1min + kLatency));
  EXPECT_LE(server_.at("data"), ns(1min + 130s));
  client().end();
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(client_.order(), "finish end close");
  EXPECT_EQ(server_.order(), "end finish close");
}

TEST_F(SimPartitionTest, ALongStreamIsExactAcrossPartitions) {
  set_link({.latency = kLatency, .bytes_per_second = 1'000'000});
  ASSERT_TRUE(join());
  const std::string bytes = pattern(3'000'000, 1);
  client().end(bytes);
  for (int i = 0; i < 5; ++i) {
    world().run_for(400ms);
    world().partition(a(), b());
    world().run_for(3s);
    world().heal(a(), b());
  }
  ASSERT_TRUE(until_both_closed());
  EXPECT_TRUE(server_.bytes == bytes) << server_.bytes.size();
  EXPECT_EQ(client_.order(), "finish end close");
}

TEST_F(SimPartitionTest, ASenderGivesUpAndItsPeerDoesNotKnow) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  world().partition(a(), b());
  client().write("hello?");
  world().run_for(30min);
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_GE(client_.at("ETIMEDOUT"), ns(kSendTime));
  EXPECT_LE(client_.at("ETIMEDOUT"), ns(kSendTime + kSlack));
  world().heal(a(), b());
  world().run_for(24h);
  EXPECT_EQ(server_.order() + server_.bytes, "");
  mark();
  peer().write("hello?");
  ASSERT_TRUE(until([&] { return server_.has("close"); }));
  EXPECT_EQ(server_.order(), "ECONNRESET close");
  EXPECT_EQ(server_.at("ECONNRESET"), ns(2 * kLatency));
}

// What waits on the way to the sender is no reason for it to wait for ever.
TEST_F(SimPartitionTest, ASenderGivesUpAlsoBehindAnOlderWindowUpdate) {
  make({.link = {.latency = kLatency}, .window_bytes = 64 * 1024});
  ASSERT_TRUE(join(false));
  client().write(pattern(64 * 1024, 1));
  world().run_for(1s);
  world().partition(a(), b());
  server_.record_data(peer());  // its acknowledgement is lost
  world().run_for(1h);
  EXPECT_EQ(server_.bytes.size(), 64U * 1024);
  forget();
  peer().write("hello?");
  ASSERT_TRUE(until([&] { return server_.has("close"); }));
  EXPECT_EQ(server_.order(), "ETIMEDOUT close");
  EXPECT_GE(server_.at("ETIMEDOUT"), ns(kSendTime));
  EXPECT_LE(server_.at("ETIMEDOUT"), ns(kSendTime + kSlack));
}

TEST_F(SimPartitionTest, ASecondPartitionIsCountedFromItsBegin) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  for (int i = 0; i < 3; ++i) {
    SCOPED_TRACE(i);
    world().partition(a(), b());
    client().write("x");
    world().run_for(10min);
    world().heal(a(), b());
    ASSERT_TRUE(until([&] { return server_.bytes.size() == static_cast<std::size_t>(i + 1); }));
  }
  EXPECT_EQ(client_.order(), "");
}

TEST_F(SimPartitionTest, AnIdleStreamOutlivesIt) {
  ASSERT_TRUE(join());
  world().partition(a(), b());
  world().run_for(7 * 24h);
  world().heal_all();
  EXPECT_EQ(client_.order() + server_.order(), "");
  client().write("good morning");
  ASSERT_TRUE(until([&] { return server_.bytes == "good morning"; }));
}

TEST_F(SimPartitionTest, AnEndIsDeliveredAfterHeal) {
  set_link({.latency = kLatency});
  ASSERT_TRUE(join());
  world().partition(a(), b());
  client().end("bye");
  world().run_for(10s);
  EXPECT_EQ(server_.order(), "");
  world().heal(a(), b());
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(server_.bytes, "bye");
  EXPECT_EQ(server_.order(), "end finish close");
}

TEST_F(SimPartitionTest, AConnectGivesUpAfter127Seconds) {
  serve();
  world().partition(a(), b());
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_EQ(client_.at("ETIMEDOUT"), ns(kSynTime));
  world().heal(a(), b());
  world().run_for(10min);
  EXPECT_EQ(server_.order(), "");
}

TEST_F(SimPartitionTest, AConnectSucceedsAfterHeal) {
  set_link({.latency = kLatency});
  serve();
  world().partition(a(), b());
  call();
  world().run_for(20s);
  world().heal(a(), b());
  ASSERT_TRUE(until([&] { return client_.has("connect") || client_.has("close"); }));
  EXPECT_EQ(client_.order(), "connect");
  EXPECT_GE(client_.at("connect"), ns(20s + 2 * kLatency));
  EXPECT_LE(client_.at("connect"), ns(65s));
}

TEST_F(SimPartitionTest, ItIsBetweenTwoHostsAlone) {
  Host& c = world().add_host("c");
  ASSERT_TRUE(join());
  world().partition(a(), b());
  Journal third;
  third.begin(world());
  Caller there(c.reactor(), third, to_);
  ASSERT_TRUE(until([&] { return third.has("connect"); }));
  EXPECT_EQ(third.at("connect"), 0);
  Caller itself(a().reactor(), third, to_);
  ASSERT_TRUE(until([&] { return third.count("connect") == 2; }));
}

// ---- Loss ----

TEST_F(SimLossTest, LossOnlyDelaysAStream) {
  std::int64_t slowest = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .link = {.latency = kLatency, .loss = 0.2}});
    ASSERT_TRUE(join());
    const std::string bytes = pattern(500'000, static_cast<unsigned>(seed));
    client().end(bytes);
    ASSERT_TRUE(until_both_closed());
    EXPECT_TRUE(server_.bytes == bytes) << server_.bytes.size();
    EXPECT_EQ(server_.order(), "end finish close");
    EXPECT_EQ(client_.order(), "finish end close");
    EXPECT_GE(server_.at("end"), ns(kLatency));
    slowest = std::max(slowest, server_.at("end"));
  }
  EXPECT_GE(slowest, ns(200ms)) << "a retransmission timeout is at least 200 ms on Linux";
}

TEST_F(SimLossTest, ALostSynComesAgainAfterASecond) {
  int late = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    make({.seed = seed, .link = {.latency = kLatency, .loss = 0.3}});
    serve();
    call();
    ASSERT_TRUE(until([&] { return client_.has("connect"); }));
    if (client_.at("connect") == ns(2 * kLatency)) continue;
    ++late;
    EXPECT_GE(client_.at("connect"), ns(1s + 2 * kLatency));
  }
  EXPECT_GT(late, 5);
  EXPECT_LT(late, 35);
}

TEST_F(SimLossTest, WhereEverythingIsLostAConnectGivesUp) {
  serve();
  set_link({.latency = kLatency, .loss = 1});
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_EQ(client_.at("ETIMEDOUT"), ns(kSynTime));
}

TEST_F(SimLossTest, WhereEverythingIsLostAStreamGivesUp) {
  ASSERT_TRUE(join());
  set_link({.latency = kLatency, .loss = 1});
  client().write("hello?");
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ETIMEDOUT close");
  EXPECT_GE(client_.at("ETIMEDOUT"), ns(kSendTime));
  EXPECT_LE(client_.at("ETIMEDOUT"), ns(kSendTime + kSlack));
  EXPECT_EQ(server_.bytes, "");
}

TEST_F(SimLossTest, DuplicatesAreNoneOnAStream) {
  set_link({.latency = kLatency, .jitter = 5ms, .duplicate = 1});
  ASSERT_TRUE(join());
  const std::string bytes = pattern(100'000, 1);
  client().end(bytes);
  ASSERT_TRUE(until_both_closed());
  EXPECT_TRUE(server_.bytes == bytes) << server_.bytes.size();
}

// ---- Addresses ----

TEST_F(SimAddressTest, EachEndSeesTheHostOfTheOther) {
  for (const bool ipv6 : {false, true}) {
    SCOPED_TRACE(ipv6);
    make({});
    const Address server = ipv6 ? a().ipv6() : a().ipv4();
    const Address caller = ipv6 ? b().ipv6() : b().ipv4();
    at_.host = server.host();
    to_ = {.host = server.host(), .port = kPort};
    ASSERT_TRUE(join());
    EXPECT_EQ(client().remote_address().to_string(), peer().local_address().to_string());
    EXPECT_EQ(client().local_address().to_string(), peer().remote_address().to_string());
    EXPECT_EQ(client().remote_address().host(), server.host());
    EXPECT_EQ(client().remote_address().port(), kPort);
    EXPECT_EQ(peer().remote_address().host(), caller.host());
    EXPECT_NE(peer().remote_address().port(), 0);
  }
}

TEST_F(SimAddressTest, AServerOfAllAddressesSeesIpv4AsMapped) {
  ASSERT_TRUE(join());
  EXPECT_EQ(peer().remote_address().host(), "::ffff:10.0.0.2");
  EXPECT_EQ(peer().local_address().host(), "::ffff:10.0.0.1");
  EXPECT_EQ(client().remote_address().host(), "10.0.0.1");
}

TEST_F(SimAddressTest, AMappedAddressIsTheIpv4One) {
  at_.host = "0.0.0.0";
  to_ = {.host = "::ffff:10.0.0.1", .port = kPort};
  ASSERT_TRUE(join()) << client_.order();
  EXPECT_EQ(peer().remote_address().host(), "10.0.0.2");
}

TEST_F(SimAddressTest, AServerOfAllIpv4AddressesIsReachedAtEach) {
  at_.host = "0.0.0.0";
  serve();
  for (const char* host : {"127.0.0.1", "10.0.0.1"}) {
    forget();
    Caller caller(a().reactor(), client_, {.host = host, .port = kPort});
    ASSERT_TRUE(until([&] { return client_.has("connect") && server_.has("connection"); }));
    EXPECT_EQ(caller.socket.local_address().host(), host);
    EXPECT_EQ(peer().local_address().host(), host);
    EXPECT_EQ(peer().remote_address().host(), host);
  }
  to_ = {.host = "fd00::1", .port = kPort};
  forget();
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNREFUSED close");
}

TEST_F(SimAddressTest, AnAddressOfAnotherHostCannotBeBound) {
  Server server(a().reactor());
  const auto bound = server.listen({.port = kPort, .host = b().ipv4().host()});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(bound.error().code, errno_code(EADDRNOTAVAIL));
  serve();
  to_ = {.host = a().ipv4().host(), .port = kPort, .local_address = a().ipv4().host()};
  call();
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "EADDRNOTAVAIL close");
}

TEST_F(SimAddressTest, TheServerSeesThePortThatWasAskedFor) {
  at_.host = "0.0.0.0";
  to_ = {.host = a().ipv4().host(), .port = kPort, .local_address = b().ipv4().host(),
         .local_port = 1234};
  ASSERT_TRUE(join());
  EXPECT_EQ(peer().remote_address().to_string(), "10.0.0.2:1234");
}

TEST_F(SimAddressTest, TwoHostsMayUseTheSamePort) {
  Host& c = world().add_host("c");
  at_.host = "0.0.0.0";
  to_ = {.host = a().ipv4().host(), .port = kPort, .local_address = "0.0.0.0", .local_port = 1234};
  ASSERT_TRUE(join());
  EXPECT_EQ(peer().remote_address().to_string(), "10.0.0.2:1234");
  Journal third;
  third.begin(world());
  Caller caller(c.reactor(), third, to_);
  ASSERT_TRUE(until([&] { return third.has("connect") && server_.has("connection"); }));
  EXPECT_EQ(peer().remote_address().to_string(), "10.0.0.3:1234");
}

// ---- Unix sockets ----

TEST_F(SimUnixTest, TheyKnowNoNetwork) {
  make({.link = {.latency = kLatency, .bytes_per_second = 10, .loss = 0.5}});
  Host& host = a();
  Service service(host.reactor(), server_, {.path = "/run/x"});
  Caller caller(host.add_reactor(), client_, {.path = "/run/x"});
  caller.socket.end(pattern(50'000, 1));
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(server_.bytes, pattern(50'000, 1));
  EXPECT_EQ(world().now(), Instant{});
  EXPECT_EQ(caller.socket.remote_address().family(), Family::none);
}

TEST_F(SimUnixTest, TheyKnowNoOtherHost) {
  Service service(a().reactor(), server_, {.path = "/run/x"});
  Caller caller(b().reactor(), client_, {.path = "/run/x"});
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ENOENT close");
  forget();
  Journal other;
  other.begin(world());
  Service own(b().reactor(), other, {.path = "/run/x"});
  Caller again(b().reactor(), client_, {.path = "/run/x"});
  ASSERT_TRUE(until([&] { return other.has("connection"); }));
  EXPECT_FALSE(server_.has("connection"));
}

TEST_F(SimUnixTest, AbstractNamesAreOfOneHostToo) {
  Service service(a().reactor(), server_, {.path = "x", .abstract = true});
  Caller caller(b().reactor(), client_, {.path = "x", .abstract = true});
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNREFUSED close");
  forget();
  Caller near(a().add_reactor(), client_, {.path = "x", .abstract = true});
  ASSERT_TRUE(until([&] { return client_.has("connect") && server_.has("connection"); }));
}

TEST_F(SimUnixTest, AServerFindsItsPathAgainAfterACrash) {
  at_ = {.path = "/run/x", .replace_stale = true};
  serve();
  a().crash();
  a().restart();
  forget();
  Caller caller(a().add_reactor(), client_, {.path = "/run/x"});
  EXPECT_TRUE(until([&] { return client_.has("connect"); }));
}

}  // namespace
}  // namespace weir::test
