// Writing: the four results, the drain rules, corking, and writes that come too late.
#include <gtest/gtest.h>

#include "tests/pair.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::QueuePolicy;
using net::ReadyState;

// More than any kernel takes from us while nobody reads: the rest stays queued.
constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;

class WriteTest : public PairTest {
 protected:
  static PairOptions limits(std::size_t high_water, std::size_t bytes_max,
                            QueuePolicy policy = QueuePolicy::drop) {
    PairOptions options;
    options.client.queue = {.high_water = high_water, .low_water = 0, .bytes_max = bytes_max};
    options.client.policy = policy;
    return options;
  }

  bool peer_has(std::size_t bytes) {
    return run_until([&] { return peer_record_.bytes.size() >= bytes; });
  }

  // The peer reads from now on, and counts only.
  void drain_peer(std::size_t& received) {
    peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  }
};

TEST_P(WriteTest, FullIsSaidExactlyAtTheHighWaterMark) {
  join(limits(1000, 100'000));
  EXPECT_EQ(client().write(std::string(999, 'a')), Write::ok);
  EXPECT_FALSE(client().writable_needs_drain());
  EXPECT_EQ(client().write("b"), Write::full);
  EXPECT_TRUE(client().writable_needs_drain());
  EXPECT_EQ(client().write("c"), Write::full);
  EXPECT_EQ(client().writable_length(), 1001U);
  EXPECT_EQ(client().bytes_written(), 1001U);
  EXPECT_EQ(reactor().counters().queue_bytes, 1001U);
  EXPECT_TRUE(peer_record_.bytes.empty()) << "write() entered the kernel";
  ASSERT_TRUE(peer_has(1001));
  EXPECT_EQ(peer_record_.bytes, std::string(999, 'a') + "bc");
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  EXPECT_FALSE(client().writable_needs_drain());
  run_for(2ms);
  EXPECT_EQ(client_record_.count("drain"), 1);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(WriteTest, NoDrainForWritesThatWereOk) {
  join(limits(1000, 100'000));
  EXPECT_EQ(client().write(std::string(999, 'a')), Write::ok);
  ASSERT_TRUE(peer_has(999));
  run_for(2ms);
  EXPECT_EQ(client().write(std::string(999, 'a')), Write::ok);
  ASSERT_TRUE(peer_has(1998));
  run_for(2ms);
  EXPECT_EQ(client_record_.count("drain"), 0);
}

TEST_P(WriteTest, EachPeriodHasExactlyOneDrain) {
  join(limits(10, 100'000));
  for (long period = 1; period <= 5; ++period) {
    for (int i = 0; i < 4; ++i) client().write(std::string(10, 'x'));
    ASSERT_TRUE(run_until([&] { return client_record_.count("drain") == period; }));
    EXPECT_EQ(client().writable_length(), 0U);
    run_for(1ms);
    EXPECT_EQ(client_record_.count("drain"), period);
  }
}

TEST_P(WriteTest, AWriteInsideDrainStartsANewPeriod) {
  join(limits(10, 100'000));
  int drains = 0;
  client().on_drain([&](Socket& socket) {
    if (++drains == 4) return;
    EXPECT_EQ(socket.write(std::string(10, 'x')), Write::full);
  });
  client().write(std::string(10, 'x'));
  ASSERT_TRUE(run_until([&] { return drains == 4; }));
  run_for(2ms);
  EXPECT_EQ(drains, 4);
  ASSERT_TRUE(peer_has(40));
}

TEST_P(WriteTest, DrainComesAtTheLowWaterMark) {
  PairOptions options = limits(1 << 20, kMoreThanTheKernelTakes * 2);
  options.client.queue.low_water = 100'000;
  options.peer_reads = false;
  join(options);
  std::vector<std::size_t> left;
  client().on_drain([&](Socket& socket) { left.push_back(socket.writable_length()); });
  const std::string chunk(1 << 20, 'x');
  for (int i = 0; i < 48; ++i) EXPECT_EQ(client().write(chunk), Write::full);
  run_for(20ms);
  EXPECT_TRUE(left.empty());
  std::size_t received = 0;
  drain_peer(received);
  ASSERT_TRUE(run_until([&] { return received == kMoreThanTheKernelTakes; }));
  ASSERT_TRUE(run_until([&] { return !left.empty(); }));
  EXPECT_EQ(left.size(), 1U);
  EXPECT_LE(left[0], 100'000U);
}

TEST_P(WriteTest, AWriteBeyondTheLimitIsRefusedWhole) {
  join(limits(100, 1000));
  EXPECT_EQ(client().write(std::string(600, 'a')), Write::full);
  Buffer refused = Buffer::copy(std::string(401, 'b'));
  EXPECT_EQ(client().write(std::move(refused)), Write::refused);
  EXPECT_EQ(refused.size(), 401U) << "moved from although it was not taken";  // NOLINT
  EXPECT_EQ(client().writable_length(), 600U);
  EXPECT_EQ(client().write(std::string(400, 'c')), Write::full) << "exactly the limit fits";
  EXPECT_EQ(client().write("d"), Write::refused);
  EXPECT_EQ(client().dropped_writes(), 2U);
  ASSERT_TRUE(peer_has(1000));
  EXPECT_EQ(peer_record_.bytes, std::string(600, 'a') + std::string(400, 'c'));
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  EXPECT_EQ(client().write(std::move(refused)), Write::full) << "after 'drain' there is room";
  EXPECT_TRUE(refused.empty());  // NOLINT
  ASSERT_TRUE(peer_has(1401));
  ASSERT_TRUE(run_until([&] { return client_record_.count("drain") == 2; }));
  EXPECT_FALSE(client().destroyed());
}

TEST_P(WriteTest, ARefusedWriteAloneOwesOneDrain) {
  // The high-water mark lies above the limit, so nothing before the refusal said full.
  join(limits(10'000, 1000));
  EXPECT_EQ(client().write(std::string(600, 'a')), Write::ok);
  EXPECT_EQ(client().write(std::string(600, 'a')), Write::refused);
  EXPECT_EQ(client().write(std::string(600, 'a')), Write::refused);
  EXPECT_TRUE(client().writable_needs_drain());
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  run_for(2ms);
  EXPECT_EQ(client_record_.count("drain"), 1);
}

TEST_P(WriteTest, TheFirstWriteOnAnEmptyQueueIsAlwaysAccepted) {
  join(limits(100, 1000));
  EXPECT_EQ(client().write(std::string(50'000, 'a')), Write::full);
  EXPECT_EQ(client().write("b"), Write::refused);
  EXPECT_NE(client().write(""), Write::refused) << "nothing passes no limit";
  ASSERT_TRUE(peer_has(50'000));
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  EXPECT_EQ(client().write(std::string(2000, 'c')), Write::full);
  ASSERT_TRUE(peer_has(52'000));
}

TEST_P(WriteTest, PolicyCloseDestroysWithENOBUFS) {
  join(limits(100, 1000, QueuePolicy::close));
  client().write(std::string(600, 'a'));
  const Write result = client().write(std::string(600, 'b'));
  EXPECT_TRUE(result == Write::refused || result == Write::closed);
  EXPECT_TRUE(client().destroyed());
  EXPECT_FALSE(client_record_.has("error")) << "an event inside write()";
  expect_all_gone();
  EXPECT_EQ(client_record_.error(), "ENOBUFS");
  EXPECT_EQ(client_record_.closed_with, errno_code(ENOBUFS));
  EXPECT_EQ(client_record_.order(), "connect ready error close");
}

TEST_P(WriteTest, PolicyPauseReadsNothingUntilTheQueueHasDrained) {
  PairOptions options = limits(100, 1000, QueuePolicy::pause);
  options.peer_reads = false;
  join(options);
  const Buffer big = Buffer::take(std::string(kMoreThanTheKernelTakes, 'a'));
  EXPECT_EQ(client().write(big.share()), Write::full);
  EXPECT_EQ(client().write("b"), Write::refused);
  EXPECT_FALSE(client().is_paused()) << "this pause is not the user's";
  peer().write("hello");
  run_for(20ms);
  EXPECT_EQ(client_record_.order(), "connect ready");
  std::size_t received = 0;
  drain_peer(received);
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "hello"; }));
  EXPECT_EQ(client_record_.order(), "connect ready drain data");
  EXPECT_TRUE(run_until([&] { return received == kMoreThanTheKernelTakes; }));
  EXPECT_FALSE(client().destroyed());
}

TEST_P(WriteTest, ManySmallWritesKeepTheirOrder) {
  join();
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string piece = std::to_string(i) + (i % 7 == 0 ? std::string(3000, '.') : ",");
    expected += piece;
    const Write result = i % 2 == 0 ? client().write(piece) : client().write(Buffer::copy(piece));
    ASSERT_TRUE(result == Write::ok || result == Write::full);
    if (i % 50 == 49) reactor().run_once(0ms);
  }
  ASSERT_TRUE(peer_has(expected.size()));
  EXPECT_TRUE(peer_record_.bytes == expected);
}

TEST_P(WriteTest, AnEmptyWriteSendsNothing) {
  join();
  EXPECT_EQ(client().write(""), Write::ok);
  EXPECT_EQ(client().write(Buffer()), Write::ok);
  EXPECT_EQ(client().bytes_written(), 0U);
  run_for(2ms);
  client().write("a");
  client().write("");
  client().write("b");
  client().end(Buffer());
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(peer_record_.bytes, "ab");
  EXPECT_EQ(client_record_.count("drain"), 0);
  expect_all_gone();
}

TEST_P(WriteTest, AWriteAfterEndDestroys) {
  join();
  client().write("taken");
  client().end();
  EXPECT_EQ(client().write("late"), Write::closed);
  EXPECT_FALSE(client_record_.has("error")) << "an event inside write()";
  expect_all_gone();
  EXPECT_EQ(client_record_.error(), "ERR_STREAM_WRITE_AFTER_END");
  EXPECT_EQ(client_record_.closed_with, Mistake::write_after_end);
  EXPECT_EQ(client_record_.count("error"), 1);
  EXPECT_EQ(client_record_.bytes, "");
  EXPECT_EQ(peer_record_.bytes.find("late"), std::string::npos);
}

TEST_P(WriteTest, AWriteAfterEndInsideFinishDestroysToo) {
  PairOptions options;
  options.server.socket.allow_half_open = true;
  join(options);
  Write result = Write::ok;
  client().on_finish([&](Socket& socket) { result = socket.write("late"); });
  client().end();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(result, Write::closed);
  EXPECT_EQ(client_record_.error(), "ERR_STREAM_WRITE_AFTER_END");
}

TEST_P(WriteTest, EndWithBytesAfterEndIsAWriteAfterEnd) {
  join();
  client().end();
  EXPECT_EQ(client().end(Buffer::literal("late")), Write::closed);
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.error(), "ERR_STREAM_WRITE_AFTER_END");
}

TEST_P(WriteTest, AWriteAfterTheAutomaticEndIsEPIPE) {
  PairOptions options;
  options.client.queue.bytes_max = kMoreThanTheKernelTakes * 2;
  options.peer_reads = false;
  join(options);
  // What is queued keeps the connection open after the automatic end.
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'a')));
  peer().end();
  ASSERT_TRUE(run_until([&] { return client().writable_ended(); }));
  EXPECT_TRUE(client_record_.has("end"));
  EXPECT_FALSE(client().destroyed());
  EXPECT_EQ(client().ready_state(), ReadyState::closed);
  EXPECT_EQ(client().write("late"), Write::closed);
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.error(), "EPIPE");
  EXPECT_EQ(client_record_.closed_with, errno_code(EPIPE));
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(WriteTest, AWriteInsideTheEndListenerIsFlushedBeforeOurFin) {
  join();
  const std::string last = pattern(1 << 20, 3);
  client().on_end([&](Socket& socket) {
    EXPECT_TRUE(socket.writable());
    EXPECT_NE(socket.write(last), Write::closed);
  });
  peer().end();
  expect_all_gone();
  EXPECT_TRUE(peer_record_.bytes == last);
  EXPECT_TRUE(peer_record_.has("end"));
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_FALSE(peer_record_.closed_with);
}

TEST_P(WriteTest, AWriteAfterDestroyOrCloseIsClosedWithoutAnError) {
  join();
  client().destroy();
  Buffer bytes = Buffer::copy("x");
  EXPECT_EQ(client().write(std::move(bytes)), Write::closed);
  EXPECT_EQ(bytes.size(), 1U);  // NOLINT: not taken
  Write in_close = Write::ok;
  client().on_close([&](Socket& socket, std::error_code) { in_close = socket.write("y"); });
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(in_close, Write::closed);
  EXPECT_EQ(client().write("z"), Write::closed);
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(WriteTest, NoDrainAfterEnd) {
  join(limits(10, 100'000));
  client().write(std::string(5000, 'x'));
  client().end();
  EXPECT_FALSE(client().writable_needs_drain());
  expect_all_gone();
  EXPECT_EQ(client_record_.count("drain"), 0);
  EXPECT_EQ(peer_record_.bytes.size(), 5000U);
}

TEST_P(WriteTest, NothingIsSentWhileCorkedAndCorksCount) {
  join();
  client().cork();
  client().cork();
  client().write("a");
  client().write("b");
  run_for(5ms);
  EXPECT_EQ(client().writable_length(), 2U);
  client().uncork();
  run_for(5ms);
  EXPECT_EQ(client().writable_length(), 2U);
  client().write("c");
  client().uncork();
  EXPECT_EQ(client().writable_length(), 3U) << "uncork() entered the kernel";
  ASSERT_TRUE(peer_has(3));
  EXPECT_EQ(peer_record_.bytes, "abc");
  client().uncork();
  client().write("d");
  ASSERT_TRUE(peer_has(4));
}

TEST_P(WriteTest, EndUncorks) {
  join();
  client().cork();
  client().cork();
  client().write("all");
  client().end();
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "all");
}

TEST_P(WriteTest, CorkedWritesOwnADrainToo) {
  join(limits(10, 100));
  client().cork();
  EXPECT_EQ(client().write(std::string(60, 'a')), Write::full);
  EXPECT_EQ(client().write(std::string(60, 'a')), Write::refused);
  run_for(5ms);
  EXPECT_EQ(client_record_.count("drain"), 0);
  client().uncork();
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  EXPECT_EQ(client_record_.count("drain"), 1);
  ASSERT_TRUE(peer_has(60));
}

TEST_P(WriteTest, APeerThatIsGoneEndsTheWriter) {
  PairOptions options;
  options.client_reads = false;
  join(options);
  client().write("x");
  ASSERT_TRUE(peer_has(1));
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] {
    if (!client().destroyed()) client().write(std::string(100'000, 'x'));
    return client_record_.closes != 0;
  }));
  expect_all_gone();
  EXPECT_EQ(client_record_.count("error"), 1);
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.error();
}

WEIR_ON_ALL_BACKENDS(WriteTest);

}  // namespace
}  // namespace weir::test
