// How a server closes: close(), close_idle_connections(), close_all_connections(), drain(), and its
// destruction.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_life.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class ServerCloseTest : public LifeTest {
 protected:
  http::Server& start_noted(const http::ServerOptions& options = {}) {
    start(options);
    server().on_server_close([this](http::Server&) { events_ += "server_close "; });
    server().on_connection([this](Socket& socket) { accepted_.push_back(&socket); });
    return server();
  }
  void close() {
    const auto closed = server().close([this](http::Server&, std::error_code code) {
      events_ += code ? std::string(name_of(code)) + " " : "done ";
    });
    EXPECT_TRUE(closed.has_value());
  }
  bool run_until_closed() {
    return run_until([&] {
      return events_.find("server_close ") != std::string::npos &&
             events_.find("done ") != std::string::npos;
    });
  }
  // A connection that has had a request, and has no other.
  HttpClient& dial_idle() {
    HttpClient& client = dial();
    client.send(get("/now"));
    EXPECT_TRUE(run_until_received(client, "\r\n\r\n/now"));
    client.take();
    return client;
  }
  // One that has sent this, which the server has read.
  HttpClient& dial_with(std::string_view bytes) {
    const std::size_t before = accepted_.size();
    HttpClient& client = dial();
    client.send(bytes);
    EXPECT_TRUE(run_until([&] {
      return accepted_.size() == before + 1 && accepted_.back()->bytes_read() == bytes.size();
    }));
    round_trip();
    return client;
  }

  std::string events_;
  std::vector<Socket*> accepted_;
};

TEST_P(ServerCloseTest, NobodyIsAcceptedAnyMore) {
  RULES("4.5.7.1 4.5.7.6");
  NODE_TEST("http-server-close-all");
  start_noted();
  EXPECT_TRUE(server().listening());
  close();
  EXPECT_FALSE(server().listening());
  ASSERT_TRUE(run_until_closed());
  HttpClient& late = dial();
  ASSERT_TRUE(run_until([&] { return late.closed(); }));
  EXPECT_EQ(name_of(late.error()), "ECONNREFUSED");
  EXPECT_EQ(count_of(events_, "done "), 1U);
  EXPECT_EQ(count_of(events_, "server_close "), 1U);
}

TEST_P(ServerCloseTest, IdleAndSilentConnectionsGoAtOnce) {
  RULES("4.5.7.2 4.5.7.3 4.5.7.6 4.5.7.13");
  NODE_TEST("http-server-connection-list-when-close");
  start_noted({.headers_timeout = 0s, .request_timeout = 0s, .keep_alive_timeout = 0s});
  HttpClient& idle = dial_idle();
  HttpClient& silent = dial_with("");
  EXPECT_TRUE(run_until([&] { return server().connections() == 2; }));
  close();
  ASSERT_TRUE(run_until_over(idle));
  ASSERT_TRUE(run_until_over(silent));
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(server().connections(), 0U);
  EXPECT_EQ(idle.received() + silent.received(), "");
  EXPECT_FALSE(idle.error());
  EXPECT_FALSE(silent.error());
}

TEST_P(ServerCloseTest, WhatIsInWorkIsFinished) {
  RULES("4.5.7.4 4.5.7.6");
  NODE_TEST("http-server-close-idle-wait-response");
  start_noted({.keep_alive_timeout = 0s});
  HttpClient& client = dial_with(get("/held"));
  HttpClient& begun = dial_with(get("/held/begun"));
  response(1).write("be");
  ASSERT_TRUE(run_until_received(begun, "be"));
  close();
  EXPECT_FALSE(server().listening());
  ASSERT_TRUE(run_until([&] { return server().connections() == 2; }));
  EXPECT_EQ(events_, "");
  answer_held(0);
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()), last_reply("/held"));
  client.end();
  response(1).end("gun");
  ASSERT_TRUE(run_until_over(begun)) << "its head could not say so any more";
  EXPECT_TRUE(begun.received().ends_with("\r\n\r\n2\r\nbe\r\n3\r\ngun\r\n0\r\n\r\n"));
  EXPECT_EQ(events_, "");
  begun.end();
  EXPECT_TRUE(run_until_closed());
}

TEST_P(ServerCloseTest, ARequestWhoseHeadHasBegunIsAnswered) {
  RULES("4.5.7.5 4.5.7.4");
  start_noted();
  HttpClient& head = dial_with("GET /now HTTP/1.1\r\n");
  HttpClient& body = dial_with(post("/held", 8) + "half");
  HttpClient& second = dial_idle();
  second.send("GET /now");
  ASSERT_TRUE(run_until([&] { return accepted_.back()->bytes_read() == get("/now").size() + 8; }));
  round_trip();
  close();
  head.send("Host: a\r\n\r\n");
  body.send("full");
  second.send(" HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return seen_[0].events == "end "; }));
  answer_held(0);
  for (HttpClient* client : {&head, &body, &second}) {
    ASSERT_TRUE(run_until_over(*client));
    EXPECT_EQ(without_date(client->received()), last_reply(client == &body ? "/held" : "/now"));
    client->end();
  }
  EXPECT_EQ(seen_[0].body, "halffull");
  EXPECT_TRUE(run_until_closed());
}

TEST_P(ServerCloseTest, PipelinedRequestsAreAllAnswered) {
  RULES("4.5.7.12 4.5.7.4");
  start_noted();
  HttpClient& client = dial_with(get("/held/0") + get("/held/1") + get("/held/2"));
  ASSERT_EQ(seen_.size(), 3U);
  close();
  answer_held(1);
  answer_held(0);
  answer_held(2);
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()),
            kept_reply("/held/0") + kept_reply("/held/1") + last_reply("/held/2"));
  client.end();
  EXPECT_TRUE(run_until_closed());
}

TEST_P(ServerCloseTest, AHandlerMayCloseItsServer) {
  RULES("4.5.7.4 4.5.7.6 4.5.7.9");
  for (const bool all : {false, true}) {
    events_.clear();
    start_noted();
    server().on_request([&](Request&, Response& response) {
      close();
      if (all) server().close_all_connections();
      EXPECT_EQ(events_, "") << "not inside the call";
      response.end("ok");
    });
    HttpClient& client = dial();
    client.send(get("/held"));
    ASSERT_TRUE(run_until_over(client));
    if (all) {
      EXPECT_EQ(client.received(), "");
    } else {
      EXPECT_EQ(without_date(client.received()), last_reply("ok"));
    }
    client.end();
    EXPECT_TRUE(run_until_closed());
  }
}

TEST_P(ServerCloseTest, AHandlerMayDestroyItsServer) {
  RULES("4.5.7.14");
  start_noted();
  HttpClient& idle = dial_idle();
  int more = 0;
  server().on_request([&](Request& request, Response& response) {
    request.on_close([&](Request&) { ++more; });
    response.on_close([&](Response&) { ++more; });
    response.end("too late");
    server_.reset();
  });
  HttpClient& client = dial();
  client.send(get("/held/0") + get("/held/1"));
  ASSERT_TRUE(run_until_over(client));
  ASSERT_TRUE(run_until_over(idle));
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(seen_.size(), 2U) << "one of them the idle one's";
  EXPECT_EQ(seen_[1].events + seen_[1].response_events, "");
  EXPECT_EQ(more, 0);
}

// It goes with the memory of the first one's listeners, before anybody hears of the second one.
TEST_P(ServerCloseTest, AListenerMayHoldItsServer) {
  RULES("4.5.7.14");
  start_noted();
  bool served = true;
  server().on_request([&](Request& request, Response& response) {
    if (request.target() != "/held/0") return;
    auto held = std::unique_ptr<http::Server, std::function<void(http::Server*)>>(
        server_.release(), [&](http::Server* last) {
          delete last;
          served = false;
        });
    response.on_close([held = std::make_shared<decltype(held)>(std::move(held))](Response&) {});
  });
  HttpClient& client = dial();
  client.send(get("/held/0") + get("/held/1"));
  ASSERT_TRUE(run_until_seen(2));
  ASSERT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until([&] { return !served; }));
  EXPECT_EQ(seen_[0].events + seen_[0].response_events, "end aborted ECONNRESET close close ");
  EXPECT_EQ(seen_[1].events + seen_[1].response_events, "end ");
}

TEST_P(ServerCloseTest, OneThatDoesNotListenSaysSo) {
  RULES("4.5.7.7");
  http::Server idle(reactor());
  const auto closed = idle.close();
  ASSERT_FALSE(closed.has_value());
  EXPECT_EQ(name_of(closed.error().code), "ERR_SERVER_NOT_RUNNING");
  start_noted();
  close();
  ASSERT_TRUE(run_until_closed());
  EXPECT_FALSE(server().close().has_value());
}

TEST_P(ServerCloseTest, ARequestToStopClosesItLikewise) {
  RULES("4.5.7.15");
  start_noted({.keep_alive_timeout = 0s});
  close();
  ASSERT_TRUE(run_until_closed());
  events_.clear();
  int closing = 0;
  server().on_closing([&](http::Server&) { ++closing; });
  std::stop_source stop;
  const net::ListenAt at{.port = 0, .host = "127.0.0.1", .stop = stop.get_token()};
  const auto bound = server().listen(at);
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  to_.port = bound->port();
  HttpClient& idle = dial_idle();
  HttpClient& busy = dial_with(get("/held"));
  stop.request_stop();
  EXPECT_FALSE(server().listening());
  ASSERT_TRUE(run_until_over(idle));
  EXPECT_EQ(idle.received(), "");
  EXPECT_EQ(closing, 1);
  answer_held(1);
  ASSERT_TRUE(run_until_over(busy));
  EXPECT_EQ(without_date(busy.received()), last_reply("/held"));
  busy.end();
  ASSERT_TRUE(run_until([&] { return events_ == "server_close "; }));
}

TEST_P(ServerCloseTest, ARequestToStopOfAnEarlierListenIsForgotten) {
  RULES("4.5.7.15");
  start_noted();
  std::stop_source stop;
  close();
  ASSERT_TRUE(run_until_closed());
  net::ListenAt at{.port = 0, .host = "127.0.0.1", .stop = stop.get_token()};
  ASSERT_TRUE(server().listen(at).has_value());
  close();
  at.stop = {};
  ASSERT_TRUE(server().listen(at).has_value());
  stop.request_stop();
  EXPECT_TRUE(server().listening());
  // One that was made before closes it at once.
  close();
  at.stop = stop.get_token();
  ASSERT_TRUE(server().listen(at).has_value());
  EXPECT_FALSE(server().listening());
}

TEST_P(ServerCloseTest, IdleConnectionsAlone) {
  RULES("4.5.7.8");
  NODE_TEST("http-server-close-idle");
  start_noted();
  HttpClient& idle = dial_idle();
  HttpClient& busy = dial_with(get("/held"));
  HttpClient& half = dial_with("GET /now HTTP/1.1\r\n");
  server().close_idle_connections();
  ASSERT_TRUE(run_until_over(idle));
  EXPECT_FALSE(idle.error());
  round_trip();  // it listens on
  EXPECT_FALSE(busy.over());
  EXPECT_FALSE(half.over());
  EXPECT_TRUE(run_until([&] { return server().connections() == 2; }));
  half.send("Host: a\r\n\r\n");
  answer_held(1);
  ASSERT_TRUE(run_until_has(half, kept_reply("/now")));
  ASSERT_TRUE(run_until_has(busy, kept_reply("/held")));
  EXPECT_EQ(without_date(half.received()), kept_reply("/now"));
  EXPECT_EQ(without_date(busy.received()), kept_reply("/held"));
  EXPECT_TRUE(server().listening());
}

TEST_P(ServerCloseTest, AllConnections) {
  RULES("4.5.7.9 4.5.2.9");
  NODE_TEST("http-server-close-all");
  start_noted();
  HttpClient& idle = dial_idle();
  HttpClient& busy = dial_with(get("/held"));
  HttpClient& half = dial_with("GET /now HTTP/1.1\r\n");
  HttpClient& silent = dial_with("");
  close();
  server().close_all_connections();
  ASSERT_TRUE(run_until_closed());
  for (HttpClient* client : {&idle, &busy, &half, &silent}) {
    EXPECT_TRUE(run_until_over(*client));
    EXPECT_EQ(client->received(), "");
  }
  EXPECT_EQ(seen_.at(1).response_events, "close ");
  EXPECT_TRUE(seen_.at(1).events.ends_with("close "));
}

TEST_P(ServerCloseTest, ADrainCutsNoResponse) {
  RULES("4.5.7.11 4.5.7.1 4.5.7.4");
  start_noted();
  constexpr std::size_t kClients = 50;
  const std::string body(300 * 1024, 'r');
  for (std::size_t i = 0; i < kClients; ++i) dial().send(get("/held"));
  ASSERT_TRUE(run_until_seen(kClients));
  for (std::size_t i = 0; i < kClients / 2; ++i) response(i).end(body);
  server().drain(kPatience);
  for (std::size_t i = kClients / 2; i < kClients; ++i) response(i).end(body);
  EXPECT_FALSE(server().listening());
  for (const auto& client : clients_) {
    ASSERT_TRUE(run_until_over(*client));
    EXPECT_FALSE(client->error());
    EXPECT_TRUE(client->received().ends_with("\r\n\r\n" + body));
    client->end();
  }
  EXPECT_TRUE(run_until([&] { return events_ == "server_close "; }));
}

TEST_P(ServerCloseTest, DestroyingTheServerEndsEverythingInSilence) {
  RULES("4.5.7.14");
  start_noted();
  HttpClient& idle = dial_idle();
  HttpClient& busy = dial_with(get("/held"));
  HttpClient& body = dial_with(post("/held", 8) + "half");
  const auto events = [&] {
    std::string all = events_;
    for (const Seen& seen : seen_) all += seen.events + "/" + seen.response_events + ";";
    return all;
  };
  const std::string before = events();
  const http::ResponseRef response = seen_[1].response;
  server_.reset();
  for (HttpClient* client : {&idle, &busy, &body}) {
    EXPECT_TRUE(run_until_over(*client));
    EXPECT_EQ(client->received(), "");
  }
  EXPECT_EQ(response.get(), nullptr);
  EXPECT_EQ(events(), before);
}

WEIR_ON_ALL_BACKENDS(ServerCloseTest);

}  // namespace
}  // namespace weir::test
