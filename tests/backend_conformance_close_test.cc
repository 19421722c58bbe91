// What every backend promises about closing: FIN or RST, and no result of the past on a new fd.
#include <cerrno>

#include "tests/door.h"

namespace weir::test {
namespace {

class BackendCloseTest : public DoorTest {
 protected:
  // Cancels and waits, which is what must come before close().
  template <class Kind>
  void end(Kind& op) {
    door().cancel(op);
    EXPECT_TRUE(run_until([&] { return op.idle(); }));
  }

  int last_of(Receive& received) {
    EXPECT_TRUE(run_until([&] { return received.ended; }));
    return received.last();
  }
};

TEST_P(BackendCloseTest, CloseSendsAFin) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& peer = receive(ends.b);
    close(ends.a);
    EXPECT_EQ(last_of(peer), 0);
  }
}

TEST_P(BackendCloseTest, CloseAfterAReceiveHasEndedSendsAFinAtOnce) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& peer = receive(ends.b);
    Receive& ours = receive(ends.a);
    settle();
    end(ours);
    close(ends.a);
    EXPECT_EQ(last_of(peer), 0);
  }
}

TEST_P(BackendCloseTest, CloseAfterAWatchHasEndedSendsAFin) {
  const Ends ends = connected();
  Receive& peer = receive(ends.b);
  Poll& watch = watch_hangup(ends.a);
  settle();
  end(watch);
  close(ends.a);
  EXPECT_EQ(last_of(peer), 0);
}

TEST_P(BackendCloseTest, WhatWasSentArrivesBeforeTheFin) {
  const Ends ends = connected();
  const std::string bytes = noise(100'000, 3);
  ASSERT_TRUE(send_all(ends.a, bytes));
  close(ends.a);
  Receive& peer = receive(ends.b);
  EXPECT_EQ(last_of(peer), 0);
  EXPECT_TRUE(peer.bytes == bytes);
}

TEST_P(BackendCloseTest, ResetOnCloseIsSeenAsAReset) {
  const Ends ends = connected();
  Receive& peer = receive(ends.b);
  Receive& ours = receive(ends.a);
  settle();
  ASSERT_EQ(door().set(ends.a, SocketOption::reset_on_close, 1), 0);
  end(ours);
  close(ends.a);
  EXPECT_EQ(last_of(peer), -ECONNRESET);
}

TEST_P(BackendCloseTest, ResetOnCloseCanBeTakenBack) {
  const Ends ends = connected();
  Receive& peer = receive(ends.b);
  ASSERT_EQ(door().set(ends.a, SocketOption::reset_on_close, 1), 0);
  ASSERT_EQ(door().set(ends.a, SocketOption::reset_on_close, 0), 0);
  close(ends.a);
  EXPECT_EQ(last_of(peer), 0);
}

TEST_P(BackendCloseTest, ResetOnCloseHoldsWithASendHalfDone) {
  const Ends ends = connected();
  const std::string bytes = noise(16 << 20, 4);
  Send& sending = send(ends.a, bytes);
  settle();
  ASSERT_EQ(door().set(ends.a, SocketOption::reset_on_close, 1), 0);
  end(sending);
  close(ends.a);
  settle();
  Receive& peer = receive(ends.b);
  EXPECT_EQ(last_of(peer), -ECONNRESET);
  EXPECT_LT(peer.total, bytes.size());
  EXPECT_TRUE(peer.bytes == bytes.substr(0, peer.total));
}

TEST_P(BackendCloseTest, CloseWithUnreadDataIsAReset) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    ASSERT_TRUE(send_all(ends.b, "never read"));
    ASSERT_TRUE(run_until([&] { return door().get(ends.a, SocketFact::unread_bytes) > 0; }));
    Receive& peer = receive(ends.b);
    settle();
    close(ends.a);
    EXPECT_EQ(last_of(peer), -ECONNRESET) << (local ? "Unix" : "TCP");
  }
}

TEST_P(BackendCloseTest, ShutdownOfOurSideLeavesTheOtherOpen) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& ours = receive(ends.a);
    Receive& peer = receive(ends.b);
    door().shutdown(ends.a, Direction::write);
    EXPECT_EQ(last_of(peer), 0);
    ASSERT_TRUE(send_all(ends.b, "answer"));
    ASSERT_TRUE(run_until([&] { return ours.total == 6; }));
    close(ends.b);
    EXPECT_EQ(last_of(ours), 0);
    EXPECT_EQ(ours.bytes, "answer");
  }
}

TEST_P(BackendCloseTest, ShutdownOfBothSidesIsACleanEndForThePeer) {
  const Ends ends = connected();
  Receive& peer = receive(ends.b);
  Receive& ours = receive(ends.a);
  settle();
  door().shutdown(ends.a, Direction::both);
  EXPECT_EQ(last_of(peer), 0);
  EXPECT_EQ(last_of(ours), 0);
  close(ends.a);
}

TEST_P(BackendCloseTest, ReleaseLeavesOperationsInFlightAlone) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  Poll& watch = watch_hangup(ends.b);
  settle();
  door().release(ends.b);
  ASSERT_TRUE(send_all(ends.a, "after"));
  door().shutdown(ends.a, Direction::write);
  EXPECT_EQ(last_of(received), 0);
  EXPECT_EQ(received.bytes, "after");
  ASSERT_TRUE(run_until([&] { return !watch.results.empty(); }));
}

TEST_P(BackendCloseTest, AReleasedSocketMayComeBack) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  settle();
  end(received);
  door().release(ends.b);
  ASSERT_TRUE(send_all(ends.a, "again"));
  submit(received, ends.b);
  ASSERT_TRUE(run_until([&] { return received.total == 5; }));
}

// Thousands of short lives on the same few numbers, with operations in flight when each one ends:
// every result belongs to the life that asked for it.
TEST_P(BackendCloseTest, AReusedNumberNeverSeesAnOldResult) {
  constexpr int kLives = 3000;
  for (int life = 0; life < kLives; ++life) {
    const Ends ends = connected(life % 5 == 4);
    const std::string greeting = "life " + std::to_string(life);
    Receive& received = receive(ends.b);
    Receive& ours = receive(ends.a);
    Poll& poll = poll_once(ends.a, Events::readable);
    Send& sending = send(ends.a, greeting);
    ASSERT_TRUE(run_until([&] { return received.total >= greeting.size(); }));
    ASSERT_EQ(received.bytes, greeting);
    ASSERT_TRUE(ours.results.empty()) << "a result of the past in life " << life;
    ASSERT_FALSE(poll.ended) << "readiness of the past in life " << life;
    // The peer's end, in four ways, some of them unseen by us.
    if (life % 4 == 0) send(ends.b, "unseen");
    if (life % 4 == 1) door().shutdown(ends.b, Direction::write);
    if (life % 2 == 0) turn();
    end(received);
    if (life % 4 == 2) {
      reset(ends.b);
    } else if (life % 4 != 0) {
      close(ends.b);
    }
    if (life % 3 == 0) turn();
    end(poll);
    end(ours);
    end(sending);
    close(ends.a);
    if (life % 4 == 0) {
      settle();
      close(ends.b);
    }
    ours.renew();
  }
}

WEIR_ON_ALL_BACKENDS(BackendCloseTest);

}  // namespace
}  // namespace weir::test
