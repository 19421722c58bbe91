#include "weir/net/write_queue.h"

#include <algorithm>
#include <new>

#include "weir/reactor/assert.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::net {

WriteQueue::~WriteQueue() { reset(nullptr); }

void WriteQueue::reset(const QueueLimits* limits) noexcept {
  for (std::size_t i = 0; i < count_; ++i) piece(i).~Buffer();
  if (ring_ != in_place()) memory::release(ring_);
  ring_ = in_place();
  room_ = limits::kPiecesInPlace;
  bytes_ = count_ = first_ = 0;
  block_.reset();
  last_in_block_ = needs_drain_ = false;
  limits_ = limits;
}

WriteQueue::Push WriteQueue::admit(std::size_t size) noexcept {
  if (bytes_ == 0) return Push::ok;
  if (size <= limits_->bytes_max && bytes_ <= limits_->bytes_max - size) return Push::ok;
  needs_drain_ = true;
  return Push::refused;
}

WriteQueue::Push WriteQueue::taken(std::size_t size) noexcept {
  bytes_ += size;
  if (bytes_ == 0 || bytes_ < limits_->high_water) return Push::ok;
  needs_drain_ = true;
  return Push::full;
}

WriteQueue::Push WriteQueue::push(Buffer&& bytes) noexcept {
  const std::size_t size = bytes.size();
  if (size == 0) return taken(0);
  if (admit(size) == Push::refused) return Push::refused;
  const bool gather =
      count_ >= limits::kPiecesBeforeGathering && size <= limits::kGatheredBytesMax;
  if (gather && gather_small(bytes.view())) {
    bytes.reset();
    return taken(size);
  }
  if (!append(std::move(bytes))) return Push::no_memory;
  last_in_block_ = false;
  return taken(size);
}

WriteQueue::Push WriteQueue::push_copy(std::string_view bytes) noexcept {
  if (bytes.empty()) return taken(0);
  if (admit(bytes.size()) == Push::refused) return Push::refused;
  // The first copy is exact, so that one small answer takes little; those behind it share blocks.
  const bool gather = count_ != 0 && bytes.size() <= limits::kGatheredBytesMax;
  if (gather && gather_small(bytes)) return taken(bytes.size());
  Buffer copied = Buffer::copy(bytes);
  if (copied.empty() || !append(std::move(copied))) return Push::no_memory;
  last_in_block_ = false;
  return taken(bytes.size());
}

bool WriteQueue::gather_small(std::string_view bytes) noexcept {
  if (last_in_block_ && bytes.size() <= block_.room()) {
    block_.extend(piece(count_ - 1), bytes);
    return true;
  }
  last_in_block_ = false;
  if (bytes.size() > block_.room() && !block_.allocate(limits::kGatherBlockBytes)) return false;
  last_in_block_ = append(block_.append(bytes));
  return last_in_block_;
}

bool WriteQueue::append(Buffer&& bytes) noexcept {
  if (count_ == room_ && !grow()) return false;
  ::new (static_cast<void*>(&ring_[(first_ + count_) & (room_ - 1)])) Buffer(std::move(bytes));
  ++count_;
  return true;
}

bool WriteQueue::grow() noexcept {
  auto* wider = static_cast<Buffer*>(memory::allocate(2 * room_ * sizeof(Buffer)));
  if (wider == nullptr) return false;
  for (std::size_t i = 0; i < count_; ++i) {
    ::new (static_cast<void*>(wider + i)) Buffer(std::move(piece(i)));
    piece(i).~Buffer();
  }
  if (ring_ != in_place()) memory::release(ring_);
  ring_ = wider;
  room_ *= 2;
  first_ = 0;
  return true;
}

std::size_t WriteQueue::gather(std::span<iovec> room, std::size_t bytes_max) const noexcept {
  std::size_t filled = 0;
  while (filled < room.size() && filled < count_ && bytes_max > 0) {
    const Buffer& next = piece(filled);
    const std::size_t size = std::min(next.size(), bytes_max);
    room[filled++] = {.iov_base = const_cast<char*>(next.data()), .iov_len = size};
    bytes_max -= size;
  }
  return filled;
}

bool WriteQueue::sent(std::size_t size) noexcept {
  WEIR_ASSERT(size <= bytes_);
  bytes_ -= size;
  while (size > 0) {
    Buffer& front = piece(0);
    const std::size_t part = std::min(size, front.size());
    front.drop_front(part);
    size -= part;
    if (!front.empty()) break;
    front.~Buffer();
    first_ = (first_ + 1) & (room_ - 1);
    --count_;
  }
  if (count_ == 0) last_in_block_ = false;
  if (!needs_drain_ || bytes_ > limits_->low_water) return false;
  needs_drain_ = false;
  return true;
}

}  // namespace weir::inline v1::net
