// One message for all connections of a server, slow ones among them.
#include <sys/resource.h>

#include "tests/websocket_world.h"

namespace weir::test {
namespace {

class WebSocketBroadcastTest : public WebSocketTest {
 protected:
  // So many clients that only count: what comes, and its bytes.
  struct Listener {
    WebSocketRef ref;
    std::size_t messages = 0;
    std::size_t bytes = 0;
    bool open = false;
  };
  void connect_many(std::size_t count, const WebSocketClientOptions& options = {}) {
    for (std::size_t i = 0; i < count; ++i) {
      Listener& one = listeners_.emplace_back();
      const auto socket = WebSocket::connect(reactor(), url(), options);
      ASSERT_TRUE(socket.has_value()) << socket.error().message();
      one.ref = (*socket)->weak();
      (*socket)->on_open([this, &one](WebSocket&) {
        one.open = true;
        ++open_;
      });
      (*socket)->on_message([this, &one](WebSocket&, MessageKind, Buffer bytes) {
        ++one.messages;
        one.bytes += bytes.size();
        ++received_;
      });
      // In steps, so that no queue of connections that wait overflows.
      if (i % 100 != 99 && i + 1 != count) continue;
      ASSERT_TRUE(run_until([&] { return open_ == i + 1 && sockets_->connections() == i + 1; }))
          << open_ << " of " << i + 1;
    }
  }
  // As many connections of these as there may be descriptors for both ends.
  static std::size_t affordable(std::size_t connections) {
    if (simulated()) return connections;
    constexpr std::size_t kOthers = 100;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return std::min<std::size_t>(connections, (limit.rlim_cur - kOthers) / 2);
  }
  void serve_many(const WebSocketServerOptions& options = {}) {
    serve({});
    sockets_ = std::make_unique<WebSocketServer>(server(), options);
  }

  std::deque<Listener> listeners_;
  std::size_t open_ = 0;
  std::size_t received_ = 0;
};
WEIR_ON_ALL_BACKENDS(WebSocketBroadcastTest);

TEST_P(WebSocketBroadcastTest, TenThousandGetEveryMessage) {
  constexpr std::size_t kMany = 10000;
  constexpr std::size_t kFewer = 300;
  constexpr std::size_t kMessages = 3;
  const std::string_view name = GetParam().name;
  const bool many = name == "sim" || name == "epoll" || name == "io_uring";
  const std::size_t count = affordable(many ? kMany : kFewer);
  serve_many();
  ASSERT_NO_FATAL_FAILURE(connect_many(count));
  const std::string message = pattern(100, 7);
  for (std::size_t i = 1; i <= kMessages; ++i) {
    const auto result = sockets_->broadcast(MessageKind::binary, message);
    EXPECT_EQ(result.sent, count);
    EXPECT_EQ(result.skipped + result.closed, 0U);
    ASSERT_TRUE(run_until([&] { return received_ == i * count; })) << received_;
  }
  for (const Listener& one : listeners_) {
    ASSERT_EQ(one.messages, kMessages);
    ASSERT_EQ(one.bytes, kMessages * message.size());
  }
  EXPECT_TRUE(sockets_->close().has_value());
  expect_all_gone();
}

TEST_P(WebSocketBroadcastTest, ItIsCompressedForThoseThatDeflate) {
  WebSocketServerOptions options;
  options.socket.deflate.on = true;
  serve_many(options);
  WebSocketClientOptions deflating;
  deflating.socket.deflate.on = true;
  ASSERT_NO_FATAL_FAILURE(connect_many(3, deflating));
  const std::string message(100000, 'x');
  WsRecord& plain = connect();
  ASSERT_TRUE(run_until([&] { return plain.has("open") && sockets_->connections() == 4; }));
  const auto read = [&](WebSocketRef ref) { return ref.get()->socket()->bytes_read(); };
  const std::uint64_t before = read(listeners_[0].ref);
  EXPECT_EQ(sockets_->broadcast(MessageKind::text, message).sent, 4U);
  ASSERT_TRUE(run_until([&] { return received_ == 3 && plain.messages.size() == 1; }));
  EXPECT_EQ(plain.messages[0], message);
  EXPECT_EQ(listeners_[2].bytes, message.size());
  EXPECT_LT(read(listeners_[0].ref) - before, 1000U);
  EXPECT_GT(read(plain.ref), message.size());
}

// Those whose context is taken over have a compressor of their own, which has not seen the message.
TEST_P(WebSocketBroadcastTest, ItIsPlainForThoseWithAContext) {
  WebSocketServerOptions options;
  options.socket.deflate = {.on = true, .send_context_takeover = true};
  serve_many(options);
  WebSocketClientOptions deflating;
  deflating.socket.deflate = {.on = true, .receive_context_takeover = true};
  WsRecord& client = connect(deflating);
  ASSERT_TRUE(run_until([&] { return client.has("open") && sockets_->connections() == 1; }));
  const std::string message(5000, 'x');
  WebSocket* peer = nullptr;
  sockets_->for_each([&](WebSocket& socket) { peer = &socket; });
  ASSERT_NE(peer, nullptr);
  EXPECT_TRUE(peer->is_deflating());
  peer->send_text(message);
  EXPECT_EQ(sockets_->broadcast(MessageKind::text, message).sent, 1U);
  peer->send_text(message);
  ASSERT_TRUE(run_until_messages(client, 3));
  EXPECT_EQ(client.messages, std::vector<std::string>(3, message));
}

TEST_P(WebSocketBroadcastTest, SlowReadersAreSkippedOrClosed) {
  serve_many();
  WsRecord& fast = connect();
  WsRecord& slow = connect();
  ASSERT_TRUE(run_until([&] {
    return fast.has("open") && slow.has("open") && sockets_->connections() == 2;
  }));
  slow.socket().pause();
  const std::string message = pattern(256 * 1024, 3);
  std::size_t sent = 0;
  std::size_t skipped = 0;
  for (int i = 0; i < 1000 && skipped < 3; ++i) {
    const auto result = sockets_->broadcast(MessageKind::binary, message);
    EXPECT_EQ(result.sent + result.skipped, 2U);
    sent += result.sent;
    skipped += result.skipped;
    ASSERT_TRUE(run_until_messages(fast, static_cast<std::size_t>(i) + 1));
  }
  EXPECT_EQ(skipped, 3U);
  const std::size_t of_fast = fast.messages.size();
  const auto last = sockets_->broadcast(MessageKind::binary, message, SlowReader::close);
  EXPECT_EQ(last.sent, 1U);
  EXPECT_EQ(last.closed, 1U);
  ASSERT_TRUE(run_until_messages(fast, of_fast + 1));
  ASSERT_TRUE(run_until([&] { return sockets_->connections() == 1; }));
  slow.socket().resume();
  ASSERT_TRUE(run_until_over(slow));
  EXPECT_LE(slow.messages.size(), sent - of_fast);
  for (const std::string& one : slow.messages) EXPECT_TRUE(one == message);
}

TEST_P(WebSocketBroadcastTest, OnlyThoseThatAreWanted) {
  serve_many();
  ASSERT_NO_FATAL_FAILURE(connect_many(10));
  std::size_t asked = 0;
  const auto result = sockets_->broadcast(MessageKind::text, "half", SlowReader::skip,
                                          [&](WebSocket&) { return ++asked % 2 == 0; });
  EXPECT_EQ(result.sent, 5U);
  EXPECT_TRUE(run_until([&] { return received_ == 5; }));
}

TEST_P(WebSocketBroadcastTest, ABufferAndWhatHasNoRoomBehindOthers) {
  serve_many();
  WsRecord& client = connect();
  ASSERT_TRUE(run_until([&] { return client.has("open") && sockets_->connections() == 1; }));
  WebSocket* peer = nullptr;
  sockets_->for_each([&](WebSocket& socket) { peer = &socket; });
  EXPECT_EQ(sockets_->broadcast(MessageKind::text, Buffer::copy("small")).sent, 1U);
  const Buffer large = Buffer::take(std::string(net::limits::kQueueBytesMaxDefault, 'x'));
  EXPECT_EQ(sockets_->broadcast(MessageKind::binary, large.share()).skipped, 1U);
  ASSERT_TRUE(run_until_messages(client, 1));
  EXPECT_EQ(client.messages[0], "small");
}

TEST_P(WebSocketBroadcastTest, NotIntoAMessageInPieces) {
  serve_many();
  WsRecord& client = connect();
  ASSERT_TRUE(run_until([&] { return client.has("open") && sockets_->connections() == 1; }));
  WebSocket* peer = nullptr;
  sockets_->for_each([&](WebSocket& socket) { peer = &socket; });
  peer->send_piece(MessageKind::text, "one ", false);
  EXPECT_EQ(sockets_->broadcast(MessageKind::text, "never").skipped, 1U);
  peer->send_piece(MessageKind::text, "message", true);
  EXPECT_EQ(sockets_->broadcast(MessageKind::text, "another").sent, 1U);
  ASSERT_TRUE(run_until_messages(client, 2));
  EXPECT_EQ(client.messages, (std::vector<std::string>{"one message", "another"}));
}

}  // namespace
}  // namespace weir::test
