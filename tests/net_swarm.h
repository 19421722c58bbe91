// Swarm tests of net: many short runs in the simulator, each a world that one seed has decided on,
// with faults, crashes and partitions, and connections that behave at random. Every byte, event and
// callback is held against what net promises. Without gtest, so that any program may use it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "weir/reactor/time.h"

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

// One run. The same seed gives the same result.
SwarmResult run_net_swarm(std::uint64_t seed, const SwarmOptions& options = {});

}  // namespace weir::test
