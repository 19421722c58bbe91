#include "tests/refusals.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

thread_local Memory refused_kind = Memory::library;
thread_local long left = 0;  // allocations until one is refused; 0 or less: it is behind us
thread_local long asked = 0;
thread_local bool counting = false;
thread_local bool all_after_it = false;
thread_local bool refused = false;
thread_local int own = 0;  // TestsOwns that live
std::atomic<long> live{0};

// The next allocation of this kind.
bool allowed(Memory kind) noexcept {
  if (!counting || own != 0 || kind != refused_kind) return true;
  ++asked;
  if (--left > 0 || (left < 0 && !all_after_it)) return true;
  refused = true;
  return false;
}

bool gate(std::size_t) noexcept { return allowed(Memory::library); }

void* allocate_once(std::size_t bytes, std::size_t alignment) noexcept {
  if (!allowed(Memory::operator_new)) return nullptr;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes);
  // It wants whole multiples.
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

// As the standard has it: the new-handler is asked until there is none.
void* allocate(std::size_t bytes, std::size_t alignment) {
  for (;;) {
    if (void* memory = allocate_once(bytes, alignment); memory != nullptr) {
      ++live;
      return memory;
    }
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) return nullptr;
    handler();
  }
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* memory = allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release(void* memory) noexcept {
  if (memory != nullptr) --live;
  std::free(memory);
}

}  // namespace

void refuse(Memory kind, long nth, bool all_after) noexcept {
  refused_kind = kind;
  left = nth;
  all_after_it = all_after;
  asked = 0;
  refused = false;
  counting = true;
  memory::set_gate(gate);
}

long stop_refusing() noexcept {
  counting = false;
  memory::set_gate(nullptr);
  return asked;
}

bool refused_any() noexcept { return refused; }

TestsOwn::TestsOwn() noexcept { ++own; }
TestsOwn::~TestsOwn() { --own; }

long live_objects() noexcept { return live; }

}  // namespace weir::test

using weir::test::allocate;
using weir::test::allocate_or_throw;
using weir::test::release;

void* operator new(std::size_t bytes) { return allocate_or_throw(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate_or_throw(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 1);
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
