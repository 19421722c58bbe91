// How WebSockets end: in every order, in time, and whoever is destroyed.
#include "tests/websocket_world.h"

namespace weir::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPingEvery = milliseconds(20);

class WebSocketCloseTest : public WebSocketTest {
 protected:
  void expect_ended(const WsRecord& one, std::uint16_t code, bool clean) {
    EXPECT_TRUE(run_until_over(one)) << one.order();
    EXPECT_EQ(one.code, code);
    EXPECT_EQ(one.was_clean, clean);
  }
};
WEIR_ON_ALL_BACKENDS(WebSocketCloseTest);

TEST_P(WebSocketCloseTest, TheClientCloses) {
  listen();
  WsRecord& client = join();
  EXPECT_TRUE(client.socket().close(4321, "enough").has_value());
  EXPECT_EQ(client.socket().state(), WebSocketState::closing);
  EXPECT_EQ(client.socket().send_text("late"), Write::closed);
  expect_ended(client, 4321, true);
  expect_ended(peer(), 4321, true);
  EXPECT_EQ(peer().reason, "enough");
  EXPECT_EQ(peer().order(), "connection close");
  EXPECT_EQ(client.order(), "open close");
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, TheServerCloses) {
  listen();
  WsRecord& client = join();
  EXPECT_TRUE(peer().socket().close(1001, "going").has_value());
  expect_ended(client, 1001, true);
  expect_ended(peer(), 1001, true);
  EXPECT_EQ(client.reason, "going");
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, BothCloseAtOnce) {
  listen();
  WsRecord& client = join();
  EXPECT_TRUE(peer().socket().close(3001).has_value());
  EXPECT_TRUE(client.socket().close(3002).has_value());
  expect_ended(client, 3001, true);
  expect_ended(peer(), 3002, true);
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, AFrameWithoutACodeIs1005) {
  listen();
  WsRecord& client = join();
  EXPECT_TRUE(client.socket().close(1005).has_value());
  expect_ended(client, 1005, true);
  expect_ended(peer(), 1005, true);
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, WhatMayNotBeSentIsAMistake) {
  listen();
  WsRecord& client = join();
  WebSocket& socket = client.socket();
  for (const int code : {0, 999, 1004, 1006, 1015, 1016, 2000, 2999, 5000, 65535}) {
    const auto closed = socket.close(static_cast<std::uint16_t>(code));
    ASSERT_FALSE(closed.has_value()) << code;
    EXPECT_EQ(closed.error().code, Mistake::out_of_range);
  }
  EXPECT_EQ(socket.close(1000, std::string(124, 'x')).error().code, Mistake::out_of_range);
  EXPECT_EQ(socket.close(1000, "\xff").error().code, Mistake::bad_argument);
  EXPECT_EQ(socket.close(1005, "x").error().code, Mistake::bad_argument);
  EXPECT_EQ(socket.ping(std::string(126, 'x')).error().code, Mistake::out_of_range);
  EXPECT_TRUE(socket.is_open());
  EXPECT_TRUE(socket.close(1000, std::string(123, 'x')).has_value());
  expect_ended(peer(), 1000, true);
  EXPECT_EQ(peer().reason.size(), 123U);
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, WhatWasSentBeforeComesBeforeTheClose) {
  listen();
  WsRecord& client = join();
  const std::string large = pattern(1 << 20, 1);
  client.socket().send_binary(large);
  client.socket().send_text("last");
  EXPECT_TRUE(client.socket().close().has_value());
  expect_ended(peer(), 1000, true);
  EXPECT_EQ(peer().order(), "connection binary text close");
  EXPECT_EQ(peer().messages, (std::vector<std::string>{large, "last"}));
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, NothingIsToldAfterOnesOwnClose) {
  listen();
  WsRecord& client = join();
  EXPECT_TRUE(peer().socket().close().has_value());
  client.socket().send_text("one");
  client.socket().ping("two");
  expect_ended(client, 1000, true);
  expect_ended(peer(), 1000, true);
  EXPECT_EQ(peer().order(), "connection close");
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, AFinWithoutACloseFrameIs1006) {
  listen();
  HttpClient& raw = dial_raw();
  raw.send(frame(0x81, "hello"));
  raw.end();
  expect_ended(peer(), 1006, false);
  EXPECT_EQ(peer().order(), "connection text close");
  EXPECT_EQ(peer().closed_with, std::error_code());
  EXPECT_TRUE(run_until([&] { return raw.ended(); }));
  EXPECT_EQ(raw.received(), "");  // no Close frame: nobody would answer it
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, AResetIsToldAsAnError) {
  listen();
  HttpClient& raw = dial_raw();
  EXPECT_TRUE(raw.socket().reset_and_destroy().has_value());
  expect_ended(peer(), 1006, false);
  EXPECT_EQ(peer().order(), "connection error close");
  EXPECT_TRUE(is_reset(peer().error.code)) << peer().error.message();
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, TheServerEndsTheConnectionFirst) {
  listen();
  HttpClient& raw = dial_raw();
  raw.send(frame(0x88, "\x03\xe8"));
  ASSERT_TRUE(run_until([&] { return raw.ended(); }));
  EXPECT_EQ(raw.received(), "\x88\x02\x03\xe8");
  EXPECT_FALSE(peer().over());
  raw.end();
  expect_ended(peer(), 1000, true);
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, APeerThatDoesNotAnswerACloseHasItsTime) {
  listen({.socket = {.close_timeout = milliseconds(50)}});
  dial_raw();
  ASSERT_TRUE(run_until([&] { return peers_.size() == 1; }));
  EXPECT_TRUE(peer().socket().close().has_value());
  const Instant begin = reactor().now();
  expect_ended(peer(), 1006, false);
  EXPECT_GE(reactor().now() - begin, milliseconds(50));
  EXPECT_EQ(peer().order(), "connection close");
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, SoHasOneThatAnswersAndDoesNotEnd) {
  listen({.socket = {.close_timeout = milliseconds(50)}});
  HttpClient& raw = dial_raw();
  raw.send(frame(0x88, "\x03\xe8"));
  const Instant begin = reactor().now();
  expect_ended(peer(), 1000, true);
  EXPECT_GE(reactor().now() - begin, milliseconds(50));
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, WhatComesBehindACloseFrameIsPassedOver) {
  listen();
  HttpClient& raw = dial_raw();
  raw.send(frame(0x88, "\x03\xe8") + frame(0x81, "late") + "nonsense");
  ASSERT_TRUE(run_until([&] { return raw.ended(); }));
  raw.send("more nonsense");
  raw.end();
  expect_ended(peer(), 1000, true);
  EXPECT_EQ(peer().order(), "connection close");
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, WhatBreaksTheRulesFailsTheConnection) {
  listen({.socket = {.message_bytes_max = 100}});
  const struct {
    std::string bytes;
    std::string answer;
  } cases[] = {
      {frame(0x83, "x"), "\x88\x02\x03\xea"},                      // 1002
      {frame(0x81, "\xff"), "\x88\x02\x03\xef"},                   // 1007
      {frame(0x82, std::string(101, 'x')), "\x88\x02\x03\xf1"},    // 1009
      {frame(0x02, std::string(60, 'x')) + frame(0x80, std::string(60, 'x')), "\x88\x02\x03\xf1"},
      {std::string("\x81\x01x"), "\x88\x02\x03\xea"},              // no mask
  };
  for (const auto& one : cases) {
    HttpClient& raw = dial_raw();
    WsRecord& peer_of_it = peers_.back();
    raw.send(one.bytes + frame(0x81, "late"));
    ASSERT_TRUE(run_until([&] { return raw.ended(); }));
    EXPECT_EQ(raw.received(), one.answer);
    raw.end();
    expect_ended(peer_of_it, 1006, false);
    EXPECT_EQ(peer_of_it.order(), "connection error close");
    EXPECT_TRUE(peer_of_it.closed_with);
  }
  expect_all_gone();
}

// ---- Peers that vanish ----

TEST_P(WebSocketCloseTest, ASilentPeerIsAskedAndThenGivenUp) {
  listen({.socket = {.ping_interval = kPingEvery, .pong_timeout = milliseconds(30)}});
  HttpClient& raw = dial_raw();
  expect_ended(peer(), 1006, false);
  EXPECT_EQ(peer().order(), "connection error close");
  EXPECT_EQ(peer().error.code, errno_code(ETIMEDOUT));
  EXPECT_TRUE(run_until([&] { return raw.over(); }));
  EXPECT_EQ(raw.received(), std::string_view("\x89\0", 2));  // one ping
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, OneThatAnswersStays) {
  listen({.socket = {.ping_interval = kPingEvery, .pong_timeout = seconds(10)}});
  WsRecord& client = join();
  EXPECT_TRUE(run_until([&] { return client.pings.size() >= 3; }));
  EXPECT_TRUE(peer().socket().is_open());
  EXPECT_TRUE(client.socket().close().has_value());
  expect_ended(peer(), 1000, true);
  EXPECT_TRUE(peer().has("pong"));
  expect_all_gone();
}

// ---- Destroying ----

TEST_P(WebSocketCloseTest, DestroyEndsItAtOnce) {
  listen();
  WsRecord& client = join();
  client.socket().send_text("lost");
  client.socket().destroy(errno_code(EIO));
  client.socket().destroy();
  expect_ended(client, 1006, false);
  EXPECT_EQ(client.order(), "open error close");
  EXPECT_EQ(client.error.code, errno_code(EIO));
  expect_ended(peer(), 1006, false);
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, AClientThatConnectsCanBeClosed) {
  listen();
  WsRecord& client = connect();
  EXPECT_EQ(client.socket().state(), WebSocketState::connecting);
  EXPECT_EQ(client.socket().send_text("early"), Write::closed);
  EXPECT_TRUE(client.socket().close().has_value());
  expect_ended(client, 1006, false);
  EXPECT_EQ(client.order(), "close");
  EXPECT_EQ(client.ref.get(), nullptr);
  expect_all_gone();
}

// ---- Connections that break while something waits ----

TEST_P(WebSocketCloseTest, APongThatWaitsGoesWithItsConnection) {
  for (const bool resets : {true, false}) {
    listen();
    HttpClient& raw = dial_raw();
    ASSERT_TRUE(run_until([&] { return !peers_.empty(); }));
    WsRecord& one = peers_.back();
    ASSERT_NO_FATAL_FAILURE(stall(raw, one.socket(), 1 << 20));
    raw.send(frame(0x89, "waits"));
    ASSERT_TRUE(run_until([&] { return one.pings.size() == 1; }));
    if (resets) {
      EXPECT_TRUE(raw.socket().reset_and_destroy().has_value());
    } else {
      server().close_all_connections();
    }
    expect_ended(one, 1006, false);
    EXPECT_EQ(one.order(), resets ? "connection ping error close" : "connection ping close");
    expect_all_gone();
    peers_.clear();
  }
}

TEST_P(WebSocketCloseTest, NothingIsSentOnceTheConnectionHasBroken) {
  listen();
  HttpClient& raw = dial_raw();
  ASSERT_TRUE(run_until([&] { return !peers_.empty(); }));
  int errors = 0;
  sockets_->on_error([&](WebSocket& socket, const Error&) {
    ++errors;
    EXPECT_EQ(socket.state(), WebSocketState::closing);
    EXPECT_EQ(socket.send_text("copied"), Write::closed);
    EXPECT_EQ(socket.send_binary(Buffer::take(std::string(100000, 'x'))), Write::closed);
    EXPECT_EQ(socket.send_piece(MessageKind::text, "piece", true), Write::closed);
    EXPECT_EQ(socket.ping().value(), Write::closed);
    EXPECT_EQ(socket.pong().value(), Write::closed);
    EXPECT_TRUE(socket.close().has_value());
    EXPECT_EQ(sockets_->broadcast(MessageKind::text, "all").sent, 0U);
  });
  EXPECT_TRUE(raw.socket().reset_and_destroy().has_value());
  expect_ended(peer(), 1006, false);
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(peer().order(), "connection error close");
  expect_all_gone();
}

// ---- Ends at bad moments ----

TEST_P(WebSocketCloseTest, OneThatEndsInItsFirstTurnHasHadAConnection) {
  for (const bool closes : {true, false}) {
    listen();
    server_.reset();
    serve({});
    server().on_upgrade([&](http::Upgrade& upgrade) {
      WebSocket* socket = sockets_->accept(upgrade);
      ASSERT_NE(socket, nullptr);
      if (closes) {
        EXPECT_TRUE(socket->close(4000).has_value());
      } else {
        socket->destroy();
      }
    });
    WsRecord& client = connect();
    expect_ended(client, closes ? 4000 : 1006, closes);
    ASSERT_EQ(peers_.size(), 1U);
    expect_ended(peer(), closes ? 4000 : 1006, closes);
    EXPECT_EQ(peer().order(), "connection close");
    expect_all_gone();
    peers_.clear();
  }
}

TEST_P(WebSocketCloseTest, NoListenerIsCalledOnceTheServerHasGone) {
  for (const bool own : {false, true}) {
    listen();
    WsRecord& client = join();
    bool told = false;
    const auto end = [this](WebSocket&, const WebSocketClose&) { sockets_.reset(); };
    if (own) {
      peer().socket().on_close(end);
    } else {
      sockets_->on_close(end);
    }
    peer().socket().on_close([&](WebSocket&, const WebSocketClose&) { told = true; });
    peer().socket().destroy();
    ASSERT_TRUE(run_until([&] { return sockets_ == nullptr && client.over(); }));
    run_for(milliseconds(1));
    EXPECT_FALSE(told);
    EXPECT_EQ(peer().closes, own ? 1 : 0);
    peers_.clear();
  }
  listen();  // for what is checked at the end
}

// In each listener of either side everything may go: the WebSocket, its server, the http::Server.
TEST_P(WebSocketCloseTest, EachListenerMayEndItAll) {
  enum class Ends { socket, client, sockets, server };
  for (const Ends ends : {Ends::socket, Ends::client, Ends::sockets, Ends::server}) {
    for (const char* where : {"connection", "message", "ping", "pong", "drain", "error", "close"}) {
      peers_.clear();
      listen({.socket = {.message_bytes_max = 1 << 20}});
      WsRecord& client = connect();
      bool done = false;
      const std::string place = where;
      WebSocketServer* sockets = sockets_.get();
      const std::function<void(std::string_view, WebSocket&)> act = [&](std::string_view now,
                                                                        WebSocket& socket) {
        if (place != now || std::exchange(done, true)) return;
        if (ends == Ends::socket) socket.destroy();
        if (ends == Ends::client && client.ref.get() != nullptr) client.socket().destroy();
        if (ends == Ends::sockets) sockets_.reset();
        if (ends == Ends::server) server_.reset();
      };
      const auto* act_on = &act;
      sockets->on_connection([act_on](WebSocket& socket) {
        (*act_on)("connection", socket);
        if (!socket.is_open()) return;
        socket.ping("x");
        socket.send_binary(std::string(200000, 'x'));
      });
      sockets->on_message([act_on](WebSocket& socket, MessageKind, Buffer) {
        (*act_on)("message", socket);
      });
      sockets->on_ping([act_on](WebSocket& socket, Buffer) { (*act_on)("ping", socket); });
      sockets->on_pong([act_on](WebSocket& socket, Buffer) { (*act_on)("pong", socket); });
      sockets->on_drain([act_on](WebSocket& socket) { (*act_on)("drain", socket); });
      sockets->on_error([act_on](WebSocket& socket, const Error&) { (*act_on)("error", socket); });
      sockets->on_close([act_on](WebSocket& socket, const WebSocketClose&) {
        (*act_on)("close", socket);
      });
      client.socket().on_open([](WebSocket& socket) {
        socket.send_text("hello");
        socket.ping("y");
      });
      client.socket().on_message([&place](WebSocket& socket, MessageKind, Buffer) {
        if (place == "error") socket.socket()->write("\xff\xff");
        if (place == "close") static_cast<void>(socket.close());
      });
      ASSERT_TRUE(run_until([&] { return done; })) << where << ' ' << static_cast<int>(ends);
      ASSERT_TRUE(run_until([&] {
        if (client.ref.get() != nullptr && sockets_ != nullptr && server_ != nullptr) {
          client.socket().destroy();
        }
        return client.over() && reactor().counters().sockets == 0;
      })) << where << ' ' << static_cast<int>(ends) << ": " << client.order();
      sockets_.reset();
      server_.reset();
    }
  }
  listen();  // for what is checked at the end
}

TEST_P(WebSocketCloseTest, AnAgentThatGoesTakesThoseThatConnect) {
  listen();
  auto agent = std::make_unique<http::Agent>(reactor());
  WsRecord& client = clients_ws_.emplace_back();
  const auto made = WebSocket::connect(*agent, url());
  ASSERT_TRUE(made.has_value());
  record(**made, client);
  agent.reset();
  expect_ended(client, 1006, false);
  EXPECT_EQ(client.error.code, errno_code(ECANCELED)) << client.error.message();
  EXPECT_EQ(client.order(), "error close");
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, AnOpenOneDoesNotNeedItsAgent) {
  listen({}, true);
  auto agent = std::make_unique<http::Agent>(reactor());
  WsRecord& client = clients_ws_.emplace_back();
  const auto made = WebSocket::connect(*agent, url());
  ASSERT_TRUE(made.has_value());
  record(**made, client);
  ASSERT_TRUE(run_until([&] { return client.socket().is_open(); }));
  agent.reset();
  client.socket().send_text("on");
  EXPECT_TRUE(run_until_messages(client, 1));
  EXPECT_TRUE(client.socket().close().has_value());
  expect_ended(client, 1000, true);
  expect_all_gone();
}

TEST_P(WebSocketCloseTest, TheReactorTakesClientsWithIt) {
  listen();
  WsRecord& open = join();
  WsRecord& connecting = connect();
  sockets_.reset();
  server_.reset();
  EXPECT_NE(connecting.ref.get(), nullptr);
  EXPECT_NE(open.ref.get(), nullptr);
  // TearDown() destroys the reactor: nobody is told.
}

// ---- Errors of connecting ----

TEST_P(WebSocketCloseTest, WhatIsNoUrlIsAMistake) {
  const auto code_of = [&](std::string_view text, const WebSocketClientOptions& options = {}) {
    const auto made = WebSocket::connect(reactor(), text, options);
    return made ? std::error_code() : made.error().code;
  };
  EXPECT_EQ(code_of("nowhere"), Mistake::bad_argument);
  EXPECT_EQ(code_of("http://x/"), Mistake::invalid_protocol);
  EXPECT_EQ(code_of("wss://x/"), Mistake::invalid_protocol);
  EXPECT_EQ(code_of("ws://x:99999/"), Mistake::bad_port);
  EXPECT_EQ(code_of("ws://x/", {.protocols = {"a b"}}), Mistake::bad_argument);
  EXPECT_EQ(code_of("ws://x/", {.protocols = {"a", "a"}}), Mistake::bad_argument);
  EXPECT_EQ(code_of("ws://x/", {.socket = {.close_timeout = seconds(-1)}}), Mistake::out_of_range);
  for (const int level : {0, 10}) {
    EXPECT_EQ(code_of("ws://x/", {.socket = {.deflate = {.level = level}}}), Mistake::out_of_range);
  }
}

TEST_P(WebSocketCloseTest, NobodyThereIsAnError) {
  listen();
  const std::string gone = url();
  server_.reset();
  WsRecord& client = clients_ws_.emplace_back();
  const auto made = WebSocket::connect(reactor(), gone);
  ASSERT_TRUE(made.has_value());
  record(**made, client);
  expect_ended(client, 1006, false);
  EXPECT_EQ(client.order(), "error close");
  EXPECT_EQ(client.error.code, errno_code(ECONNREFUSED)) << client.error.message();
}

TEST_P(WebSocketCloseTest, AServerThatSaysNothingHasItsTime) {
  net::Server silent(reactor());
  silent.on_data([](Socket&, Buffer) {});
  const auto bound = silent.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  to_ = {.host = "127.0.0.1", .port = bound->port()};
  WebSocketClientOptions options;
  options.open_timeout = milliseconds(30);
  WsRecord& client = connect(options);
  expect_ended(client, 1006, false);
  EXPECT_EQ(client.error.code, errno_code(ETIMEDOUT)) << client.error.message();
}

}  // namespace
}  // namespace weir::test
