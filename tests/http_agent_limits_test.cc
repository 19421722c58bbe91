// The contract, section 4.7: limits over all origins, and requests that wait.
#include <gtest/gtest.h>

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_agent_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class AgentLimitsTest : public AgentTest {};

TEST_P(AgentLimitsTest, ATotalOverAllOrigins) {
  RULES("4.7.7.1 4.7.7.3");
  NODE_TEST("http-agent-maxtotalsockets");
  use({.max_sockets = 2, .max_total_sockets = 3});
  Peer& a = serve();
  Peer& b = serve();
  for (const char* target : {"/0", "/1", "/2"}) ask(a.at(target));
  for (const char* target : {"/3", "/4"}) ask(b.at(target));
  EXPECT_EQ(now(), "3 0 2");
  ASSERT_TRUE(run_until([&] { return a.requests() == 2 && b.requests() == 1; }));
  a.answer("/0");
  ASSERT_TRUE(run_until_requests(a, 3));
  EXPECT_EQ(a.line_with("/2"), a.line_with("/0")) << "a connection goes to its own origin first";
  EXPECT_EQ(now(), "3 0 1");
  a.answer("/1");
  ASSERT_TRUE(run_until_requests(b, 2));
  EXPECT_EQ(now(), "3 0 0");
  ASSERT_TRUE(run_until_open(a, 1)) << "nobody else wants it, so it made room";
  a.answer("/2");
  b.answer("/3");
  b.answer("/4");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(now(), "3 3 0");
  EXPECT_EQ(a.accepted(), 2U);
  EXPECT_EQ(b.accepted(), 2U);
}

TEST_P(AgentLimitsTest, AnIdleOneOfAnotherOriginMakesRoom) {
  RULES("4.7.7.2");
  use({.max_total_sockets = 1});
  Peer& a = serve_all();
  Peer& b = serve_all();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(outcome_of(a.at("/a")), "200 /a");
    EXPECT_EQ(now(), "1 1 0");
    EXPECT_EQ(outcome_of(b.at("/b")), "200 /b");
    EXPECT_EQ(now(), "1 1 0");
  }
  ASSERT_TRUE(run_until_open(a, 0));
  EXPECT_EQ(b.open(), 1U);
  EXPECT_EQ(a.accepted(), 3U);
  EXPECT_EQ(b.accepted(), 3U);
}

TEST_P(AgentLimitsTest, ABusyOneDoesNot) {
  RULES("4.7.7.1 4.7.7.3");
  use({.max_total_sockets = 1});
  Peer& a = serve();
  Peer& b = serve_all();
  Asked& first = ask(a.at("/a"));
  Asked& second = ask(b.at("/b"));
  ASSERT_TRUE(run_until_requests(a, 1));
  run_for(20ms);
  EXPECT_EQ(now(), "1 0 1");
  EXPECT_EQ(b.accepted(), 0U);
  a.answer("/a");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(first.outcome(), "200 /a");
  EXPECT_EQ(second.outcome(), "200 /b");
  EXPECT_EQ(now(), "1 1 0");
}

TEST_P(AgentLimitsTest, ManyOriginsShareFewConnections) {
  RULES("4.7.7.3 4.7.7.1 4.7.11.2");
  NODE_TEST("http-agent-maxtotalsockets");
  use({.max_sockets = 2, .max_total_sockets = 3});
  for (int i = 0; i < 5; ++i) serve_all();
  for (int i = 0; i < 100; ++i) ask(peer(static_cast<std::size_t>(i) % 5).at("/x"));
  EXPECT_EQ(now(), "3 0 97");
  ASSERT_TRUE(run_until([&] {
    const AgentStats stats = agent().stats();
    EXPECT_LE(stats.sockets, 3U);
    EXPECT_TRUE(stats.waiting == 0 || stats.sockets - stats.idle >= 2U);
    return asker().all_over();
  }));
  for (const Asked& asked : asker().all()) EXPECT_EQ(asked.outcome(), "200 /x");
  for (const auto& peer : peers_) EXPECT_EQ(peer->requests(), 20U);
}

TEST_P(AgentLimitsTest, MoreThanMayWaitAreRefused) {
  RULES("4.7.7.4");
  use({.max_sockets = 1, .max_waiting = 2});
  Peer& server = serve();
  for (const char* target : {"/0", "/1", "/2"}) EXPECT_FALSE(get(target).refused);
  EXPECT_EQ(now(), "1 0 2");
  EXPECT_EQ(get("/refused").refused, errno_code(ENOBUFS));
  Peer& other = serve_all();
  EXPECT_EQ(outcome_of(other.at("/other")), "200 /other") << "this one need not wait";
  EXPECT_EQ(stats().requests, 4U);
  ASSERT_TRUE(run_until_requests(server, 1));
  server.answer("/0");
  ASSERT_TRUE(run_until_requests(server, 2));
  EXPECT_FALSE(get("/3").refused);
  EXPECT_EQ(get("/refused").refused, errno_code(ENOBUFS));
  server.answer_all();
  server.answer("/1");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 0:/1 0:/2 0:/3");
}

TEST_P(AgentLimitsTest, NoneMayWait) {
  RULES("4.7.7.4");
  use({.max_sockets = 1, .max_waiting = 0});
  Peer& server = serve_all();
  EXPECT_FALSE(get("/0").refused);
  EXPECT_EQ(get("/1").refused, errno_code(ENOBUFS));
  ASSERT_TRUE(run_until_all_over());
  EXPECT_FALSE(get("/2").refused);
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 0:/2");
}

TEST_P(AgentLimitsTest, AMistakeLeavesNothingBehind) {
  RULES("4.7.10.1 4.7.7.4");
  use({.max_sockets = 1});
  Peer& server = serve_all();
  RequestOptions wrong = server.at("/a b");
  EXPECT_EQ(ask(wrong).refused, Mistake::unescaped_characters);
  wrong = server.at();
  wrong.method = "G T";
  EXPECT_EQ(ask(wrong).refused, Mistake::invalid_http_token);
  wrong = server.at();
  wrong.port = 65536;
  EXPECT_EQ(ask(wrong).refused, Mistake::bad_port);
  wrong = server.at();
  wrong.host = "";
  EXPECT_EQ(ask(wrong).refused, Mistake::bad_argument);
  EXPECT_EQ(now(), "0 0 0");
  EXPECT_EQ(stats().requests, 0U);
  EXPECT_EQ(stats().connections, 0U);
  EXPECT_EQ(got("/good"), "200 /good");
}

TEST_P(AgentLimitsTest, APathThatIsOfNoSocketFailsItsRequestOnly) {
  use({.max_sockets = 1});
  Peer& server = serve_all();
  const std::string too_long(200, 'x');
  const std::string with_nul("a\0b", 3);
  for (const std::string* path : {&too_long, &with_nul}) {
    RequestOptions wrong = server.at("/");
    wrong.socket_path = *path;
    Asked& failed = ask(wrong);
    ASSERT_TRUE(run_until_all_over());
    EXPECT_EQ(failed.outcome(), path == &too_long ? "EINVAL" : "ERR_INVALID_ARG_VALUE");
    EXPECT_EQ(now(), "0 0 0");
  }
  EXPECT_EQ(got("/good"), "200 /good");
}

// Its head goes at once, and so must be right at once.
TEST_P(AgentLimitsTest, AMistakeInAHeadThatExpectsIsReturned) {
  use({.max_sockets = 1});
  Peer& server = serve_all();
  const std::initializer_list<http::Field> headers = {{"Expect", "100-continue"},
                                                      {"Transfer-Encoding", "gzip"}};
  RequestOptions wrong = server.at("/");
  wrong.headers = headers;
  EXPECT_EQ(ask(wrong).refused, Mistake::bad_argument);
  EXPECT_EQ(now(), "0 0 0");
  EXPECT_EQ(stats().requests, 0U);
  EXPECT_EQ(stats().connections, 0U);
  EXPECT_EQ(got("/good"), "200 /good");
}

TEST_P(AgentLimitsTest, LimitsThatLetNothingThroughAreMistakes) {
  Peer& server = serve_all();
  use({.max_sockets = 0});
  EXPECT_EQ(ask(server.at("/0")).refused, Mistake::out_of_range);
  use({.max_total_sockets = 0});
  EXPECT_EQ(ask(server.at("/1")).refused, Mistake::out_of_range);
  use({.idle_timeout = -1ms});
  EXPECT_EQ(ask(server.at("/2")).refused, Mistake::out_of_range);
  EXPECT_EQ(stats().connections, 0U);
}

TEST_P(AgentLimitsTest, AConnectionThatFailsMakesRoom) {
  RULES("4.7.7.5 4.7.3.12");
  use({.max_sockets = 1});
  Peer& server = serve();
  server.on_request([](Peer::Line& line, std::string_view request) {
    if (target_of(request).starts_with("/good")) {
      line.send(reply(target_of(request)));
    } else {
      line.reset();
    }
  });
  Asked& first = send("POST", "/reset", "x");
  get("/good0");
  Asked& third = send("POST", "/reset", "x");
  get("/good1");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(first.outcome(), "ECONNRESET");
  EXPECT_EQ(third.outcome(), "ECONNRESET");
  EXPECT_EQ(asker().all()[1].outcome(), "200 /good0");
  EXPECT_EQ(asker().all()[3].outcome(), "200 /good1");
  EXPECT_EQ(server.log(), "0:/reset 1:/good0 1:/reset 2:/good1");
}

TEST_P(AgentLimitsTest, SoDoesOneThatCannotBeMade) {
  RULES("4.7.7.5 4.7.7.3");
  NODE_TEST("http-client-immediate-error");
  use({.max_total_sockets = 1});
  Peer& server = serve_all();
  Peer& gone = serve();
  RequestOptions refused = gone.at("/refused");
  peers_.pop_back();
  run_for(5ms);  // its listener is closed
  for (int i = 0; i < 3; ++i) ask(refused);
  Asked& good = ask(server.at("/good"));
  EXPECT_EQ(now(), "1 0 3");
  ASSERT_TRUE(run_until_all_over());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(asker().all()[i].outcome(), "ECONNREFUSED");
  EXPECT_EQ(good.outcome(), "200 /good");
  EXPECT_EQ(now(), "1 1 0");
}

// ---- Requests that leave ----

TEST_P(AgentLimitsTest, OneThatIsDestroyedWhileItWaitsIsNeverSent) {
  RULES("4.7.8.1");
  NODE_TEST("http-client-abort-keep-alive-queued-tcp-socket");
  use({.max_sockets = 1});
  Peer& server = serve();
  for (const char* target : {"/0", "/1", "/2", "/3"}) get(target);
  ASSERT_TRUE(run_until_requests(server, 1));
  Asked& second = asker().all()[1];
  Asked& last = asker().all()[3];
  second.request().destroy();
  last.request().destroy(errno_code(ECANCELED));
  EXPECT_EQ(now(), "1 0 1");
  EXPECT_EQ(second.events, "") << "not inside the call";
  ASSERT_TRUE(run_until([&] { return second.over() && last.over(); }));
  EXPECT_EQ(second.events, "error close ");
  EXPECT_EQ(second.outcome(), "ECONNRESET");
  EXPECT_EQ(last.outcome(), "ECANCELED");
  EXPECT_EQ(second.sockets, 0);
  server.answer_all();
  server.answer("/0");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 0:/2");
  EXPECT_EQ(server.line(0).received.size(), server.line(0).parsed) << "nothing of the others";
}

TEST_P(AgentLimitsTest, OverAUnixSocketToo) {
  RULES("4.7.8.1 4.7.8.2");
  NODE_TEST("http-client-abort-keep-alive-queued-unix-socket http-client-abort-unix-socket");
  use({.max_sockets = 1});
  Peer& server = serve(true);
  for (const char* target : {"/0", "/1", "/2"}) get(target);
  ASSERT_TRUE(run_until_requests(server, 1));
  asker().all()[0].request().destroy();
  asker().all()[1].request().destroy();
  ASSERT_TRUE(run_until_requests(server, 2));
  server.answer("/2");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 1:/2");
}

TEST_P(AgentLimitsTest, OneThatIsDestroyedWithAConnectionGivesItsPlace) {
  RULES("4.7.8.2 4.7.3.12");
  NODE_TEST("http-client-agent-abort-close-event http-client-abort-event");
  use({.max_sockets = 1});
  Peer& server = serve();
  get("/0");
  get("/1");
  ASSERT_TRUE(run_until_requests(server, 1));
  asker().all()[0].request().destroy();
  ASSERT_TRUE(run_until_requests(server, 2));
  EXPECT_EQ(asker().all()[0].events, "error close ");
  ASSERT_TRUE(run_until_open(server, 1));
  server.answer("/1");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 1:/1");
  EXPECT_EQ(asker().all()[1].outcome(), "200 /1");
}

TEST_P(AgentLimitsTest, SoDoesOneWhoseResponseIsDestroyed) {
  RULES("4.7.8.3");
  NODE_TEST("http-client-abort-keep-alive-destroy-res http-client-res-destroyed");
  use({.max_sockets = 1});
  Peer& server = serve();
  Asked& first = ask(server.at("/0"), [](ClientRequest& request) {
    request.on_response([](ClientResponse& response) { response.destroy(); });
  });
  Asked& second = get("/1");
  ASSERT_TRUE(run_until_requests(server, 1));
  server.line(0).send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  ASSERT_TRUE(run_until_requests(server, 2));
  server.answer("/1");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(first.events, "response aborted close ");
  EXPECT_EQ(first.outcome(), "200  ECONNRESET");
  EXPECT_EQ(second.outcome(), "200 /1");
  EXPECT_EQ(server.log(), "0:/0 1:/1");
}

TEST_P(AgentLimitsTest, EvenWhenTheWholeResponseIsThere) {
  RULES("4.7.8.3");
  NODE_TEST("http-client-abort-keep-alive-destroy-res");
  use({.max_sockets = 1});
  Peer& server = serve_all();
  ask(server.at("/0"), [](ClientRequest& request) {
    request.on_response([](ClientResponse& response) { response.destroy(); });
  });
  Asked& second = get("/1");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(second.outcome(), "200 /1");
  EXPECT_EQ(server.log(), "0:/0 1:/1");
}

TEST_P(AgentLimitsTest, AllThatWaitAreDestroyedInAListener) {
  RULES("4.7.8.1");
  NODE_TEST("http-abort-queued");
  use({.max_sockets = 1});
  Peer& server = serve();
  Asked& first = get("/0");
  for (int i = 1; i < 50; ++i) get("/" + std::to_string(i));
  first.request().on_response([&](ClientResponse&) {
    for (Asked& asked : asker().all()) {
      if (&asked != &first) asked.request().destroy();
    }
    EXPECT_EQ(now(), "1 0 0");
  });
  ASSERT_TRUE(run_until_requests(server, 1));
  server.answer("/0");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0");
  EXPECT_EQ(now(), "1 1 0");
}

TEST_P(AgentLimitsTest, ARequestToStopOneThatWaits) {
  RULES("4.7.8.5");
  use({.max_sockets = 1});
  Peer& server = serve();
  std::stop_source source;
  get("/0");
  RequestOptions options = server.at("/1");
  options.stop = source.get_token();
  Asked& stopped = ask(options);
  get("/2");
  ASSERT_TRUE(run_until_requests(server, 1));
  source.request_stop();
  ASSERT_TRUE(run_until_over(stopped));
  EXPECT_EQ(stopped.outcome(), "ABORT_ERR");
  EXPECT_EQ(now(), "1 0 1");
  server.answer_all();
  server.answer("/0");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 0:/2");
}

TEST_P(AgentLimitsTest, TheTimeLimitCountsWhileItWaits) {
  RULES("4.7.8.4");
  use({.max_sockets = 1});
  Peer& server = serve();
  get("/0");
  RequestOptions options = server.at("/1");
  options.time_limit = 30ms;
  const Instant begin = reactor().now();
  Asked& limited = ask(options);
  get("/2");
  ASSERT_TRUE(run_until_over(limited));
  EXPECT_GE(reactor().now() - begin, 30ms);
  EXPECT_EQ(limited.outcome(), "ETIMEDOUT");
  EXPECT_EQ(now(), "1 0 1");
  ASSERT_TRUE(run_until_requests(server, 1));
  server.answer_all();
  server.answer("/0");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 0:/2");
}

WEIR_ON_ALL_BACKENDS(AgentLimitsTest);

class VirtualAgentLimitsTest : public AgentTimeTest {};

TEST_P(VirtualAgentLimitsTest, TheTimeLimitIsOneForWaitingAndBeingAnswered) {
  RULES("4.7.8.4");
  use({.max_sockets = 1});
  Peer& server = serve();
  begin();
  get("/0");
  RequestOptions options = server.at("/1");
  options.time_limit = 10s;
  Asked& limited = ask(options);
  Asked& last = get("/2");
  run_to(6000);
  server.answer("/0");
  ASSERT_TRUE(run_until_requests(server, 2));
  EXPECT_EQ(at([&] { return limited.over(); }), 10000);
  EXPECT_EQ(limited.outcome(), "ETIMEDOUT");
  ASSERT_TRUE(run_until_requests(server, 3));
  server.answer("/2");
  ASSERT_TRUE(run_until_over(last));
  EXPECT_EQ(server.log(), "0:/0 0:/1 1:/2");
}

TEST_P(VirtualAgentLimitsTest, AWaitingOneHasNoTimeout) {
  RULES("4.7.8.7");
  use({.max_sockets = 1});
  Peer& server = serve();
  begin();
  get("/0");
  RequestOptions options = server.at("/1");
  options.timeout = 1s;
  Asked& timed = ask(options);
  run_to(60000);
  EXPECT_EQ(timed.events, "") << "it has no connection that could be silent";
  server.answer("/0");
  EXPECT_EQ(at([&] { return !timed.events.empty(); }), 61000);
  EXPECT_EQ(timed.events, "timeout ");
}

WEIR_ON_SIM(VirtualAgentLimitsTest);

}  // namespace
}  // namespace weir::test
