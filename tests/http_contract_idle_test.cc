// How long a server waits between requests, behind the last one, and for those who do nothing:
// exact times on the simulator's clock; and that kernels agree about all its timeouts.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_life.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class VirtualKeepAliveTest : public TimeTest {};

TEST_P(VirtualKeepAliveTest, AnIdleConnectionIsClosedWithoutAnAnswer) {
  RULES("4.1.3.1 4.1.3.2 4.1.8.1 4.5.3.1 4.5.3.3");
  NODE_TEST(
      "http-server-keep-alive-timeout http-keep-alive-timeout "
      "http-server-keep-alive-defaults");
  start();
  HttpClient& client = dial_and_count();
  run_to(1000);
  client.send(get("/now"));
  EXPECT_EQ(over_at(client), 6000);
  EXPECT_EQ(without_date(client.received()), kept_reply("/now"));
  EXPECT_FALSE(client.error());
}

TEST_P(VirtualKeepAliveTest, ItRunsFromTheEndOfTheLastResponse) {
  RULES("4.5.3.1 4.5.3.4");
  NODE_TEST("http-server-keep-alive-timeout-slow-server");
  start();
  HttpClient& client = dial_and_count();
  client.send(get("/held/0") + get("/held/1"));
  run_to(20000);
  answer_held(1);
  run_to(40000);
  EXPECT_FALSE(client.over());
  answer_held(0);
  EXPECT_EQ(over_at(client), 45000);
}

TEST_P(VirtualKeepAliveTest, AResponseEndsWhenTheKernelHasAllOfIt) {
  RULES("4.5.3.1 4.5.3.4");
  start();
  begin();
  HttpClient& client = dial(false);
  client.send(get("/held"));
  ASSERT_TRUE(run_until_seen(1));
  response(0).end(std::string(1 << 20, 'r'));
  run_to(20000);
  EXPECT_EQ(seen_[0].response_events, "");
  client.read();
  EXPECT_EQ(over_at(client), 25000);
  EXPECT_EQ(seen_[0].response_events, "finish close ");
  EXPECT_TRUE(client.received().ends_with(std::string(1 << 20, 'r')));
}

TEST_P(VirtualKeepAliveTest, TheFirstByteOfTheNextRequestEndsIt) {
  RULES("4.5.3.2 4.5.4.2 4.5.4.10");
  NODE_TEST("http-server-keep-alive-timeout-slow-client-headers");
  start();
  HttpClient& client = dial_and_count();
  client.send(get("/now"));
  run_to(4999);
  client.send("G");
  run_to(64998);
  EXPECT_FALSE(client.over());
  EXPECT_EQ(over_at(client), 64999);
  EXPECT_EQ(without_date(client.received()), kept_reply("/now") + std::string(kTimeoutAnswer));
}

TEST_P(VirtualKeepAliveTest, AnotherTimeIsSaidAndKept) {
  RULES("4.1.3.2 4.1.3.3");
  NODE_TEST("http-keep-alive-timeout-custom");
  start({.keep_alive_timeout = 7900ms});
  HttpClient& client = dial_and_count();
  client.send(get("/now"));
  EXPECT_EQ(over_at(client), 7900);
  EXPECT_EQ(without_date(client.received()), kept_reply("/now", "timeout=7"));
}

TEST_P(VirtualKeepAliveTest, ZeroIsNone) {
  RULES("4.1.3.4");
  start({.keep_alive_timeout = 0s});
  HttpClient& client = dial_and_count();
  client.send(get("/now"));
  run_to(24 * 3600 * 1000);
  EXPECT_FALSE(client.over());
  EXPECT_EQ(without_date(client.take()),
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\n/now");
  client.send(get("/now"));
  EXPECT_TRUE(run_until_received(client, "\r\n\r\n/now"));
}

WEIR_ON_SIM(VirtualKeepAliveTest);

class VirtualLingerTest : public TimeTest {};

TEST_P(VirtualLingerTest, TheClientHasTwoSeconds) {
  RULES("4.5.1.9 4.5.1.6");
  start();
  HttpClient& client = dial_and_count();
  run_to(1000);
  client.send(get("/now", "Connection: close\r\n"));
  trickle(client, "", 1, 1);
  EXPECT_EQ(over_at(client), 1000);
  EXPECT_EQ(server().connections(), 1U);
  for (long at = 1100; at < 3000; at += 100) {
    run_to(at);
    client.send("x");
  }
  EXPECT_EQ(server().connections(), 1U);
  run_to(3001);
  EXPECT_EQ(server().connections(), 0U) << "what it sends does not lengthen it";
  EXPECT_EQ(without_date(client.received()), last_reply("/now"));
}

TEST_P(VirtualLingerTest, ASlowReaderHasThemWhenTheResponseIsOut) {
  RULES("4.5.1.9 4.5.1.7");
  start();
  begin();
  HttpClient& client = dial(false);
  client.send(get("/held", "Connection: close\r\n"));
  ASSERT_TRUE(run_until_seen(1));
  const std::string body(1 << 20, 'r');
  response(0).end(body);
  run_to(20000);
  client.read();
  EXPECT_EQ(over_at(client), 20000);
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(without_date(client.received()) == last_reply(body));
  run_to(21999);
  EXPECT_EQ(server().connections(), 1U);
  run_to(22001);
  EXPECT_EQ(server().connections(), 0U);
}

TEST_P(VirtualLingerTest, TheClientHasAMebibyte) {
  RULES("4.5.1.10 4.5.1.7");
  start();
  HttpClient& client = dial_and_count();
  client.send(get("/now", "Connection: close\r\n"));
  ASSERT_TRUE(run_until_over(client));
  client.send(std::string(1 << 20, 'x'));
  run_to(1000);
  EXPECT_EQ(server().connections(), 1U);
  EXPECT_EQ(client.socket().writable_length(), 0U) << "it is read";
  client.send(std::string(2, 'x'));
  run_to(1001);
  EXPECT_EQ(server().connections(), 0U);
  EXPECT_EQ(without_date(client.received()), last_reply("/now"));
}

WEIR_ON_SIM(VirtualLingerTest);

class VirtualIdleTimeoutTest : public TimeTest {};

TEST_P(VirtualIdleTimeoutTest, WithoutActivityTheConnectionIsDestroyed) {
  RULES("4.5.3.5 4.5.2.9");
  NODE_TEST("http-set-timeout-server");
  start(idle_after(1500ms));
  HttpClient& client = dial_and_count();
  run_to(1000);
  client.send(get("/held"));
  EXPECT_EQ(over_at(client), 2500);
  EXPECT_EQ(client.received(), "");
  client.end();
  ASSERT_TRUE(run_until_gone());
  EXPECT_TRUE(seen_[0].events.ends_with("close ")) << seen_[0].events;
  EXPECT_EQ(seen_[0].response_events, "close ");
}

TEST_P(VirtualIdleTimeoutTest, AListenerIsCalledInstead) {
  RULES("4.5.3.6");
  NODE_TEST("http-set-timeout-server");
  start(idle_after(1s));
  std::vector<long> times;
  server().on_timeout([&](Socket& socket) {
    times.push_back(elapsed());
    EXPECT_EQ(&socket, seen_[0].socket);
  });
  HttpClient& client = dial_and_count();
  client.send(get("/held"));
  run_to(2500);
  EXPECT_EQ(times, (std::vector<long>{1000}));
  EXPECT_FALSE(client.over());
  answer_held(0);
  EXPECT_TRUE(run_until_has(client, kept_reply("/held")));
  run_to(4000);
  EXPECT_EQ(times, (std::vector<long>{1000, 3500}));
}

TEST_P(VirtualIdleTimeoutTest, BytesEitherWayAreActivity) {
  RULES("4.5.3.7");
  NODE_TEST("http-parser-timeout-reset");
  start(idle_after(2s));
  HttpClient& client = dial_and_count();
  client.send(post("/held", 1 << 20));
  trickle(client, std::string(1000, 'b'), 1, 10);
  ASSERT_FALSE(client.over());
  run_to(11500);
  response(0).write("piece");
  EXPECT_EQ(over_at(client), 13500);
}

TEST_P(VirtualIdleTimeoutTest, AHandlerMaySetItForItsConnection) {
  RULES("4.5.3.7 4.5.3.9");
  start(idle_after(2s));
  HttpClient& client = dial_and_count();
  client.send(get("/held"));
  ASSERT_TRUE(run_until_seen(1));
  ASSERT_TRUE(seen_[0].socket->set_timeout(10s));
  EXPECT_EQ(over_at(client), 10000);
}

TEST_P(VirtualIdleTimeoutTest, RequestsAndResponsesAreToldFirst) {
  RULES("4.2.1.12 4.5.3.10");
  NODE_TEST("http-set-timeout");
  std::string told;
  serve([&](Request& request, Response& response) {
    ASSERT_TRUE(request.set_timeout(1s).has_value());
    request.on_data([](Request&, Buffer) {});
    request.on_timeout([&](Request& late) { told += late.complete() ? "complete " : "request "; });
    response.on_timeout([&](Response&) { told += "response "; });
  });
  HttpClient& client = dial();
  client.send(post("/", 3) + "ab");
  run_for(1500ms);
  EXPECT_EQ(told, "request response ");
  client.send("c");
  run_for(1500ms);
  EXPECT_EQ(told, "request response response ");
  EXPECT_FALSE(client.over());
}

TEST_P(VirtualIdleTimeoutTest, OnceAnsweredTheyAreNotAskedAnyMore) {
  RULES("4.5.3.10");
  int told = 0;
  serve([&](Request&, Response& response) {
    ASSERT_TRUE(response.set_timeout(1s).has_value());
    response.on_timeout([&](Response&) { ++told; });
    response.end("x");
  });
  HttpClient& client = dial();
  client.send(get("/"));
  run_for(1500ms);
  EXPECT_EQ(told, 0);
  EXPECT_TRUE(client.over());
}

TEST_P(VirtualIdleTimeoutTest, ANegativeOneIsAMistake) {
  RULES("4.5.3.8");
  http::Server server(reactor(), idle_after(-1ms));
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(name_of(bound.error().code), "ERR_OUT_OF_RANGE");
}

// With none left, the connection is destroyed.
TEST_P(VirtualIdleTimeoutTest, AListenerThatIsOffIsNotTold) {
  RULES("4.5.3.10");
  std::string told;
  serve([&](Request& request, Response&) {
    EXPECT_TRUE(request.set_timeout(2s).has_value());
    request.off(request.on_timeout([&](Request&) { told += "timeout "; }));
    request.off(request.on_end([&](Request&) { told += "end "; }));
    request.on_close([&](Request&) { told += "close "; });
  });
  HttpClient& client = dial_and_count();
  client.send(get("/"));
  EXPECT_EQ(over_at(client), 2000);
  EXPECT_EQ(told, "close ");
}

WEIR_ON_SIM(VirtualIdleTimeoutTest);

class VirtualDrainTest : public TimeTest {};

TEST_P(VirtualDrainTest, WhatIsOpenAfterThePatienceIsDestroyed) {
  RULES("4.5.7.10 4.5.7.4");
  start();
  HttpClient& slow = dial_and_count();
  HttpClient& quick = dial();
  slow.send(get("/held/slow"));
  quick.send(get("/held/quick"));
  run_to(1000);
  ASSERT_EQ(seen_.size(), 2U);
  std::string events;
  server().on_server_close([&](http::Server&) { events += "closed "; });
  server().drain(5s);
  run_to(5999);
  answer_held(seen_[0].target == "/held/quick" ? 0 : 1);
  EXPECT_EQ(over_at(quick), 5999);
  EXPECT_EQ(without_date(quick.received()), last_reply("/held/quick"));
  EXPECT_FALSE(slow.over());
  quick.end();
  EXPECT_EQ(over_at(slow), 6000);
  EXPECT_EQ(slow.received(), "");
  slow.end();
  EXPECT_TRUE(run_until([&] { return events == "closed "; }));
  EXPECT_EQ(server().connections(), 0U);
}

WEIR_ON_SIM(VirtualDrainTest);

// ---- Once for real ----

class RealTimeoutTest : public TimeTest {};

TEST_P(RealTimeoutTest, HeadersAndSilence) {
  RULES("4.5.4.1 4.5.4.3");
  start({.headers_timeout = 40ms});
  for (const char* bytes : {"", "GET / HTTP/1.1\r\n"}) {
    HttpClient& client = dial_and_count();
    client.send(bytes);
    ASSERT_TRUE(run_until_over(client));
    EXPECT_GE(elapsed(), 40);
    expect_408(client);
    client.end();
  }
  EXPECT_TRUE(run_until_gone());
}

TEST_P(RealTimeoutTest, ABodyThatDoesNotCome) {
  RULES("4.5.4.6 4.5.4.12 4.5.4.13 4.5.4.9");
  NODE_TEST("http-timeout");
  for (const bool by_rate : {false, true}) {
    seen_.clear();
    start(by_rate ? http::ServerOptions{.body_rate_grace = 40ms}
                  : http::ServerOptions{.headers_timeout = 40ms, .request_timeout = 40ms});
    HttpClient& client = dial_and_count();
    client.send(post("/held", 10) + "part");
    ASSERT_TRUE(run_until_over(client));
    EXPECT_GE(elapsed(), 40);
    expect_408(client);
    client.end();
    ASSERT_TRUE(run_until_gone());
    EXPECT_EQ(seen_.at(0).events, "aborted ECONNRESET close ");
  }
}

TEST_P(RealTimeoutTest, BetweenRequests) {
  RULES("4.5.3.1 4.5.3.3");
  NODE_TEST("http-server-keep-alive-timeout");
  start({.keep_alive_timeout = 40ms});
  HttpClient& client = dial();
  client.send(get("/now"));
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n/now"));
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()),
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\n/now");
  client.end();
  EXPECT_TRUE(run_until_gone());
}

TEST_P(RealTimeoutTest, WithoutActivity) {
  RULES("4.5.3.5");
  start(idle_after(40ms));
  HttpClient& client = dial_and_count();
  client.send(get("/held"));
  ASSERT_TRUE(run_until_over(client));
  EXPECT_GE(elapsed(), 40);
  EXPECT_EQ(client.received(), "");
}

TEST_P(RealTimeoutTest, OfADrain) {
  RULES("4.5.7.10");
  start();
  HttpClient& client = dial();
  client.send(get("/held"));
  ASSERT_TRUE(run_until_seen(1));
  begin();
  server().drain(40ms);
  ASSERT_TRUE(run_until_over(client));
  EXPECT_GE(elapsed(), 40);
  EXPECT_EQ(client.received(), "");
  EXPECT_TRUE(run_until_gone());
}

WEIR_ON_KERNEL_BACKENDS(RealTimeoutTest);

}  // namespace
}  // namespace weir::test
