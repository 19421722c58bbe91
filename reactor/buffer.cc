#include "weir/reactor/buffer.h"

#include <atomic>
#include <cstring>
#include <new>
#include <utility>

#include "weir/reactor/memory.h"

namespace weir::inline v1 {
namespace detail {

std::uint64_t this_thread() noexcept {
  static std::atomic<std::uint64_t> threads{0};
  static thread_local std::uint64_t number = 0;
  if (number == 0) number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  return number;
}

namespace {

thread_local std::uint64_t in_place_of = 0;

}  // namespace

InPlaceOf::InPlaceOf(std::uint64_t thread) noexcept
    : before_(std::exchange(in_place_of, thread)) {}

InPlaceOf::~InPlaceOf() { in_place_of = before_; }

std::uint64_t InPlaceOf::thread() noexcept { return in_place_of; }

namespace {

void release_heap_chunk(Chunk* chunk) noexcept { memory::release(chunk); }

struct StringChunk : Chunk {
  explicit StringChunk(std::string&& bytes) : Chunk{}, text(std::move(bytes)) {
    release = [](Chunk* chunk) noexcept { delete static_cast<StringChunk*>(chunk); };
    data = text.data();
    references = 1;
    capacity = static_cast<std::uint32_t>(text.capacity());
    owner = this_thread();
  }
  std::string text;
};

Chunk* make_heap_chunk(std::size_t capacity, std::uint64_t owner) noexcept {
  void* memory = memory::allocate(sizeof(Chunk) + capacity);
  if (memory == nullptr) return nullptr;
  char* data = static_cast<char*>(memory) + sizeof(Chunk);
  return ::new (memory) Chunk{
      release_heap_chunk, nullptr, data, 1, static_cast<std::uint32_t>(capacity), owner};
}

}  // namespace
}  // namespace detail

Buffer Buffer::copy(std::string_view bytes) noexcept {
  if (bytes.empty()) return {};
  detail::Chunk* chunk = detail::make_heap_chunk(bytes.size(), detail::this_thread());
  if (chunk == nullptr) return {};
  std::memcpy(chunk->data, bytes.data(), bytes.size());
  return Buffer(chunk, chunk->data, static_cast<std::uint32_t>(bytes.size()));
}

Buffer Buffer::take(std::string&& bytes) {
  if (bytes.empty()) return {};
  auto* chunk = new detail::StringChunk(std::move(bytes));
  return Buffer(chunk, chunk->data, static_cast<std::uint32_t>(chunk->text.size()));
}

Buffer Buffer::to_owned() const noexcept {
  if (empty()) return {};
  // No owner yet: the first thread that touches the count becomes it.
  detail::Chunk* chunk = detail::make_heap_chunk(size_, 0);
  if (chunk == nullptr) return {};
  std::memcpy(chunk->data, data_, size_);
  return Buffer(chunk, chunk->data, size_);
}

bool BufferBlock::allocate(std::size_t capacity) noexcept {
  reset();
  chunk_ = detail::make_heap_chunk(capacity, detail::this_thread());
  return chunk_ != nullptr;
}

Buffer BufferBlock::append(std::string_view bytes) noexcept {
  Buffer view = view_of_chunk(chunk_, used_, 0);
  extend(view, bytes);
  return view;
}

std::span<char> BufferBlock::space() noexcept {
  return chunk_ == nullptr ? std::span<char>() : std::span(chunk_->data + used_, room());
}

Buffer BufferBlock::commit(std::size_t size) noexcept {
  Buffer view = view_of_chunk(chunk_, used_, size);
  used_ += size;
  return view;
}

void BufferBlock::extend(Buffer& last, std::string_view bytes) noexcept {
  WEIR_ASSERT(bytes.size() <= room() && last.data_ + last.size_ == chunk_->data + used_);
  std::memcpy(chunk_->data + used_, bytes.data(), bytes.size());
  used_ += bytes.size();
  last.size_ += static_cast<std::uint32_t>(bytes.size());
}

Buffer view_of_chunk(detail::Chunk* chunk, std::size_t offset, std::size_t size) noexcept {
  WEIR_ASSERT(offset <= chunk->capacity && size <= chunk->capacity - offset);
  if (chunk->references == 1) chunk->owner = detail::this_thread();
  chunk->retain();
  return Buffer(chunk, chunk->data + offset, static_cast<std::uint32_t>(size));
}

}  // namespace weir::inline v1
