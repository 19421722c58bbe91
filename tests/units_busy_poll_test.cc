// BusyPoll: when a wait begins with a spin, by the silences before it.
#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "weir/reactor/busy_poll.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLongest = 50us;

class Silences {
 public:
  explicit Silences(bool adaptive) : rule_(kLongest, adaptive) {}

  // One silence that something ends. How long the rule would have spun in it, at most.
  Duration next(Duration silence) {
    const Duration spin = begin();
    pass(silence);
    rule_.end(now_, true);
    return spin;
  }
  // A part of one, which a timer or a deadline ends.
  Duration interrupted(Duration after) {
    const Duration spin = begin();
    pass(after);
    rule_.end(now_, false);
    return spin;
  }
  void pass(Duration time) { now_ += time; }

 private:
  Duration begin() { return std::max(rule_.begin(now_) - now_, Duration::zero()); }

  BusyPoll rule_;
  Instant now_ = Instant() + 1h;
};

TEST(BusyPoll, IsOnOnlyWithATime) {
  EXPECT_FALSE(BusyPoll(Duration::zero(), false).is_on());
  EXPECT_FALSE(BusyPoll(Duration::zero(), true).is_on());
  EXPECT_TRUE(BusyPoll(1ns, false).is_on());
  EXPECT_TRUE(BusyPoll(1ns, true).is_on());
}

TEST(BusyPoll, AlwaysSpinsBeforeEverySleep) {
  Silences silences(false);
  for (const Duration silence : {Duration(0ns), Duration(10us), Duration(1s), Duration(1h)}) {
    EXPECT_EQ(silences.next(silence), kLongest);
    EXPECT_EQ(silences.interrupted(silence), kLongest);
  }
}

TEST(BusyPoll, AdaptivelyTheFirstSilenceIsSleptThrough) {
  Silences silences(true);
  EXPECT_EQ(silences.next(1us), 0us);
  EXPECT_EQ(silences.next(1us), kLongest);
}

TEST(BusyPoll, AdaptivelyItSpinsForAsLongAsSilencesAreShort) {
  Silences silences(true);
  silences.next(1us);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(silences.next(kLongest - 1ns), kLongest);
}

TEST(BusyPoll, AdaptivelyALongSilenceCostsOneSpinInVain) {
  Silences silences(true);
  silences.next(1us);
  EXPECT_EQ(silences.next(kLongest), kLongest) << "the first long one";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(silences.next(kLongest), 0us) << i;
  EXPECT_EQ(silences.next(1us), 0us) << "nobody knew that it would be short";
  EXPECT_EQ(silences.next(1us), kLongest);
}

TEST(BusyPoll, AdaptivelyTheWorstIsOneSpinInVainForEachLongSilence) {
  Silences silences(true);
  int spins = 0;
  int wasted = 0;
  for (int i = 0; i < 100; ++i) {
    spins += silences.next(1us) != 0us ? 1 : 0;
    wasted += silences.next(1s) != 0us ? 1 : 0;
  }
  EXPECT_EQ(wasted, 100);
  EXPECT_EQ(spins, 0);
}

TEST(BusyPoll, ATimerEndsNoSilence) {
  Silences silences(true);
  silences.next(1us);
  EXPECT_EQ(silences.interrupted(20us), kLongest);
  silences.pass(5us);  // what the timer did
  EXPECT_EQ(silences.interrupted(20us), kLongest - 25us) << "the rest of the same spin";
  EXPECT_EQ(silences.interrupted(20us), 5us);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(silences.interrupted(20us), 0us) << i;
  // It was long, however near to the last timer it ended.
  silences.next(1us);
  EXPECT_EQ(silences.next(1us), 0us);
  EXPECT_EQ(silences.next(1us), kLongest);
}

// Results that were there at once were not waited for: they say nothing about the next silence.
TEST(BusyPoll, WhatWasThereAtOnceTeachesNothing) {
  BusyPoll rule(kLongest, true);
  Instant now = Instant() + 1h;
  rule.end(now, true);
  EXPECT_EQ(rule.begin(now), now);
  rule.end(now += 1us, true);
  for (int i = 0; i < 10; ++i) rule.end(now += 1s, true);
  EXPECT_EQ(rule.begin(now), now + kLongest);
}

TEST(BusyPoll, ATimeBeyondTheClockIsForEver) {
  EXPECT_EQ(BusyPoll(Duration::max(), false).begin(Instant() + 1h), kNever);
}

}  // namespace
}  // namespace weir::test
