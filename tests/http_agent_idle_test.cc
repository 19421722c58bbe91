// The contract, section 4.7: connections that wait for the next request.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_agent_world.h"
#include "weir/http/server.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class AgentIdleTest : public AgentTest {
 protected:
  // `count` requests at the same time, each answered with these fields.
  void fill(std::size_t count, std::string_view fields = {}) {
    Peer& server = peers_.empty() ? serve() : peer();
    server.on_request({});
    const std::size_t before = server.requests();
    for (std::size_t i = 0; i < count; ++i) get("/fill");
    ASSERT_TRUE(run_until_requests(server, before + count));
    for (Peer::Line& line : server.lines()) line.send(reply("/fill", fields));
    ASSERT_TRUE(run_until_all_over());
    server.answer_all();
  }
};

TEST_P(AgentIdleTest, TheyDoNotKeepRunGoing) {
  RULES("4.7.4.1");
  Peer& server = serve(false, false);
  server.answer_all();
  Asked& asked = get("/a");
  reactor().run();
  EXPECT_EQ(asked.outcome(), "200 /a");
  EXPECT_EQ(now(), "1 1 0") << "it is idle still, and run() has returned";
  Asked& again = get("/b");
  reactor().run();
  EXPECT_EQ(again.outcome(), "200 /b") << "a busy one keeps it going again";
  EXPECT_EQ(server.log(), "0:/a 0:/b");
  EXPECT_EQ(now(), "1 1 0");
}

TEST_P(AgentIdleTest, OneThatTheServerEndsIsForgotten) {
  RULES("4.7.4.7");
  NODE_TEST("http-agent-keepalive http-agent-timeout");
  fill(1);
  Peer& server = peer();
  server.line(0).end();
  ASSERT_TRUE(run_until_stats("0 0 0"));
  EXPECT_EQ(got("/next"), "200 /next");
  EXPECT_EQ(server.log(), "0:/fill 1:/next");
  EXPECT_FALSE(asker().all().back().reused);
  EXPECT_FALSE(server.line(0).is_open());
}

TEST_P(AgentIdleTest, AResetIsNobodys) {
  RULES("4.7.4.8");
  NODE_TEST("http-agent-error-on-idle");
  fill(1);
  Peer& server = peer();
  server.line(0).reset();
  ASSERT_TRUE(run_until_stats("0 0 0"));
  EXPECT_EQ(got("/next"), "200 /next");
  EXPECT_EQ(server.log(), "0:/fill 1:/next");
  EXPECT_EQ(asker().all().front().events, "response end close ");
}

TEST_P(AgentIdleTest, BytesThatNobodyAskedForEndIt) {
  RULES("4.7.4.9");
  for (const std::string_view bytes : {"H", "HTTP/1.1 408 Request Timeout\r\n\r\n"}) {
    peers_.clear();
    use();
    fill(1);
    Peer& server = peer();
    server.line(0).send(bytes);
    ASSERT_TRUE(run_until_stats("0 0 0"));
    EXPECT_EQ(got("/next"), "200 /next");
    EXPECT_EQ(server.log(), "0:/fill 1:/next");
    ASSERT_TRUE(run_until_open(server, 1));
  }
}

TEST_P(AgentIdleTest, MoreThanMaxFreeSocketsAreClosed) {
  RULES("4.7.4.10");
  use({.max_free_sockets = 2});
  fill(5);
  EXPECT_EQ(now(), "2 2 0");
  ASSERT_TRUE(run_until_open(peer(), 2));
  EXPECT_EQ(peer().accepted(), 5U);
}

TEST_P(AgentIdleTest, MaxFreeSocketsIsForEachOrigin) {
  RULES("4.7.4.10");
  use({.max_free_sockets = 1});
  fill(2);
  Peer& other = serve_all();
  EXPECT_EQ(outcome_of(other.at("/a")), "200 /a");
  EXPECT_EQ(now(), "2 2 0");
}

TEST_P(AgentIdleTest, WithoutAnyNoneIsKept) {
  RULES("4.7.4.10");
  use({.max_free_sockets = 0});
  fill(1);
  EXPECT_EQ(now(), "0 0 0");
  ASSERT_TRUE(run_until_open(peer(), 0));
}

TEST_P(AgentIdleTest, CloseIdleConnectionsClosesTheIdleOnesOnly) {
  RULES("4.7.4.12");
  fill(3);
  Peer& server = peer();
  server.on_request({});
  Asked& busy = get("/busy");
  ASSERT_TRUE(run_until_requests(server, 4));
  Peer& other = serve_all();
  EXPECT_EQ(outcome_of(other.at("/other")), "200 /other");
  EXPECT_EQ(now(), "4 3 0");
  agent().close_idle_connections();
  EXPECT_EQ(now(), "1 0 0");
  ASSERT_TRUE(run_until_open(server, 1));
  ASSERT_TRUE(run_until_open(other, 0));
  server.answer("/busy");
  ASSERT_TRUE(run_until_over(busy));
  EXPECT_EQ(busy.outcome(), "200 /busy");
  EXPECT_EQ(now(), "1 1 0");
  agent().close_idle_connections();
  agent().close_idle_connections();
  EXPECT_EQ(now(), "0 0 0");
}

TEST_P(AgentIdleTest, AServerThatKeepsItForASecondKeepsItNot) {
  RULES("4.7.4.5");
  NODE_TEST("http-client-keep-alive-hint http-agent-keep-alive-timeout-buffer");
  for (const std::string_view hint : {"timeout=1", "timeout=0", "max=5, timeout=1"}) {
    use();
    peers_.clear();
    fill(1, "Keep-Alive: " + std::string(hint) + "\r\n");
    EXPECT_EQ(now(), "0 0 0") << hint;
    ASSERT_TRUE(run_until_open(peer(), 0));
  }
}

TEST_P(AgentIdleTest, ButARequestThatWaitsGetsIt) {
  RULES("4.7.4.13 4.7.3.6");
  use({.max_sockets = 1});
  Peer& server = serve_all("Keep-Alive: timeout=1\r\n");
  get("/a");
  get("/b");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/a 0:/b");
  EXPECT_EQ(now(), "0 0 0");
}

TEST_P(AgentIdleTest, ThousandsOfIdleOnesAreForgottenWithTheirOrigins) {
  RULES("4.7.4.7");
  Peer& server = serve_all();
  for (int round = 0; round < 20; ++round) {
    const std::size_t before = server.accepted();
    for (int i = 0; i < 20; ++i) get("/x");
    ASSERT_TRUE(run_until_all_over());
    for (std::size_t i = before; i < server.accepted(); ++i) server.line(i).end();
    ASSERT_TRUE(run_until_stats("0 0 0"));
  }
  EXPECT_EQ(server.accepted(), 400U);
}

WEIR_ON_ALL_BACKENDS(AgentIdleTest);

// ---- How long ----

class VirtualAgentIdleTest : public AgentTimeTest {
 protected:
  // The time after which an idle connection of this agent is closed, when the server says so.
  long idle_for(Duration idle_timeout, std::string_view fields = {}) {
    use({.idle_timeout = idle_timeout});
    peers_.clear();
    serve_all(fields);
    EXPECT_EQ(got("/a"), "200 /a");
    EXPECT_EQ(now(), "1 1 0");
    begin();
    return at([&] { return stats().sockets == 0; });
  }
};

TEST_P(VirtualAgentIdleTest, FiveSecondsByDefault) {
  RULES("4.7.1.1 4.7.4.2");
  EXPECT_EQ(idle_for(AgentOptions().idle_timeout), 5000);
  EXPECT_TRUE(run_until_open(peer(), 0));
}

TEST_P(VirtualAgentIdleTest, OrAsTheOptionSays) {
  RULES("4.7.4.2 4.7.4.3");
  NODE_TEST("http-agent-timeout");
  EXPECT_EQ(idle_for(1500ms), 1500);
  EXPECT_EQ(idle_for(24h), 24 * 3600 * 1000);
  EXPECT_EQ(idle_for(0s), -1) << "none";
}

TEST_P(VirtualAgentIdleTest, TheServersTimeLessASecond) {
  RULES("4.7.4.4 4.7.4.6");
  NODE_TEST("http-client-keep-alive-hint http-agent-keep-alive-timeout-buffer");
  EXPECT_EQ(idle_for(60s, "Keep-Alive: timeout=10\r\n"), 9000);
  EXPECT_EQ(idle_for(60s, "Keep-Alive: timeout=2, max=100\r\n"), 1000);
  EXPECT_EQ(idle_for(5s, "Keep-Alive: timeout=100\r\n"), 5000);
  EXPECT_EQ(idle_for(0s, "Keep-Alive: timeout=100\r\n"), 99000);
  EXPECT_EQ(idle_for(5s, "Keep-Alive: max=100\r\n"), 5000);
}

TEST_P(VirtualAgentIdleTest, WeirsOwnServerIsLeftASecondBeforeItCloses) {
  RULES("4.7.4.4");
  NODE_TEST("http-agent-keep-alive-timeout-buffer");
  use({.idle_timeout = 60s});
  http::Server server(reactor(), [](http::Request&, http::Response& response) {
    response.end("here");
  });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  RequestOptions options;
  options.host = "127.0.0.1";
  options.port = bound->port();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(outcome_of(options), "200 here");
    run_for(3999ms);
    EXPECT_EQ(now(), "1 1 0");
  }
  EXPECT_EQ(stats().connections, 1U);
  EXPECT_EQ(outcome_of(options), "200 here");
  begin();
  EXPECT_EQ(at([&] { return stats().sockets == 0; }), 4000);
  EXPECT_EQ(stats().retried, 0U);
}

TEST_P(VirtualAgentIdleTest, ItCountsFromWhenItBecameIdle) {
  RULES("4.7.4.2");
  Peer& server = serve_all();
  begin();
  EXPECT_EQ(got("/a"), "200 /a");
  run_to(4999);
  EXPECT_EQ(now(), "1 1 0");
  server.on_request({});
  Asked& slow = get("/slow");
  run_to(3600 * 1000);
  EXPECT_EQ(now(), "1 0 0") << "a busy one has no such time";
  server.answer("/slow");
  ASSERT_TRUE(run_until_over(slow));
  EXPECT_EQ(at([&] { return stats().sockets == 0; }), 3605 * 1000);
  EXPECT_EQ(server.log(), "0:/a 0:/slow");
}

TEST_P(VirtualAgentIdleTest, EachForItself) {
  RULES("4.7.4.2 4.7.2.9");
  Peer& server = serve();
  get("/a");
  get("/b");
  ASSERT_TRUE(run_until_requests(server, 2));
  begin();
  server.answer("/a");
  run_to(2000);
  server.answer("/b");
  run_to(4999);
  EXPECT_EQ(now(), "2 2 0");
  run_to(5001);
  EXPECT_EQ(now(), "1 1 0");
  EXPECT_EQ(at([&] { return stats().sockets == 0; }), 7000);
}

TEST_P(VirtualAgentIdleTest, TheHintOfTheLastResponseCounts) {
  RULES("4.7.4.4");
  Peer& server = serve();
  server.on_request([](Peer::Line& line, std::string_view request) {
    const bool first = target_of(request) == "/first";
    line.send(reply(target_of(request), first ? "Keep-Alive: timeout=2\r\n" : ""));
  });
  EXPECT_EQ(got("/first"), "200 /first");
  EXPECT_EQ(got("/second"), "200 /second");
  begin();
  EXPECT_EQ(at([&] { return stats().sockets == 0; }), 5000);
}

TEST_P(VirtualAgentIdleTest, TheTimeoutOfARequestEndsWithIt) {
  RULES("4.7.8.6 4.7.8.7");
  NODE_TEST(
      "http-agent-timeout-option http-client-timeout-agent "
      "http-client-timeout-option-with-agent");
  use({.idle_timeout = 0s});
  Peer& server = serve();
  RequestOptions options = server.at("/timed");
  options.timeout = 2s;
  begin();
  Asked& timed = ask(options);
  EXPECT_EQ(at([&] { return !timed.events.empty(); }), 2000);
  EXPECT_EQ(timed.events, "timeout ");
  run_to(3000);
  EXPECT_FALSE(timed.over()) << "only a notice";
  server.answer("/timed");
  ASSERT_TRUE(run_until_over(timed));
  EXPECT_EQ(timed.events, "timeout response end close ");
  run_to(20000);
  EXPECT_EQ(now(), "1 1 0");
  Asked& untimed = get("/untimed");
  run_to(60000);
  EXPECT_EQ(untimed.events, "");
  server.answer("/untimed");
  ASSERT_TRUE(run_until_over(untimed));
  EXPECT_EQ(server.log(), "0:/timed 0:/untimed");
}

TEST_P(VirtualAgentIdleTest, ATimeoutBeginsWithTheRequestNotWithTheConnection) {
  RULES("4.7.8.6");
  use({.idle_timeout = 0s});
  Peer& server = serve_all();
  begin();
  EXPECT_EQ(got("/a"), "200 /a");
  run_to(10000);
  server.on_request({});
  RequestOptions options = server.at("/b");
  options.timeout = 3s;
  Asked& timed = ask(options);
  EXPECT_TRUE(timed.request().reused_socket());
  EXPECT_EQ(at([&] { return !timed.events.empty(); }), 13000);
}

WEIR_ON_SIM(VirtualAgentIdleTest);

}  // namespace
}  // namespace weir::test
