// WebSockets of weir with each other: messages, control frames, pieces, compression.
#include "tests/websocket_world.h"

namespace weir::test {
namespace {

class WebSocketEchoTest : public WebSocketTest {};
WEIR_ON_ALL_BACKENDS(WebSocketEchoTest);

TEST_P(WebSocketEchoTest, TenLinesAreAServer) {
  http::Server server(reactor());
  WebSocketServer sockets(server);
  sockets.on_message([](WebSocket& socket, MessageKind kind, Buffer bytes) {
    if (socket.send(kind, std::move(bytes)) != Write::ok) socket.pause();
  });
  sockets.on_drain([](WebSocket& socket) { socket.resume(); });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  std::string got;
  const auto client =
      WebSocket::connect(reactor(), "ws://127.0.0.1:" + std::to_string(bound->port()));
  ASSERT_TRUE(client.has_value());
  (*client)->on_open([](WebSocket& socket) { socket.send_text("hello"); });
  (*client)->on_message([&](WebSocket& socket, MessageKind kind, Buffer bytes) {
    EXPECT_EQ(kind, MessageKind::text);
    got = bytes.view();
    socket.close();
  });
  bool clean = false;
  (*client)->on_close([&](WebSocket&, const WebSocketClose& how) { clean = how.was_clean; });
  EXPECT_TRUE(run_until([&] { return clean; }));
  EXPECT_EQ(got, "hello");
}

TEST_P(WebSocketEchoTest, MessagesOfAllSizesComeBack) {
  listen({}, true);
  WsRecord& client = join();
  std::vector<std::string> sent;
  for (const std::size_t size :
       {0U, 1U, 3U, 125U, 126U, 127U, 4095U, 4096U, 4097U, 65535U, 65536U, 1048575U, 1048576U}) {
    sent.push_back(pattern(size, static_cast<unsigned>(size)));
    ASSERT_NE(client.socket().send_binary(sent.back()), Write::closed);
    ASSERT_TRUE(run_until_messages(client, sent.size())) << size;
  }
  EXPECT_EQ(client.messages, sent);
  EXPECT_TRUE(client.socket().close(1000, "done").has_value());
  EXPECT_TRUE(run_until([&] { return client.over() && peer().over(); }));
  EXPECT_EQ(client.code, 1000);
  EXPECT_EQ(peer().code, 1000);
  EXPECT_EQ(peer().reason, "done");
  EXPECT_TRUE(client.was_clean && peer().was_clean);
  expect_all_gone();
}

// ---- Pieces ----

TEST_P(WebSocketEchoTest, PiecesAreOneMessage) {
  listen();
  WsRecord& client = join();
  WebSocket& socket = client.socket();
  const std::string large = pattern(200000, 5);
  EXPECT_EQ(socket.send_piece(MessageKind::binary, "be", false), Write::ok);
  EXPECT_TRUE(socket.ping("between").has_value());
  EXPECT_NE(socket.send_piece(MessageKind::binary, large, false), Write::closed);
  EXPECT_NE(socket.send_piece(MessageKind::binary, "", true), Write::closed);
  socket.send_text("next");
  ASSERT_TRUE(run_until_messages(peer(), 2));
  EXPECT_EQ(peer().messages, (std::vector<std::string>{"be" + large, "next"}));
  EXPECT_EQ(peer().order(), "connection ping binary text");
}

TEST_P(WebSocketEchoTest, PiecesMayBeBuffers) {
  listen();
  WsRecord& client = join();
  const std::string large = pattern(200000, 8);
  for (WebSocket* socket : {&client.socket(), &peer().socket()}) {
    Buffer first = Buffer::take(std::string(large));
    Buffer last = Buffer::take(std::string("the end"));
    EXPECT_NE(socket->send_piece(MessageKind::binary, std::move(first), false), Write::closed);
    EXPECT_NE(socket->send_piece(MessageKind::binary, std::move(last), true), Write::closed);
    EXPECT_TRUE(first.empty() && last.empty()) << "moved from when it is taken";
  }
  ASSERT_TRUE(run_until_messages(peer(), 1));
  ASSERT_TRUE(run_until_messages(client, 1));
  EXPECT_TRUE(peer().messages[0] == large + "the end");
  EXPECT_TRUE(client.messages[0] == large + "the end");
}

TEST_P(WebSocketEchoTest, AMessageWithinAMessageIsAMistake) {
  listen();
  WsRecord& client = join();
  client.socket().send_piece(MessageKind::text, "un", false);
  EXPECT_EQ(client.socket().send_text("within"), Write::closed);
  ASSERT_TRUE(run_until([&] { return client.over() && peer().over(); }));
  EXPECT_EQ(client.error.code, Mistake::write_after_end);
  EXPECT_EQ(peer().code, 1011);
  EXPECT_TRUE(peer().messages.empty());
}

TEST_P(WebSocketEchoTest, APieceListenerGetsThemAsTheyCome) {
  WebSocketServerOptions options;
  options.socket.message_bytes_max = SIZE_MAX;
  options.socket.deflate.on = true;
  listen(options);
  std::string whole;
  std::size_t pieces = 0;
  std::size_t lasts = 0;
  sockets_->on_piece([&](WebSocket&, MessageKind kind, Buffer bytes, bool is_last) {
    EXPECT_EQ(kind, MessageKind::binary);
    whole += bytes.view();
    ++pieces;
    lasts += is_last;
  });
  const std::string large = pattern(3 << 20, 6);
  for (const bool deflates : {false, true}) {
    whole.clear();
    pieces = lasts = 0;
    WebSocketClientOptions client_options;
    client_options.socket.deflate.on = deflates;
    WsRecord& client = join(client_options);
    EXPECT_EQ(client.socket().is_deflating(), deflates);
    client.socket().send_binary(large);
    ASSERT_TRUE(run_until([&] { return lasts == 1; }));
    EXPECT_TRUE(whole == large);
    EXPECT_GT(pieces, 10U);
    EXPECT_TRUE(peers_.back().messages.empty());
  }
}

// ---- Pings ----

TEST_P(WebSocketEchoTest, PingsAreAnswered) {
  listen();
  WsRecord& client = join();
  EXPECT_TRUE(client.socket().ping("there?").has_value());
  EXPECT_TRUE(peer().socket().ping().has_value());
  EXPECT_TRUE(peer().socket().pong("unasked").has_value());
  ASSERT_TRUE(run_until([&] { return client.pongs.size() == 2 && peer().pongs.size() == 1; }));
  EXPECT_EQ(peer().pings, std::vector<std::string>{"there?"});
  EXPECT_EQ(client.pongs, (std::vector<std::string>{"unasked", "there?"}));
  EXPECT_EQ(peer().pongs, std::vector<std::string>{""});
}

// Who asks without end and never reads costs one answer.
TEST_P(WebSocketEchoTest, AFloodOfPingsIsBounded) {
  listen();
  HttpClient& raw = dial_raw();
  ASSERT_TRUE(run_until([&] { return peers_.size() == 1; }));
  raw.socket().pause();
  WebSocket& socket = peer().socket();
  // Until the kernel takes no more either.
  const std::string filler(1 << 20, 'x');
  for (int i = 0; i < 1000 && socket.writable_length() < 4 * filler.size(); ++i) {
    socket.send_binary(filler);
    run_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(socket.needs_drain());
  const std::size_t queued = socket.writable_length();
  constexpr std::size_t kPings = 3000;
  for (std::size_t i = 0; i < kPings; ++i) raw.send(frame(0x89, std::to_string(i)));
  ASSERT_TRUE(run_until([&] { return peer().pings.size() == kPings; }));
  EXPECT_LE(socket.writable_length(), queued);
  raw.socket().resume();
  const std::string last = "\x8a\x04" + std::to_string(kPings - 1);
  ASSERT_TRUE(run_until([&] { return raw.received().ends_with(last); }));
  EXPECT_EQ(count_of(raw.received(), "\x8a"), 1U);
}

// ---- Backpressure ----

TEST_P(WebSocketEchoTest, AReaderThatStallsFillsTheQueueAndDrainsIt) {
  listen();
  WsRecord& client = join();
  client.socket().pause();
  WebSocket& socket = peer().socket();
  const std::string message = pattern(1 << 20, 2);
  std::size_t taken = 0;
  int periods = 0;  // in which a drain is owed: the kernel takes the first messages
  Write last = Write::ok;
  for (int i = 0; i < 1000 && last != Write::refused; ++i) {
    periods += !socket.needs_drain();
    last = socket.send_binary(message);
    taken += last != Write::refused;
    run_for(std::chrono::milliseconds(1));
  }
  ASSERT_EQ(last, Write::refused);
  EXPECT_LE(socket.writable_length(), std::size_t{17} << 20);
  EXPECT_TRUE(socket.needs_drain());
  EXPECT_EQ(peer().drains, periods - 1);
  EXPECT_TRUE(client.messages.empty());
  client.socket().resume();
  ASSERT_TRUE(run_until_messages(client, taken));
  ASSERT_TRUE(run_until([&] { return peer().drains == periods; }));
  for (const std::string& one : client.messages) ASSERT_TRUE(one == message);
}

TEST_P(WebSocketEchoTest, PauseHoldsMessagesInOrder) {
  listen();
  WsRecord& client = join();
  WebSocket& socket = peer().socket();
  socket.on_message([](WebSocket& same, MessageKind, Buffer) { same.pause(); });
  constexpr std::size_t kMessages = 50;
  for (std::size_t i = 0; i < kMessages; ++i) client.socket().send_text(std::to_string(i));
  EXPECT_TRUE(client.socket().close().has_value());
  for (std::size_t i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(run_until_messages(peer(), i + 1));
    run_for(std::chrono::microseconds(100));
    ASSERT_EQ(peer().messages.size(), i + 1);
    ASSERT_FALSE(peer().over());
    socket.resume();
  }
  ASSERT_TRUE(run_until([&] { return peer().over() && client.over(); }));
  for (std::size_t i = 0; i < kMessages; ++i) EXPECT_EQ(peer().messages[i], std::to_string(i));
  EXPECT_TRUE(client.was_clean);
}

// ---- Compression ----

TEST_P(WebSocketEchoTest, DeflatesInEachWay) {
  const std::string text = "a text that is like itself, " + pattern(10, 1);
  for (int way = 0; way < 16; ++way) {
    peers_.clear();
    WebSocketServerOptions options;
    options.socket.deflate = {.on = true,
                              .send_context_takeover = (way & 1) != 0,
                              .receive_context_takeover = (way & 2) != 0,
                              .threshold = 0};
    WebSocketClientOptions client_options;
    client_options.socket.deflate = {.on = true,
                                     .send_context_takeover = (way & 4) != 0,
                                     .receive_context_takeover = (way & 8) != 0,
                                     .threshold = 100};
    listen(options, true);
    WsRecord& client = join(client_options);
    EXPECT_TRUE(client.socket().is_deflating() && peer().socket().is_deflating()) << way;
    std::vector<std::string> sent;
    for (const std::size_t size : {0U, 10U, 1000U, 1000U, 70000U, 1048576U}) {
      sent.push_back(pattern(size, static_cast<unsigned>(size)));
      client.socket().send_binary(sent.back());
      std::string repeated;
      while (repeated.size() < size) repeated += "a text that is like itself; ";
      repeated.resize(size);
      sent.push_back(repeated);
      client.socket().send_text(sent.back());
      ASSERT_TRUE(run_until_messages(client, sent.size())) << way << ' ' << size;
    }
    EXPECT_TRUE(client.messages == sent) << way;
    EXPECT_TRUE(client.socket().close().has_value());
    ASSERT_TRUE(run_until_over(client));
    EXPECT_TRUE(client.was_clean);
    expect_all_gone();
    sockets_.reset();
    server_.reset();
  }
  listen();
}

TEST_P(WebSocketEchoTest, ABombIsStopped) {
  WebSocketServerOptions options;
  options.socket.deflate.on = true;
  options.socket.message_bytes_max = 100000;
  listen(options);
  WebSocketClientOptions client_options;
  client_options.socket.deflate.on = true;
  WsRecord& client = join(client_options);
  client.socket().send_binary(std::string(100000, 'x'));
  ASSERT_TRUE(run_until_messages(peer(), 1));
  client.socket().send_binary(std::string(50 << 20, 'x'));
  ASSERT_TRUE(run_until([&] { return client.over() && peer().over(); }));
  EXPECT_EQ(client.code, 1009);
  EXPECT_EQ(peer().messages.size(), 1U);
  EXPECT_EQ(peer().error.code, http::websocket::FrameError::message_too_big);
}

}  // namespace
}  // namespace weir::test
