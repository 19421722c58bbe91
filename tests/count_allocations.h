// Counts what the whole process asks the system for memory, while somebody wants to know.
#pragma once

#include <cstdint>

namespace weir::test {

// From here on calls of malloc, calloc, realloc, free, posix_memalign, aligned_alloc, memalign and
// mmap are counted, and remembered where they came from. The functions are defined in
// count_allocations.cc and so replace those of the C library in a program that links it.
void start_counting() noexcept;

struct AllocationCounts {
  std::uint64_t allocations = 0;  // all but free
  std::uint64_t frees = 0;
  std::uint64_t mappings = 0;  // among the allocations
};
AllocationCounts stop_counting() noexcept;

// Prints the stacks of the first few allocations of the last count on stderr.
void print_stacks() noexcept;

}  // namespace weir::test
