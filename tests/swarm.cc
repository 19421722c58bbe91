#include "tests/swarm.h"

#include <algorithm>
#include <bit>
#include <cstdio>

namespace weir::test {

std::uint64_t any_size(sim::Random& random, std::uint64_t highest) {
  const auto bits = static_cast<std::uint64_t>(std::bit_width(highest));
  const std::uint64_t width = random.between(1, bits);
  return std::clamp<std::uint64_t>(random.below(std::uint64_t{1} << width), 1, highest);
}

sim::Link random_link(sim::Random& random) {
  using std::chrono::microseconds;
  sim::Link link;
  if (random.once_in(2)) link.latency = microseconds(any_size(random, 200'000));
  if (random.once_in(3)) link.jitter = microseconds(any_size(random, 50'000));
  if (random.once_in(4)) link.bytes_per_second = 20'000 + any_size(random, 10'000'000);
  if (random.once_in(4)) link.loss = 0.001 * static_cast<double>(random.between(1, 100));
  return link;
}

void SwarmRun::listen_to(sim::WorldOptions& options) {
  options.on_violation = [this](std::string_view what) {
    fail("world", "violation: " + std::string(what));
  };
  if (options_.on_trace) {
    options.on_trace = [this](std::string_view line) { options_.on_trace(line); };
  }
}

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
