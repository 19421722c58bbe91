#include "tests/count_allocations.h"

#include <execinfo.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>

// The C library's own, under the names that it keeps for those who replace the others.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* memory);
}

namespace weir::test {
namespace {

constexpr int kStacksMax = 8;
constexpr int kFramesMax = 24;

std::atomic<bool> counting{false};
std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> frees{0};
std::atomic<std::uint64_t> mappings{0};
thread_local bool inside = false;  // backtrace() may allocate

struct Stack {
  void* frames[kFramesMax];
  int depth = 0;
};
Stack stacks[kStacksMax];

void note_allocation() noexcept {
  if (!counting.load(std::memory_order_relaxed) || inside) return;
  const std::uint64_t before = allocations.fetch_add(1, std::memory_order_relaxed);
  if (before >= kStacksMax) return;
  inside = true;
  stacks[before].depth = backtrace(stacks[before].frames, kFramesMax);
  inside = false;
}

}  // namespace

void start_counting() noexcept {
  void* frames[2];
  backtrace(frames, 2);  // loads what it needs
  allocations = frees = mappings = 0;
  counting = true;
}

AllocationCounts stop_counting() noexcept {
  counting = false;
  return {.allocations = allocations, .frees = frees, .mappings = mappings};
}

void print_stacks() noexcept {
  for (std::uint64_t i = 0; i < allocations && i < kStacksMax; ++i) {
    std::fprintf(stderr, "allocation %d:\n", static_cast<int>(i) + 1);
    backtrace_symbols_fd(stacks[i].frames, stacks[i].depth, STDERR_FILENO);
  }
}

}  // namespace weir::test

using weir::test::note_allocation;

extern "C" {

void* malloc(std::size_t bytes) {
  note_allocation();
  return __libc_malloc(bytes);
}

void* calloc(std::size_t count, std::size_t bytes) {
  note_allocation();
  return __libc_calloc(count, bytes);
}

void* realloc(void* memory, std::size_t bytes) {
  note_allocation();
  return __libc_realloc(memory, bytes);
}

void* memalign(std::size_t alignment, std::size_t bytes) {
  note_allocation();
  return __libc_memalign(alignment, bytes);
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  note_allocation();
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  note_allocation();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}

void free(void* memory) {
  if (memory != nullptr && weir::test::counting.load(std::memory_order_relaxed)) {
    weir::test::frees.fetch_add(1, std::memory_order_relaxed);
  }
  __libc_free(memory);
}

void* mmap(void* at, std::size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  note_allocation();
  if (weir::test::counting) ++weir::test::mappings;
  const long result = syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
  return reinterpret_cast<void*>(result);
}

}  // extern "C"
