// When a reactor looks again and again for what comes next before its thread sleeps.
#pragma once

#include "weir/reactor/time.h"

namespace weir::inline v1 {

// Times go in and come out: this neither looks nor sleeps, nor does it read a clock.
//
// What counts is the silence: from a moment at which nothing was there until something comes that
// nobody could foresee, a completion or a posted task. A timer or a deadline interrupts a silence
// and does not end it. Always: every wait begins with a spin of full length. Adaptive: a silence
// begins with one if the silence before, spun or slept through, was shorter than that. Then a long
// silence behind a short one costs one spin for nothing, the next long ones cost none, and the
// first short one behind a long one is slept through.
class BusyPoll {
 public:
  BusyPoll(Duration longest, bool adaptive) noexcept : longest_(longest), adaptive_(adaptive) {}

  bool is_on() const noexcept { return longest_ > Duration::zero(); }

  // Nothing is there at `now`. The moment until which to spin; `now` or before: sleep at once.
  Instant begin(Instant now) noexcept {
    if (!silent_) silent_since_ = now;
    silent_ = true;
    if (!adaptive_) return later(now, longest_);
    return was_short_ ? later(silent_since_, longest_) : now;
  }

  // Nobody waits any more. `came`: for something that was not foreseen.
  void end(Instant now, bool came) noexcept {
    if (!silent_ || !came) return;
    silent_ = false;
    was_short_ = now - silent_since_ < longest_;
  }

 private:
  Duration longest_;
  bool adaptive_;
  bool silent_ = false;
  bool was_short_ = false;  // the silence before this one
  Instant silent_since_;
};

}  // namespace weir::inline v1
