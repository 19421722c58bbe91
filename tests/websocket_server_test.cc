// Accepting: handshakes, paths, refusals, and a server's end.
#include "tests/websocket_world.h"

namespace weir::test {
namespace {

class WebSocketServerTest : public WebSocketTest {
 protected:
  std::string field_of_answer(std::string_view name) const {
    const std::string key = "\r\n" + std::string(name) + ": ";
    const std::size_t at = answer_.find(key);
    if (at == std::string::npos) return "";
    const std::size_t begin = at + key.size();
    return answer_.substr(begin, answer_.find("\r\n", begin) - begin);
  }
};
WEIR_ON_ALL_BACKENDS(WebSocketServerTest);

TEST_P(WebSocketServerTest, TheAnswerIsTheOneOfTheRfc) {
  listen();
  dial_raw();
  EXPECT_EQ(answer_,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

TEST_P(WebSocketServerTest, ABadHandshakeIsToldWhy) {
  listen();
  std::string bad = handshake();
  bad.replace(bad.find("Version: 13"), 11, "Version: 12");
  const std::string version = ask(bad);
  EXPECT_TRUE(version.starts_with("HTTP/1.1 426 Upgrade Required\r\n")) << version;
  EXPECT_NE(version.find("Sec-WebSocket-Version: 13\r\n"), version.npos) << version;
  EXPECT_NE(version.find("Upgrade: websocket\r\n"), version.npos) << version;
  EXPECT_NE(version.find("Connection: close, Upgrade\r\n"), version.npos) << version;
  bad = handshake();
  bad.replace(bad.find("dGhl"), 4, "d");
  const std::string key = ask(bad);
  EXPECT_TRUE(key.starts_with("HTTP/1.1 400 Bad Request\r\n")) << key;
  EXPECT_NE(key.find("Sec-WebSocket-Key"), key.npos) << key;
  EXPECT_TRUE(peers_.empty());
  expect_all_gone();
}

// A client that neither reads its refusal nor ends is not waited for.
TEST_P(WebSocketServerTest, ARefusedClientHasItsTime) {
  listen();
  sockets_->on_handshake([](WebSocketHandshake& handshake) { handshake.refuse(403); });
  HttpClient& client = dial();
  client.send(handshake() + std::string(1000, 'x'));
  ASSERT_TRUE(run_until([&] { return client.ended(); }));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 403 Forbidden\r\n")) << client.received();
  EXPECT_TRUE(run_until([&] { return server().connections() == 0; }));
}

TEST_P(WebSocketServerTest, TheListenerJudgesOriginAndPath) {
  listen();
  sockets_->on_handshake([](WebSocketHandshake& handshake) {
    if (handshake.request().header("origin") != "http://good") {
      handshake.refuse(403, "not from there");
    }
    static int anything;
    handshake.user_data = &anything;
  });
  const std::string refused = ask(handshake("Origin: http://evil\r\n"));
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 403 Forbidden\r\n")) << refused;
  EXPECT_TRUE(refused.ends_with("\r\n\r\nnot from there\n")) << refused;
  const WebSocketClientOptions options{.headers = {{"Origin", "http://good"}}};
  WsRecord& client = join(options);
  EXPECT_NE(peer().socket().user_data, nullptr);
  EXPECT_TRUE(client.socket().is_open());
  WsRecord& other = connect();
  ASSERT_TRUE(run_until_over(other));
  EXPECT_EQ(other.error.code, http::websocket::HandshakeError::status) << other.error.message();
  EXPECT_EQ(other.error.detail, "the server answered 403 Forbidden");
}

TEST_P(WebSocketServerTest, ASubprotocolIsChosen) {
  listen();
  std::vector<std::string> offered;
  sockets_->on_handshake([&](WebSocketHandshake& handshake) {
    for (const std::string_view name : handshake.protocols()) offered.emplace_back(name);
    EXPECT_FALSE(handshake.choose("soap").has_value());
    EXPECT_TRUE(handshake.choose("chat").has_value());
  });
  WsRecord& client = join({.protocols = {"superchat", "chat"}});
  EXPECT_EQ(offered, (std::vector<std::string>{"superchat", "chat"}));
  EXPECT_EQ(client.socket().subprotocol(), "chat");
  EXPECT_EQ(peer().socket().subprotocol(), "chat");
}

// What is no request for a WebSocket at that path is a request as any other.
TEST_P(WebSocketServerTest, AttachedAtAPathItLeavesTheOthers) {
  serve([](Request&, Response& response) { response.end("page"); });
  sockets_ = std::make_unique<WebSocketServer>(reactor());
  sockets_->attach(server(), "/ws");
  WebSocketServer second(reactor());
  second.attach(server(), "/other");
  WsRecord& client = connect({}, "/ws?name=x");
  ASSERT_TRUE(run_until([&] { return client.has("open"); })) << client.error.message();
  WsRecord& other = connect({}, "/other");
  ASSERT_TRUE(run_until([&] { return other.has("open"); })) << other.error.message();
  EXPECT_EQ(sockets_->connections(), 1U);
  EXPECT_EQ(second.connections(), 1U);
  const std::string page = "HTTP/1.1 200 OK\r\n";
  HttpClient& elsewhere = dial();
  elsewhere.send(handshake({}, "/elsewhere"));
  ASSERT_TRUE(run_until_received(elsewhere, "page"));
  EXPECT_TRUE(elsewhere.received().starts_with(page));
  HttpClient& upgrades = dial();
  upgrades.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
  ASSERT_TRUE(run_until_received(upgrades, "page"));
  EXPECT_TRUE(upgrades.received().starts_with(page));
}

TEST_P(WebSocketServerTest, AListenerOfTheUsersAccepts) {
  serve({});
  sockets_ = std::make_unique<WebSocketServer>(reactor());
  bool told = false;
  sockets_->on_connection([&](WebSocket&) { told = true; });
  server().on_upgrade([&](http::Upgrade& upgrade) {
    WebSocket* socket = sockets_->accept(upgrade);
    ASSERT_NE(socket, nullptr);
    EXPECT_FALSE(told);
    socket->send_text("welcome");
  });
  WsRecord& client = connect();
  ASSERT_TRUE(run_until_messages(client, 1));
  EXPECT_EQ(client.messages[0], "welcome");
  EXPECT_TRUE(told);
}

TEST_P(WebSocketServerTest, FramesBehindTheHandshakeAreRead) {
  listen();
  HttpClient& client = dial();
  client.send(handshake() + frame(0x81, "early"));
  ASSERT_TRUE(run_until([&] { return peers_.size() == 1 && peer().messages.size() == 1; }));
  EXPECT_EQ(peer().messages[0], "early");
}

TEST_P(WebSocketServerTest, OneBeyondTheMostIsTurnedAway) {
  listen({.connections_max = 1});
  WsRecord& client = join();
  EXPECT_TRUE(ask(handshake()).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_TRUE(client.socket().close().has_value());
  ASSERT_TRUE(run_until([&] { return sockets_->connections() == 0; }));
  join();
}

TEST_P(WebSocketServerTest, CloseTellsAllAndThenItself) {
  listen();
  bool closed = false;
  sockets_->on_server_close([&](WebSocketServer& same) {
    EXPECT_EQ(same.connections(), 0U);
    closed = true;
  });
  WsRecord& first = join();
  WsRecord& second = join();
  EXPECT_FALSE(sockets_->close(1006).has_value());
  EXPECT_TRUE(sockets_->close(1012, "restart").has_value());
  EXPECT_TRUE(ask(handshake()).starts_with("HTTP/1.1 503 "));
  ASSERT_TRUE(run_until([&] { return closed && first.over() && second.over(); }));
  EXPECT_EQ(first.code, 1012);
  EXPECT_EQ(second.reason, "restart");
  EXPECT_TRUE(first.was_clean && second.was_clean);
  expect_all_gone();
}

TEST_P(WebSocketServerTest, ClosedInAHandshakeItTakesNoMore) {
  listen();
  int closed = 0;
  sockets_->on_handshake([this](WebSocketHandshake&) {
    EXPECT_TRUE(sockets_->close().has_value());
  });
  sockets_->on_server_close([&](WebSocketServer&) { ++closed; });
  EXPECT_TRUE(ask(handshake()).starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(closed, 1);
  EXPECT_TRUE(sockets_->close().has_value());
  EXPECT_TRUE(ask(handshake()).starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(closed, 1);
  EXPECT_TRUE(peers_.empty());
  expect_all_gone();
}

// Its connections leave at once, and others take their places.
TEST_P(WebSocketServerTest, EachIsVisitedOnceWhoeverGoes) {
  listen();
  WsRecord& first = join();
  std::unique_ptr<http::Server> goes = std::move(server_);
  serve({});
  sockets_->attach(server());
  WsRecord& second = join();
  WsRecord& third = join();
  ASSERT_EQ(sockets_->connections(), 3U);
  std::vector<WebSocket*> visited;
  const std::vector<WebSocket*> all = {&peer(0).socket(), &peer(1).socket(), &peer(2).socket()};
  sockets_->for_each([&](WebSocket& socket) {
    visited.push_back(&socket);
    goes.reset();
  });
  EXPECT_EQ(visited, all);
  EXPECT_EQ(sockets_->connections(), 2U);
  ASSERT_TRUE(run_until_over(first));
  EXPECT_TRUE(second.socket().is_open() && third.socket().is_open());
  // And when all go.
  visited.clear();
  sockets_->for_each([&](WebSocket& socket) {
    visited.push_back(&socket);
    sockets_.reset();
  });
  EXPECT_EQ(visited.size(), 1U);
  ASSERT_TRUE(run_until([&] { return second.over() && third.over(); }));
}

TEST_P(WebSocketServerTest, OptionsOutOfRangeAreTheNearest) {
  WebSocketServerOptions options;
  options.socket = {.deflate = {.on = true, .threshold = 0, .level = 42},
                    .close_timeout = std::chrono::seconds(-1),
                    .ping_interval = std::chrono::seconds(-1),
                    .pong_timeout = std::chrono::seconds(-1)};
  listen(options, true);
  EXPECT_EQ(sockets_->options().socket.deflate.level, 9);
  EXPECT_EQ(sockets_->options().socket.close_timeout, Duration::zero());
  EXPECT_EQ(sockets_->options().socket.ping_interval, Duration::zero());
  EXPECT_EQ(sockets_->options().socket.pong_timeout, Duration::zero());
  WebSocketClientOptions deflating;
  deflating.socket.deflate.on = true;
  WsRecord& client = join(deflating);
  client.socket().send_text("back");
  ASSERT_TRUE(run_until([&] { return client.has("text"); }));
  EXPECT_EQ(client.messages, std::vector<std::string>{"back"});
}

// The http::Server's close() waits for WebSockets, and its drain() ends them in time.
TEST_P(WebSocketServerTest, TheHttpServersDrainEndsThem) {
  listen();
  WsRecord& client = join();
  bool closed = false;
  server().on_server_close([&](http::Server&) { closed = true; });
  server().drain(std::chrono::milliseconds(30));
  ASSERT_TRUE(run_until([&] { return closed && client.over(); }));
  EXPECT_EQ(peer().code, 1006);
  EXPECT_EQ(client.code, 1006);
  expect_all_gone();
}

TEST_P(WebSocketServerTest, EitherServerMayGoFirst) {
  listen();
  WsRecord& client = join();
  server_.reset();
  EXPECT_EQ(sockets_->connections(), 0U);
  EXPECT_EQ(peer().ref.get(), nullptr);
  ASSERT_TRUE(run_until_over(client));
  EXPECT_FALSE(peer().over());
  peers_.clear();
  listen();
  WsRecord& second = join();
  sockets_.reset();
  EXPECT_EQ(peer().ref.get(), nullptr);
  ASSERT_TRUE(run_until_over(second));
  WsRecord& third = connect();  // nobody accepts any more
  ASSERT_TRUE(run_until_over(third));
  EXPECT_EQ(third.error.code, http::websocket::HandshakeError::status);
}

TEST_P(WebSocketServerTest, AServerThatLiesIsNoWebSocket) {
  net::Server liar(reactor());
  liar.on_data([](Socket& socket, Buffer) {
    socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  });
  const auto bound = liar.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  to_ = {.host = "127.0.0.1", .port = bound->port()};
  WsRecord& client = connect();
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(client.error.code, http::websocket::HandshakeError::accept);
  EXPECT_EQ(client.order(), "error close");
}

// ---- What each knows of itself ----

TEST_P(WebSocketServerTest, EachKnowsWhereItBelongs) {
  listen();
  WsRecord& client = join();
  EXPECT_EQ(&sockets_->reactor(), &reactor());
  EXPECT_EQ(&client.socket().reactor(), &reactor());
  EXPECT_EQ(&peer().socket().reactor(), &reactor());
  EXPECT_TRUE(peer().socket().is_server());
  EXPECT_FALSE(client.socket().is_server());
  EXPECT_EQ(peer().socket().server(), sockets_.get());
  EXPECT_EQ(client.socket().server(), nullptr);
  EXPECT_EQ(client.socket().refusal_status(), 0);
  EXPECT_FALSE(client.socket().is_paused());
  client.socket().pause();
  EXPECT_TRUE(client.socket().is_paused());
  client.socket().resume();
  EXPECT_FALSE(client.socket().is_paused());
}

// It is the user's who has set it.
TEST_P(WebSocketServerTest, ATimeoutOfItsSocketEndsNothing) {
  listen();
  WsRecord& client = join();
  Socket& socket = *peer().socket().socket();
  int told = 0;
  socket.on_timeout([&](Socket&) { ++told; });
  ASSERT_TRUE(socket.set_timeout(std::chrono::milliseconds(5)).has_value());
  ASSERT_TRUE(run_until([&] { return told != 0; }));
  client.socket().send_text("still here");
  ASSERT_TRUE(run_until_messages(peer(), 1));
  EXPECT_EQ(peer().order(), "connection text");
}

TEST_P(WebSocketServerTest, ARefusedClientIsToldTheStatus) {
  listen();
  sockets_->on_handshake([](WebSocketHandshake& handshake) { handshake.refuse(403); });
  WsRecord& client = connect();
  std::vector<int> statuses;
  client.socket().on_error([&](WebSocket& socket, const Error&) {
    statuses.push_back(socket.refusal_status());
  });
  client.socket().on_close([&](WebSocket& socket, const WebSocketClose&) {
    statuses.push_back(socket.refusal_status());
  });
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(statuses, (std::vector<int>{403, 403}));
}

TEST_P(WebSocketServerTest, AListenerThatIsOffIsNotCalled) {
  listen();
  int called = 0;
  const auto count = [&](auto&&...) { ++called; };
  sockets_->off(sockets_->on_handshake(count));
  sockets_->off(sockets_->on_connection(count));
  sockets_->off(sockets_->on_message(count));
  sockets_->off(sockets_->on_close(count));
  sockets_->off(sockets_->on_server_close(count));
  WsRecord& client = connect();
  WebSocket& socket = client.socket();
  socket.off(socket.on_open(count));
  socket.off(socket.on_ping(count));
  const auto id = socket.on_message(count);
  socket.off(id);
  socket.off(id);
  ASSERT_TRUE(run_until([&] { return client.has("open") && !peers_.empty(); }));
  EXPECT_TRUE(peer().socket().ping().has_value());
  peer().socket().send_text("to the client");
  client.socket().send_text("to the server");
  ASSERT_TRUE(run_until_messages(client, 1));
  ASSERT_TRUE(run_until_messages(peer(), 1));
  EXPECT_TRUE(sockets_->close().has_value());
  ASSERT_TRUE(run_until([&] { return client.over() && peer().over(); }));
  expect_all_gone();
  EXPECT_EQ(called, 0);
  EXPECT_EQ(client.order(), "open ping text close");
}

TEST_P(WebSocketServerTest, DestroyedInAHandshakeItAnswersNobody) {
  listen();
  sockets_->on_handshake([&](WebSocketHandshake&) { sockets_.reset(); });
  HttpClient& client = dial();
  client.send(handshake());
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(client.received(), "");
  EXPECT_TRUE(run_until([&] { return server().connections() == 0; }));
}

}  // namespace
}  // namespace weir::test
