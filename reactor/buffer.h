// Reference-counted bytes: what a socket receives, what a write queue holds, without copying.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "weir/reactor/assert.h"

namespace weir::inline v1 {

class BufferPool;

namespace detail {

// The memory behind buffers; counted, not atomically. `release` frees it or gives it to its pool.
struct Chunk {
  void (*release)(Chunk*) noexcept;
  void* context;  // the pool, for a chunk of a pool
  char* data;
  std::uint32_t references;
  std::uint32_t capacity;
  std::uint64_t owner;  // the thread whose count this is; 0: whoever uses it first

  void retain() noexcept { ++references; }
  void drop() noexcept {
    if (--references == 0) release(this);
  }
  // For every use by a Buffer; the first one decides whose the count is.
  void check_thread() noexcept;
};

// A number for each thread, above 0 and never used again.
std::uint64_t this_thread() noexcept;

// While it is there this thread may use the buffers of another one, which uses them no more.
class InPlaceOf {
 public:
  explicit InPlaceOf(std::uint64_t thread) noexcept;
  InPlaceOf(const InPlaceOf&) = delete;
  InPlaceOf& operator=(const InPlaceOf&) = delete;
  ~InPlaceOf();
  // Of this thread's; 0: there is none.
  static std::uint64_t thread() noexcept;

 private:
  std::uint64_t before_;
};

}  // namespace detail

// A move-only view of immutable bytes that keeps them alive.
//
//     chunk  [........|hello|world|......]   one allocation, one count
//                      ^     ^
//     Buffer a --------'     '-------- Buffer b
//
// Owner and thread: every buffer of one chunk belongs to the thread that made the chunk (checked
// when NDEBUG is not set); to_owned() makes a copy to move to another thread once.
// Lifetime: the bytes live as long as any buffer of the chunk, and a pool as long as its last
// buffer, whatever became of its reactor. Keeping a small slice of received bytes keeps its whole
// chunk: keep Buffer::copy(slice.view()) instead.
// Bounds: at most 4 GiB - 1 bytes.
class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(Buffer&& other) noexcept
      : chunk_(std::exchange(other.chunk_, nullptr)),
        data_(std::exchange(other.data_, "")),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      reset();
      chunk_ = std::exchange(other.chunk_, nullptr);
      data_ = std::exchange(other.data_, "");
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~Buffer() { reset(); }

  // A copy of `bytes` in memory of its own. When memory is refused the result is empty although
  // `bytes` is not: whoever must not lose bytes compares the sizes.
  [[nodiscard]] static Buffer copy(std::string_view bytes) noexcept;
  // Adopts a string without copying its bytes.
  [[nodiscard]] static Buffer take(std::string&& bytes);
  // Bytes of static storage duration; not counted.
  [[nodiscard]] static Buffer literal(std::string_view bytes) noexcept {
    return Buffer(nullptr, bytes.data(), static_cast<std::uint32_t>(bytes.size()));
  }

  // Another view of the same bytes.
  [[nodiscard]] Buffer share() const noexcept { return slice(0, size_); }
  // Precondition: offset + size <= this->size().
  [[nodiscard]] Buffer slice(std::size_t offset, std::size_t size) const noexcept {
    WEIR_ASSERT(offset <= size_ && size <= size_ - offset);
    if (chunk_ != nullptr) {
      chunk_->check_thread();
      chunk_->retain();
    }
    return Buffer(chunk_, data_ + offset, static_cast<std::uint32_t>(size));
  }
  // Splits the first `size` bytes off; this keeps the rest.
  [[nodiscard]] Buffer take_front(std::size_t size) noexcept {
    Buffer front = slice(0, size);
    drop_front(size);
    return front;
  }
  void drop_front(std::size_t size) noexcept {
    WEIR_ASSERT(size <= size_);
    data_ += size;
    size_ -= static_cast<std::uint32_t>(size);
  }
  // A copy that shares nothing with this one; may be moved to another thread.
  [[nodiscard]] Buffer to_owned() const noexcept;

  std::string_view view() const noexcept { return {data_, size_}; }
  const char* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  void reset() noexcept {
    if (chunk_ != nullptr) {
      chunk_->check_thread();
      std::exchange(chunk_, nullptr)->drop();
    }
    data_ = "";
    size_ = 0;
  }

  // Bytes of memory that this view keeps alive; 0 for a literal.
  std::size_t pinned_bytes() const noexcept { return chunk_ == nullptr ? 0 : chunk_->capacity; }

 private:
  friend class BufferPool;
  friend class BufferBlock;
  friend Buffer view_of_chunk(detail::Chunk* chunk, std::size_t offset, std::size_t size) noexcept;

  // Takes over one reference.
  Buffer(detail::Chunk* chunk, const char* data, std::uint32_t size) noexcept
      : chunk_(chunk), data_(data), size_(size) {}

  detail::Chunk* chunk_ = nullptr;
  const char* data_ = "";
  std::uint32_t size_ = 0;
};

namespace detail {

inline void Chunk::check_thread() noexcept {
#ifndef NDEBUG
  if (owner == 0) owner = this_thread();
  WEIR_ASSERT(owner == this_thread() || owner == InPlaceOf::thread());
#endif
}

}  // namespace detail

// Memory of its own that bytes are appended to, for gathering many small pieces in one. Bytes that
// are there never move or change, so views of them stay good while more are appended.
class BufferBlock {
 public:
  BufferBlock() noexcept = default;
  BufferBlock(BufferBlock&& other) noexcept
      : chunk_(std::exchange(other.chunk_, nullptr)), used_(std::exchange(other.used_, 0)) {}
  BufferBlock& operator=(BufferBlock&& other) noexcept {
    if (this != &other) {
      reset();
      chunk_ = std::exchange(other.chunk_, nullptr);
      used_ = std::exchange(other.used_, 0);
    }
    return *this;
  }
  ~BufferBlock() { reset(); }

  // False when memory was refused.
  [[nodiscard]] bool allocate(std::size_t capacity) noexcept;
  std::size_t room() const noexcept { return chunk_ == nullptr ? 0 : chunk_->capacity - used_; }
  // Appends `bytes` and returns a view of them. Precondition: they fit.
  [[nodiscard]] Buffer append(std::string_view bytes) noexcept;
  // The room itself, for whoever reads into it, and a view of the first `size` bytes that are there
  // now. Precondition: they fit.
  std::span<char> space() noexcept;
  [[nodiscard]] Buffer commit(std::size_t size) noexcept;
  // Appends `bytes` to a view that ends where this block's bytes end. Precondition: they fit.
  void extend(Buffer& last, std::string_view bytes) noexcept;
  void reset() noexcept {
    if (chunk_ != nullptr) std::exchange(chunk_, nullptr)->drop();
    used_ = 0;
  }

 private:
  detail::Chunk* chunk_ = nullptr;
  std::size_t used_ = 0;
};

// A view of bytes [offset, offset + size) of a chunk; adds a reference. A chunk that only the
// caller holds becomes the calling thread's.
Buffer view_of_chunk(detail::Chunk* chunk, std::size_t offset, std::size_t size) noexcept;

}  // namespace weir::inline v1
