// Random numbers that can be had again: every test that uses them names its seed when it fails.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "weir/reactor/sim_random.h"

namespace weir::test {

using sim::Random;

// Runs `body(random)` for `count` seeds, until one fails. WEIR_SEED=<number> in the environment
// runs that seed alone.
template <class Body>
void for_seeds(std::uint64_t count, Body&& body) {
  const char* chosen = std::getenv("WEIR_SEED");
  const std::uint64_t first = chosen == nullptr ? 1 : std::strtoull(chosen, nullptr, 10);
  const std::uint64_t last = chosen == nullptr ? count : first;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("WEIR_SEED=" + std::to_string(seed));
    Random random(seed);
    body(random);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace weir::test
