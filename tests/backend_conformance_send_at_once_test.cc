// What every backend promises about sends that may have their result at once.
#include <algorithm>
#include <cerrno>

#include "tests/door.h"

namespace weir::test {
namespace {

class BackendSendAtOnceTest : public DoorTest {
 protected:
  // Sends to `fd`, which nobody reads, until the kernel takes no more; says how much it took.
  std::size_t fill_at_once(int fd, std::string_view part) {
    for (std::size_t sent = 0;;) {
      const std::int32_t result = door().send_at_once(fd, part);
      if (result == -EAGAIN) return sent;
      EXPECT_GT(result, 0);
      if (result <= 0) return sent;
      sent += static_cast<std::size_t>(result);
    }
  }
};

// Either way of sending, in any order: each byte comes once, and in its place.
TEST_P(BackendSendAtOnceTest, TheWaysOfSendingMayAlternate) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& received = receive(ends.b);
    const std::string bytes = noise(40'000, 7);
    std::size_t sent = 0;
    for (int i = 0; sent < bytes.size(); ++i) {
      const std::size_t size = 1 + 37 * (static_cast<std::size_t>(i) % 11);
      const std::string_view part = std::string_view(bytes).substr(sent, size);
      std::size_t taken = 0;
      if (i % 3 == 0) {
        const std::int32_t result = door().send_at_once(ends.a, part);
        ASSERT_TRUE(result > 0 || result == -EAGAIN) << result;
        taken = static_cast<std::size_t>(std::max(result, 0));
      } else {
        Send& op = prepared_send(ends.a, part);
        if (i % 3 == 1) taken = door().send_or_submit(op);
        if (i % 3 == 2) submit(op, ends.a);
        EXPECT_EQ(op.idle(), taken != 0);
        if (taken == 0) {
          ASSERT_TRUE(run_until([&] { return op.ended; }));
          ASSERT_GT(op.last(), 0);
          taken = static_cast<std::size_t>(op.last());
        } else {
          turn();
          EXPECT_TRUE(op.results.empty());
        }
      }
      ASSERT_LE(taken, part.size());
      sent += taken;
    }
    ASSERT_TRUE(run_until([&] { return received.total == bytes.size(); }));
    EXPECT_TRUE(received.bytes == bytes);
  }
}

TEST_P(BackendSendAtOnceTest, WhatTheKernelHasNoRoomForIsSubmitted) {
  const std::string part(100'000, 'x');
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    std::size_t sent = fill_at_once(ends.a, part);
    EXPECT_GT(sent, 0U);
    Send& op = prepared_send(ends.a, part);
    ASSERT_EQ(door().send_or_submit(op), 0U);
    EXPECT_FALSE(op.idle());
    settle();
    EXPECT_FALSE(op.ended);
    Receive& received = receive(ends.b);
    ASSERT_TRUE(run_until([&] { return op.ended; }));
    ASSERT_GT(op.last(), 0);
    sent += static_cast<std::size_t>(op.last());
    ASSERT_TRUE(run_until([&] { return received.total == sent; }));
    EXPECT_TRUE(received.bytes == std::string(sent, 'x'));
    // There is room again, and it is found.
    ASSERT_TRUE(run_until([&] { return door().send_at_once(ends.a, "y") == 1; }));
  }
}

TEST_P(BackendSendAtOnceTest, OneThatIsSubmittedCanBeCancelled) {
  const std::string part(100'000, 'x');
  const Ends ends = connected();
  fill_at_once(ends.a, part);
  Send& op = prepared_send(ends.a, part);
  ASSERT_EQ(door().send_or_submit(op), 0U);
  settle();
  door().cancel(op);
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_EQ(op.results, std::vector<int>{-ECANCELED});
}

// What the peer's end has woken may be on its way from the kernel's one list to the other.
TEST_P(BackendSendAtOnceTest, AfterThePeersEndACancelIsNotLost) {
  const std::string part(100'000, 'x');
  for (int turns = 0; turns < 8; ++turns) {
    const Ends ends = connected();
    fill_at_once(ends.a, part);
    Send& op = prepared_send(ends.a, part);
    ASSERT_EQ(door().send_or_submit(op), 0U);
    door().shutdown(ends.b, Direction::write);
    for (int i = 0; i < turns; ++i) turn();
    if (!op.ended) door().cancel(op);
    ASSERT_TRUE(run_until([&] { return op.ended; })) << "cancelled after " << turns << " turns";
    EXPECT_EQ(op.results.size(), 1U);
    close(ends.a);
    close(ends.b);
  }
}

// An error comes as a completion, or is told by the call itself.
TEST_P(BackendSendAtOnceTest, ToAResetPeerTheyFail) {
  for (const bool at_once : {false, true}) {
    const Ends ends = connected();
    reset(ends.b);
    settle();
    int error = 0;
    for (int i = 0; i < 10 && error == 0; ++i) {
      std::int32_t result = 0;
      if (at_once) {
        result = door().send_at_once(ends.a, "too late");
      } else {
        Send& op = prepared_send(ends.a, "too late");
        result = static_cast<std::int32_t>(door().send_or_submit(op));
        if (result == 0) {
          ASSERT_TRUE(run_until([&] { return op.ended; }));
          result = op.last();
        }
      }
      if (result < 0 && result != -EAGAIN) error = -result;
      settle();
    }
    EXPECT_TRUE(error == EPIPE || error == ECONNRESET) << error;
  }
}

WEIR_ON_ALL_BACKENDS(BackendSendAtOnceTest);

}  // namespace
}  // namespace weir::test
