// The loop on every backend: when it runs and when it ends, posted and deferred tasks, timers.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/reactor_world.h"

namespace weir::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// ---- Running ----

TEST_P(ReactorTest, RunReturnsWhenNothingIsReferenced) {
  reactor().run();
  reactor().run();
  EXPECT_EQ(reactor().counters().turns, 0U);
}

TEST_P(ReactorTest, RunReturnsAfterTheLastTimer) {
  int fired = 0;
  Timer first = reactor().after(milliseconds(1), [&] { ++fired; });
  Timer second = reactor().after(milliseconds(3), [&] { ++fired; });
  reactor().run();
  EXPECT_EQ(fired, 2);
}

TEST_P(ReactorTest, RunReturnsWhenTheLastTimerIsCancelled) {
  Timer far = reactor().after(hours(1), [] { ADD_FAILURE(); });
  ASSERT_TRUE(reactor().post([&] { far.cancel(); }));
  reactor().run();
  EXPECT_FALSE(far.armed());
}

TEST_P(ReactorTest, RunHandlesWhatIsLeftBeforeItReturns) {
  std::string seen;
  ASSERT_TRUE(reactor().defer([&] { seen += "d"; }));
  ASSERT_TRUE(reactor().post([&] {
    seen += "p";
    EXPECT_TRUE(reactor().defer([&] { seen += "e"; }));
  }));
  reactor().run();
  EXPECT_EQ(seen.size(), 3U) << seen;
}

TEST_P(ReactorTest, RunOnceDoesNotWaitLongerThanItsDeadline) {
  const Instant deadline = reactor().now() + milliseconds(5);
  while (reactor().now() < deadline) EXPECT_EQ(reactor().run_once(deadline), 0U);
  EXPECT_EQ(reactor().run_once(Instant::min()), 0U);
  EXPECT_EQ(reactor().run_once(reactor().now()), 0U);
  EXPECT_EQ(reactor().run_once(Duration::zero()), 0U);
}

TEST_P(ReactorTest, RunOnceSaysHowMuchItHasHandled) {
  Timer timer = reactor().after(Duration::zero(), [] {});
  ASSERT_TRUE(reactor().post([] {}));
  ASSERT_TRUE(reactor().defer([] {}));
  std::size_t handled = 0;
  for (const Instant end = reactor().now() + kReactorPatience;
       handled < 3 && reactor().now() < end;) {
    handled += reactor().run_once(end);
  }
  EXPECT_EQ(handled, 3U);
}

TEST_P(ReactorTest, AWorkGuardOfAnotherThreadKeepsRunGoing) {
  int ran = 0;
  std::thread other([this, &ran, guard = std::make_unique<WorkGuard>(reactor())]() mutable {
    for (int i = 0; i < 100; ++i) {
      while (!reactor().post([&ran] { ++ran; })) std::this_thread::yield();
    }
    guard.reset();
  });
  reactor().run();
  other.join();
  EXPECT_EQ(ran, 100);
}

// Runs the reactor in this thread, and says so when it does not return although it should.
void expect_run_returns(Reactor& reactor, std::vector<std::thread>& threads, bool& stuck) {
  std::promise<void> returned;
  std::thread watcher([&, done = returned.get_future()] {
    for (std::thread& thread : threads) thread.join();
    if (done.wait_for(kReactorPatience) == std::future_status::ready) return;
    stuck = true;
    reactor.stop();
  });
  reactor.run();
  returned.set_value();
  watcher.join();
}

TEST_P(ReactorTest, GuardsThatGoAtTheSameTimeLetRunReturn) {
  for (int lap = 0; lap < 300; ++lap) {
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&ready, guard = std::make_unique<WorkGuard>(reactor())]() mutable {
        for (++ready; ready.load() < 2;) {
        }
        guard.reset();
      });
    }
    bool stuck = false;
    expect_run_returns(reactor(), threads, stuck);
    ASSERT_FALSE(stuck) << "no guard is left, but run() sleeps; lap " << lap;
  }
}

TEST_P(ReactorTest, AMovedGuardCountsOnce) {
  {
    WorkGuard guard(reactor());
    WorkGuard moved(std::move(guard));
  }
  reactor().run();
}

// ---- Stopping ----

TEST_P(ReactorTest, AnotherThreadCanStopIt) {
  for (int lap = 0; lap < 50; ++lap) {
    const WorkGuard guard(reactor());
    std::thread other([this] { reactor().stop(); });
    reactor().run();
    other.join();
    reactor().run_once(Duration::zero());
  }
}

TEST_P(ReactorTest, StopEndsRunAfterTheTurn) {
  std::string seen;
  ASSERT_TRUE(reactor().post([&] {
    seen += "a";
    reactor().stop();
    seen += "b";
    EXPECT_TRUE(reactor().defer([&] { seen += "c"; }));
  }));
  Timer far = reactor().after(hours(1), [] { ADD_FAILURE(); });
  reactor().run();
  EXPECT_EQ(seen, "abc");
  EXPECT_TRUE(far.armed());
}

TEST_P(ReactorTest, AStopBeforeRunEndsThatRunOnly) {
  int fired = 0;
  Timer timer = reactor().after(milliseconds(1), [&] { ++fired; });
  reactor().stop();
  reactor().run();
  EXPECT_EQ(fired, 0);
  reactor().run();
  EXPECT_EQ(fired, 1);
}

// ---- Posting ----

TEST_P(ReactorTest, PostsOfManyThreadsAllRunInOrderOfTheirThread) {
  constexpr int kThreads = 4;
  constexpr int kEach = 100'000;
  struct Counts {
    int next[kThreads] = {};
    int out_of_order = 0;
    std::atomic<int> refused{0};
  } counts;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back(
        [this, &counts, thread, guard = std::make_unique<WorkGuard>(reactor())]() mutable {
          for (int i = 0; i < kEach; ++i) {
            while (!reactor().post([&counts, thread, i] {
              if (counts.next[thread]++ != i) ++counts.out_of_order;
            })) {
              ++counts.refused;
              std::this_thread::yield();
            }
          }
          guard.reset();
        });
  }
  reactor().run();
  for (std::thread& thread : threads) thread.join();
  for (const int next : counts.next) EXPECT_EQ(next, kEach);
  EXPECT_EQ(counts.out_of_order, 0);
  EXPECT_EQ(reactor().counters().tasks, std::uint64_t{kThreads} * kEach);
  RecordProperty("refused", counts.refused.load());
}

TEST_P(ReactorTest, AFullPostQueueRefusesAndLosesNothing) {
  remake({.posted_tasks_max = 8});
  const auto witness = std::make_shared<int>(0);
  int ran = 0;
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(reactor().post([&ran, witness] { ++ran; }));
  EXPECT_FALSE(reactor().post([&ran, witness] { ran += 100; }));
  EXPECT_EQ(witness.use_count(), 9);
  reactor().run();
  EXPECT_EQ(ran, 8);
  EXPECT_EQ(witness.use_count(), 1);
  EXPECT_TRUE(reactor().post([&ran] { ++ran; }));
  reactor().run();
  EXPECT_EQ(ran, 9);
}

TEST_P(ReactorTest, APostedTaskMayPostMore) {
  remake({.posted_tasks_max = 2});
  int left = 1000;
  std::function<void()> next = [&] {
    if (--left == 0) return;
    EXPECT_TRUE(reactor().post([&] { next(); }));
  };
  ASSERT_TRUE(reactor().post([&] { next(); }));
  reactor().run();
  EXPECT_EQ(left, 0);
}

TEST_P(ReactorTest, TasksThatPostForeverDoNotStarveTheRest) {
  bool done = false;
  std::function<void()> next = [&] {
    if (done) return;
    EXPECT_TRUE(reactor().post([&] { next(); }));
  };
  ASSERT_TRUE(reactor().post([&] { next(); }));
  ASSERT_TRUE(reactor().defer([&] { done = true; }));
  reactor().run();
  EXPECT_TRUE(done);
}

// ---- Deferring ----

TEST_P(ReactorTest, DeferredTasksRunInRounds) {
  std::string seen;
  ASSERT_TRUE(reactor().post([&] {
    seen += "p";
    EXPECT_TRUE(reactor().defer([&] {
      seen += "a";
      EXPECT_TRUE(reactor().defer([&] { seen += "c"; }));
    }));
    EXPECT_TRUE(reactor().defer([&] { seen += "b"; }));
    seen += "q";
  }));
  reactor().run_once(Duration::zero());
  EXPECT_EQ(seen, "pqabc");
}

TEST_P(ReactorTest, ATurnHasAtMost16RoundsAndDoesNotBlockOnTheRest) {
  static_assert(limits::kDeferRoundsMax == 16);
  const WorkGuard guard(reactor());
  int ran = 0;
  std::function<void()> again = [&] {
    ++ran;
    EXPECT_TRUE(reactor().defer([&] { again(); }));
  };
  ASSERT_TRUE(reactor().defer([&] { again(); }));
  for (int turn = 1; turn <= 10; ++turn) {
    reactor().run_once(kNever);
    EXPECT_EQ(ran, 16 * turn);
  }
  again = [] {};
}

TEST_P(ReactorTest, TasksThatDeferForeverDoNotStarveTheRest) {
  bool posted = false;
  bool fired = simulated();  // whose clock stands still while there is something to do
  std::function<void()> again = [&] {
    if (posted && fired) return;
    EXPECT_TRUE(reactor().defer([&] { again(); }));
  };
  Timer timer = reactor().after(milliseconds(1), [&] { fired = true; });
  ASSERT_TRUE(reactor().defer([&] { again(); }));
  std::thread other([&] { EXPECT_TRUE(reactor().post([&] { posted = true; })); });
  ASSERT_TRUE(run_until([&] { return posted && fired; }));
  other.join();
}

TEST_P(ReactorTest, MoreDeferredTasksThanTheLimitAreRefused) {
  std::size_t ran = 0;
  std::size_t taken = 0;
  while (reactor().defer([&] { ++ran; })) ++taken;
  EXPECT_EQ(taken, limits::kDeferredTasksMax);
  reactor().run();
  EXPECT_EQ(ran, taken);
  EXPECT_TRUE(reactor().defer([] {}));
}

// ---- Timers ----

TEST_P(ReactorTest, TimersFireInTheOrderOfTheirTimes) {
  std::vector<int> order;
  std::vector<Timer> timers;
  for (const int delay : {30, 10, 20, 10, 0, 30}) {
    timers.push_back(
        reactor().after(milliseconds(delay), [&order, delay] { order.push_back(delay); }));
  }
  reactor().run();
  EXPECT_EQ(order, (std::vector<int>{0, 10, 10, 20, 30, 30}));
  for (const Timer& timer : timers) EXPECT_FALSE(timer.armed());
  EXPECT_EQ(reactor().counters().timers, 6U);
}

TEST_P(ReactorTest, TimersOfOneInstantFireInTheOrderOfInsertion) {
  std::vector<int> order;
  std::vector<Timer> timers;
  for (int i = 0; i < 100; ++i) {
    timers.push_back(reactor().after(milliseconds(5), [&order, i] { order.push_back(i); }));
  }
  reactor().run();
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_P(ReactorTest, TimersAreNeverEarly) {
  std::vector<Timer> timers;
  int early = 0;
  for (int i = 0; i < 50; ++i) {
    const Duration delay = std::chrono::microseconds(i * 731);
    const Instant due = reactor().now() + delay;
    timers.push_back(reactor().after(delay, [&, due] {
      if (reactor().now() < due || reactor().backend().now() < due) ++early;
    }));
  }
  reactor().run();
  EXPECT_EQ(early, 0);
}

TEST_P(ReactorTest, ADelayBelowZeroIsZero) {
  int fired = 0;
  Timer timer = reactor().after(-hours(1), [&] { ++fired; });
  Timer least = reactor().after(Duration::min(), [&] { ++fired; });
  reactor().run();
  EXPECT_EQ(fired, 2);
}

TEST_P(ReactorTest, ACancelledTimerDoesNotFire) {
  Timer never;
  never.cancel();
  Timer victim = reactor().after(milliseconds(5), [] { ADD_FAILURE(); });
  Timer dropped = reactor().after(milliseconds(5), [] { ADD_FAILURE(); });
  Timer canceller = reactor().after(milliseconds(1), [&] {
    victim.cancel();
    victim.cancel();
    dropped = Timer();
  });
  Timer replaced = reactor().after(milliseconds(2), [] { ADD_FAILURE(); });
  replaced = reactor().after(milliseconds(3), [] {});
  EXPECT_TRUE(victim.armed());
  reactor().run();
  EXPECT_FALSE(victim.armed());
  EXPECT_EQ(reactor().counters().timers, 2U);
}

TEST_P(ReactorTest, ATimerMayCancelAnotherOfTheSameInstant) {
  Timer second;
  Timer first = reactor().after(milliseconds(5), [&] { second.cancel(); });
  second = reactor().after(milliseconds(5), [] { ADD_FAILURE(); });
  reactor().run();
}

TEST_P(ReactorTest, ATimerMayRearmItselfInItsCallback) {
  int fired = 0;
  Timer timer;
  std::function<void()> fire = [&] {
    EXPECT_FALSE(timer.armed());
    if (++fired < 20) timer = reactor().after(milliseconds(1), [&] { fire(); });
  };
  timer = reactor().after(milliseconds(1), [&] { fire(); });
  reactor().run();
  EXPECT_EQ(fired, 20);
}

TEST_P(ReactorTest, ATimerMayDropItselfInItsCallback) {
  auto timer = std::make_unique<Timer>();
  const auto witness = std::make_shared<int>(0);
  *timer = reactor().after(milliseconds(1), [&timer, witness] {
    timer.reset();
    EXPECT_EQ(*witness, 0);
  });
  reactor().run();
  EXPECT_EQ(timer, nullptr);
  EXPECT_EQ(witness.use_count(), 1);
}

TEST_P(ReactorTest, ACancelledTimerDropsItsCallableAtOnce) {
  const auto witness = std::make_shared<int>(0);
  Timer timer = reactor().after(hours(1), [witness] {});
  EXPECT_EQ(witness.use_count(), 2);
  timer.cancel();
  EXPECT_EQ(witness.use_count(), 1);
}

TEST_P(ReactorTest, AnUnreferencedTimerDoesNotKeepRunGoing) {
  int fired = 0;
  Timer far = reactor().after(hours(1), [] { ADD_FAILURE(); });
  far.unref();
  far.unref();
  Timer soon = reactor().after(milliseconds(1), [&] { ++fired; });
  soon.unref();
  Timer later = reactor().after(milliseconds(5), [&] { ++fired; });
  reactor().run();
  EXPECT_EQ(fired, 2);
  EXPECT_TRUE(far.armed());
  far.cancel();
  reactor().run();
}

TEST_P(ReactorTest, AMovedTimerIsTheSameTimer) {
  int fired = 0;
  Timer first = reactor().after(milliseconds(1), [&] { ++fired; });
  Timer second = std::move(first);
  EXPECT_FALSE(first.armed());
  EXPECT_TRUE(second.armed());
  Timer& same = second;
  second = std::move(same);
  EXPECT_TRUE(second.armed());
  first.cancel();
  reactor().run();
  EXPECT_EQ(fired, 1);
}

TEST_P(ReactorTest, ManyTimersOfOneInstantTakeSeveralTurns) {
  constexpr std::size_t kTimers = 3 * limits::kTimersPerTurnMax + 1;
  std::size_t fired = 0;
  std::vector<Timer> timers;
  for (std::size_t i = 0; i < kTimers; ++i) {
    timers.push_back(reactor().after(milliseconds(1), [&] { ++fired; }));
  }
  while (fired < kTimers) {
    const std::size_t before = fired;
    reactor().run_once(kNever);
    EXPECT_LE(fired - before, limits::kTimersPerTurnMax);
  }
}

// On a clock that does not begin at zero. Its process ends first.
Reactor& late_reactor() {
  return *new Reactor(std::make_unique<SimBackend>(SimOptions{.start = Instant(hours(1))}));
}

// In processes of their own, since what can go wrong here may end one.
TEST(ReactorDeathTest, TheLongestDelayIsFarAway) {
  EXPECT_EXIT(
      {
        Reactor& reactor = late_reactor();
        bool fired = false;
        Timer longest = reactor.after(Duration::max(), [&] { fired = true; });
        reactor.run_once(reactor.now() + hours(1));
        std::_Exit(fired ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ReactorDeathTest, TheLongestTimeoutWaitsForTheFirstEvent) {
  EXPECT_EXIT(
      {
        Reactor& reactor = late_reactor();
        bool fired = false;
        Timer timer = reactor.after(seconds(1), [&] { fired = true; });
        reactor.run_once(Duration::max());
        std::_Exit(fired ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(BackendKindTest, EachHasAName) {
  EXPECT_STREQ(name_of(BackendKind::automatic), "auto");
  EXPECT_STREQ(name_of(BackendKind::io_uring), "io_uring");
  EXPECT_STREQ(name_of(BackendKind::epoll), "epoll");
  EXPECT_STREQ(name_of(BackendKind::sim), "sim");
}

WEIR_ON_ALL_BACKENDS(ReactorTest);

}  // namespace
}  // namespace weir::test
