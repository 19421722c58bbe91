#include "reactor/sim_memory.h"

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <new>

#include "weir/reactor/memory.h"

namespace weir::inline v1::sim {
namespace {

class PooledMemory final : public Memory {
 public:
  explicit PooledMemory(std::size_t memory_max)
      : pool_(BufferPool::create(limits::kReceiveChunkBytes, memory_max)), arena_(*pool_) {}

  std::span<char> room(std::size_t) noexcept override { return arena_.room(); }
  Buffer commit(std::size_t size) noexcept override {
    return deliverable(*pool_, arena_.commit(size));
  }
  bool available() const noexcept override { return pool_->available(); }
  std::size_t live_chunks() const noexcept override { return pool_->live_chunks(); }
  bool in_demand() const noexcept override { return pool_->in_demand(); }
  std::uint64_t returned() const noexcept override { return pool_->returned(); }

 private:
  struct Disown {
    void operator()(BufferPool* pool) const noexcept { pool->disown(); }
  };
  std::unique_ptr<BufferPool, Disown> pool_;
  ReceiveArena arena_;
};

constexpr char kRubbish = '\xdb';
constexpr std::size_t kSetAsideMax = 64;  // released reads that are watched

// What a checked memory and its buffers share; gone with the last of them.
struct Watched {
  bool owned = true;
  std::size_t live = 0;  // buffers that are out
  std::size_t live_bytes = 0;
  std::uint64_t returned = 0;
  std::deque<detail::Chunk*> set_aside;
  Function<void(std::string_view)> on_violation;
};

void release_oldest(Watched& watched) noexcept {
  detail::Chunk* chunk = watched.set_aside.front();
  watched.set_aside.pop_front();
  ASAN_UNPOISON_MEMORY_REGION(chunk->data, chunk->capacity);
  const std::string_view bytes(chunk->data, chunk->capacity);
  if (bytes.find_first_not_of(kRubbish) != bytes.npos && watched.on_violation) {
    watched.on_violation("received bytes were written to after their release");
  }
  memory::release(chunk);
}

void take_back(detail::Chunk* chunk) noexcept {
  auto* watched = static_cast<Watched*>(chunk->context);
  --watched->live;
  watched->live_bytes -= chunk->capacity;
  ++watched->returned;
  std::memset(chunk->data, kRubbish, chunk->capacity);
  ASAN_POISON_MEMORY_REGION(chunk->data, chunk->capacity);
  watched->set_aside.push_back(chunk);
  while (watched->set_aside.size() > (watched->owned ? kSetAsideMax : 0)) release_oldest(*watched);
  if (!watched->owned && watched->live == 0) delete watched;
}

class CheckedMemory final : public Memory {
 public:
  CheckedMemory(std::size_t memory_max, Function<void(std::string_view)> on_violation)
      : memory_max_(memory_max), watched_(new Watched) {
    watched_->on_violation = std::move(on_violation);
  }
  ~CheckedMemory() override {
    drop_room();
    while (!watched_->set_aside.empty()) release_oldest(*watched_);
    watched_->owned = false;
    watched_->on_violation.reset();  // it speaks to the world, which may be gone
    if (watched_->live == 0) delete watched_;
  }
  CheckedMemory(const CheckedMemory&) = delete;
  CheckedMemory& operator=(const CheckedMemory&) = delete;

  std::span<char> room(std::size_t wanted) noexcept override {
    drop_room();
    room_bytes_ = std::min({wanted, limits::kReceiveChunkBytes, left()});
    if (room_bytes_ == 0) return {};
    room_ = memory::allocate(sizeof(detail::Chunk) + room_bytes_);
    if (room_ == nullptr) return {};
    return {static_cast<char*>(room_) + sizeof(detail::Chunk), room_bytes_};
  }
  Buffer commit(std::size_t size) noexcept override {
    void* memory = std::exchange(room_, nullptr);
    auto* chunk = ::new (memory) detail::Chunk{take_back,
                                               watched_,
                                               static_cast<char*>(memory) + sizeof(detail::Chunk),
                                               0,
                                               static_cast<std::uint32_t>(size),
                                               detail::this_thread()};
    ++watched_->live;
    watched_->live_bytes += size;
    return view_of_chunk(chunk, 0, size);
  }
  bool available() const noexcept override { return left() != 0; }
  std::size_t live_chunks() const noexcept override {
    return (watched_->live_bytes + limits::kReceiveChunkBytes - 1) / limits::kReceiveChunkBytes;
  }
  bool in_demand() const noexcept override { return watched_->live_bytes > memory_max_ / 4; }
  std::uint64_t returned() const noexcept override { return watched_->returned; }

 private:
  std::size_t left() const noexcept {
    return memory_max_ - std::min(memory_max_, watched_->live_bytes);
  }
  void drop_room() noexcept {
    if (room_ != nullptr) memory::release(std::exchange(room_, nullptr));
  }

  std::size_t memory_max_;
  Watched* watched_;
  void* room_ = nullptr;  // given out and not committed
  std::size_t room_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Memory> make_pooled_memory(std::size_t memory_max) {
  return std::make_unique<PooledMemory>(memory_max);
}

std::unique_ptr<Memory> make_checked_memory(std::size_t memory_max,
                                            Function<void(std::string_view)> on_violation) {
  return std::make_unique<CheckedMemory>(memory_max, std::move(on_violation));
}

}  // namespace weir::inline v1::sim
