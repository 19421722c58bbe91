// What a swarm gives to the hunt for a planted bug.
#pragma once

#include <cstdint>
#include <string>

namespace weir::test {

// Runs one simulated world. What is wrong in it; empty: nothing.
std::string swarm(std::uint64_t seed);

}  // namespace weir::test
