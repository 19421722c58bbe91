#include "weir/reactor/buffer_pool.h"

#include <algorithm>
#include <new>

#include "weir/reactor/memory.h"

namespace weir::inline v1 {

using detail::Chunk;

BufferPool* BufferPool::create(std::size_t chunk_bytes, std::size_t memory_max) noexcept {
  void* memory = memory::allocate(sizeof(BufferPool));
  if (memory == nullptr) return nullptr;
  return ::new (memory) BufferPool(chunk_bytes, std::max<std::size_t>(memory_max / chunk_bytes, 1));
}

void BufferPool::disown() noexcept {
  WEIR_ASSERT(owned_);
  owned_ = false;
  while (free_ != nullptr) memory::release(std::exchange(free_, free_->next));
  free_count_ = 0;
  destroy_if_done();
}

void BufferPool::destroy_if_done() noexcept {
  if (owned_ || live_ != 0 || copied_bytes_ != 0) return;
  this->~BufferPool();
  memory::release(this);
}

void BufferPool::trim() noexcept {
  for (; free_count_ > 1; --free_count_) memory::release(std::exchange(free_, free_->next));
}

Chunk* BufferPool::acquire() noexcept {
  if (!available()) return nullptr;
  void* memory = free_;
  if (memory != nullptr) {
    free_ = free_->next;
    --free_count_;
  } else {
    memory = memory::allocate(sizeof(Chunk) + chunk_bytes_);
    if (memory == nullptr) return nullptr;
  }
  ++live_;
  return ::new (memory) Chunk{take_back,
                              this,
                              static_cast<char*>(memory) + sizeof(Chunk),
                              1,
                              static_cast<std::uint32_t>(chunk_bytes_),
                              0};
}

void BufferPool::take_back(Chunk* chunk) noexcept {
  auto* pool = static_cast<BufferPool*>(chunk->context);
  --pool->live_;
  ++pool->returned_;
  const std::size_t kept = memory::is_plentiful() ? limits::kFreeChunksKept : 1;
  if (pool->owned_ && pool->free_count_ < kept) {
    pool->free_ = ::new (static_cast<void*>(chunk)) FreeChunk{pool->free_};
    ++pool->free_count_;
  } else {
    memory::release(chunk);
  }
  pool->destroy_if_done();
}

Buffer BufferPool::copy_out(std::string_view bytes) noexcept {
  if (copied_bytes_ + bytes.size() > chunks_max_ * chunk_bytes_) return {};
  Buffer copied = Buffer::copy(bytes);
  if (copied.empty()) return {};
  copied.chunk_->context = this;
  copied.chunk_->release = take_back_copy;
  copied_bytes_ += bytes.size();
  return copied;
}

void BufferPool::take_back_copy(Chunk* chunk) noexcept {
  auto* pool = static_cast<BufferPool*>(chunk->context);
  pool->copied_bytes_ -= chunk->capacity;
  memory::release(chunk);
  pool->destroy_if_done();
}

ReceiveArena::~ReceiveArena() {
  if (chunk_ != nullptr) chunk_->drop();
}

std::span<char> ReceiveArena::room() noexcept {
  if (chunk_ != nullptr && chunk_->references == 1) used_ = 0;
  if (chunk_ != nullptr && chunk_->capacity - used_ < limits::kReceiveRoomMin) {
    std::exchange(chunk_, nullptr)->drop();
  }
  if (chunk_ == nullptr) {
    chunk_ = pool_.acquire();
    used_ = 0;
    if (chunk_ == nullptr) return {};
  }
  return {chunk_->data + used_, chunk_->capacity - used_};
}

Buffer ReceiveArena::commit(std::size_t size) noexcept {
  Buffer received = view_of_chunk(chunk_, used_, size);
  used_ += size;
  return received;
}

Buffer copied_if_worth(BufferPool& pool, Buffer&& received) noexcept {
  const bool is_large = received.size() > limits::kCopyOutBytesMax;
  if (is_large && !pool.nearly_dry()) return std::move(received);
  Buffer copied = pool.copy_out(received.view());
  return copied.empty() ? std::move(received) : std::move(copied);
}

}  // namespace weir::inline v1
