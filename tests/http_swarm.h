// Swarm tests of the HTTP server: many short runs in the simulator, each a world that one seed has
// decided on. Clients that speak HTTP by hand send what a script says, handlers do what the request
// tells them, and every byte, event and callback on both sides is held against what http promises.
// Without gtest, so that any program may use it.
#pragma once

#include <cstdint>

#include "tests/swarm.h"

namespace weir::test {

// One run. The same seed gives the same result.
SwarmResult run_http_swarm(std::uint64_t seed, const SwarmOptions& options = {});

}  // namespace weir::test
