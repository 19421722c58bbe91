#include "weir/reactor/memory.h"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "weir/reactor/assert.h"
#include "weir/reactor/limits.h"

namespace weir::inline v1 {
namespace memory {
namespace {

thread_local Gate gate_of_thread = nullptr;

// Many blocks, not one: where memory is short there are gaps, but no large ones. Small gaps are
// taken, too, so that what is short of the reserve is not given to peers bit by bit.
class Reserve {
 public:
  bool is_whole() const noexcept { return whole_.load(std::memory_order_relaxed); }
  bool is_enough() const noexcept { return enough_.load(std::memory_order_relaxed); }

  // The handler is there before the blocks are and stays: what takes the last memory for them may
  // be what another thread misses.
  void keep(std::size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    if (wanted_ != 0) return;
    before_ = std::set_new_handler(spend);
    wanted_ = bytes;
    fill();
  }

  void fill_again() noexcept {
    const std::lock_guard lock(mutex_);
    fill();
  }

 private:
  struct Block {
    Block* next;
  };

  void fill() noexcept {
    fill(limits::kReserveBlockBytes);
    fill(limits::kReserveGapBytes);
    whole_ = held_ >= wanted_;
    enough_ = held_ >= wanted_ / 2;
  }

  void fill(std::size_t block) noexcept {
    while (held_ < wanted_) {
      void* memory = std::malloc(block);
      if (memory == nullptr) return;
      blocks_ = ::new (memory) Block{blocks_};
      held_ += block;
    }
  }

  // Whether another try may find more than the one that has failed: the blocks have been given up
  // now, or meanwhile for another thread.
  bool give_up() noexcept {
    static constinit thread_local std::uint64_t seen = 0;
    const std::lock_guard lock(mutex_);
    if (blocks_ != nullptr) ++given_;
    while (blocks_ != nullptr) std::free(std::exchange(blocks_, blocks_->next));
    held_ = 0;
    whole_ = false;
    enough_ = false;
    return std::exchange(seen, given_) != given_;
  }

  // The new-handler: it returns only when another try is worth it.
  static void spend();

  std::mutex mutex_;
  std::atomic<bool> whole_{true};  // nothing is what it is to have at first
  std::atomic<bool> enough_{true};
  Block* blocks_ = nullptr;
  std::size_t held_ = 0;     // bytes
  std::size_t wanted_ = 0;
  std::uint64_t given_ = 0;  // how often it was given up
  std::new_handler before_ = nullptr;
};

// Of trivial destruction: operator new may be needed to the very end.
constinit Reserve reserve;

void Reserve::spend() {
  if (reserve.give_up()) return;
  if (reserve.before_ != nullptr) return reserve.before_();
  // As a new-handler must that has nothing; in a build without exceptions too, this being
  // libstdc++'s own.
  std::__throw_bad_alloc();
}

}  // namespace

void keep_reserve(std::size_t bytes) noexcept {
  if (bytes != 0) reserve.keep(bytes);
}

void replenish() noexcept {
  if (!reserve.is_whole()) reserve.fill_again();
}

bool is_plentiful() noexcept {
  if (!reserve.is_enough()) reserve.fill_again();
  return reserve.is_enough();
}

void* allocate(std::size_t bytes) noexcept {
  if (gate_of_thread != nullptr && !gate_of_thread(bytes)) return nullptr;
  return is_plentiful() ? std::malloc(bytes) : nullptr;
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
