// What every backend promises about sending, and about many operations at one time.
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "tests/door.h"

namespace weir::test {
namespace {

class BackendSendTest : public DoorTest {
 protected:
  // Sends to `fd`, which nobody reads, until an operation stays parked; counts what went out.
  Send& fill(int fd, std::string_view part, std::size_t& sent) {
    Send& op = send(fd, part);
    for (;;) {
      settle();
      if (!op.ended) return op;
      EXPECT_GT(op.last(), 0);
      if (op.last() <= 0) return op;
      sent += static_cast<std::size_t>(op.last());
      resend(op, fd, part);
    }
  }
};

TEST_P(BackendSendTest, AResultMayBePartOfTheBytesAndTheRestIsOurs) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    const std::string bytes = noise(4 << 20, 5);
    Send& op = send(ends.a, bytes);
    settle();
    Receive& received = receive(ends.b);
    std::size_t sent = 0;
    ASSERT_TRUE(run_until([&] {
      if (!op.ended) return false;
      EXPECT_GT(op.last(), 0);
      sent += static_cast<std::size_t>(std::max(op.last(), 1));
      if (sent >= bytes.size()) return true;
      resend(op, ends.a, std::string_view(bytes).substr(sent));
      return false;
    }));
    ASSERT_TRUE(run_until([&] { return received.total == bytes.size(); }));
    EXPECT_TRUE(received.bytes == bytes);
  }
}

TEST_P(BackendSendTest, PiecesAreGatheredInOrder) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  const std::string bytes = noise(64 * 65, 6);
  std::vector<iovec> pieces;
  for (std::size_t at = 0, size = 0; at < bytes.size(); at += size, size = (size + 7) % 131) {
    size = std::min(size, bytes.size() - at);
    pieces.push_back({.iov_base = const_cast<char*>(bytes.data()) + at, .iov_len = size});
    if (pieces.size() == 64) break;
  }
  std::size_t total = 0;
  for (const iovec& piece : pieces) total += piece.iov_len;
  const Send& op = send_pieces(ends.a, pieces);
  ASSERT_TRUE(run_until([&] { return op.ended && received.total == total; }));
  EXPECT_EQ(op.last(), static_cast<int>(total));
  EXPECT_TRUE(received.bytes == bytes.substr(0, total));
}

// The bytes and the pieces lie in memory that cannot be written to: touching it would kill us.
TEST_P(BackendSendTest, TheMemoryOfASendIsOnlyRead) {
  constexpr std::size_t kBytes = 2 << 20;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* bytes = static_cast<char*>(memory);
  constexpr std::size_t kPieces = 4;
  auto* pieces = static_cast<iovec*>(memory);
  for (std::size_t i = sizeof(iovec) * kPieces; i < kBytes; ++i) bytes[i] = stream_byte(i);
  for (std::size_t i = 0; i < kPieces; ++i) {
    pieces[i] = {.iov_base = bytes + i * kBytes / kPieces, .iov_len = kBytes / kPieces};
  }
  ASSERT_EQ(::mprotect(memory, kBytes, PROT_READ), 0);
  const Ends ends = connected();
  const Send& op = send_pieces(ends.a, {pieces, kPieces});
  settle();
  Receive& received = receive(ends.b);
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  const auto sent = static_cast<std::size_t>(op.last());
  ASSERT_TRUE(run_until([&] { return received.total == sent; }));
  EXPECT_TRUE(received.bytes == std::string_view(bytes, sent));
  ::munmap(memory, kBytes);
}

TEST_P(BackendSendTest, SendingToAResetPeerFailsWithoutASignal) {
  static volatile sig_atomic_t signals = 0;
  struct sigaction counting {};
  struct sigaction before {};
  counting.sa_handler = [](int) { signals = signals + 1; };
  ASSERT_EQ(::sigaction(SIGPIPE, &counting, &before), 0);
  const std::string piece(20'000, 'x');
  for (const bool local : {false, true}) {
    for (const int resets : {0, 1}) {
      const Ends ends = connected(local);
      if (resets != 0 && !local) {
        reset(ends.b);
      } else {
        close(ends.b);
      }
      settle();
      int error = 0;
      for (int i = 0; i < 10 && error == 0; ++i) {
        const Send& op = send(ends.a, piece);
        ASSERT_TRUE(run_until([&] { return op.ended; }));
        if (op.last() < 0) error = -op.last();
        settle();
      }
      EXPECT_TRUE(error == EPIPE || error == ECONNRESET) << error;
      const std::vector<iovec> pieces(3, iovec{const_cast<char*>(piece.data()), 10});
      const Send& again = send_pieces(ends.a, pieces);
      ASSERT_TRUE(run_until([&] { return again.ended; }));
      EXPECT_EQ(again.last(), -EPIPE);
    }
  }
  ASSERT_EQ(::sigaction(SIGPIPE, &before, nullptr), 0);
  EXPECT_EQ(signals, 0);
}

TEST_P(BackendSendTest, SendingAfterOurOwnFinIsABrokenPipe) {
  const Ends ends = connected();
  door().shutdown(ends.a, Direction::write);
  const Send& op = send(ends.a, "too late");
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_EQ(op.results, std::vector<int>{-EPIPE});
}

TEST_P(BackendSendTest, AParkedSendThatIsCancelledEnds) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    const std::string part = noise(300'000, 8);
    std::size_t sent = 0;
    Send& op = fill(ends.a, part, sent);
    ASSERT_FALSE(op.ended);
    door().cancel(op);
    ASSERT_TRUE(run_until([&] { return op.ended; }));
    EXPECT_EQ(op.results.size(), 1U);
    EXPECT_TRUE(op.last() == -ECANCELED || op.last() > 0) << op.last();
  }
}

// A cancelled send tells how much of it went out: the stream goes on from there.
TEST_P(BackendSendTest, CancellingSendsLeavesNoGapAndNoDouble) {
  constexpr std::size_t kBytes = 8 << 20;
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  bool in_order = true;
  received.handle = [&](Completion& completion) {
    in_order = in_order && is_stream_part(completion.buffer.view(), received.total);
    received.total += completion.buffer.size();
  };
  const std::string bytes = stream_part(0, kBytes);
  std::size_t sent = 0;
  Send& op = send(ends.a, std::string_view(bytes).substr(0, 500'000));
  for (int i = 0; sent < kBytes; ++i) {
    if (i % 3 != 0) turn();
    door().cancel(op);
    ASSERT_TRUE(run_until([&] { return op.ended; }));
    ASSERT_TRUE(op.last() == -ECANCELED || op.last() > 0) << op.last();
    if (op.last() > 0) sent += static_cast<std::size_t>(op.last());
    if (sent < kBytes) resend(op, ends.a, std::string_view(bytes).substr(sent, 500'000));
  }
  ASSERT_TRUE(run_until([&] { return received.total == kBytes || !in_order; }));
  settle();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(received.total, kBytes);
}

TEST_P(BackendSendTest, AParkedSendLearnsOfAReset) {
  const Ends ends = connected();
  const std::string part = noise(300'000, 8);
  std::size_t sent = 0;
  Send& op = fill(ends.a, part, sent);
  reset(ends.b);
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_TRUE(op.last() == -ECONNRESET || op.last() == -EPIPE) << op.last();
}

// Whoever takes the error, a reset never looks like a clean end to both operations.
TEST_P(BackendSendTest, AResetReachesSenderOrReceiver) {
  const Ends ends = connected();
  Receive& received = receive(ends.a);
  const std::string part = noise(300'000, 8);
  std::size_t sent = 0;
  Send& op = fill(ends.a, part, sent);
  reset(ends.b);
  ASSERT_TRUE(run_until([&] { return op.ended && received.ended; }));
  EXPECT_LT(op.last(), 0);
  EXPECT_TRUE(op.last() == -ECONNRESET || received.last() == -ECONNRESET);
}

// The send may have taken the connection's error: then the receive sees an end only, and no one is
// to believe that before the error is told.
TEST_P(BackendSendTest, NoCleanEndIsToldInFrontOfAReset) {
  const std::string part = noise(300'000, 8);
  for (int i = 0; i < 6; ++i) {
    const Ends ends = connected();
    std::size_t sent = 0;
    Send& op = fill(ends.a, part, sent);
    Receive& received = receive(ends.a);
    received.handle = [&op](Completion& completion) {
      if (completion.result != 0) return;
      EXPECT_TRUE(op.ended);
    };
    if (i % 2 == 0) settle();
    reset(ends.b);
    ASSERT_TRUE(run_until([&] { return op.ended && received.ended; }));
    EXPECT_LT(op.last(), 0);
    close(ends.a);
  }
}

TEST_P(BackendSendTest, ASubmissionFromWithinTheBatchIsServed) {
  constexpr int kRounds = 3000;
  struct Player {
    int fd = -1;
    Send* op = nullptr;
    int owed = 0;  // answers that wait for the one before
  };
  const Ends ends = connected();
  Player players[2] = {{.fd = ends.a}, {.fd = ends.b}};
  int rounds = 0;
  for (Player& player : players) {
    const auto serve = [this, &player] {
      if (player.owed == 0 || !player.op->idle()) return;
      --player.owed;
      resend(*player.op, player.fd, "z");
    };
    player.op = &send(player.fd, "x");
    player.op->handle = [serve](Completion&) { serve(); };
    receive(player.fd).handle = [serve, &player, &rounds](Completion& completion) {
      if (completion.result <= 0 || ++rounds >= kRounds) return;
      player.owed += completion.result;
      serve();
    };
  }
  ASSERT_TRUE(run_until([&] { return rounds >= kRounds; }));
}

TEST_P(BackendSendTest, ABatchOfOneDeliversEverythingInTheEnd) {
  constexpr std::size_t kSockets = 50;
  std::vector<Receive*> received;
  std::vector<Ends> all;
  for (std::size_t i = 0; i < kSockets; ++i) all.push_back(connected());
  batch_size_ = 1;
  for (const Ends& ends : all) {
    received.push_back(&receive(ends.b));
    send(ends.a, "one");
  }
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(received, [](Receive* one) { return one->total == 3; });
  }));
}

// More operations at one time than any queue of the kernel holds, all ready together.
TEST_P(BackendSendTest, TenThousandOperationsAtOnceLoseNothing) {
  constexpr std::size_t kPairs = 1250;
  std::vector<Ends> pairs;
  for (std::size_t i = 0; i < kPairs; ++i) pairs.push_back(connected());
  struct Job {
    Receive* received;
    Send* sent;
    Poll* readable;
    Poll* hangup;
  };
  std::vector<Job> jobs;
  batch_size_ = 7;
  for (const Ends& ends : pairs) {
    for (const int fd : {ends.a, ends.b}) {
      jobs.push_back({.received = nullptr,
                      .sent = &send(fd, "ping"),
                      .readable = &poll_once(fd, Events::readable),
                      .hangup = &watch_hangup(fd)});
    }
  }
  std::size_t job = 0;
  for (const Ends& ends : pairs) {
    jobs[job++].received = &receive(ends.a);
    jobs[job++].received = &receive(ends.b);
  }
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(jobs, [](const Job& one) {
      return one.sent->ended && one.received->total == 4;
    });
  }));
  for (const Job& one : jobs) {
    EXPECT_EQ(one.sent->results, std::vector<int>{4});
    EXPECT_EQ(one.received->bytes, "ping");
    EXPECT_TRUE(one.hangup->results.empty());
  }
  for (const Ends& ends : pairs) {
    door().shutdown(ends.a, Direction::write);
    door().shutdown(ends.b, Direction::write);
  }
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(jobs, [](const Job& one) {
      return one.received->ended && one.readable->ended && !one.hangup->results.empty();
    });
  }));
  for (const Job& one : jobs) EXPECT_EQ(one.received->last(), 0);
  for (const Job& one : jobs) door().cancel(*one.hangup);
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(jobs, [](const Job& one) { return one.hangup->ended; });
  }));
}

WEIR_ON_ALL_BACKENDS(BackendSendTest);

// ---- With a peer outside of the backend ----

class KernelSendTest : public BackendSendTest {};

// Sends that complete at once, as many as a batch holds and again and again, do not keep a receive
// waiting that has its bytes.
TEST_P(KernelSendTest, OperationsThatCompleteAtOnceStarveNobody) {
  constexpr std::size_t kBusy = 4;
  const Ends quiet = connected();
  std::vector<Ends> busy;
  for (std::size_t i = 0; i < kBusy; ++i) busy.push_back(connected());
  Receive& received = receive(quiet.b);
  settle();
  batch_size_ = kBusy;
  for (const Ends& ends : busy) {
    Send& op = send(ends.a, "x");
    op.handle = [this, &op, ends](Completion& completion) {
      char taken[16];
      while (::recv(ends.b, taken, sizeof taken, MSG_DONTWAIT) > 0) {
      }
      if (completion.result > 0) resend(op, ends.a, "x");
    };
  }
  turn();
  ASSERT_EQ(::send(quiet.a, "hello", 5, MSG_NOSIGNAL), 5);
  for (int i = 0; i < 5000 && received.total == 0; ++i) turn();
  EXPECT_EQ(received.bytes, "hello");
}

// Whatever a poll of the socket is for, it says that the peer has ended its side, and goes on
// saying so: no reason to look again.
TEST_P(KernelSendTest, ASendToAPeerThatHasEndedItsSideWaitsAsleep) {
  std::string part(64 << 10, 'x');
  const iovec pieces[] = {{.iov_base = part.data(), .iov_len = 1000},
                          {.iov_base = part.data(), .iov_len = part.size()}};
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    door().shutdown(ends.a, Direction::write);
    const Receive& end = receive(ends.b);
    ASSERT_TRUE(run_until([&] { return end.ended; }));
    std::size_t sent = 0;
    Send& op = send_pieces(ends.b, pieces);
    for (settle(); op.ended; settle()) {
      ASSERT_GT(op.last(), 0);
      sent += static_cast<std::size_t>(op.last());
      submit(op, ends.b);
    }
    const Instant over = door().now() + std::chrono::milliseconds(500);
    std::size_t turns = 0;
    for (; door().now() < over; ++turns) turn(over);
    // On a busy machine 8 have been seen; a spin takes thousands.
    EXPECT_LT(turns, 50U);
    // Woken by room it goes on.
    const Receive& received = receive(ends.a);
    ASSERT_TRUE(run_until([&] { return op.ended; }));
    ASSERT_GT(op.last(), 0);
    sent += static_cast<std::size_t>(op.last());
    ASSERT_TRUE(run_until([&] { return received.total == sent; }));
    EXPECT_TRUE(received.bytes == std::string(sent, 'x'));
  }
}

WEIR_ON_KERNEL_BACKENDS(KernelSendTest);

}  // namespace
}  // namespace weir::test
