// What every backend promises about sends that lend their bytes to the kernel.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>

#include "tests/door.h"

namespace weir::test {
namespace {

class BackendZeroCopyTest : public DoorTest {
 protected:
  // A send with memory of its own, which is made useless as soon as it is given back.
  struct Lent {
    std::string bytes;
    std::vector<iovec> pieces;
    ZeroCopySend* op = nullptr;
  };

  Lent& lend(int fd, std::string bytes, std::size_t pieces = 1) {
    Lent& lent = lent_.emplace_back();
    lent.bytes = std::move(bytes);
    const std::size_t size = lent.bytes.size() / pieces;
    for (std::size_t i = 0; i < pieces; ++i) {
      const std::size_t length = i + 1 < pieces ? size : lent.bytes.size() - i * size;
      lent.pieces.push_back({.iov_base = lent.bytes.data() + i * size, .iov_len = length});
    }
    lent.op = &zero_copy(fd, lent.pieces);
    lent.op->handle = [&lent](Completion& completion) {
      if (!completion.more) std::ranges::fill(lent.bytes, '!');
    };
    return lent;
  }

  bool has_result(const Lent& lent) { return !lent.op->results.empty(); }

  // Sends to `fd`, which nobody reads, until one has no result.
  Lent& fill(int fd) {
    for (;;) {
      const std::size_t size = simulated() ? 64 << 10 : 256 << 10;  // it has little room
      Lent& lent = lend(fd, stream_part(position_, size));
      settle();
      if (!has_result(lent)) return lent;
      EXPECT_GT(lent.op->results[0], 0);
      if (lent.op->results[0] <= 0) return lent;
      position_ += static_cast<std::size_t>(lent.op->results[0]);
    }
  }

  long awaiting_release() const {
    return std::ranges::count_if(lent_, [](const Lent& one) { return one.op->awaits_release(); });
  }

  static bool never_lends() { return GetParam().options.kind == BackendKind::epoll; }

  std::list<Lent> lent_;
  std::size_t position_ = 0;  // in the stream
};

TEST_P(BackendZeroCopyTest, TheResultComesAndThenTheRelease) {
  for (const std::size_t pieces : {1, 5}) {
    const Ends ends = connected();
    Receive& received = receive(ends.b);
    const Lent& lent = lend(ends.a, stream_part(0, 100'000), pieces);
    ASSERT_TRUE(run_until([&] { return lent.op->ended; }));
    ASSERT_EQ(lent.op->results.size(), 2U);
    EXPECT_EQ(lent.op->results[0], 100'000);
    const auto how = static_cast<Release>(lent.op->results[1]);
    EXPECT_EQ(how == Release::refused, never_lends()) << lent.op->results[1];
    ASSERT_TRUE(run_until([&] { return received.total == 100'000; }));
    EXPECT_TRUE(is_stream_part(received.bytes, 0));
  }
}

TEST_P(BackendZeroCopyTest, AUnixSocketTakesNoLoan) {
  const Ends ends = connected(true);
  Receive& received = receive(ends.b);
  const Lent& lent = lend(ends.a, stream_part(0, 50'000));
  ASSERT_TRUE(run_until([&] { return lent.op->ended && received.total == 50'000; }));
  ASSERT_EQ(lent.op->results.size(), 2U);
  EXPECT_EQ(static_cast<Release>(lent.op->results[1]), Release::refused);
  EXPECT_TRUE(is_stream_part(received.bytes, 0));
}

TEST_P(BackendZeroCopyTest, AStreamOfThemLosesAndRepeatsNothing) {
  constexpr std::size_t kBytes = 16 << 20;
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  bool in_order = true;
  received.handle = [&](Completion& completion) {
    in_order = in_order && is_stream_part(completion.buffer.view(), received.total);
    received.total += completion.buffer.size();
  };
  std::size_t sent = 0;
  for (std::size_t i = 0; sent < kBytes && in_order; ++i) {
    const std::size_t size = std::min<std::size_t>(kBytes - sent, 1000 + (i * 77'777) % 700'000);
    const Lent& lent = lend(ends.a, stream_part(sent, size), 1 + i % 4);
    if (i % 5 == 4) door().cancel(*lent.op);
    ASSERT_TRUE(run_until([&] { return has_result(lent); }));
    const int result = lent.op->results[0];
    ASSERT_TRUE(result > 0 || result == -ECANCELED) << result;
    if (result > 0) sent += static_cast<std::size_t>(result);
  }
  ASSERT_TRUE(run_until([&] { return received.total == kBytes || !in_order; }));
  EXPECT_TRUE(in_order);
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(lent_, [](const Lent& one) { return one.op->ended; });
  }));
}

// A peer that does not read holds no result back that the kernel has room for.
TEST_P(BackendZeroCopyTest, SeveralAwaitTheirReleaseAtOneTime) {
  const Ends ends = connected();
  const Lent& parked = fill(ends.a);
  EXPECT_FALSE(has_result(parked));
  if (never_lends()) {
    EXPECT_EQ(awaiting_release(), 0);
  } else {
    EXPECT_GE(awaiting_release(), 2);
  }
  Receive& received = receive(ends.b);
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(lent_, [](const Lent& one) { return one.op->ended; });
  }));
  position_ += static_cast<std::size_t>(parked.op->results[0]);
  ASSERT_TRUE(run_until([&] { return received.total == position_; }));
  EXPECT_TRUE(is_stream_part(received.bytes, 0));
}

TEST_P(BackendZeroCopyTest, CancelEndsTheWaitForAResultAndNoLoan) {
  const Ends ends = connected();
  const Lent& parked = fill(ends.a);
  const long before = awaiting_release();
  for (Lent& one : lent_) door().cancel(*one.op);
  ASSERT_TRUE(run_until([&] { return has_result(parked); }));
  EXPECT_TRUE(parked.op->last() == -ECANCELED || parked.op->last() > 0) << parked.op->last();
  settle();
  EXPECT_GE(awaiting_release(), before);
  std::size_t sent = position_;
  if (parked.op->results[0] > 0) sent += static_cast<std::size_t>(parked.op->results[0]);
  Receive& received = receive(ends.b);
  ASSERT_TRUE(run_until([&] { return received.total == sent; }));
  EXPECT_TRUE(is_stream_part(received.bytes, 0));
}

TEST_P(BackendZeroCopyTest, APlainSendMayFollowTheResult) {
  const Ends ends = connected();
  const Lent& parked = fill(ends.a);
  door().cancel(*parked.op);
  ASSERT_TRUE(run_until([&] { return has_result(parked); }));
  if (parked.op->results[0] > 0) position_ += static_cast<std::size_t>(parked.op->results[0]);
  Receive& received = receive(ends.b);
  const std::string rest = stream_part(position_, 3000);
  ASSERT_TRUE(send_all(ends.a, rest));
  ASSERT_TRUE(run_until([&] { return received.total == position_ + rest.size(); }));
  EXPECT_TRUE(is_stream_part(received.bytes, 0));
}

TEST_P(BackendZeroCopyTest, AResetByThePeerEndsAllOfThem) {
  const Ends ends = connected();
  const Lent& parked = fill(ends.a);
  reset(ends.b);
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(lent_, [](const Lent& one) { return one.op->ended; });
  }));
  EXPECT_EQ(parked.op->results.size(), 1U);
  EXPECT_TRUE(parked.op->last() == -ECONNRESET || parked.op->last() == -EPIPE)
      << parked.op->last();
}

// The number of the descriptor is another socket's then.
TEST_P(BackendZeroCopyTest, OurOwnResetReleasesWhatIsHeld) {
  const Ends ends = connected();
  const Lent& parked = fill(ends.a);
  door().cancel(*parked.op);
  ASSERT_TRUE(run_until([&] { return has_result(parked); }));
  reset(ends.a);
  const Ends others = connected();
  Receive& received = receive(others.b);
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(lent_, [](const Lent& one) { return one.op->ended; });
  }));
  ASSERT_TRUE(send_all(others.a, "as ever"));
  ASSERT_TRUE(run_until([&] { return received.bytes == "as ever"; }));
}

TEST_P(BackendZeroCopyTest, AfterOurOwnFinItIsABrokenPipe) {
  const Ends ends = connected();
  door().shutdown(ends.a, Direction::write);
  const Lent& lent = lend(ends.a, stream_part(0, 100'000));
  ASSERT_TRUE(run_until([&] { return lent.op->ended; }));
  EXPECT_EQ(lent.op->results, std::vector<int>{-EPIPE});
}

// As SendToAPeerThatHasEndedItsSide: a send that waits in the ring gives up at once there.
TEST_P(BackendZeroCopyTest, APeerThatHasEndedItsSideStillGetsAll) {
  const Ends ends = connected();
  door().shutdown(ends.b, Direction::write);
  const Receive& end = receive(ends.a);
  ASSERT_TRUE(run_until([&] { return end.ended; }));
  const Lent& parked = fill(ends.a);
  Receive& received = receive(ends.b);
  ASSERT_TRUE(run_until([&] { return has_result(parked); }));
  ASSERT_GT(parked.op->results[0], 0);
  position_ += static_cast<std::size_t>(parked.op->results[0]);
  ASSERT_TRUE(run_until([&] { return received.total == position_; }));
  EXPECT_TRUE(is_stream_part(received.bytes, 0));
}

WEIR_ON_ALL_BACKENDS(BackendZeroCopyTest);

}  // namespace
}  // namespace weir::test
