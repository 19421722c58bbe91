#include "weir/reactor/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace weir::inline v1 {

std::uint64_t TimerWheel::ticks_until(Instant instant) const noexcept {
  if (instant <= start_) return 0;
  const Duration distance = instant - start_;
  return static_cast<std::uint64_t>(distance / kTick) + (distance % kTick != Duration::zero());
}

void TimerWheel::insert(TimerNode& node, Instant due) noexcept {
  WEIR_ASSERT(!node.armed());
  node.due_ = std::max(ticks_until(due), current_ + 1);
  node.order_ = ++insertions_;
  slot_for(node).push_back(node);
}

void TimerWheel::cancel(TimerNode& node) noexcept { node.unlink(); }

// Invariant: a node at level l differs from current_ by less than 64^(l+1) ticks (the last level
// excepted), so its slot comes up before it is due.
IntrusiveList<TimerNode>& TimerWheel::slot_for(const TimerNode& node) noexcept {
  const std::uint64_t distance = node.due_ - current_;
  int level = 0;
  while (level < kLevels - 1 && (distance >> (kBits * (level + 1))) != 0) ++level;
  std::uint64_t tick = node.due_;
  if ((distance >> (kBits * kLevels)) != 0) {
    tick = current_ + (kSlots << (kBits * (kLevels - 1))) - 1;
  }
  const std::uint64_t slot = (tick >> (kBits * level)) & (kSlots - 1);
  occupied_[level] |= std::uint64_t{1} << slot;
  next_is_known_ = false;
  return slots_[level][slot];
}

// Asked for several times a turn, most of them without a change in between.
std::uint64_t TimerWheel::next_tick() const noexcept {
  const bool emptied = next_slot_ != nullptr && next_slot_->empty();
  if (!next_is_known_ || emptied) next_tick_ = find_next_tick();
  return next_tick_;
}

// The first tick after current_ at which a slot comes up. Cancelling leaves a slot's bit set; it
// is cleared here when the slot turns out to be empty.
std::uint64_t TimerWheel::find_next_tick() const noexcept {
  std::uint64_t earliest = kNoTick;
  next_slot_ = nullptr;
  next_is_known_ = true;
  for (int level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const std::uint64_t position = current_ >> (kBits * level);
    const int index = static_cast<int>(position & (kSlots - 1));
    while (occupied_[level] != 0) {
      // Rotate so that bit 0 is the slot after the current one; the current one comes last.
      const std::uint64_t ahead = std::rotr(occupied_[level], index + 1);
      const auto distance = static_cast<std::uint64_t>(std::countr_zero(ahead)) + 1;
      const std::uint64_t slot = (position + distance) & (kSlots - 1);
      if (slots_[level][slot].empty()) {
        occupied_[level] &= ~(std::uint64_t{1} << slot);
        continue;
      }
      const std::uint64_t tick = (position + distance) << (kBits * level);
      if (tick < earliest) {
        earliest = tick;
        next_slot_ = &slots_[level][slot];
      }
      break;
    }
  }
  return earliest;
}

Instant TimerWheel::next() const noexcept {
  if (!expired_.empty()) return instant_of(current_);
  const std::uint64_t tick = next_tick();
  return tick == kNoTick ? kNever : instant_of(tick);
}

// current_ has just reached a tick: what a higher level holds for it moves down, and what is due
// at it expires. What comes from a higher level was inserted before most of what stands below (it
// was further away then), so its place is at the front, or near it.
void TimerWheel::cascade() noexcept {
  for (int level = kLevels - 1; level > 0; --level) {
    const std::uint64_t below = (std::uint64_t{1} << (kBits * level)) - 1;
    if ((current_ & below) != 0) continue;
    const std::uint64_t slot = (current_ >> (kBits * level)) & (kSlots - 1);
    IntrusiveList<TimerNode> moving;
    moving.splice_back(slots_[level][slot]);
    occupied_[level] &= ~(std::uint64_t{1} << slot);
    while (!moving.empty()) {
      TimerNode& node = moving.pop_back();
      slot_for(node).insert_before(
          node, [&](const TimerNode& other) { return other.order_ > node.order_; });
    }
  }
  const std::uint64_t slot = current_ & (kSlots - 1);
  expired_.splice_back(slots_[0][slot]);
  occupied_[0] &= ~(std::uint64_t{1} << slot);
}

std::size_t TimerWheel::advance(Instant now, std::size_t count_max) noexcept {
  if (now < start_) return 0;
  const auto target = static_cast<std::uint64_t>((now - start_) / kTick);
  std::size_t fired = 0;
  for (;;) {
    while (!expired_.empty()) {
      if (fired == count_max) return fired;
      TimerNode& node = expired_.pop_front();
      ++fired;
      node.fire_(node);
    }
    const std::uint64_t tick = next_tick();
    if (tick > target) break;
    current_ = tick;
    cascade();
  }
  current_ = std::max(current_, target);
  return fired;
}

}  // namespace weir::inline v1
