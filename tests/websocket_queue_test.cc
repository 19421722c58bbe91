// What the queue of a WebSocket says: drains that are owed and none that are not, and turns.
#include "tests/websocket_world.h"

namespace weir::test {
namespace {

class WebSocketQueueTest : public WebSocketTest {
 protected:
  // A raw client that has stopped reading; its peer's queue has these limits, and 1 MiB.
  HttpClient& listen_and_stall(const net::QueueLimits& limits, net::QueuePolicy policy = {}) {
    http::ServerOptions options;
    options.net.socket.queue = limits;
    options.net.socket.policy = policy;
    listen({}, false, options);
    HttpClient& raw = dial_raw();
    EXPECT_TRUE(run_until([&] { return peers_.size() == 1; }));
    stall(raw, peer().socket(), 1 << 20);
    // What it sends says how much room it has now, which may be more than it said last.
    raw.send(frame(0x8a, "unasked"));
    stall(raw, peer().socket(), 1 << 20);
    return raw;
  }
  // The queue has exactly so many bytes then. More than 64 KiB are to be missing.
  void fill_up_to(std::size_t bytes) {
    constexpr std::size_t kHead = 10;
    const std::size_t missing = bytes - peer().socket().writable_length() - kHead;
    ASSERT_GE(missing, std::size_t{1} << 16);
    ASSERT_EQ(peer().socket().send_binary(std::string(missing, 'x')), Write::ok);
    ASSERT_EQ(peer().socket().writable_length(), bytes);
  }
};
WEIR_ON_ALL_BACKENDS(WebSocketQueueTest);

constexpr std::size_t kMark = 4 << 20;

// Whoever was never told `full` hears of no drain.
TEST_P(WebSocketQueueTest, APongOwesNoDrain) {
  HttpClient& raw = listen_and_stall({.high_water = kMark});
  ASSERT_FALSE(HasFailure());
  fill_up_to(kMark - 1);
  raw.send(frame(0x89, "mark"));
  ASSERT_TRUE(run_until([&] { return peer().pings.size() == 1; }));
  EXPECT_GT(peer().socket().writable_length(), kMark);
  EXPECT_FALSE(peer().socket().needs_drain());
  raw.socket().resume();
  ASSERT_TRUE(run_until([&] { return raw.received().ends_with("\x8a\x04mark"); }));
  ASSERT_TRUE(run_until([&] { return peer().socket().writable_length() == 0; }));
  EXPECT_EQ(peer().drains, 0);
}

// A pong is not what the policy punishes.
TEST_P(WebSocketQueueTest, APingAtTheLimitHarmsNobody) {
  const net::QueueLimits limits{.high_water = kMark, .bytes_max = kMark};
  HttpClient& raw = listen_and_stall(limits, net::QueuePolicy::close);
  ASSERT_FALSE(HasFailure());
  fill_up_to(kMark - 5);
  for (int i = 0; i < 100; ++i) raw.send(frame(0x89, std::string(100, 'p')));
  raw.send(frame(0x89, "last"));
  ASSERT_TRUE(run_until([&] { return peer().pings.size() == 101; }));
  EXPECT_LT(peer().socket().writable_length(), kMark + 125);
  raw.socket().resume();
  ASSERT_TRUE(run_until([&] { return raw.received().ends_with("\x8a\x04last"); }));
  EXPECT_TRUE(peer().socket().is_open());
}

// The queue is filled again, by a message that waited for it to drain, before the drain is told.
TEST_P(WebSocketQueueTest, NoDrainIsToldOfAFullQueue) {
  HttpClient& raw = listen_and_stall({});
  ASSERT_FALSE(HasFailure());
  const std::string large(1 << 20, 'x');
  int drains = 0;
  sockets_->on_message([&](WebSocket& socket, MessageKind, Buffer) {
    Write last = Write::ok;
    for (int i = 0; i < 100 && last != Write::refused; ++i) last = socket.send_binary(large);
    EXPECT_EQ(last, Write::refused);
  });
  sockets_->on_drain([&](WebSocket& socket) {
    ++drains;
    EXPECT_FALSE(socket.needs_drain());
  });
  raw.send(frame(0x81, "fill") + frame(0x81, "refill"));
  ASSERT_TRUE(run_until([&] { return peer().has("text"); }));
  EXPECT_EQ(peer().messages.size(), 1U);
  raw.socket().resume();
  ASSERT_TRUE(run_until([&] { return drains == 1; }));
  EXPECT_EQ(peer().messages, (std::vector<std::string>{"fill", "refill"}));
}

// A few bytes that are received may stand for many messages: others have their turn between them.
TEST_P(WebSocketQueueTest, WhatIsInflatedInATurnIsBounded) {
  constexpr std::size_t kMessages = 8;
  WebSocketServerOptions options;
  options.socket.deflate.on = true;
  listen(options);
  WebSocketClientOptions deflating;
  deflating.socket.deflate.on = true;
  WsRecord& client = join(deflating);
  std::size_t told = 0;
  std::size_t told_in_turn = 0;
  sockets_->on_message([&](WebSocket&, MessageKind, Buffer bytes) {
    EXPECT_EQ(bytes.size(), std::size_t{1} << 20);
    if (told++ == 0) reactor().defer([&] { told_in_turn = told; });
  });
  const std::string large(1 << 20, 'x');
  for (std::size_t i = 0; i < kMessages; ++i) client.socket().send_binary(large);
  EXPECT_TRUE(client.socket().close().has_value());
  ASSERT_TRUE(run_until([&] { return client.over() && peer().over(); }));
  EXPECT_EQ(told, kMessages);
  EXPECT_EQ(told_in_turn, 1U);
  EXPECT_TRUE(client.was_clean);
}

// ---- What a refused message does, by the socket's policy ----

TEST_P(WebSocketQueueTest, APolicyOfClosingEndsIt) {
  listen({}, false, {.net = {.socket = {.policy = net::QueuePolicy::close}}});
  dial_raw();
  ASSERT_TRUE(run_until([&] { return !peers_.empty(); }));
  WebSocket& socket = peer().socket();
  EXPECT_EQ(socket.send_text("first"), Write::ok);
  EXPECT_EQ(socket.send_binary(std::string(net::limits::kQueueBytesMaxDefault, 'x')),
            Write::closed);
  ASSERT_TRUE(run_until_over(peer()));
  EXPECT_EQ(peer().closed_with, errno_code(ENOBUFS));
}

TEST_P(WebSocketQueueTest, APolicyOfDroppingReadsOn) {
  listen({}, false, {.net = {.socket = {.policy = net::QueuePolicy::drop}}});
  HttpClient& raw = dial_raw();
  ASSERT_TRUE(run_until([&] { return !peers_.empty(); }));
  ASSERT_NO_FATAL_FAILURE(stall(raw, peer().socket(), 1 << 20));
  EXPECT_EQ(peer().socket().send_binary(std::string(net::limits::kQueueBytesMaxDefault, 'x')),
            Write::refused);
  raw.send(frame(0x81, "is read"));
  ASSERT_TRUE(run_until_messages(peer(), 1));
  EXPECT_EQ(peer().messages[0], "is read");
  EXPECT_TRUE(peer().socket().needs_drain());
}

}  // namespace
}  // namespace weir::test
