// Foreign fds and signals.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/reactor_world.h"

namespace weir::test {
namespace {

using std::chrono::milliseconds;

constexpr Events kReadable{Events::readable};
constexpr Events kWritable{Events::writable};

class WatchTest : public ReactorTest {
 protected:
  void SetUp() override {
    ReactorTest::SetUp();
    if (!IsSkipped()) std::tie(mine_, theirs_) = make_pair();
  }
  void TearDown() override {
    if (IsSkipped()) return;
    reactor().run_once(Duration::zero());
    if (mine_ >= 0) close_fd(mine_);
    if (theirs_ >= 0) close_fd(theirs_);
  }
  void settle() {
    for (int i = 0; i < 5; ++i) reactor().run_once(Duration::zero());
  }
  char read_byte() {
    char byte = '\0';
    EXPECT_EQ(read_some(mine_, {&byte, 1}), 1);
    return byte;
  }

  int mine_ = -1;
  int theirs_ = -1;
};

TEST_P(WatchTest, AByteACallbackGetsAll) {
  std::string wanted;
  for (int i = 0; i < 1000; ++i) wanted += static_cast<char>('a' + i % 26);
  std::string seen;
  const Watch watch = reactor().watch(mine_, kReadable, [&](Events events) {
    EXPECT_TRUE(events.has(Events::readable));
    seen += read_byte();
  });
  EXPECT_EQ(write_some(theirs_, wanted), 1000);
  ASSERT_TRUE(run_until([&] { return seen.size() == wanted.size(); }));
  EXPECT_EQ(seen, wanted);
  settle();
  EXPECT_EQ(write_some(theirs_, "more"), 4);
  ASSERT_TRUE(run_until([&] { return seen.size() == wanted.size() + 4; }));
}

TEST_P(WatchTest, APipeIsReadByteByByteToItsEnd) {
  if (simulated()) GTEST_SKIP() << "the simulator has no pipes";
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  ASSERT_EQ(::write(fds[1], "hello", 5), 5);
  ::close(fds[1]);
  std::string seen;
  bool ended = false;
  Watch watch;
  watch = reactor().watch(fds[0], kReadable, [&](Events) {
    char byte = '\0';
    const ssize_t size = ::read(fds[0], &byte, 1);
    if (size == 1) seen += byte;
    if (size != 0) return;
    ended = true;
    watch.cancel();
  });
  reactor().run();
  EXPECT_TRUE(ended);
  EXPECT_EQ(seen, "hello");
  settle();
  ::close(fds[0]);
}

TEST_P(WatchTest, WhoDoesNotReadIsCalledAgain) {
  int calls = 0;
  const Watch watch = reactor().watch(mine_, kReadable, [&](Events) { ++calls; });
  settle();
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(write_some(theirs_, "x"), 1);
  ASSERT_TRUE(run_until([&] { return calls >= 10; }));
}

TEST_P(WatchTest, WritableIsToldUntilTheRoomIsGoneAndAgainWhenItIsBack) {
  int calls = 0;
  std::size_t written = 0;
  const std::string chunk(16 * 1024, 'x');
  const Watch watch = reactor().watch(mine_, kWritable, [&](Events events) {
    EXPECT_TRUE(events.has(Events::writable));
    ++calls;
    while (true) {
      const auto size = write_some(mine_, chunk);
      if (size <= 0) break;
      written += static_cast<std::size_t>(size);
    }
  });
  ASSERT_TRUE(run_until([&] { return calls > 0; }));
  settle();
  const int before = calls;
  settle();
  EXPECT_EQ(calls, before) << "called although there is no room";
  std::string room(1 << 20, '\0');
  for (std::size_t read = 0; read < written;) {
    const auto size = read_some(theirs_, room);
    ASSERT_GT(size, 0);
    read += static_cast<std::size_t>(size);
  }
  ASSERT_TRUE(run_until([&] { return calls > before; }));
}

TEST_P(WatchTest, TheEndOfThePeerIsReadable) {
  bool ended = false;
  Watch watch;
  watch = reactor().watch(mine_, kReadable, [&](Events events) {
    EXPECT_TRUE(events.has(Events::readable) || events.has(Events::hangup));
    char byte = '\0';
    EXPECT_EQ(read_some(mine_, {&byte, 1}), 0);
    ended = true;
    watch.cancel();
  });
  close_fd(std::exchange(theirs_, -1));
  ASSERT_TRUE(run_until([&] { return ended; }));
}

TEST_P(WatchTest, AResetOfThePeerEndsTheReading) {
  std::ptrdiff_t result = 1;
  EXPECT_EQ(write_some(mine_, "unread"), 6);
  close_fd(std::exchange(theirs_, -1));  // with bytes unread: a reset
  Watch watch;
  int calls = 0;
  watch = reactor().watch(mine_, kReadable, [&](Events) {
    char byte = '\0';
    result = read_some(mine_, {&byte, 1});
    if (result != -EAGAIN || ++calls == 10) watch.cancel();
  });
  ASSERT_TRUE(run_until([&] { return result != 1; }));
  EXPECT_TRUE(result == -ECONNRESET || result == 0) << result;
}

TEST_P(WatchTest, MayBeCancelledInItsOwnCallback) {
  int calls = 0;
  const auto witness = std::make_shared<int>(0);
  Watch watch;
  watch = reactor().watch(mine_, kReadable, [&watch, &calls, witness](Events) {
    ++calls;
    watch.cancel();
    watch.cancel();
    EXPECT_EQ(*witness, 0);
  });
  EXPECT_EQ(write_some(theirs_, "xyz"), 3);
  reactor().run();
  settle();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(witness.use_count(), 1) << "the callable is kept";
}

TEST_P(WatchTest, MayBeReplacedInItsOwnCallback) {
  std::string seen;
  Watch watch;
  watch = reactor().watch(mine_, kReadable, [&](Events) {
    seen += "a";
    watch = reactor().watch(mine_, kReadable, [&](Events) {
      seen += "b";
      watch.cancel();
    });
  });
  EXPECT_EQ(write_some(theirs_, "x"), 1);
  reactor().run();
  EXPECT_EQ(seen, "ab");
}

TEST_P(WatchTest, NoCallbackRunsAfterCancel) {
  Watch watch = reactor().watch(mine_, kReadable, [](Events) { ADD_FAILURE(); });
  settle();
  EXPECT_EQ(write_some(theirs_, "x"), 1);
  watch.cancel();
  settle();
  watch = reactor().watch(mine_, kReadable, [](Events) { ADD_FAILURE(); });
  watch = Watch();
  settle();
  reactor().run();
}

TEST_P(WatchTest, TwoOnOneFdAreBothTold) {
  int reads = 0;
  int writes = 0;
  int also = 0;
  const Watch reader = reactor().watch(mine_, kReadable, [&](Events) { ++reads; });
  const Watch writer = reactor().watch(mine_, kWritable, [&](Events) { ++writes; });
  const Watch second = reactor().watch(mine_, kReadable, [&](Events) { ++also; });
  ASSERT_TRUE(run_until([&] { return writes >= 3; }));
  EXPECT_EQ(reads + also, 0);
  EXPECT_EQ(write_some(theirs_, "x"), 1);
  ASSERT_TRUE(run_until([&] { return reads >= 3 && also >= 3; }));
}

TEST_P(WatchTest, OneOfTwoMayCancelTheOther) {
  int calls = 0;
  Watch first;
  Watch second;
  first = reactor().watch(mine_, kReadable, [&](Events) {
    ++calls;
    second.cancel();
  });
  second = reactor().watch(mine_, kReadable, [&](Events) {
    ++calls;
    first.cancel();
  });
  EXPECT_EQ(write_some(theirs_, "x"), 1);
  ASSERT_TRUE(run_until([&] { return calls >= 5; }));
  first.cancel();
  second.cancel();
  reactor().run();
}

TEST_P(WatchTest, OneGoingLeavesTheOtherWatching) {
  int calls = 0;
  Watch first = reactor().watch(mine_, kReadable, [&](Events) { first.cancel(); });
  const Watch second = reactor().watch(mine_, kReadable, [&](Events) {
    ++calls;
    (void)read_byte();
  });
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(write_some(theirs_, "x"), 1);
    ASSERT_TRUE(run_until([&] { return calls == i; }));
  }
}

TEST_P(WatchTest, AnUnreferencedOneDoesNotKeepRunGoing) {
  int calls = 0;
  Watch watch = reactor().watch(mine_, kReadable, [&](Events) { ++calls; });
  watch.unref();
  watch.unref();
  reactor().run();
  EXPECT_EQ(write_some(theirs_, "x"), 1);
  ASSERT_TRUE(run_until([&] { return calls > 0; }));
}

TEST_P(WatchTest, TheFdMayBeUsedAgainAfterATurn) {
  for (int lap = 0; lap < 50; ++lap) {
    const auto [reading, writing] = make_pair();
    int calls = 0;
    Watch watch = reactor().watch(reading, kReadable, [&](Events) { ++calls; });
    if (lap % 2 == 0) {
      EXPECT_EQ(write_some(writing, "x"), 1);
      ASSERT_TRUE(run_until([&] { return calls > 0; }));
    }
    watch.cancel();
    reactor().run_once(Duration::zero());
    close_fd(reading);
    close_fd(writing);
  }
}

TEST_P(WatchTest, AFileIsAlwaysReady) {
  if (simulated()) GTEST_SKIP() << "the simulator has no files";
  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  int calls = 0;
  Watch watch;
  watch = reactor().watch(file, kReadable, [&](Events events) {
    EXPECT_TRUE(events.has(Events::readable));
    if (++calls == 3) watch.cancel();
  });
  reactor().run();
  EXPECT_EQ(calls, 3);
  settle();
  ::close(file);
}

TEST_P(WatchTest, AnFdThatIsNotOpenIsReportedOnce) {
  if (simulated()) GTEST_SKIP() << "the simulator asserts that its fds are open";
  const int closed = dup(mine_);
  ::close(closed);
  int calls = 0;
  const Watch watch = reactor().watch(closed, kReadable, [&](Events events) {
    EXPECT_TRUE(events.has(Events::error));
    ++calls;
  });
  ASSERT_TRUE(run_until([&] { return calls > 0; }));
  for (int i = 0; i < 20; ++i) settle();
  EXPECT_EQ(calls, 1);
}

TEST_P(WatchTest, AReactorMayGoWithAPollInFlight) {
  const auto witness = std::make_shared<int>(0);
  auto watch = std::make_unique<Watch>(reactor().watch(mine_, kReadable, [witness](Events) {}));
  settle();
  watch.reset();
  if (simulated()) mine_ = theirs_ = -1;
  destroy_reactor();
  EXPECT_EQ(witness.use_count(), 1);
  remake({});
}

WEIR_ON_ALL_BACKENDS(WatchTest);

// ---- Signals ----

std::atomic<int> earlier_calls{0};
void earlier_handler(int) { ++earlier_calls; }
void earlier_action(int, siginfo_t* info, void*) { earlier_calls += info->si_signo; }

class SignalTest : public ReactorTest {
 protected:
  void SetUp() override {
    ReactorTest::SetUp();
    earlier_calls = 0;
    install(earlier_handler);
  }
  void TearDown() override {
    if (!IsSkipped()) destroy_reactor();
    install(SIG_DFL);
  }

  static void install(void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  }
  static struct sigaction installed() {
    struct sigaction action {};
    EXPECT_EQ(sigaction(SIGUSR1, nullptr, &action), 0);
    return action;
  }
};

TEST_P(SignalTest, AHandlerRunsInTheLoopAndTheEarlierOneToo) {
  int handled = 0;
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [&](int signal) {
    EXPECT_EQ(signal, SIGUSR1);
    ++handled;
  }));
  for (int i = 1; i <= 3; ++i) {
    raise(SIGUSR1);
    EXPECT_EQ(earlier_calls, i) << "the earlier handler is not chained";
    EXPECT_EQ(handled, i - 1) << "the handler ran inside the signal";
    ASSERT_TRUE(run_until([&] { return handled == i; }));
  }
}

TEST_P(SignalTest, SignalsInABurstAreHandledAtLeastOnce) {
  int handled = 0;
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [&](int) { ++handled; }));
  for (int i = 0; i < 100; ++i) raise(SIGUSR1);
  ASSERT_TRUE(run_until([&] { return handled > 0; }));
  EXPECT_LE(handled, 100);
  EXPECT_EQ(earlier_calls, 100);
}

TEST_P(SignalTest, AnActionWithInformationIsChained) {
  struct sigaction action {};
  action.sa_sigaction = earlier_action;
  action.sa_flags = SA_SIGINFO;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [](int) {}));
  raise(SIGUSR1);
  EXPECT_EQ(earlier_calls, SIGUSR1);
  destroy_reactor();
  EXPECT_EQ(installed().sa_sigaction, earlier_action);
}

TEST_P(SignalTest, AnIgnoredSignalIsHandledAndIgnoredAgain) {
  install(SIG_IGN);
  int handled = 0;
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [&](int) { ++handled; }));
  raise(SIGUSR1);
  ASSERT_TRUE(run_until([&] { return handled == 1; }));
  destroy_reactor();
  EXPECT_EQ(installed().sa_handler, SIG_IGN);
}

TEST_P(SignalTest, TheEarlierHandlerIsRestoredWithTheReactor) {
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [](int) { ADD_FAILURE(); }));
  EXPECT_NE(installed().sa_handler, earlier_handler);
  destroy_reactor();
  EXPECT_EQ(installed().sa_handler, earlier_handler);
  raise(SIGUSR1);
  EXPECT_EQ(earlier_calls, 1);
}

TEST_P(SignalTest, SeveralHandlersAndReactorsAreAllTold) {
  int handled = 0;
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [&](int) { ++handled; }));
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [&](int) { handled += 10; }));
  auto other = std::make_unique<Reactor>(make_backend());
  ASSERT_TRUE(other->on_signal(SIGUSR1, [&](int) { handled += 100; }));
  raise(SIGUSR1);
  EXPECT_EQ(earlier_calls, 1);
  ASSERT_TRUE(run_until([&] {
    other->run_once(Duration::zero());
    return handled == 111;
  }));
  other.reset();
  raise(SIGUSR1);
  ASSERT_TRUE(run_until([&] { return handled == 122; }));
}

// Which has a copy of all that the handler looks at.
TEST_P(SignalTest, ASignalOfAForkedChildIsItsOwn) {
  int handled = 0;
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [&](int) { ++handled; }));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    raise(SIGUSR1);
    _exit(earlier_calls == 1 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "the child's own handler has not run";
  for (int i = 0; i < 10; ++i) reactor().run_once(Duration::zero());
  EXPECT_EQ(handled, 0);
  raise(SIGUSR1);
  ASSERT_TRUE(run_until([&] { return handled == 1; }));
}

TEST_P(SignalTest, AHandlerDoesNotKeepRunGoing) {
  ASSERT_TRUE(reactor().on_signal(SIGUSR1, [](int) {}));
  reactor().run();
}

TEST_P(SignalTest, WhatCannotBeHandledIsRefused) {
  for (const int signal : {0, -1, 65, 1000, SIGKILL, SIGSTOP}) {
    const auto result = reactor().on_signal(signal, [](int) {});
    ASSERT_FALSE(result.has_value()) << signal;
    EXPECT_EQ(result.error().code, errno_code(EINVAL)) << signal;
  }
}

TEST_P(SignalTest, ThereAreManyButNotEndlesslyManySubscriptions) {
  int taken = 0;
  while (reactor().on_signal(SIGUSR1, [](int) {})) ASSERT_LT(++taken, 1000);
  EXPECT_EQ(taken, 64);
  destroy_reactor();
  EXPECT_EQ(installed().sa_handler, earlier_handler);
  remake({});
  EXPECT_TRUE(reactor().on_signal(SIGUSR1, [](int) {}).has_value());
}

WEIR_ON_KERNEL_BACKENDS(SignalTest);

TEST(SimSignal, IsNotSupported) {
  const auto reactor = std::make_unique<Reactor>(std::make_unique<SimBackend>());
  const auto result = reactor->on_signal(SIGUSR1, [](int) {});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, errno_code(ENOTSUP));
}

}  // namespace
}  // namespace weir::test
