// Peers that vanish: what a ping_interval notices, while the queue is full and nothing is read too.
#include "tests/websocket_world.h"

namespace weir::test {
namespace {

using std::chrono::milliseconds;

constexpr auto kPingEvery = milliseconds(10);
constexpr auto kPongWithin = milliseconds(300);

class WebSocketKeepaliveTest : public WebSocketTest {
 protected:
  // A server that asks, and a client of it that has stopped reading and has never said a thing. The
  // kernel, whose buffers grow now and then, will not take all that is queued.
  HttpClient& listen_and_stall(Duration ping_every = kPingEvery,
                               const http::ServerOptions& options = {},
                               std::size_t queued = 12 << 20) {
    listen({.socket = {.ping_interval = ping_every, .pong_timeout = kPongWithin}}, false, options);
    HttpClient& raw = dial_raw();
    EXPECT_TRUE(run_until([&] { return peers_.size() == 1; }));
    stall(raw, peer().socket(), queued);
    return raw;
  }
  void expect_given_up() {
    EXPECT_TRUE(run_until_over(peer())) << peer().order();
    EXPECT_EQ(peer().order(), "connection error close");
    EXPECT_EQ(peer().error.code, errno_code(ETIMEDOUT)) << peer().error.message();
    expect_all_gone();
  }
};
WEIR_ON_ALL_BACKENDS(WebSocketKeepaliveTest);

TEST_P(WebSocketKeepaliveTest, APeerThatTakesNothingIsGivenUp) {
  listen_and_stall();
  ASSERT_FALSE(HasFailure());
  expect_given_up();
}

// It is not read until the queue has drained, which it never does.
TEST_P(WebSocketKeepaliveTest, OneThatMadeASendRefusedToo) {
  listen_and_stall();
  ASSERT_FALSE(HasFailure());
  const std::string message(1 << 20, 'x');
  Write last = Write::ok;
  for (int i = 0; i < 1000 && last != Write::refused; ++i) {
    last = peer().socket().send_binary(message);
  }
  ASSERT_EQ(last, Write::refused);
  expect_given_up();
}

TEST_P(WebSocketKeepaliveTest, OneThatIsNotReadToo) {
  listen_and_stall();
  ASSERT_FALSE(HasFailure());
  peer().socket().pause();
  expect_given_up();
}

TEST_P(WebSocketKeepaliveTest, WhoIsPausedAndOwesNothingStays) {
  listen({.socket = {.ping_interval = milliseconds(1), .pong_timeout = milliseconds(1)}});
  HttpClient& raw = dial_raw();
  ASSERT_TRUE(run_until([&] { return peers_.size() == 1; }));
  peer().socket().pause();
  run_for(milliseconds(20));
  EXPECT_FALSE(peer().over()) << peer().error.message();
  raw.end();
}

// There is no room for the ping: nothing is refused, and nobody is punished for it.
TEST_P(WebSocketKeepaliveTest, APingThatDoesNotFitIsNotSent) {
  constexpr std::size_t kMost = 4 << 20;
  http::ServerOptions options;
  options.net.socket.queue.bytes_max = kMost;
  options.net.socket.policy = net::QueuePolicy::close;
  // Long enough for the queue to be full when it comes.
  listen_and_stall(milliseconds(200), options, 1 << 20);
  ASSERT_FALSE(HasFailure());
  WebSocket& socket = peer().socket();
  // The largest frame's head is what must have room.
  const std::size_t room = kMost - socket.writable_length() - 14;
  ASSERT_EQ(socket.send_binary(std::string(room, 'x')), Write::full);
  ASSERT_GT(socket.writable_length() + 14, kMost);
  expect_given_up();
}

// What left until shortly before the deadline has shown that it lives.
TEST_P(WebSocketKeepaliveTest, TheLastOfALongQueueCounts) {
  HttpClient& raw = listen_and_stall();
  ASSERT_FALSE(HasFailure());
  const WebSocketRef ref = peer().ref;
  run_for(2 * kPingEvery);
  raw.socket().resume();
  Instant queued_last = reactor().now();
  ASSERT_TRUE(run_until([&] {
    WebSocket* socket = ref.get();
    if (socket != nullptr && socket->writable_length() != 0) queued_last = reactor().now();
    return peer().over();
  }));
  EXPECT_GE(reactor().now() - queued_last, kPongWithin);
  EXPECT_EQ(count_of(raw.received(), std::string_view("\x89\0", 2)), 1U);
  expect_given_up();
}

}  // namespace
}  // namespace weir::test
