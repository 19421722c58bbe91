// Swarm tests of net: many short runs in the simulator, each a world that one seed has decided on,
// with faults, crashes and partitions, and connections that behave at random. Every byte, event and
// callback is held against what net promises. Without gtest, so that any program may use it.
#pragma once

#include <cstdint>

#include "tests/swarm.h"

namespace weir::test {

// One run. The same seed gives the same result.
SwarmResult run_net_swarm(std::uint64_t seed, const SwarmOptions& options = {});

}  // namespace weir::test
