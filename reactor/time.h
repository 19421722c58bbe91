// Time is injected: everything above a backend reads Reactor::now(), never a clock, so that the
// simulator can turn the hands.
#pragma once

#include <chrono>

namespace weir::inline v1 {

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// A deadline that never comes.
inline constexpr Instant kNever = Instant::max();

// `from` and so much later; kNever where that is beyond the clock.
constexpr Instant later(Instant from, Duration delay) noexcept {
  if (delay > Duration::zero() && from > kNever - delay) return kNever;
  return from + delay;
}

}  // namespace weir::inline v1
