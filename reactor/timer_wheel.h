// A hierarchical timing wheel: insert and cancel are O(1), however many timers are armed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/time.h"

namespace weir::inline v1 {

// One timer, embedded in the object that it is for. Destroying an armed node cancels it.
class TimerNode : public ListNode {
 public:
  using Fire = void (*)(TimerNode&) noexcept;
  explicit TimerNode(Fire fire) noexcept : fire_(fire) {}

  bool armed() const noexcept { return linked(); }

 private:
  friend class TimerWheel;
  Fire fire_;
  std::uint64_t due_ = 0;  // in ticks
  std::uint64_t order_ = 0;  // of insertion
};

// Pure: no clock, no thread; the owner says what time it is. A tick is a millisecond; a timer
// fires at the first tick at or after its instant, never early, timers of one tick in the order of
// insertion. Six levels of 64 slots span two years; later ones wait in the last level and are
// sorted in again when their slot comes up (Varghese and Lauck, 1987).
class TimerWheel {
 public:
  explicit TimerWheel(Instant start) noexcept : start_(start) {}

  // Precondition: `node` is not armed. An instant in the past fires at the next tick.
  void insert(TimerNode& node, Instant due) noexcept;
  // Harmless when the node is not armed.
  void cancel(TimerNode& node) noexcept;

  // No timer is due before this instant: the sleep that the owner may take. kNever when none is
  // armed. Exact for what was inserted less than 64 ms ahead, else a lower bound.
  Instant next() const noexcept;

  // Fires what is due at `now`, at most `count_max` timers; next() then tells whether more is due.
  // A firing timer is disarmed first and may be inserted again, itself or any other cancelled.
  std::size_t advance(Instant now, std::size_t count_max) noexcept;

 private:
  static constexpr int kLevels = 6;
  static constexpr int kBits = 6;
  static constexpr std::uint64_t kSlots = 1 << kBits;
  static constexpr Duration kTick = std::chrono::milliseconds(1);
  static constexpr std::uint64_t kNoTick = std::numeric_limits<std::uint64_t>::max();

  std::uint64_t ticks_until(Instant instant) const noexcept;
  Instant instant_of(std::uint64_t tick) const noexcept { return start_ + kTick * tick; }
  std::uint64_t next_tick() const noexcept;
  std::uint64_t find_next_tick() const noexcept;
  IntrusiveList<TimerNode>& slot_for(const TimerNode& node) noexcept;
  void cascade() noexcept;

  Instant start_;
  std::uint64_t insertions_ = 0;
  std::uint64_t current_ = 0;  // every timer due at or before this tick is in expired_ or has fired
  mutable std::array<std::uint64_t, kLevels> occupied_{};  // may name slots emptied since
  std::array<std::array<IntrusiveList<TimerNode>, kSlots>, kLevels> slots_;
  IntrusiveList<TimerNode> expired_;
  // What find_next_tick() has found: it holds until its slot is empty, or something is inserted.
  mutable const IntrusiveList<TimerNode>* next_slot_ = nullptr;  // null: nothing was found
  mutable std::uint64_t next_tick_ = kNoTick;
  mutable bool next_is_known_ = true;
};

}  // namespace weir::inline v1
