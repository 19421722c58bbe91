// What every backend promises about watching for hangups, polling, waking and deadlines.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/door.h"

namespace weir::test {
namespace {

using std::chrono::milliseconds;

class BackendPollTest : public DoorTest {
 protected:
  static int bits(const Poll& op) { return op.results.empty() ? 0 : op.results.back(); }
  bool reported(const Poll& op) {
    return run_until([&] { return !op.results.empty(); });
  }
};

// ---- Watching for the peer's end ----

TEST_P(BackendPollTest, AWatchIsSilentOnData) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    const Poll& watch = watch_hangup(ends.b);
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(send_all(ends.a, "data"));
      settle();
    }
    EXPECT_TRUE(watch.results.empty());
  }
}

TEST_P(BackendPollTest, AWatchReportsAFin) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    const Poll& watch = watch_hangup(ends.b);
    settle();
    door().shutdown(ends.a, Direction::write);
    ASSERT_TRUE(reported(watch));
    EXPECT_EQ(bits(watch) & (Events::peer_closed | Events::error), Events::peer_closed);
    EXPECT_FALSE(watch.ended);
  }
}

TEST_P(BackendPollTest, AWatchReportsAReset) {
  const Ends ends = connected();
  const Poll& watch = watch_hangup(ends.b);
  settle();
  reset(ends.a);
  ASSERT_TRUE(reported(watch));
  EXPECT_NE(bits(watch) & Events::error, 0);
}

TEST_P(BackendPollTest, AWatchReportsAResetBehindUnreadData) {
  const Ends ends = connected();
  const Poll& watch = watch_hangup(ends.b);
  ASSERT_TRUE(send_all(ends.a, "unread"));
  settle();
  reset(ends.a);
  ASSERT_TRUE(reported(watch));
  EXPECT_NE(bits(watch) & Events::error, 0);
}

TEST_P(BackendPollTest, AWatchArmedAfterTheFinReportsAtOnce) {
  const Ends ends = connected();
  door().shutdown(ends.a, Direction::write);
  settle();
  Poll& watch = watch_hangup(ends.b);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(reported(watch)) << "round " << i;
    EXPECT_NE(bits(watch) & Events::peer_closed, 0);
    door().cancel(watch);
    ASSERT_TRUE(run_until([&] { return watch.ended; }));
    EXPECT_EQ(watch.last(), -ECANCELED);
    submit(watch, ends.b);
  }
}

TEST_P(BackendPollTest, AWatchArmedAfterTheResetReportsAtOnce) {
  const Ends ends = connected();
  reset(ends.a);
  settle();
  const Poll& watch = watch_hangup(ends.b);
  ASSERT_TRUE(reported(watch));
  EXPECT_NE(bits(watch) & Events::error, 0);
}

TEST_P(BackendPollTest, AWatchReportsTheResetThatFollowsAFin) {
  const Ends ends = connected();
  const Poll& watch = watch_hangup(ends.b);
  settle();
  door().shutdown(ends.a, Direction::write);
  ASSERT_TRUE(reported(watch));
  reset(ends.a);
  ASSERT_TRUE(run_until([&] { return (bits(watch) & Events::error) != 0; }));
}

TEST_P(BackendPollTest, AWatchOnBothEndsClosedIsNoError) {
  const Ends ends = connected();
  const Poll& watch = watch_hangup(ends.b);
  door().shutdown(ends.a, Direction::write);
  door().shutdown(ends.b, Direction::write);
  ASSERT_TRUE(run_until([&] { return (bits(watch) & Events::hangup) != 0; }));
  EXPECT_EQ(bits(watch) & Events::error, 0);
}

TEST_P(BackendPollTest, AWatchDoesNotRepeatWithoutNews) {
  const Ends ends = connected();
  const Poll& watch = watch_hangup(ends.b);
  door().shutdown(ends.a, Direction::write);
  ASSERT_TRUE(reported(watch));
  settle();
  const std::size_t before = watch.results.size();
  settle();
  EXPECT_EQ(watch.results.size(), before);
  EXPECT_LE(before, 2U);
}

TEST_P(BackendPollTest, ReceivesAndWatchesTakeTurnsWithoutLoss) {
  const Ends ends = connected();
  const std::string sent = noise(200'000, 9);
  Receive& received = receive(ends.b);
  Poll& watch = watch_hangup(ends.b);
  door().cancel(watch);
  std::size_t at = 0;
  while (at < sent.size()) {
    door().cancel(received);
    ASSERT_TRUE(run_until([&] { return received.idle() && watch.idle(); }));
    submit(watch, ends.b);
    ASSERT_TRUE(send_all(ends.a, std::string_view(sent).substr(at, 1000)));
    at += 1000;
    door().cancel(watch);
    ASSERT_TRUE(run_until([&] { return watch.idle(); }));
    submit(received, ends.b);
    turn();
  }
  ASSERT_TRUE(run_until([&] { return received.total == sent.size(); }));
  EXPECT_TRUE(received.bytes == sent);
}

// ---- Polling once ----

TEST_P(BackendPollTest, APollIsLevelTriggered) {
  const Ends ends = connected();
  Poll& poll = poll_once(ends.b, Events::readable);
  settle();
  EXPECT_FALSE(poll.ended);
  ASSERT_TRUE(send_all(ends.a, "stays"));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(run_until([&] { return poll.ended; })) << "round " << i;
    EXPECT_EQ(poll.results, std::vector<int>{Events::readable});
    submit(poll, ends.b);
  }
}

TEST_P(BackendPollTest, APollForWritingWaitsForRoom) {
  const Ends ends = connected();
  Poll& poll = poll_once(ends.a, Events::writable);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.last(), Events::writable);
  const std::string bytes = noise(16 << 20, 3);
  Send& sending = send(ends.a, bytes);
  settle();
  if (sending.ended) resend(sending, ends.a, bytes);
  settle();
  submit(poll, ends.a);
  settle();
  EXPECT_FALSE(poll.ended);
  door().cancel(sending);
  ASSERT_TRUE(run_until([&] { return sending.ended; }));
  Receive& received = receive(ends.b);
  received.keep_bytes = false;
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.last(), Events::writable);
}

TEST_P(BackendPollTest, APollCanBeCancelled) {
  const Ends ends = connected();
  Poll& poll = poll_once(ends.b, Events::readable);
  settle();
  door().cancel(poll);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.results, std::vector<int>{-ECANCELED});
}

TEST_P(BackendPollTest, APollForAClientSeesTheOneThatWaits) {
  const int listener = listen_tcp();
  const Address peer = door().address(listener, End::local);
  Poll& poll = poll_once(listener, Events::readable);
  settle();
  EXPECT_FALSE(poll.ended);
  connect(open(peer), peer);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.last(), Events::readable);
  submit(poll, listener);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
}

TEST_P(BackendPollTest, APollSeesThePeersEnd) {
  const Ends ends = connected();
  Poll& poll = poll_once(ends.b, Events::readable);
  settle();
  close(ends.a);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.last(), Events::readable | Events::peer_closed);
}

TEST_P(BackendPollTest, SeveralPollsOnOneNumberAllEnd) {
  const Ends ends = connected();
  const Poll& first = poll_once(ends.b, Events::readable);
  const Poll& second = poll_once(ends.b, Events::readable);
  const Poll& watch = watch_hangup(ends.b);
  settle();
  ASSERT_TRUE(send_all(ends.a, "x"));
  ASSERT_TRUE(run_until([&] { return first.ended && second.ended; }));
  EXPECT_TRUE(watch.results.empty());
}

// ---- Facts and options ----

TEST_P(BackendPollTest, UnreadBytesAreCounted) {
  const Ends ends = connected();
  EXPECT_EQ(door().get(ends.b, SocketFact::unread_bytes), 0);
  ASSERT_TRUE(send_all(ends.a, "12345"));
  ASSERT_TRUE(run_until([&] { return door().get(ends.b, SocketFact::unread_bytes) == 5; }));
  Receive& received = receive(ends.b);
  ASSERT_TRUE(run_until([&] { return received.total == 5; }));
  EXPECT_EQ(door().get(ends.b, SocketFact::unread_bytes), 0);
}

TEST_P(BackendPollTest, APendingErrorIsGivenOnce) {
  const Ends ends = connected();
  EXPECT_EQ(door().get(ends.b, SocketFact::pending_error), 0);
  const Poll& watch = watch_hangup(ends.b);
  reset(ends.a);
  ASSERT_TRUE(reported(watch));
  EXPECT_EQ(door().get(ends.b, SocketFact::pending_error), ECONNRESET);
  EXPECT_EQ(door().get(ends.b, SocketFact::pending_error), 0);
}

TEST_P(BackendPollTest, OptionsAreTaken) {
  const Ends ends = connected();
  EXPECT_EQ(door().set(ends.a, SocketOption::no_delay, 1), 0);
  EXPECT_EQ(door().set(ends.a, SocketOption::keep_alive, 1), 0);
  EXPECT_EQ(door().set(ends.a, SocketOption::keep_alive_seconds, 60), 0);
  EXPECT_EQ(door().set(ends.a, SocketOption::keep_alive, 0), 0);
  EXPECT_EQ(door().set(ends.a, SocketOption::receive_buffer, 65536), 0);
  EXPECT_EQ(door().set(ends.a, SocketOption::send_buffer, 65536), 0);
}

// ---- Waking and waiting ----

TEST_P(BackendPollTest, AWakeFromAnotherThreadEndsAPoll) {
  turn();
  std::thread waker([this] { door().wake(); });
  turn(kNever);
  waker.join();
}

TEST_P(BackendPollTest, AWakeBeforeThePollIsNotLost) {
  for (int i = 0; i < 100; ++i) {
    door().wake();
    if (i % 2 == 0) door().wake();
    turn(kNever);
  }
}

TEST_P(BackendPollTest, ManyWakesNeedFewPolls) {
  turn();
  for (int i = 0; i < 10'000; ++i) door().wake();
  turn(kNever);
  // What is left of them may end a few polls; then a deadline is reached again.
  const Instant end = door().now() + milliseconds(5);
  int polls = 0;
  while (door().now() < end) {
    turn(end);
    ++polls;
  }
  EXPECT_LT(polls, 1000);
}

TEST_P(BackendPollTest, NoWakeOfManyThreadsIsLost) {
  constexpr int kRounds = 2000;
  std::atomic<int> asked{0};
  std::atomic<int> seen{0};
  std::thread waker([&] {
    for (int i = 1; i <= kRounds; ++i) {
      asked.store(i);
      door().wake();
      while (seen.load() < i) std::this_thread::yield();
    }
  });
  while (seen.load() < kRounds) {
    turn(kNever);
    seen.store(asked.load());
  }
  waker.join();
}

TEST_P(BackendPollTest, ADeadlineIsNotMetEarly) {
  for (const Duration wait :
       {Duration(0), Duration(1), Duration(milliseconds(1)) / 3, Duration(milliseconds(3))}) {
    const Instant start = door().now();
    while (door().now() < start + wait) turn(start + wait);
    if (simulated()) {
      EXPECT_EQ(door().now(), start + wait);
    }
  }
}

TEST_P(BackendPollTest, ADeadlineInThePastOnlyLooks) {
  turn(Instant::min());
  turn(door().now());
  turn(door().now() - std::chrono::hours(1));
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  ASSERT_TRUE(send_all(ends.a, "look"));
  while (received.total == 0) turn(Instant::min());
  EXPECT_EQ(received.bytes, "look");
}

WEIR_ON_ALL_BACKENDS(BackendPollTest);

// ---- What only kernels do ----

class KernelPollTest : public BackendPollTest {};

TEST_P(KernelPollTest, AFileIsAlwaysReady) {
  const int file = own(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  Poll& poll = poll_once(file, Events::readable);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(run_until([&] { return poll.ended; }));
    EXPECT_NE(poll.last() & Events::readable, 0);
    submit(poll, file);
  }
}

TEST_P(KernelPollTest, APipeIsReadableThenHungUp) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  own(ends[0]);
  Poll& poll = poll_once(ends[0], Events::readable);
  settle();
  EXPECT_FALSE(poll.ended);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.last(), Events::readable);
  char byte = 0;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);
  submit(poll, ends[0]);
  settle();
  EXPECT_FALSE(poll.ended);
  ::close(ends[1]);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_NE(poll.last() & Events::hangup, 0);
}

// An error, and the last result: whoever polls again after each event would spin otherwise.
TEST_P(KernelPollTest, ANumberThatIsNotOpenIsAnError) {
  const int unused = ::dup(0);
  ::close(unused);
  const Poll& poll = poll_once(unused, Events::readable);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.results, std::vector<int>{-EBADF});
}

// Who spins asks the ring whether there is more, and enters the kernel when there is.
TEST_P(KernelPollTest, ToLookForMoreTakesNoSystemCallOnIoUring) {
  const int fd = own(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const Poll& poll = poll_once(fd, Events::readable);
  settle();
  const std::uint64_t before = door().counters().system_calls;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(turn(Instant::min()), 0U);
  const std::uint64_t calls = door().counters().system_calls - before;
  EXPECT_LE(calls, door().kind() == BackendKind::io_uring ? 1U : 100U);
  ASSERT_EQ(::eventfd_write(fd, 1), 0);
  const Instant end = door().now() + kPatience;
  while (!poll.ended && door().now() < end) turn(Instant::min());
  EXPECT_TRUE(poll.ended);
}

// More completions than the queue of a ring has room for end its poll for wake-ups, which is then
// made again. prepare() lets the kernel post them, and takes none.
TEST_P(KernelPollTest, AWakeIsHeardBehindAFloodOfCompletions) {
  constexpr std::size_t kFds = 100;
  constexpr std::size_t kPollsEach = limits::kRingCompletionsMin / kFds + 10;
  std::vector<const Poll*> polls;
  std::vector<int> fds;
  for (std::size_t i = 0; i < kFds; ++i) {
    fds.push_back(own(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)));
    for (std::size_t j = 0; j < kPollsEach; ++j) {
      polls.push_back(&poll_once(fds.back(), Events::readable));
    }
    turn();
  }
  settle();
  for (const int fd : fds) ASSERT_EQ(::eventfd_write(fd, 1), 0);
  door().wake();
  for (std::size_t i = 0; i < polls.size() / 10; ++i) door().prepare(kNever);
  settle();
  for (const Poll* poll : polls) ASSERT_TRUE(poll->ended);
  const Instant end = door().now() + kPatience;
  door().wake();
  turn(end);
  EXPECT_LT(door().now(), end);
}

// More than a submission queue has room for; and nothing of it is with the kernel yet.
TEST_P(KernelPollTest, WhatIsCancelledBeforeTheFirstTurnEnds) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  own(ends[0]);
  std::vector<Poll*> polls;
  for (int i = 0; i < 40; ++i) polls.push_back(&poll_once(ends[0], Events::readable));
  for (Poll* poll : polls) door().cancel(*poll);
  for (const Poll* poll : polls) {
    ASSERT_TRUE(run_until([&] { return poll->ended; }));
    EXPECT_EQ(poll->last(), -ECANCELED);
  }
  ::close(ends[1]);
}

// A datagram socket on the loopback that is told of what comes, and a way to send to it.
class KernelDatagramTest : public KernelPollTest {
 protected:
  void SetUp() override {
    KernelPollTest::SetUp();
    if (IsSkipped()) return;
    auto fd = door().datagrams().open(Address::loopback_ipv4(0), {});
    ASSERT_TRUE(fd.has_value()) << fd.error().message();
    submit(told_, own(*fd));
    at_ = door().address(*fd, End::local).ip();
  }
  void TearDown() override {
    if (told_.state == OpState::submitted) {
      door().cancel(told_);
      EXPECT_TRUE(run_until([this] { return told_.ended; }));
    }
    KernelPollTest::TearDown();
  }

  void send_datagram(std::string_view bytes) {
    const iovec piece{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
    const DatagramOut out{.pieces = {&piece, 1}, .segment = 0, .to = &at_};
    ASSERT_EQ(door().datagrams().send(told_.fd, {&out, 1}), 1);
  }
  std::string receive_all() {
    std::string all;
    const auto received = door().datagrams().receive(told_.fd, 64, false);
    for (const Datagram& one : received.entries) all.append(one.bytes).append(" ");
    return all;
  }

  Noted<DatagramsOp> told_;
  IpEndpoint at_;
};

TEST_P(KernelDatagramTest, RoomToSendIsToldBesideWhatComes) {
  const Poll& poll = poll_once(told_.fd, Events::writable);
  ASSERT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.last(), Events::writable);
  send_datagram("and still");
  ASSERT_TRUE(run_until([this] { return !told_.results.empty(); }));
  EXPECT_EQ(receive_all(), "and still ");
}

// Over the loopback there is always room for UDP, so the descriptor is a Unix one, whose peer's
// queue is short.
TEST_P(KernelDatagramTest, RoomToSendIsToldWhenItComes) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  Noted<DatagramsOp> told;
  submit(told, own(pair[0]));
  settle();
  while (::send(pair[0], "x", 1, 0) == 1) {}
  ASSERT_EQ(errno, EAGAIN);
  const Poll& poll = poll_once(pair[0], Events::writable);
  settle();
  EXPECT_FALSE(poll.ended);
  char byte = 0;
  while (::recv(pair[1], &byte, 1, 0) == 1) {}
  EXPECT_TRUE(run_until([&] { return poll.ended; }));
  EXPECT_EQ(poll.last(), Events::writable);
  door().cancel(told);
  ASSERT_TRUE(run_until([&] { return told.ended; }));
  ::close(pair[1]);
}

WEIR_ON_KERNEL_BACKENDS(KernelPollTest);
WEIR_ON_KERNEL_BACKENDS(KernelDatagramTest);

class EpollDatagramTest : public KernelDatagramTest {};

// What comes between the news and the receive is received with it. Its edge is stale then, and is
// no reason to end a wait, every time. (Now and then a signal is.)
TEST_P(EpollDatagramTest, AStaleEdgeDoesNotWake) {
  constexpr int kRounds = 20;
  int woken = 0;
  for (bool slept = false; !slept && woken < kRounds;) {
    told_.renew();
    send_datagram("first");
    ASSERT_TRUE(run_until([this] { return told_.results.size() == 1; }));
    send_datagram("second");
    EXPECT_EQ(receive_all(), "first second ");
    // poll() leaves the rest of a millisecond to the next one.
    const Instant until = door().now() + milliseconds(2);
    EXPECT_EQ(turn(until), 0U);
    slept = door().now() >= until - milliseconds(1);
    if (!slept) ++woken;
  }
  EXPECT_LT(woken, kRounds) << "it never waits";
}

INSTANTIATE_TEST_SUITE_P(Epoll, EpollDatagramTest, testing::Values(kernel_backends().front()),
                         case_name);

}  // namespace
}  // namespace weir::test
