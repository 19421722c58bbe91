#include "tests/swarm.h"

#include <cstdio>

namespace weir::test {

void SwarmRun::fail(std::string_view who, std::string_view what) {
  log(who, std::string("FAILURE: ") + std::string(what));
  if (!result.ok) return;
  result.ok = false;
  result.what = "seed " + std::to_string(seed_) + ", " + std::string(who) + ": " +
                std::string(what);
}

void SwarmRun::count(std::string_view what, std::uint64_t times) {
  const auto found = result.counts.find(what);
  if (found != result.counts.end()) {
    found->second += times;
  } else {
    result.counts.emplace(what, times);
  }
}

void SwarmRun::log(std::string_view who, std::string_view what) {
  if (!logs()) return;
  char time[32];
  const auto nanoseconds = world == nullptr ? 0 : world->now().time_since_epoch().count();
  std::snprintf(time, sizeof time, "%.6f ", static_cast<double>(nanoseconds) / 1e9);
  options_.on_log(time + std::string(who) + ": " + std::string(what));
}

}  // namespace weir::test
