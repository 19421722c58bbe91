// The contract, section 4.7: when a connection is used again, and when it is not.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_agent_world.h"
#include "weir/http/server.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class AgentReuseTest : public AgentTest {
 protected:
  // Makes a request that gets these bytes, then another, that gets an ordinary answer. True when it
  // came on the same connection.
  bool reused_after(std::string_view answer, const RequestOptions& options) {
    Peer& server = peer();
    server.on_request([answer = std::string(answer), first = true](
                          Peer::Line& line, std::string_view request) mutable {
      line.send(std::exchange(first, false) ? answer : reply(target_of(request)));
      if (answer.find("Length") == answer.npos && answer.find(" 200 ") != answer.npos) line.end();
    });
    const std::size_t before = server.requests();
    EXPECT_EQ(outcome_of(options).find('E'), std::string::npos) << "the name of an error";
    EXPECT_EQ(asker().all().back().events, "response end close ");
    const std::size_t used = server.accepted() - 1;
    EXPECT_EQ(got("/next"), "200 /next");
    EXPECT_EQ(server.requests(), before + 2);
    const Peer::Line* next = server.line_with("/next");
    EXPECT_EQ(asker().all().back().reused, next != nullptr && next->index == used);
    return asker().all().back().reused;
  }
  bool reused_after(std::string_view answer) { return reused_after(answer, serve().at("/first")); }
};

TEST_P(AgentReuseTest, AfterAnOrdinaryResponse) {
  RULES("4.7.2.1");
  EXPECT_TRUE(reused_after(reply("body")));
}

TEST_P(AgentReuseTest, AfterAChunkedOne) {
  RULES("4.7.2.1");
  EXPECT_TRUE(reused_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Length: 3\r\n\r\n"
                           "3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n"));
}

TEST_P(AgentReuseTest, NotAfterConnectionClose) {
  RULES("4.7.3.3");
  NODE_TEST("http-keep-alive-close-on-header");
  EXPECT_FALSE(reused_after(reply("body", "Connection: close\r\n")));
}

TEST_P(AgentReuseTest, NotAfterHttp10) {
  RULES("4.7.3.3");
  EXPECT_FALSE(reused_after("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody"));
}

TEST_P(AgentReuseTest, EvenWhenThatSaysKeepAlive) {
  RULES("4.7.3.3");
  EXPECT_FALSE(
      reused_after("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody"));
}

TEST_P(AgentReuseTest, NotAfterABodyThatLastsUntilTheEnd) {
  RULES("4.7.3.3");
  EXPECT_FALSE(reused_after("HTTP/1.1 200 OK\r\n\r\nbody"));
}

TEST_P(AgentReuseTest, AfterNoContent) {
  RULES("4.7.3.8");
  NODE_TEST("http-allow-req-after-204-res");
  EXPECT_TRUE(reused_after("HTTP/1.1 204 No Content\r\n\r\n"));
}

TEST_P(AgentReuseTest, AfterNotModified) {
  RULES("4.7.3.8");
  EXPECT_TRUE(reused_after("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"));
}

TEST_P(AgentReuseTest, AfterTheAnswerToHead) {
  RULES("4.7.3.8");
  RequestOptions head = serve().at("/first");
  head.method = "HEAD";
  EXPECT_TRUE(reused_after("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", head));
}

TEST_P(AgentReuseTest, NotWhenSomethingCameBehindIt) {
  RULES("4.7.3.5");
  NODE_TEST("http-extra-response");
  for (const std::string& more : {std::string("H"), reply("again")}) {
    use();
    peers_.clear();
    EXPECT_FALSE(reused_after(reply("body") + more));
    EXPECT_EQ(now(), "1 1 0");
    EXPECT_TRUE(run_until_open(peer(), 1));
  }
}

TEST_P(AgentReuseTest, ADestroyedSocketIsNotUsedAgain) {
  RULES("4.7.3.12 4.7.3.3");
  NODE_TEST("http-agent-destroyed-socket");
  use({.max_sockets = 1});
  Peer& server = serve();
  server.on_request([](Peer::Line& line, std::string_view request) {
    const bool last = target_of(request) == "/a";
    line.send(reply(target_of(request), last ? "Connection: close\r\n" : ""));
  });
  get("/a");
  get("/b");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/a 1:/b");
  EXPECT_FALSE(asker().all()[1].reused);
  EXPECT_EQ(now(), "1 1 0");
}

// ---- The request is with the kernel, too ----

TEST_P(AgentReuseTest, AResponseBeforeTheRequestIsWritten) {
  RULES("4.7.3.2 4.7.3.13");
  NODE_TEST("http-client-keep-alive-release-before-finish http-client-finished");
  use({.max_sockets = 1});
  Peer& server = serve();
  RequestOptions post = server.at("/post");
  post.method = "POST";
  Asked& first = ask(post, [](ClientRequest& request) { request.write("begin"); }, false);
  Asked& second = get("/next");
  ASSERT_TRUE(run_until(
      [&] { return server.accepted() == 1 && server.line(0).received.ends_with("begin\r\n"); }));
  server.line(0).send(reply("early"));
  ASSERT_TRUE(run_until([&] { return first.events == "response end "; }));
  run_for(20ms);
  EXPECT_EQ(now(), "1 0 1");
  EXPECT_FALSE(first.over());
  EXPECT_EQ(second.sockets, 0);
  first.request().end("rest");
  ASSERT_TRUE(run_until_requests(server, 2));
  EXPECT_EQ(first.outcome(), "200 early");
  server.answer("/next");
  ASSERT_TRUE(run_until_over(second));
  EXPECT_EQ(server.log(), "0:/post 0:/next");
  EXPECT_TRUE(server.line(0).requests[0].ends_with("\r\n5\r\nbegin\r\n4\r\nrest\r\n0\r\n\r\n"));
}

TEST_P(AgentReuseTest, OnlyWhenTheBodyIsWithTheKernel) {
  RULES("4.7.3.2");
  NODE_TEST("http-agent-reuse-drained-socket-only");
  use({.max_sockets = 1});
  // Its window closes behind the head: it reads on when the test says so.
  net::Server server(reactor(), {.socket = {.allow_half_open = true, .no_delay = true}});
  Socket* line = nullptr;
  std::size_t accepted = 0;
  std::size_t bytes = 0;
  bool pauses = true;
  std::string end;
  server.on_connection([&](Socket& socket) {
    ++accepted;
    line = &socket;
  });
  server.on_data([&](Socket& socket, Buffer piece) {
    bytes += piece.size();
    end = piece.view().substr(piece.size() - std::min<std::size_t>(piece.size(), 40));
    if (!std::exchange(pauses, false)) return;
    socket.pause();
    socket.write(reply("early"));
  });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  RequestOptions put;
  put.method = "PUT";
  put.host = "127.0.0.1";
  put.port = bound->port();
  const std::size_t size = 12 << 20;  // more than the kernel takes
  Asked& first = ask(put, [&](ClientRequest& request) { request.end(std::string(size, 'b')); });
  put.method = "GET";
  put.target = "/next";
  Asked& second = ask(put);
  ASSERT_TRUE(run_until([&] { return first.events == "response end "; }));
  run_for(20ms);
  EXPECT_EQ(first.finishes, 0);
  EXPECT_EQ(now(), "1 0 1");
  line->resume();
  ASSERT_TRUE(run_until([&] { return end.ends_with("\r\nConnection: keep-alive\r\n\r\n"); }));
  EXPECT_GT(bytes, size);
  line->write(reply("second"));
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(first.outcome(), "200 early");
  EXPECT_EQ(second.outcome(), "200 second");
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(accepted, 1U);
  asker().destroy_agent();
}

TEST_P(AgentReuseTest, AnExpectationThatNobodyMet) {
  RULES("4.7.3.9");
  NODE_TEST("http-expect-continue-reuse-race");
  use({.max_sockets = 1});
  Peer& server = serve();
  RequestOptions post = server.at("/post");
  post.method = "POST";
  Asked& first = ask(
      post,
      [](ClientRequest& request) {
        EXPECT_TRUE(request.set_header("Expect", "100-continue").has_value());
        EXPECT_TRUE(request.set_header("Content-Length", "4").has_value());
        EXPECT_TRUE(request.flush_headers().has_value());
      },
      false);
  ASSERT_TRUE(run_until(
      [&] { return server.accepted() == 1 && server.line(0).received.ends_with("\r\n\r\n"); }));
  Asked& second = get("/next");
  server.line(0).send(reply("no", {}, "417 Expectation Failed"));
  ASSERT_TRUE(run_until_requests(server, 1));
  EXPECT_EQ(server.log(), "1:/next") << "the server may take what follows for the body";
  EXPECT_EQ(first.status, 417);
  server.answer("/next");
  ASSERT_TRUE(run_until_over(second));
  EXPECT_FALSE(second.reused);
  ASSERT_TRUE(run_until_open(server, 1));
  EXPECT_FALSE(server.line(0).received.ends_with("body"));
}

TEST_P(AgentReuseTest, AnExpectationThatWasMet) {
  RULES("4.7.3.9");
  Peer& server = serve();
  RequestOptions post = server.at("/post");
  post.method = "POST";
  Asked& first = ask(
      post,
      [](ClientRequest& request) {
        EXPECT_TRUE(request.set_header("Expect", "100-continue").has_value());
        EXPECT_TRUE(request.set_header("Content-Length", "4").has_value());
        request.on_continue([](ClientRequest& its) { its.end("body"); });
        EXPECT_TRUE(request.flush_headers().has_value());
      },
      false);
  ASSERT_TRUE(run_until(
      [&] { return server.accepted() == 1 && server.line(0).received.ends_with("\r\n\r\n"); }));
  EXPECT_EQ(now(), "1 0 0");
  server.line(0).send("HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(run_until_requests(server, 1));
  server.answer_all();
  server.answer("/post");
  ASSERT_TRUE(run_until_over(first));
  EXPECT_EQ(got("/next"), "200 /next");
  EXPECT_EQ(server.log(), "0:/post 0:/next");
}

// ---- Who gets it ----

TEST_P(AgentReuseTest, ANextRequestOfTheEndListenerGetsIt) {
  RULES("4.7.3.7 4.7.3.13");
  NODE_TEST("http-keepalive-free");
  for (const std::size_t max_sockets : {std::size_t{1}, SIZE_MAX}) {
    use({.max_sockets = max_sockets});
    Peer& server = serve_all();
    std::string seen;
    const auto made = agent().request(server.at("/first"), [&](ClientResponse& response) {
      response.on_end([&](ClientResponse& ended) {
        seen = now();
        EXPECT_EQ(ended.request().socket(), nullptr);
        ask(server.at("/second"));
        seen += ";" + now();
      });
      EXPECT_NE(response.request().socket(), nullptr);
      response.resume();
    });
    ASSERT_TRUE(made.has_value());
    (*made)->end();
    ASSERT_TRUE(run_until([&] { return asker().all().size() == 1 && asker().all_over(); }));
    EXPECT_EQ(seen, "1 1 0;1 0 0");
    EXPECT_EQ(server.log(), "0:/first 0:/second");
    EXPECT_TRUE(asker().all()[0].reused);
    peers_.clear();
  }
}

TEST_P(AgentReuseTest, NotBeforeTheOneThatWaits) {
  RULES("4.7.3.7 4.7.2.3");
  use({.max_sockets = 1});
  Peer& server = serve_all();
  const auto made = agent().request(server.at("/0"), [&](ClientResponse& response) {
    response.on_end([&](ClientResponse&) { ask(server.at("/2")); });
    response.resume();
  });
  ASSERT_TRUE(made.has_value());
  (*made)->end();
  get("/1");
  ASSERT_TRUE(run_until([&] { return asker().all().size() == 2 && asker().all_over(); }));
  EXPECT_EQ(server.log(), "0:/0 0:/1 0:/2");
}

TEST_P(AgentReuseTest, AChainOfAHundredTakesOneConnection) {
  RULES("4.7.3.7");
  NODE_TEST("http-client-agent-end-close-event");
  Peer& server = serve_all();
  int left = 100;
  std::function<void()> next = [&] {
    if (left-- == 0) return;
    const auto made = agent().get(server.at("/"), [&](ClientResponse& response) {
      response.on_end([&](ClientResponse&) { next(); });
      response.resume();
    });
    EXPECT_TRUE(made.has_value());
  };
  next();
  ASSERT_TRUE(run_until([&] { return left < 0; }));
  EXPECT_EQ(server.accepted(), 1U);
  EXPECT_EQ(server.requests(), 100U);
  EXPECT_EQ(stats().reused, 99U);
}

TEST_P(AgentReuseTest, AResponseThatNobodyWantsIsDropped) {
  RULES("4.7.3.11");
  Peer& server = serve();
  const std::string body(1 << 20, 'b');
  server.on_request([&](Peer::Line& line, std::string_view) { line.send(reply(body)); });
  int closes = 0;
  for (int i = 0; i < 3; ++i) {
    const auto made = agent().get(server.at("/unread"));
    ASSERT_TRUE(made.has_value());
    (*made)->on_close([&](ClientRequest&) { ++closes; });
    ASSERT_TRUE(run_until([&] { return closes == i + 1; }));
  }
  EXPECT_EQ(server.accepted(), 1U);
  EXPECT_EQ(now(), "1 1 0");
}

TEST_P(AgentReuseTest, OneThatIsPausedKeepsItsConnection) {
  RULES("4.7.3.11 4.7.3.1");
  use({.max_sockets = 1});
  Peer& server = serve_all();
  ClientResponse* held = nullptr;
  const auto made = agent().get(server.at("/held"), [&](ClientResponse& response) {
    response.pause();
    held = &response;
  });
  ASSERT_TRUE(made.has_value());
  Asked& next = get("/next");
  ASSERT_TRUE(run_until([&] { return held != nullptr; }));
  run_for(20ms);
  EXPECT_EQ(now(), "1 0 1");
  held->resume();
  ASSERT_TRUE(run_until_over(next));
  EXPECT_EQ(server.log(), "0:/held 0:/next");
}

// ---- Upgrades ----

TEST_P(AgentReuseTest, AnUpgradedConnectionLeaves) {
  RULES("4.7.3.10 4.7.3.12");
  NODE_TEST("http-upgrade-agent http-agent-remove");
  use({.max_sockets = 1});
  Peer& server = serve();
  server.on_request([](Peer::Line& line, std::string_view request) {
    line.send(target_of(request) == "/chat" ? "HTTP/1.1 101 Switching Protocols\r\nConnection: "
                                              "Upgrade\r\nUpgrade: own\r\n\r\nhello"
                                            : reply(target_of(request)));
  });
  std::unique_ptr<Socket> socket;
  std::string head;
  Asked& chat = ask(server.at("/chat"), [&](ClientRequest& request) {
    EXPECT_TRUE(request.set_header("Connection", "Upgrade").has_value());
    EXPECT_TRUE(request.set_header("Upgrade", "own").has_value());
    request.on_upgrade([&](http::ClientUpgrade& upgrade) {
      head = upgrade.head.view();
      EXPECT_EQ(upgrade.response.status(), 101);
      socket = std::move(upgrade.socket);
    });
  });
  Asked& next = get("/next");
  ASSERT_TRUE(run_until_all_over());
  ASSERT_NE(socket, nullptr);
  EXPECT_EQ(chat.events, "close ");
  EXPECT_EQ(next.outcome(), "200 /next");
  EXPECT_EQ(server.log(), "0:/chat 1:/next");
  EXPECT_EQ(now(), "1 1 0");
  std::string received;
  socket->on_data([&](Socket&, Buffer bytes) { received += bytes.view(); });
  server.line(0).send(" and more");
  ASSERT_TRUE(run_until([&] { return head + received == "hello and more"; }));
  agent().destroy();
  ASSERT_TRUE(run_until([&] { return !server.line(1).is_open(); }));
  EXPECT_TRUE(server.line(0).is_open()) << "it is not the agent's any more";
  socket.reset();
  EXPECT_TRUE(run_until_open(server, 0));
}

// ---- With weir's own server ----

TEST_P(AgentReuseTest, AServerThatCountsRequestsSaysClose) {
  RULES("4.7.3.3 4.7.3.12");
  NODE_TEST("http-keep-alive-max-requests");
  use({.max_sockets = 2});
  std::size_t connections = 0;
  http::Server server(reactor(),
                      [](http::Request& request, http::Response& response) {
                        response.end(request.target());
                      },
                      {.requests_per_socket_max = 3});
  server.on_connection([&](Socket&) { ++connections; });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  RequestOptions options;
  options.host = "127.0.0.1";
  options.port = bound->port();
  for (int i = 0; i < 30; ++i) ask(options);
  ASSERT_TRUE(run_until_all_over());
  for (const Asked& asked : asker().all()) EXPECT_EQ(asked.outcome(), "200 /");
  EXPECT_EQ(connections, 10U);
  EXPECT_EQ(stats().retried, 0U);
  EXPECT_EQ(stats().connections, 10U);
  asker().destroy_agent();
}

WEIR_ON_ALL_BACKENDS(AgentReuseTest);

}  // namespace
}  // namespace weir::test
