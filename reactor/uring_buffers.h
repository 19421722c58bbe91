// The provided-buffer ring: receive memory that the kernel draws from when bytes arrive.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <vector>

#include "weir/reactor/buffer_pool.h"

namespace weir::inline v1 {

// Every socket of a ring receives into the same few chunks. On an incremental ring (Linux 6.12) a
// completion takes the next bytes of the chunk in front, whichever socket they are for, and a
// chunk leaves the ring when it is full; on a plain ring each completion takes a whole chunk. A
// chunk that left is replaced by another from the pool, and returns to the pool when the last
// Buffer of it is gone.
class BufferRing {
 public:
  static constexpr unsigned kGroup = 0;

  // `chunks` is a power of two. -errno when the kernel refuses.
  static std::expected<std::unique_ptr<BufferRing>, int> create(io_uring& ring, BufferPool& pool,
                                                                unsigned chunks, bool incremental);
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;
  ~BufferRing();

  // The bytes of a completion, in the order of completions over all sockets.
  Buffer take(unsigned completion_flags, std::size_t size) noexcept;

  // Fills empty places from the pool, as far as it gives.
  void replenish() noexcept;

  // Chunks that the kernel has now. 0: a receive armed now would fail at once.
  unsigned filled() const noexcept { return filled_; }
  bool incremental() const noexcept { return incremental_; }

 private:
  struct Place {
    detail::Chunk* chunk = nullptr;
    std::size_t used = 0;
  };

  BufferRing(BufferPool& pool, io_uring_buf_ring* ring, unsigned chunks, bool incremental);
  bool fill(std::uint16_t id) noexcept;

  BufferPool& pool_;
  io_uring_buf_ring* ring_;
  std::vector<Place> places_;
  unsigned filled_ = 0;
  std::uint16_t tail_ = 0;
  bool incremental_;
};

}  // namespace weir::inline v1
