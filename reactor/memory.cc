#include "weir/reactor/memory.h"

#include <cstdio>
#include <cstdlib>

#include "weir/reactor/assert.h"

namespace weir::inline v1 {
namespace memory {
namespace {
thread_local Gate gate_of_thread = nullptr;
}  // namespace

void* allocate(std::size_t bytes) noexcept {
  if (gate_of_thread != nullptr && !gate_of_thread(bytes)) return nullptr;
  return std::malloc(bytes);
}

void release(void* memory) noexcept { std::free(memory); }

void set_gate(Gate gate) noexcept { gate_of_thread = gate; }

}  // namespace memory

namespace detail {

void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "weir: assertion failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace detail
}  // namespace weir::inline v1
