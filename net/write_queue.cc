#include "weir/net/write_queue.h"

#include <algorithm>
#include <new>
#include <utility>

#include "weir/reactor/assert.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::net {
namespace {

constexpr std::uint64_t kBytesCounted = INT64_MAX;

}  // namespace

WriteQueue::~WriteQueue() { reset(nullptr); }

void WriteQueue::reset(const QueueLimits* limits) noexcept {
  for (std::size_t i = 0; i < count_; ++i) piece(i).~Buffer();
  while (first_file_ != nullptr) drop_first_file();
  if (ring_ != in_place()) memory::release(ring_);
  ring_ = in_place();
  room_ = limits::kPiecesInPlace;
  behind_files_ = 0;
  bytes_ = count_ = first_ = 0;
  block_.reset();
  last_in_block_ = needs_drain_ = false;
  limits_ = limits;
}

WriteQueue::Push WriteQueue::admit(std::size_t size) noexcept {
  if (memory() == 0) return Push::ok;
  if (size <= limits_->bytes_max && memory() <= limits_->bytes_max - size) return Push::ok;
  needs_drain_ = true;
  return Push::refused;
}

WriteQueue::Push WriteQueue::taken(std::size_t size) noexcept {
  bytes_ += size;
  if (bytes_ == 0 || bytes_ < limits_->high_water) return Push::ok;
  needs_drain_ = true;
  return Push::full;
}

WriteQueue::Push WriteQueue::taken_in_memory(std::size_t size) noexcept {
  behind_files_ += size;
  return taken(size);
}

WriteQueue::Push WriteQueue::push(Buffer&& bytes) noexcept {
  const std::size_t size = bytes.size();
  if (size == 0) return taken(0);
  if (admit(size) == Push::refused) return Push::refused;
  const bool gather =
      count_ >= limits::kPiecesBeforeGathering && size <= limits::kGatheredBytesMax;
  if (gather && gather_small(bytes.view())) {
    bytes.reset();
    return taken_in_memory(size);
  }
  if (!append(std::move(bytes))) return Push::no_memory;
  last_in_block_ = false;
  return taken_in_memory(size);
}

WriteQueue::Push WriteQueue::push_copy(std::string_view bytes) noexcept {
  if (bytes.empty()) return taken(0);
  if (admit(bytes.size()) == Push::refused) return Push::refused;
  // The first copy is exact, so that one small answer takes little; those behind it share blocks.
  const bool gather = count_ != 0 && bytes.size() <= limits::kGatheredBytesMax;
  if (gather && gather_small(bytes)) return taken_in_memory(bytes.size());
  Buffer copied = Buffer::copy(bytes);
  if (copied.empty() || !append(std::move(copied))) return Push::no_memory;
  last_in_block_ = false;
  return taken_in_memory(bytes.size());
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

// ---- Files ----

WriteQueue::Push WriteQueue::push_file(FileRange&& range) noexcept {
  const std::uint64_t size = range.size;
  if (size == 0) {
    range = {};
    return taken(0);
  }
  const bool too_many = bytes_ > kBytesCounted || size > kBytesCounted - bytes_;
  if (files_ == limits::kQueuedFilesMax || too_many) {
    needs_drain_ = true;
    return Push::refused;
  }
  void* room = memory::allocate(sizeof(QueuedFile));
  if (room == nullptr) return Push::no_memory;
  auto* file = ::new (room) QueuedFile{
      .ahead = std::exchange(behind_files_, 0), .range = std::move(range), .next = nullptr};
  (last_file_ == nullptr ? first_file_ : last_file_->next) = file;
  last_file_ = file;
  ++files_;
  file_bytes_ += size;
  return taken(size);
}

const FileRange* WriteQueue::next_file() const noexcept {
  return first_file_ != nullptr && first_file_->ahead == 0 ? &first_file_->range : nullptr;
}

void WriteQueue::drop_first_file() noexcept {
  QueuedFile* file = std::exchange(first_file_, first_file_->next);
  if (first_file_ == nullptr) last_file_ = nullptr;
  --files_;
  file_bytes_ -= file->range.size;
  file->~QueuedFile();
  memory::release(file);
}

// ---- Sending ----

std::size_t WriteQueue::gather(std::span<iovec> room, std::size_t bytes_max) const noexcept {
  if (first_file_ != nullptr) bytes_max = std::min(bytes_max, first_file_->ahead);
  std::size_t filled = 0;
  while (filled < room.size() && filled < count_ && bytes_max > 0) {
    const Buffer& next = piece(filled);
    const std::size_t size = std::min(next.size(), bytes_max);
    room[filled++] = {.iov_base = const_cast<char*>(next.data()), .iov_len = size};
    bytes_max -= size;
  }
  return filled;
}

void WriteQueue::share(std::span<Buffer> room) const noexcept {
  WEIR_ASSERT(room.size() <= count_);
  for (std::size_t i = 0; i < room.size(); ++i) room[i] = piece(i).share();
}

const FileRange* WriteQueue::file_behind(std::span<const iovec> gathered) const noexcept {
  if (first_file_ == nullptr) return nullptr;
  std::size_t left = first_file_->ahead;
  for (const iovec& piece : gathered) left -= piece.iov_len;
  return left == 0 ? &first_file_->range : nullptr;
}

bool WriteQueue::sent(std::size_t size) noexcept {
  WEIR_ASSERT(size <= bytes_);
  bytes_ -= size;
  if (count_ == 1 && bytes_ == 0 && first_file_ == nullptr) {
    only_piece_sent();
  } else {
    take_off(size);
  }
  if (!needs_drain_ || bytes_ > limits_->low_water) return false;
  needs_drain_ = false;
  return true;
}

// What most sends do: all of it, and it was one piece.
void WriteQueue::only_piece_sent() noexcept {
  piece(0).~Buffer();
  first_ = count_ = 0;
  behind_files_ = 0;
  last_in_block_ = false;
}

void WriteQueue::take_off(std::size_t size) noexcept {
  const std::size_t ahead = first_file_ == nullptr ? size : std::min(size, first_file_->ahead);
  if (ahead != 0) memory_sent(ahead);
  if (size != ahead) {
    const std::size_t part = size - ahead;
    FileRange& range = first_file_->range;
    WEIR_ASSERT(part <= range.size);
    range.offset += part;
    range.size -= part;
    file_bytes_ -= part;
    if (range.size == 0) drop_first_file();
  }
}

void WriteQueue::memory_sent(std::size_t size) noexcept {
  std::size_t& counted = first_file_ == nullptr ? behind_files_ : first_file_->ahead;
  WEIR_ASSERT(size <= counted);
  counted -= size;
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
}

}  // namespace weir::inline v1::net
