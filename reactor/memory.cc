#include "weir/reactor/memory.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

#include "weir/reactor/assert.h"
#include "weir/reactor/limits.h"

namespace weir::inline v1 {
namespace memory {
namespace {

thread_local Gate gate_of_thread = nullptr;

// Many blocks, not one: where memory is short there are gaps, but no large ones.
class Reserve {
 public:
  bool is_whole() const noexcept { return whole_.load(std::memory_order_relaxed); }

  void keep(std::size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    if (wanted_ != 0) return;
    whole_ = false;
    wanted_ = (bytes + limits::kReserveBlockBytes - 1) / limits::kReserveBlockBytes;
    fill();
  }

  bool fill_again() noexcept {
    const std::lock_guard lock(mutex_);
    return fill();
  }

  // Of operator new, which tries again when this returns. The handler goes with the blocks: when
  // they were not enough the one before it is asked, or std::bad_alloc thrown.
  static void spend();

 private:
  struct Block {
    Block* next;
  };

  bool fill() noexcept {
    if (whole_) return true;
    while (count_ < wanted_) {
      void* memory = std::malloc(limits::kReserveBlockBytes);
      if (memory == nullptr) break;
      blocks_ = ::new (memory) Block{blocks_};
      ++count_;
    }
    whole_ = count_ == wanted_;
    if (count_ != 0 && std::get_new_handler() != spend) before_ = std::set_new_handler(spend);
    return whole_;
  }

  void give_up() noexcept {
    const std::lock_guard lock(mutex_);
    if (std::get_new_handler() == spend) std::set_new_handler(before_);
    whole_ = false;
    count_ = 0;
    while (blocks_ != nullptr) std::free(std::exchange(blocks_, blocks_->next));
  }

  std::mutex mutex_;
  std::atomic<bool> whole_{true};  // nothing is what it is to have at first
  Block* blocks_ = nullptr;
  std::size_t count_ = 0;
  std::size_t wanted_ = 0;  // blocks
  std::new_handler before_ = nullptr;
};

// Of trivial destruction: operator new may be needed to the very end.
constinit Reserve reserve;

void Reserve::spend() { reserve.give_up(); }

}  // namespace

void keep_reserve(std::size_t bytes) noexcept {
  if (bytes != 0) reserve.keep(bytes);
}

bool is_plentiful() noexcept { return reserve.is_whole() || reserve.fill_again(); }

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
