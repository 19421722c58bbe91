// TimerWheel against a sorted list of timers.
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "tests/random.h"
#include "weir/reactor/timer_wheel.h"

namespace weir::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::size_t kAll = SIZE_MAX;
constexpr Instant kStart = Instant(nanoseconds(123'456'789));

struct Probe : TimerNode {
  explicit Probe(std::function<void(Probe&)> its_body = {})
      : TimerNode([](TimerNode& node) noexcept {
          auto& probe = static_cast<Probe&>(node);
          ++probe.fired;
          if (probe.body) probe.body(probe);
        }),
        body(std::move(its_body)) {}
  std::function<void(Probe&)> body;
  int fired = 0;
  int name = 0;
};

enum class Order { by_tick, by_insertion };

// A wheel, and what it should do: the timers by the tick that they are due at, in the order of
// insertion within a tick. A tick is what the header calls so: a millisecond since kStart.
class Model {
 public:
  Model(Random& random, Order order) : random_(random), order_(order) {
    for (Probe& probe : probes_) {
      probe.body = [this](Probe& fired) { on_fire(fired); };
    }
  }

  void step() {
    switch (random_.below(5)) {
      case 0:
      case 1: insert(probes_[random_.below(probes_.size())]); break;
      case 2: cancel(probes_[random_.below(probes_.size())]); break;
      case 3:
        advance(now_ + random_distance(), random_.once_in(3) ? random_.below(5) : kAll);
        break;
      default: advance_to_next(); break;
    }
    check_next();
  }

  // Goes on from deadline to deadline; everything that is armed must fire.
  void run_dry() {
    draining_ = true;
    // Far timers are sorted in again every two years at most, which bounds the steps.
    for (int i = 0; i < 100000 && !due_.empty(); ++i) advance_to_next();
    EXPECT_TRUE(due_.empty()) << due_.size() << " timers never fired";
    EXPECT_EQ(wheel_.next(), kNever);
  }

 private:
  using Due = std::multimap<std::uint64_t, Probe*>;

  Duration random_distance() {
    constexpr Duration kScales[] = {milliseconds(3),  milliseconds(100), seconds(5),
                                    seconds(300),     hours(5),          hours(24 * 20),
                                    hours(24 * 700),  hours(24 * 3000)};
    const Duration scale = kScales[random_.below(std::size(kScales))];
    return Duration(random_.below(static_cast<std::uint64_t>(scale.count())));
  }

  static std::uint64_t tick_at_or_after(Instant instant) {
    if (instant <= kStart) return 0;
    return static_cast<std::uint64_t>((instant - kStart + milliseconds(1) - nanoseconds(1)) /
                                      milliseconds(1));
  }

  void insert(Probe& probe) {
    if (probe.armed()) return;
    Instant due = now_ + random_distance();
    if (random_.once_in(10)) due = now_ - random_distance();
    if (random_.once_in(4) && !due_.empty()) due = kStart + milliseconds(1) * due_.begin()->first;
    wheel_.insert(probe, due);
    EXPECT_TRUE(probe.armed());
    const std::uint64_t tick = std::max(tick_at_or_after(due), tick_ + 1);
    due_.emplace(tick, &probe);
  }

  void cancel(Probe& probe) {
    wheel_.cancel(probe);
    EXPECT_FALSE(probe.armed());
    std::erase_if(due_, [&](const auto& entry) { return entry.second == &probe; });
  }

  void on_fire(Probe& probe) {
    EXPECT_FALSE(probe.armed());
    ASSERT_FALSE(due_.empty()) << "a timer fired that was not armed";
    const std::uint64_t tick = due_.begin()->first;
    EXPECT_LE(kStart + milliseconds(tick), target_) << "a timer fired early";
    auto found = due_.begin();
    if (order_ == Order::by_tick) {
      while (found != due_.end() && found->second != &probe) ++found;
      ASSERT_NE(found, due_.end());
    }
    EXPECT_EQ(found->second, &probe) << "the order within a tick is not that of insertion";
    EXPECT_EQ(found->first, tick) << "an earlier timer was passed over";
    std::erase_if(due_, [&](const auto& entry) { return entry.second == &probe; });
    tick_ = tick;
    if (draining_) return;
    if (random_.once_in(3)) insert(probe);
    if (random_.once_in(3)) insert(probes_[random_.below(probes_.size())]);
    if (random_.once_in(3)) cancel(probes_[random_.below(probes_.size())]);
  }

  void advance(Instant to, std::size_t count_max) {
    now_ = target_ = std::max(now_, to);
    const std::size_t fired = wheel_.advance(now_, count_max);
    EXPECT_LE(fired, count_max);
    const auto reached = static_cast<std::uint64_t>((now_ - kStart) / milliseconds(1));
    if (due_.empty() || due_.begin()->first > reached) {
      tick_ = std::max(tick_, reached);
      EXPECT_GT(wheel_.next(), now_) << "the owner would not sleep";
    } else {
      EXPECT_EQ(fired, count_max) << "a timer is late";
      tick_ = due_.begin()->first;  // which the wheel has reached, and stopped there
    }
  }

  void advance_to_next() {
    const Instant next = wheel_.next();
    if (next != kNever) advance(next, kAll);
  }

  void check_next() {
    const Instant next = wheel_.next();
    if (due_.empty()) {
      EXPECT_EQ(next, kNever);
      return;
    }
    const Instant first = kStart + milliseconds(due_.begin()->first);
    EXPECT_LE(next, first) << "the owner would oversleep";
    // Within a round of the lowest level it is exact.
    const bool same_round = due_.begin()->first / 64 == tick_ / 64;
    EXPECT_TRUE(!same_round || next == first);
  }

  Random& random_;
  Order order_;
  TimerWheel wheel_{kStart};
  Instant now_ = kStart;
  Instant target_ = kStart;
  std::uint64_t tick_ = 0;  // the wheel has passed it
  bool draining_ = false;
  Due due_;
  std::deque<Probe> probes_{40};
};

TEST(TimerWheel, FiresEveryTimerInItsTickNeverEarlyNeverLate) {
  for_seeds(400, [](Random& random) {
    Model model(random, Order::by_tick);
    for (int i = 0; i < 400 && !testing::Test::HasFailure(); ++i) model.step();
    model.run_dry();
  });
}

TEST(TimerWheel, FiresTheTimersOfATickInTheOrderOfInsertion) {
  for_seeds(400, [](Random& random) {
    Model model(random, Order::by_insertion);
    for (int i = 0; i < 400 && !testing::Test::HasFailure(); ++i) model.step();
    model.run_dry();
  });
}

TEST(TimerWheel, OrderOfInsertionHoldsBetweenNearAndFarTimers) {
  TimerWheel wheel(kStart);
  std::vector<int> order;
  Probe far([&](Probe&) { order.push_back(1); });
  Probe near([&](Probe&) { order.push_back(2); });
  const Instant due = kStart + milliseconds(100);
  wheel.insert(far, due);
  wheel.advance(kStart + milliseconds(40), kAll);
  wheel.insert(near, due);
  wheel.advance(due, kAll);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(TimerWheel, NextIsExactForWhatIsInsertedLessThan64MillisecondsAhead) {
  for (int now = 0; now < 130; ++now) {
    TimerWheel wheel(kStart);
    wheel.advance(kStart + milliseconds(now), kAll);
    Probe probe;
    wheel.insert(probe, kStart + milliseconds(now + 63));
    EXPECT_EQ(wheel.next(), kStart + milliseconds(now + 63));
  }
}

TEST(TimerWheel, RoundsUpToTheTick) {
  TimerWheel wheel(kStart);
  Probe probe;
  wheel.insert(probe, kStart + milliseconds(5) + nanoseconds(1));
  EXPECT_EQ(wheel.next(), kStart + milliseconds(6));
  EXPECT_EQ(wheel.advance(kStart + milliseconds(6) - nanoseconds(1), kAll), 0U);
  EXPECT_EQ(wheel.advance(kStart + milliseconds(6), kAll), 1U);
  EXPECT_EQ(wheel.next(), kNever);
}

TEST(TimerWheel, APastInstantFiresAtTheNextTick) {
  TimerWheel wheel(kStart);
  wheel.advance(kStart + seconds(10), kAll);
  Probe probe;
  wheel.insert(probe, kStart);
  EXPECT_EQ(wheel.next(), kStart + seconds(10) + milliseconds(1));
  EXPECT_EQ(wheel.advance(kStart + seconds(10), kAll), 0U);
  EXPECT_EQ(wheel.advance(kStart + seconds(10) + milliseconds(1), kAll), 1U);
}

TEST(TimerWheel, ATimeBeforeTheStartFiresNothing) {
  TimerWheel wheel(kStart);
  Probe probe;
  wheel.insert(probe, kStart);
  EXPECT_EQ(wheel.advance(Instant{}, kAll), 0U);
  EXPECT_TRUE(probe.armed());
}

TEST(TimerWheel, TimersBeyondAllLevelsComeInTime) {
  TimerWheel wheel(kStart);
  wheel.advance(kStart + milliseconds(77), kAll);
  constexpr Duration kYear = hours(24 * 365);
  std::deque<Probe> probes;
  for (int year = 1; year <= 50; ++year) {
    wheel.insert(probes.emplace_back(), kStart + kYear * year);
  }
  int expected = 0;
  for (Instant now = kStart; expected < 50;) {
    now = wheel.next();
    ASSERT_NE(now, kNever);
    wheel.advance(now, kAll);
    const int fired = static_cast<int>(
        std::count_if(probes.begin(), probes.end(), [](Probe& probe) { return probe.fired > 0; }));
    if (fired == expected) continue;
    ASSERT_EQ(fired, expected + 1);
    EXPECT_EQ(now, kStart + kYear * fired);
    expected = fired;
  }
}

TEST(TimerWheel, AnInstantThatNeverComesIsNoTrouble) {
  TimerWheel wheel(Instant{});
  Probe never;
  wheel.insert(never, kNever);
  for (int i = 0; i < 100; ++i) {
    const Instant next = wheel.next();
    ASSERT_GT(next, Instant{});
    EXPECT_EQ(wheel.advance(next, kAll), 0U);
  }
  EXPECT_TRUE(never.armed());
}

TEST(TimerWheel, AJumpOfManyYearsFiresAllInOrder) {
  TimerWheel wheel(kStart);
  Random random(1);
  std::multimap<Instant, int> wanted;
  std::vector<Instant> fired;
  std::deque<Probe> probes;
  for (int i = 0; i < 1000; ++i) {
    const Instant due = kStart + milliseconds(1 + random.below(std::uint64_t{1} << 38));
    wanted.emplace(due, i);
    wheel.insert(probes.emplace_back([&fired, due](Probe&) { fired.push_back(due); }), due);
  }
  wheel.advance(kStart + hours(24 * 365 * 20), kAll);
  std::vector<Instant> expected;
  for (const auto& [due, name] : wanted) expected.push_back(due);
  EXPECT_EQ(fired, expected);
}

TEST(TimerWheel, HoldsAMillionTimers) {
  constexpr std::size_t kTimers = 1'000'000;
  TimerWheel wheel(kStart);
  Random random(1);
  struct Timed : TimerNode {
    Timed() : TimerNode([](TimerNode& node) noexcept { ++static_cast<Timed&>(node).fired; }) {}
    Instant due;
    int fired = 0;
  };
  std::vector<std::unique_ptr<Timed>> timers;
  for (std::size_t i = 0; i < kTimers; ++i) {
    Timed& timer = *timers.emplace_back(std::make_unique<Timed>());
    timer.due = kStart + milliseconds(1 + random.below(3'600'000));
    wheel.insert(timer, timer.due);
  }
  std::size_t cancelled = 0;
  for (auto& timer : timers) {
    if (!random.once_in(2)) continue;
    wheel.cancel(*timer);
    ++cancelled;
  }
  std::size_t fired = 0;
  for (int minute = 1; minute <= 60; ++minute) {
    const Instant now = kStart + seconds(60 * minute);
    fired += wheel.advance(now, kAll);
    for (const auto& timer : timers) {
      if (timer->armed() != (timer->fired == 0 && timer->due > now)) {
        ASSERT_TRUE(timer->fired == 0 && !timer->armed()) << "early or late";
      }
    }
  }
  EXPECT_EQ(fired, kTimers - cancelled);
  EXPECT_EQ(wheel.next(), kNever);
}

TEST(TimerWheel, ACallbackMayCancelAnyTimer) {
  TimerWheel wheel(kStart);
  Probe same_tick;
  Probe later;
  Probe canceller([&](Probe& self) {
    wheel.cancel(same_tick);
    wheel.cancel(later);
    wheel.cancel(self);
  });
  wheel.insert(canceller, kStart + milliseconds(5));
  wheel.insert(same_tick, kStart + milliseconds(5));
  wheel.insert(later, kStart + seconds(5));
  EXPECT_EQ(wheel.advance(kStart + seconds(10), kAll), 1U);
  EXPECT_EQ(same_tick.fired + later.fired, 0);
  EXPECT_EQ(wheel.next(), kNever);
}

TEST(TimerWheel, ACallbackMayDestroyAnyTimer) {
  TimerWheel wheel(kStart);
  auto victim = std::make_unique<Probe>();
  auto far_victim = std::make_unique<Probe>();
  Probe killer([&](Probe&) {
    victim.reset();
    far_victim.reset();
  });
  wheel.insert(killer, kStart + milliseconds(5));
  wheel.insert(*victim, kStart + milliseconds(5));
  wheel.insert(*far_victim, kStart + seconds(500));
  EXPECT_EQ(wheel.advance(kStart + seconds(1000), kAll), 1U);
  EXPECT_EQ(wheel.next(), kNever);
}

TEST(TimerWheel, ATimerThatRearmsItselfFiresOnceATick) {
  TimerWheel wheel(kStart);
  Probe again([&](Probe& self) { wheel.insert(self, kStart); });
  wheel.insert(again, kStart);
  EXPECT_EQ(wheel.advance(kStart + milliseconds(100), kAll), 100U);
  EXPECT_TRUE(again.armed());
}

TEST(TimerWheel, CountMaxLeavesTheRestForTheNextCall) {
  TimerWheel wheel(kStart);
  std::deque<Probe> probes(100);
  for (Probe& probe : probes) wheel.insert(probe, kStart + milliseconds(10));
  const Instant now = kStart + milliseconds(20);
  EXPECT_EQ(wheel.advance(now, 0), 0U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(wheel.advance(now, 30), 30U);
    EXPECT_LE(wheel.next(), now) << "more is due, the owner must not sleep";
  }
  EXPECT_EQ(wheel.advance(now, 30), 10U);
  EXPECT_EQ(wheel.next(), kNever);
  for (const Probe& probe : probes) EXPECT_EQ(probe.fired, 1);
}

TEST(TimerWheelDeathTest, InsertingAnArmedTimerAsserts) {
  TimerWheel wheel(kStart);
  Probe probe;
  wheel.insert(probe, kStart + seconds(1));
  EXPECT_DEATH(wheel.insert(probe, kStart + seconds(2)), "assertion failed: !node.armed");
}

}  // namespace
}  // namespace weir::test
