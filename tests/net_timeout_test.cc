// The idle timeout: what counts as activity, and that it is only a notice.
#include <gtest/gtest.h>

#include "tests/pair.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class IdleTimeoutTest : public PairTest {
 protected:
  // Milliseconds since `begin_`, at each 'timeout' of the client.
  void note_times() {
    begin_ = reactor().now();
    client().on_timeout([&](Socket&) {
      times_.push_back(
          std::chrono::duration_cast<std::chrono::milliseconds>(reactor().now() - begin_).count());
    });
  }

  Instant begin_;
  std::vector<long> times_;
};

TEST_P(IdleTimeoutTest, ItIsANoticeAndTheConnectionWorksOn) {
  join();
  client().set_timeout(5ms);
  ASSERT_TRUE(run_until([&] { return client_record_.has("timeout"); }));
  EXPECT_FALSE(client().destroyed());
  client().write("still open");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "still open"; }));
  ASSERT_TRUE(run_until([&] { return client_record_.count("timeout") >= 2; }));
  client().end();
  expect_all_gone();
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(IdleTimeoutTest, AcceptedSocketsHaveThemToo) {
  listen();
  server_->on_connection([](Socket& socket) { socket.set_timeout(5ms); });
  server_->on_timeout([](Socket& socket) { socket.destroy(); });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(peer_record_.order(), "timeout close");
}

TEST_P(IdleTimeoutTest, ZeroTurnsItOff) {
  join();
  client().set_timeout(2ms);
  client().set_timeout(0ms);
  run_for(20ms);
  EXPECT_FALSE(client_record_.has("timeout"));
}

TEST_P(IdleTimeoutTest, DestroyAndCloseClearIt) {
  join();
  client().set_timeout(3ms);
  client().destroy();
  expect_all_gone();
  client().set_timeout(1ms);
  run_for(20ms);
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

TEST_P(IdleTimeoutTest, ItFiresOnceUntilTheNextActivity) {
  if (!simulated()) GTEST_SKIP() << "exact times";
  join();
  client().set_timeout(50ms);
  note_times();
  run_for(180ms);
  EXPECT_EQ(times_, std::vector<long>({50}));
  client().write("activity");
  run_for(200ms);
  EXPECT_EQ(times_, std::vector<long>({50, 230}));
}

TEST_P(IdleTimeoutTest, BytesReadAreActivity) {
  if (!simulated()) GTEST_SKIP() << "exact times";
  join();
  client().set_timeout(50ms);
  note_times();
  for (int i = 0; i < 5; ++i) {
    run_for(30ms);
    peer().write("x");
  }
  run_for(100ms);
  EXPECT_EQ(times_, std::vector<long>({200}));
}

TEST_P(IdleTimeoutTest, SettingItAgainStartsAnew) {
  if (!simulated()) GTEST_SKIP() << "exact times";
  join();
  client().set_timeout(50ms);
  note_times();
  run_for(40ms);
  client().set_timeout(50ms);
  run_for(40ms);
  EXPECT_TRUE(times_.empty());
  client().set_timeout(20ms);
  run_for(100ms);
  EXPECT_EQ(times_, std::vector<long>({100}));
  // 180 ms have passed; a shorter time than the one that runs is taken at once.
  client().set_timeout(300ms);
  run_for(100ms);
  client().set_timeout(10ms);
  run_for(100ms);
  EXPECT_EQ(times_, std::vector<long>({100, 290}));
}

TEST_P(IdleTimeoutTest, PauseResumeAndListenersAreNoActivity) {
  if (!simulated()) GTEST_SKIP() << "exact times";
  join();
  client().set_timeout(50ms);
  note_times();
  run_for(30ms);
  client().pause();
  client().on_data([](Socket&, Buffer) {});
  run_for(10ms);
  client().resume();
  client().set_no_delay();
  run_for(60ms);
  EXPECT_EQ(times_, std::vector<long>({50}));
}

TEST_P(IdleTimeoutTest, QueueingBehindAStuckWriteIsNoActivity) {
  if (!simulated()) GTEST_SKIP() << "exact times";
  PairOptions options;
  options.peer_reads = false;
  join(options);
  client().write(std::string(8 << 20, 'x'));
  run_for(10ms);
  EXPECT_GT(client().writable_length(), 0U);
  client().set_timeout(50ms);
  note_times();
  run_for(30ms);
  client().write("queued behind");
  run_for(100ms);
  EXPECT_EQ(times_, std::vector<long>({50}));
}

TEST_P(IdleTimeoutTest, ItRunsWhileConnecting) {
  if (!simulated()) GTEST_SKIP() << "only the simulator knows that nobody answers";
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  socket.set_timeout(50ms);
  ASSERT_TRUE(socket.connect({.host = "192.0.2.1", .port = 80}).has_value());
  const Instant begin = reactor().now();
  ASSERT_TRUE(run_until([&] { return seen.has("timeout"); }));
  EXPECT_EQ(reactor().now() - begin, 50ms);
  EXPECT_TRUE(socket.connecting()) << "only a notice";
  socket.destroy();
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.order(), "timeout close");
}

TEST_P(IdleTimeoutTest, ItMayBeSetBeforeEachConnectionOfTheObject) {
  listen();
  for (int round = 0; round < 2; ++round) {
    client_record_ = {};
    ASSERT_TRUE(client().connect(to_).has_value());
    client().set_timeout(5ms);
    ASSERT_TRUE(run_until([&] { return client_record_.has("timeout"); }));
    client().destroy();
    ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
    EXPECT_EQ(client_record_.events.back(), "close");
  }
}

WEIR_ON_ALL_BACKENDS(IdleTimeoutTest);

}  // namespace
}  // namespace weir::test
