#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <optional>

namespace weir::bench {

inline std::int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

inline std::int64_t monotonic_now() { return nanoseconds(CLOCK_MONOTONIC); }

// The user and system time of another process, all its threads, dead and alive. No value if
// there is no such process.
inline std::optional<clockid_t> process_cpu_clock(pid_t pid) {
  clockid_t clock{};
  if (clock_getcpuclockid(pid, &clock) != 0) return std::nullopt;
  return clock;
}

// Finds moments at which the CPU clock of another process can be trusted.
//
// The kernel brings that clock up to date when the process is switched or the timer ticks, which
// is up to 10 ms ago for a process that never sleeps. So the reader asks again and again until
// the value moves: right then it is exact. A process that does not run has an exact value too,
// but it does not move, hence the limit.
class CpuClockEdge {
 public:
  explicit CpuClockEdge(std::optional<clockid_t> clock) : clock_(clock) {}

  // True when now is such a moment; `value()` is the clock then. Without a clock always true.
  bool reached(std::int64_t now) {
    if (!clock_) return true;
    const std::int64_t value = nanoseconds(*clock_);
    if (waiting_since_ == 0) {
      waiting_since_ = now;
      value_ = value;
      return false;
    }
    const bool moved = value != value_;
    value_ = value;
    return moved || now - waiting_since_ > kLimit;
  }

  std::int64_t value() const { return value_; }

 private:
  static constexpr std::int64_t kLimit = 12'000'000;

  std::optional<clockid_t> clock_;
  std::int64_t waiting_since_ = 0;
  std::int64_t value_ = 0;
};

}  // namespace weir::bench
