// What the swarms of net and of http share: their results, and what a run notes down. Without
// gtest, so that any program may use it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "weir/reactor/sim_world.h"

namespace weir::test {

struct SwarmOptions {
  std::uint64_t steps_max = 2'000'000;  // more is a failure: "too many steps"
  // Gets the lines of the world's trace, and those that tell what the connections do.
  std::function<void(std::string_view)> on_trace = {};
  std::function<void(std::string_view)> on_log = {};
};

// How often something has happened, by name: "connection", "error ECONNRESET", "act destroy", ...
using SwarmCounts = std::map<std::string, std::uint64_t, std::less<>>;

struct SwarmResult {
  bool ok = true;
  std::string what = {};  // the first thing that was wrong; names seed, host and connection
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t steps = 0;
  Duration virtual_time = Duration::zero();
  SwarmCounts counts = {};
};

// In [1, highest], small ones as often as large ones.
std::uint64_t any_size(sim::Random& random, std::uint64_t highest);

sim::Link random_link(sim::Random& random);

// One run while it is going on.
class SwarmRun {
 public:
  SwarmRun(std::uint64_t seed, const SwarmOptions& options) : options_(options), seed_(seed) {}

  sim::Random& random() { return world->random(); }
  bool failed() const noexcept { return !result.ok; }
  // What a world is to tell the run.
  void listen_to(sim::WorldOptions& options);
  // The first failure stays.
  void fail(std::string_view who, std::string_view what);
  void count(std::string_view what, std::uint64_t times = 1);
  void log(std::string_view who, std::string_view what);
  bool logs() const noexcept { return static_cast<bool>(options_.on_log); }
  const SwarmOptions& options() const noexcept { return options_; }
  std::uint64_t seed() const noexcept { return seed_; }

  sim::World* world = nullptr;
  sim::Faults faults;
  SwarmResult result;
  bool finishing = false;
  bool broken_network = false;  // partitions, crashes, freezes: peers that fall silent

 private:
  const SwarmOptions& options_;
  const std::uint64_t seed_;
};

}  // namespace weir::test
