// What a Socket tells the protocol on top of it (net::StreamUser), and when that lets go.
#include <gtest/gtest.h>

#include "tests/pair.h"

namespace weir::test {
namespace {

// Notes what it is told; at the end it may leave the stream to a listener.
class Protocol final : public net::StreamUser {
 public:
  Protocol(Socket& socket, bool leaves_at_end, EventLog& log)
      : socket_(socket), leaves_at_end_(leaves_at_end), log_(log) {
    socket_.set_user(this);
  }

 private:
  void on_stream_data(Buffer bytes) noexcept override { log_.note(bytes.view()); }
  void on_stream_end() noexcept override {
    log_.note("user's end");
    if (!leaves_at_end_) return;
    socket_.set_user(nullptr);
    socket_.on_data([](Socket&, Buffer) {});
    socket_.on_end([this](Socket&) { log_.note("listener's end"); });
  }
  void on_stream_sent(bool) noexcept override { log_.note("sent"); }
  void on_stream_idle() noexcept override {}
  void on_stream_closed(const Error&) noexcept override { log_.note("closed"); }

  Socket& socket_;
  bool leaves_at_end_;
  EventLog& log_;
};

class StreamUserTest : public PairTest {};

TEST_P(StreamUserTest, IsToldInOrder) {
  PairOptions options;
  options.client_reads = false;
  join(options);
  EventLog log;
  Protocol protocol(client(), false, log);
  client().write("hello");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "hello"; }));
  peer().end("bytes");
  ASSERT_TRUE(run_until([&] { return log.has("closed"); }));
  EXPECT_EQ(log.order(), "sent bytes user's end closed");
}

// Once, and not from inside the user's call.
TEST_P(StreamUserTest, OneThatLeavesAtTheEndLeavesTheEndToTheListeners) {
  PairOptions options;
  options.client_reads = false;
  options.client.allow_half_open = true;
  join(options);
  EventLog log;
  Protocol protocol(client(), true, log);
  peer().end();
  ASSERT_TRUE(run_until([&] { return log.has("listener's end"); }));
  bool finished = false;
  client().on_finish([&](Socket&) { finished = true; });
  client().end();
  ASSERT_TRUE(run_until([&] { return finished && client_record_.closes != 0; }));
  EXPECT_EQ(log.order(), "user's end listener's end");
}

WEIR_ON_ALL_BACKENDS(StreamUserTest);

}  // namespace
}  // namespace weir::test
