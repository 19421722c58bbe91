// Receive memory: a bounded pool of chunks, and the arena that backends read into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "weir/reactor/buffer.h"
#include "weir/reactor/limits.h"
#include "weir/reactor/tally.h"

namespace weir::inline v1 {

// Chunks of one size up to a limit. Lives until its owner has let go and its last chunk is back:
// a Buffer may outlive the reactor that received it. One thread.
class BufferPool {
 public:
  // Destroyed by disown(), not by delete. Null when memory is refused.
  static BufferPool* create(std::size_t chunk_bytes, std::size_t memory_max) noexcept;
  void disown() noexcept;

  // A chunk with one reference, or null at the limit or when memory is refused.
  detail::Chunk* acquire() noexcept;

  // True exactly when acquire() may succeed: below the limit.
  bool available() const noexcept { return live_ < chunks_max_; }
  // True when more than a quarter of the limit is in use. A repeating receive would then take the
  // whole ring for one peer before anybody can pause it, so each receive is armed by itself.
  bool in_demand() const noexcept { return live_ > chunks_max_ / 4; }
  // True when less than a quarter of the limit is free: time to copy small messages out.
  bool scarce() const noexcept { return live_ > chunks_max_ - chunks_max_ / 4; }
  // True when less than an eighth is free: time to copy everything out.
  bool nearly_dry() const noexcept { return live_ > chunks_max_ - chunks_max_ / 8; }
  // A copy of `bytes`, counted apart from the chunks until it is gone: copies take at most as much
  // as the limit again. Empty beyond that, or when memory is refused.
  Buffer copy_out(std::string_view bytes) noexcept;
  // Gives back the chunks that it keeps, but for one.
  void trim() noexcept;
  std::size_t chunk_bytes() const noexcept { return chunk_bytes_; }
  std::size_t live_chunks() const noexcept { return live_; }  // any thread
  // Counts chunks that came back; who waits for memory compares it.
  std::uint64_t returned() const noexcept { return returned_; }

 private:
  BufferPool(std::size_t chunk_bytes, std::size_t chunks_max) noexcept
      : chunk_bytes_(chunk_bytes), chunks_max_(chunks_max) {}
  ~BufferPool() = default;
  static void take_back(detail::Chunk* chunk) noexcept;
  static void take_back_copy(detail::Chunk* chunk) noexcept;
  void destroy_if_done() noexcept;

  struct FreeChunk {
    FreeChunk* next;
  };
  std::size_t chunk_bytes_;
  std::size_t chunks_max_;
  Tally live_;
  std::size_t free_count_ = 0;
  std::size_t copied_bytes_ = 0;  // in copies that are not gone yet
  std::uint64_t returned_ = 0;
  FreeChunk* free_ = nullptr;
  bool owned_ = true;
};

// Hands out room in a current chunk and cuts what was received from it. While all earlier slices
// are gone the same bytes, hot in cache, are used again.
class ReceiveArena {
 public:
  explicit ReceiveArena(BufferPool& pool) noexcept : pool_(pool) {}
  ReceiveArena(const ReceiveArena&) = delete;
  ReceiveArena& operator=(const ReceiveArena&) = delete;
  ~ReceiveArena();

  // Room for one read, at least kReceiveRoomMin; empty when the pool is dry.
  std::span<char> room() noexcept;
  // The first `size` bytes of the last room() as a Buffer.
  Buffer commit(std::size_t size) noexcept;

 private:
  BufferPool& pool_;
  detail::Chunk* chunk_ = nullptr;
  std::size_t used_ = 0;
};

// What a backend hands up for received bytes: the view itself, or, while memory is scarce, a copy
// of exactly their size. So slices that somebody keeps, or that are stuck in the write queue of a
// slow peer, cannot take the memory that the others receive into.
Buffer copied_if_worth(BufferPool& pool, Buffer&& received) noexcept;
inline Buffer deliverable(BufferPool& pool, Buffer&& received) noexcept {
  return pool.scarce() ? copied_if_worth(pool, std::move(received)) : std::move(received);
}

}  // namespace weir::inline v1
