#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/load_pattern.h"

namespace weir::bench {

// How far a connection has come in the stream of bytes that begins at `start` of the pattern.
struct LoadPosition {
  std::uint64_t start = 0;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

// What is wrong with the bytes that have come next, if anything is: none may differ from the
// pattern, and none come before it was sent. Empty: they are right.
std::string wrong_in(const LoadPattern& pattern, const LoadPosition& at, const char* data,
                     std::size_t size);

}  // namespace weir::bench
