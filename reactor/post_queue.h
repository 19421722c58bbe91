// A bounded lock-free queue: many threads post, the reactor's thread takes.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "weir/reactor/assert.h"
#include "weir/reactor/function.h"
#include "weir/reactor/tally.h"

namespace weir::inline v1 {

// Each cell carries a sequence number that tells whose turn it is (after D. Vyukov's bounded
// queue). Nothing is allocated after construction and nobody waits for anybody.
class PostQueue {
 public:
  using Task = Function<void()>;

  // Precondition: `capacity` is a power of two.
  explicit PostQueue(std::size_t capacity)
      : cells_(std::make_unique<Cell[]>(capacity)), mask_(capacity - 1) {
    WEIR_ASSERT(capacity != 0 && (capacity & mask_) == 0);
    for (std::size_t i = 0; i < capacity; ++i) cells_[i].sequence.store(i);
  }

  // Any thread. False when the queue is full: the task was not taken and is still the caller's.
  bool push(Task& task) noexcept {
    std::size_t at = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[at & mask_];
      const std::size_t sequence = cell.sequence.load(std::memory_order_acquire);
      if (sequence == at) {
        if (tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
          cell.task = std::move(task);
          cell.sequence.store(at + 1, std::memory_order_release);
          return true;
        }
      } else if (sequence < at) {
        return false;
      } else {
        at = tail_.load(std::memory_order_relaxed);
      }
    }
  }

  // Owner thread. False when nothing is there, or the next task is still being written.
  bool pop(Task& task) noexcept {
    Cell& cell = cells_[head_ & mask_];
    if (cell.sequence.load(std::memory_order_acquire) != head_ + 1) return false;
    task = std::move(cell.task);
    cell.sequence.store(head_ + mask_ + 1, std::memory_order_release);
    ++head_;
    ++popped_;
    return true;
  }

  // Owner thread; a task that is being written at this moment may not count yet.
  bool empty() const noexcept {
    return cells_[head_ & mask_].sequence.load(std::memory_order_acquire) != head_ + 1;
  }

  // Any thread: how many were there a moment ago.
  std::size_t size() const noexcept {
    const std::size_t popped = popped_;
    const std::size_t pushed = tail_.load(std::memory_order_relaxed);
    return pushed > popped ? pushed - popped : 0;
  }

  std::size_t capacity() const noexcept { return mask_ + 1; }

 private:
  struct Cell {
    std::atomic<std::size_t> sequence;
    Task task;
  };

  std::unique_ptr<Cell[]> cells_;
  std::size_t mask_;
  // Posters and the owner write to cache lines of their own. Padding rather than alignas: GCC 12's
  // sanitizers misplace over-aligned objects on the stack.
  [[maybe_unused]] char before_tail_[64];
  std::atomic<std::size_t> tail_{0};
  [[maybe_unused]] char before_head_[64];
  std::size_t head_ = 0;
  Tally popped_;  // as head_, for other threads
};

}  // namespace weir::inline v1
