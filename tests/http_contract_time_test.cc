// How long a server waits for a request, to the millisecond on the simulator's clock.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http_life.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class VirtualHeadersTimeoutTest : public TimeTest {};

TEST_P(VirtualHeadersTimeoutTest, ASilentConnectionGetsA408) {
  RULES("4.1.1.1 4.1.8.1 4.5.4.1 4.5.4.3");
  start();
  HttpClient& client = dial_and_count();
  EXPECT_EQ(over_at(client), 60000);
  expect_408(client);
  EXPECT_FALSE(client.error());
}

TEST_P(VirtualHeadersTimeoutTest, DelayedHeaders) {
  RULES("4.5.4.1 4.1.8.1");
  NODE_TEST(
      "http-server-headers-timeout-delayed-headers "
      "http-server-request-timeout-delayed-headers");
  start({.headers_timeout = 2s, .request_timeout = 2s});
  HttpClient& client = dial_and_count();
  run_to(1000);
  client.send("GET /now HTTP/1.1\r\n");
  EXPECT_EQ(over_at(client), 2000) << "from the connection, not from the first byte";
  expect_408(client);
  client.send("Host: a\r\n\r\n");
  client.end();
  EXPECT_TRUE(run_until_gone());
  expect_408(client);
  EXPECT_TRUE(seen_.empty());
}

TEST_P(VirtualHeadersTimeoutTest, InterruptedHeadersThatKeepComing) {
  RULES("4.5.4.1 4.5.4.4");
  NODE_TEST(
      "http-server-headers-timeout-interrupted-headers "
      "http-server-request-timeout-interrupted-headers");
  start();
  HttpClient& client = dial_and_count();
  client.send("GET /now HTTP/1.1\r\nHost: a\r\n");
  trickle(client, "A: b\r\n", 1, 59);
  EXPECT_FALSE(client.over());
  EXPECT_EQ(over_at(client), 60000);
  expect_408(client);
}

TEST_P(VirtualHeadersTimeoutTest, ItDoesNotCountOnceTheHeadIsThere) {
  RULES("4.5.4.5 4.5.4.7 4.1.2.1");
  start();
  HttpClient& client = dial_and_count();
  run_to(59999);
  client.send(post("/held", 4));
  run_to(61000);
  client.send("body");
  run_to(24 * 3600 * 1000);
  EXPECT_FALSE(client.over());
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_EQ(seen_[0].body, "body");
  answer_held(0);
  ASSERT_TRUE(run_until_has(client, kept_reply("/held")));
  EXPECT_EQ(without_date(client.received()), kept_reply("/held"));
}

TEST_P(VirtualHeadersTimeoutTest, ForLaterRequestsItCountsFromTheFirstByte) {
  RULES("4.5.4.2 4.5.4.10 4.5.3.2");
  NODE_TEST("http-server-headers-timeout-keepalive http-server-request-timeout-keepalive");
  start({.headers_timeout = 2s, .request_timeout = 10s});
  HttpClient& client = dial_and_count();
  run_to(1500);
  client.send(get("/now"));
  run_to(4000);  // 2.5 s of 5 s between requests
  client.send("G");
  run_to(5500);
  client.send("ET /now HTTP/1.1\r\nHost: a\r\n\r\n");
  run_to(5600);
  EXPECT_EQ(without_date(client.take()), kept_reply("/now") + kept_reply("/now"));
  run_to(10000);
  client.send("GET /now HTTP/1.1\r\n");
  EXPECT_EQ(over_at(client), 12000);
  expect_408(client);
}

TEST_P(VirtualHeadersTimeoutTest, InAPipelineItIsAnsweredInItsPlace) {
  RULES("4.5.4.15 4.5.4.10 4.5.4.2");
  NODE_TEST("http-server-headers-timeout-pipelining http-server-request-timeout-pipelining");
  start({.headers_timeout = 2s, .request_timeout = 2s});
  HttpClient& client = dial_and_count();
  client.send(get("/held/0") + get("/held/1"));
  run_to(1000);
  client.send("GET /never HTTP/1.1\r\n");
  run_to(5000);
  EXPECT_EQ(client.received(), "");
  client.send("Host: a\r\n\r\n");
  run_to(5001);
  ASSERT_EQ(seen_.size(), 2U) << "the time was over";
  answer_held(1);
  answer_held(0);
  EXPECT_EQ(over_at(client), 5001);
  const std::string received = without_date(client.received());
  EXPECT_TRUE(received.ends_with(std::string("\r\n\r\n/held/1") + std::string(kTimeoutAnswer)))
      << received;
  EXPECT_EQ(count_of(received, "HTTP/1.1 200 OK\r\n"), 2U);
}

TEST_P(VirtualHeadersTimeoutTest, WhileThePipelineIsFullItDoesNotCount) {
  RULES("4.5.4.11 4.5.4.2");
  start({.pipelined_max = 1});
  HttpClient& client = dial_and_count();
  client.send(get("/held") + "GET /");
  run_to(3600 * 1000);
  EXPECT_FALSE(client.over());
  answer_held(0);
  EXPECT_EQ(over_at(client), 3660 * 1000);
  EXPECT_EQ(without_date(client.received()), kept_reply("/held") + std::string(kTimeoutAnswer));
}

TEST_P(VirtualHeadersTimeoutTest, ZeroIsNone) {
  RULES("4.1.1.2 4.1.2.2");
  start({.headers_timeout = 0s, .request_timeout = 0s});
  HttpClient& client = dial_and_count();
  run_to(24 * 3600 * 1000);
  client.send("GET /now HTTP/1.1\r\n");
  run_to(30 * 3600 * 1000);
  client.send("Host: a\r\n\r\n");
  ASSERT_TRUE(run_until_has(client, kept_reply("/now")));
  EXPECT_EQ(without_date(client.received()), kept_reply("/now"));
}

TEST_P(VirtualHeadersTimeoutTest, ByDefaultItIsTheRequestTimeoutIfThatIsLess) {
  RULES("4.1.1.3 4.5.4.1");
  start({.request_timeout = 3s});
  HttpClient& client = dial_and_count();
  client.send("GET /");
  EXPECT_EQ(over_at(client), 3000);
  expect_408(client);
}

TEST_P(VirtualHeadersTimeoutTest, ARequestTimeoutAloneHoldsForHeadsToo) {
  RULES("4.5.4.6 4.1.14.2");
  start({.headers_timeout = 0s, .request_timeout = 7s});
  HttpClient& client = dial_and_count();
  EXPECT_EQ(over_at(client), 7000);
  expect_408(client);
}

WEIR_ON_SIM(VirtualHeadersTimeoutTest);

class VirtualRequestTimeoutTest : public TimeTest {};

TEST_P(VirtualRequestTimeoutTest, DelayedBody) {
  RULES("4.1.2.1 4.1.8.1 4.5.4.6 4.5.4.9");
  NODE_TEST("http-server-request-timeout-delayed-body");
  start({.body_rate_min = 0});
  HttpClient& client = dial_and_count();
  run_to(1000);
  client.send(post("/held", 100));
  EXPECT_EQ(over_at(client), 300000);
  expect_408(client);
  client.end();
  ASSERT_TRUE(run_until_gone());
  EXPECT_EQ(seen_[0].events, "aborted ECONNRESET close ");
  EXPECT_EQ(seen_[0].response_events, "close ");
}

TEST_P(VirtualRequestTimeoutTest, InterruptedBodyThatKeepsComing) {
  RULES("4.5.4.6 4.5.4.4");
  NODE_TEST("http-server-request-timeout-interrupted-body");
  start({.headers_timeout = 2s, .request_timeout = 20s});
  HttpClient& client = dial_and_count();
  client.send(post("/held", 1 << 20));
  trickle(client, std::string(1000, 'b'), 1, 19);
  EXPECT_FALSE(client.over());
  EXPECT_EQ(over_at(client), 20000);
  expect_408(client);
  EXPECT_EQ(seen_[0].body.size(), 19000U);
}

TEST_P(VirtualRequestTimeoutTest, BehindABegunResponseItJustCloses) {
  RULES("4.5.4.8 4.5.4.9");
  start({.request_timeout = 3s});
  HttpClient& client = dial_and_count();
  client.send(post("/held", 100));
  ASSERT_TRUE(run_until_seen(1));
  response(0).write("begun");
  EXPECT_EQ(over_at(client), 3000);
  EXPECT_TRUE(client.received().ends_with("\r\n\r\n5\r\nbegun\r\n")) << client.received();
  client.end();
  ASSERT_TRUE(run_until_gone());
  EXPECT_EQ(seen_[0].events, "aborted ECONNRESET close ");
}

TEST_P(VirtualRequestTimeoutTest, BehindACompleteResponseItJustCloses) {
  RULES("4.5.4.8");
  start({.request_timeout = 3s});
  HttpClient& client = dial_and_count();
  client.send(post("/now", 100));
  EXPECT_EQ(over_at(client), 3000);
  EXPECT_TRUE(client.received().ends_with("\r\n\r\n/now")) << client.received();
  EXPECT_EQ(count_of(client.received(), "HTTP/1.1 "), 1U);
}

TEST_P(VirtualRequestTimeoutTest, ItDoesNotCountOnceTheRequestIsThere) {
  RULES("4.5.4.7 4.1.4.1 4.1.13.1");
  start();
  HttpClient& client = dial_and_count();
  client.send(get("/held"));
  run_to(24 * 3600 * 1000);
  EXPECT_FALSE(client.over());
  ASSERT_EQ(seen_.size(), 1U);
  answer_held(0);
  client.send(get("/now"));
  ASSERT_TRUE(run_until_has(client, kept_reply("/held") + kept_reply("/now")));
  EXPECT_EQ(without_date(client.received()), kept_reply("/held") + kept_reply("/now"));
}

TEST_P(VirtualRequestTimeoutTest, TimeInWhichTheServerDoesNotReadIsNotCounted) {
  RULES("4.5.4.11");
  reads_bodies_ = false;
  start({.headers_timeout = 2s, .request_timeout = 20s});
  HttpClient& client = dial_and_count();
  client.send(post("/held", 4 << 20));
  client.send(std::string(4 << 20, 'b'));
  run_to(3600 * 1000);
  EXPECT_FALSE(client.over());
  ASSERT_EQ(seen_.size(), 1U);
  seen_[0].request.get()->resume();
  run_to(3601 * 1000);
  EXPECT_EQ(seen_[0].events, "end ");
  answer_held(0);
  ASSERT_TRUE(run_until_has(client, kept_reply("/held")));
  EXPECT_EQ(without_date(client.received()), kept_reply("/held"));
}

TEST_P(VirtualRequestTimeoutTest, AfterAPauseTheRestOfTheTimeIsLeft) {
  RULES("4.5.4.11 4.5.4.6");
  start({.headers_timeout = 2s, .request_timeout = 20s, .body_rate_min = 0});
  HttpClient& client = dial_and_count();
  client.send(post("/held", 4 << 20));
  run_to(4000);
  seen_[0].request.get()->pause();
  client.send(std::string(1 << 20, 'b'));  // fills the window, so that it is the server who waits
  run_to(104000);
  seen_[0].request.get()->resume();
  EXPECT_EQ(over_at(client), 120000);
  expect_408(client);
  EXPECT_EQ(seen_[0].body.size(), 1U << 20);
}

TEST_P(VirtualRequestTimeoutTest, AListenerIsTold) {
  RULES("4.5.4.14");
  start({.headers_timeout = 2s, .request_timeout = 2s});
  std::string told;
  server().on_client_error([&](const ClientError& error, Socket& socket) {
    told += std::string(error.code) + " " + std::to_string(error.status) + ";";
    socket.end("too slow");
  });
  HttpClient& client = dial_and_count();
  client.send("GET / HT");
  EXPECT_EQ(over_at(client), 2000);
  EXPECT_EQ(client.received(), "too slow");
  EXPECT_EQ(told, "ERR_HTTP_REQUEST_TIMEOUT 408;");
}

TEST_P(VirtualRequestTimeoutTest, AnUpgradedConnectionHasNone) {
  RULES("4.5.4.16");
  NODE_TEST("http-server-request-timeout-upgrade");
  start({.headers_timeout = 2s, .request_timeout = 2s, .keep_alive_timeout = 2s});
  std::string echoed;
  server().on_upgrade([&](http::Upgrade& upgrade) {
    upgrade.socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
        "Upgrade: echo\r\n\r\n");
    upgrade.socket.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  });
  HttpClient& client = dial_and_count();
  client.send(get("/", "Connection: Upgrade\r\nUpgrade: echo\r\n"));
  run_to(3600 * 1000);
  EXPECT_FALSE(client.over());
  client.take();
  client.send("still there");
  EXPECT_TRUE(run_until_received(client, "still there"));
}

WEIR_ON_SIM(VirtualRequestTimeoutTest);

class VirtualBodyRateTest : public TimeTest {
 protected:
  // From the end of the grace until the pace is looked at first.
  static constexpr long kDelay = http::limits::kBodyRateDelay / 1ms;
};

TEST_P(VirtualBodyRateTest, ABodyThatDoesNotComeIsCutOffAfterTheGrace) {
  RULES("4.5.4.12 4.5.4.9");
  start();
  HttpClient& client = dial_and_count();
  run_to(1000);
  client.send(post("/held", 100000));
  EXPECT_EQ(over_at(client), 6000 + kDelay);
  expect_408(client);
  client.end();
  ASSERT_TRUE(run_until_gone());
  EXPECT_EQ(seen_[0].events, "aborted ECONNRESET close ");
}

TEST_P(VirtualBodyRateTest, ItIsAnAverage) {
  RULES("4.5.4.12");
  start();
  HttpClient& client = dial_and_count();
  client.send(post("/held", 100000));
  client.send(std::string(2400, 'b'));
  const long at = over_at(client);
  EXPECT_GE(at, 10000);
  EXPECT_LE(at, 10001);
  expect_408(client);
}

TEST_P(VirtualBodyRateTest, ABodyThatIsFastEnoughGoesOn) {
  RULES("4.5.4.12");
  NODE_TEST("http-parser-timeout-reset");
  start();
  HttpClient& client = dial_and_count();
  client.send(post("/held", 250 * 60));
  trickle(client, std::string(250, 'b'), 0, 59);
  ASSERT_FALSE(client.over());
  run_to(60 * 1000);
  EXPECT_EQ(seen_[0].events, "end ");
  EXPECT_EQ(seen_[0].body.size(), 250U * 60);
}

TEST_P(VirtualBodyRateTest, ABodyThatIsALittleTooSlowDoesNot) {
  RULES("4.5.4.12");
  start();
  HttpClient& client = dial_and_count();
  client.send(post("/held", 100000));
  trickle(client, std::string(200, 'b'), 0, 4);
  EXPECT_EQ(over_at(client), 5000 + kDelay) << "of 1200 bytes 1000 have come";
  expect_408(client);
}

TEST_P(VirtualBodyRateTest, AnotherPaceMayBeSet) {
  RULES("4.5.4.13");
  start({.body_rate_min = 10, .body_rate_grace = 1s});
  HttpClient& client = dial_and_count();
  client.send(post("/held", 1000));
  EXPECT_EQ(over_at(client), 1000 + kDelay);
  HttpClient& faster = dial_and_count();
  faster.send(post("/held", 1000));
  trickle(faster, "0123456789ab", 0, 9);
  EXPECT_FALSE(faster.over());
  const long at = over_at(faster);  // 120 bytes are enough for 12 s
  EXPECT_GE(at, 12000);
  EXPECT_LE(at, 12001);
}

TEST_P(VirtualBodyRateTest, ZeroIsAnyPace) {
  RULES("4.5.4.13");
  start({.body_rate_min = 0});
  HttpClient& client = dial_and_count();
  client.send(post("/held", 2) + "b");
  run_to(299999);
  EXPECT_FALSE(client.over());
  client.send("b");
  run_to(300000);
  EXPECT_EQ(seen_[0].events, "end ");
}

TEST_P(VirtualBodyRateTest, WhileThePipelineIsFullItDoesNotCount) {
  RULES("4.5.4.11 4.5.4.12");
  start({.pipelined_max = 1});
  HttpClient& client = dial_and_count();
  client.send(get("/held/0") + post("/held/1", 10000));
  run_to(3600 * 1000);
  EXPECT_FALSE(client.over());
  answer_held(0);
  EXPECT_EQ(over_at(client), 3605 * 1000 + kDelay);
}

TEST_P(VirtualBodyRateTest, APauseIsNotCounted) {
  RULES("4.5.4.11");
  start();
  HttpClient& client = dial_and_count();
  client.send(post("/held", 4 << 20));
  run_to(1000);
  seen_[0].request.get()->pause();
  client.send(std::string(480, 'b'));
  run_to(1001000);
  EXPECT_FALSE(client.over());
  seen_[0].request.get()->resume();
  EXPECT_EQ(over_at(client), 1005000 + kDelay) << "four of five seconds were left";
  EXPECT_EQ(seen_[0].body.size(), 480U);
}

WEIR_ON_SIM(VirtualBodyRateTest);

}  // namespace
}  // namespace weir::test
