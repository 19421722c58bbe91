#include "reactor/uring_buffers.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "reactor/uring_abi.h"

namespace weir::inline v1 {

std::expected<std::unique_ptr<BufferRing>, int> BufferRing::create(io_uring& ring,
                                                                   BufferPool& pool,
                                                                   unsigned chunks,
                                                                   bool incremental) {
  const std::size_t bytes = chunks * sizeof(io_uring_buf);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return std::unexpected(-errno);
  uring_abi::BufferRingRegistration registration{};
  registration.ring_address = reinterpret_cast<__u64>(memory);
  registration.ring_entries = chunks;
  registration.group = kGroup;
  registration.flags = incremental ? IOU_PBUF_RING_INC : 0;
  // The plain system call: liburing 2.3 knows no flags.
  if (::syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_PBUF_RING, &registration,
                1) != 0) {
    const int error = -errno;
    ::munmap(memory, bytes);
    return std::unexpected(error);
  }
  return std::unique_ptr<BufferRing>(
      new BufferRing(pool, static_cast<io_uring_buf_ring*>(memory), chunks, incremental));
}

BufferRing::BufferRing(BufferPool& pool, io_uring_buf_ring* ring, unsigned chunks,
                       bool incremental)
    : pool_(pool), ring_(ring), places_(chunks), incremental_(incremental) {
  replenish();
}

// Precondition: the ring was closed, the kernel draws no more.
BufferRing::~BufferRing() {
  for (Place& place : places_) {
    if (place.chunk != nullptr) place.chunk->drop();
  }
  ::munmap(ring_, places_.size() * sizeof(io_uring_buf));
}

bool BufferRing::fill(std::uint16_t id) noexcept {
  Place& place = places_[id];
  place.chunk = pool_.acquire();
  if (place.chunk == nullptr) return false;
  place.used = 0;
  io_uring_buf& entry = uring_abi::entries(ring_)[tail_ & (places_.size() - 1)];
  entry.addr = reinterpret_cast<__u64>(place.chunk->data);
  entry.len = place.chunk->capacity;
  entry.bid = id;
  ++filled_;
  io_uring_smp_store_release(&ring_->tail, ++tail_);
  return true;
}

void BufferRing::replenish() noexcept {
  if (filled_ == places_.size()) return;
  for (std::size_t id = 0; id < places_.size(); ++id) {
    if (places_[id].chunk == nullptr && !fill(static_cast<std::uint16_t>(id))) return;
  }
}

Buffer BufferRing::take(unsigned completion_flags, std::size_t size) noexcept {
  const auto id = static_cast<std::uint16_t>(completion_flags >> IORING_CQE_BUFFER_SHIFT);
  Place& place = places_[id];
  WEIR_ASSERT(place.chunk != nullptr);
  Buffer received = view_of_chunk(place.chunk, place.used, size);
  place.used += size;
  if (incremental_ && (completion_flags & IORING_CQE_F_BUF_MORE) != 0) return received;
  std::exchange(place.chunk, nullptr)->drop();
  --filled_;
  fill(id);
  return received;
}

}  // namespace weir::inline v1
