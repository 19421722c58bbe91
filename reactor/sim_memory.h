// Receive memory of a simulated backend: as the kernel backends have it, or with a watch on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "weir/reactor/buffer_pool.h"
#include "weir/reactor/function.h"

namespace weir::inline v1::sim {

// One thread. Buffers may outlive it.
class Memory {
 public:
  virtual ~Memory() = default;

  // Room for one read of at most `wanted` bytes; empty when there is none now.
  virtual std::span<char> room(std::size_t wanted) noexcept = 0;
  // The first `size` bytes of the last room() as a Buffer.
  virtual Buffer commit(std::size_t size) noexcept = 0;
  // True when an empty room() was the system's refusal, and not the limit.
  virtual bool available() const noexcept = 0;
  // Chunks of kReceiveChunkBytes in use, rounded up.
  virtual std::size_t live_chunks() const noexcept = 0;
  // More than a quarter of the limit is in use.
  virtual bool in_demand() const noexcept = 0;
  // Counts what came back; who waits for memory compares it.
  virtual std::uint64_t returned() const noexcept = 0;
};

// A pool of chunks, cut into slices.
std::unique_ptr<Memory> make_pooled_memory(std::size_t memory_max);

// Each read in memory of its own, of exactly its size. Once released it is overwritten and set
// aside for some time: who still reads it finds rubbish (with AddressSanitizer, a report), and who
// writes into it is told on.
std::unique_ptr<Memory> make_checked_memory(std::size_t memory_max,
                                            Function<void(std::string_view)> on_violation);

}  // namespace weir::inline v1::sim
