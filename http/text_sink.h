// Text into memory of a known size, or only its size.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "weir/reactor/assert.h"

namespace weir::inline v1::http {

// One function template writes a text twice: into a counter to learn its size, then into a sink
// with so much memory. Both take the same pieces.
class TextCounter {
 public:
  void put(std::string_view text) noexcept { size_ += text.size(); }
  void put(std::uint64_t number) noexcept {
    char digits[20];
    size_ += static_cast<std::size_t>(
        std::to_chars(digits, digits + sizeof digits, number).ptr - digits);
  }
  std::size_t size() const noexcept { return size_; }

 private:
  std::size_t size_ = 0;
};

// Owner: a local variable; the memory outlives it. Bounds: the memory's, asserted.
class TextSink {
 public:
  explicit TextSink(std::span<char> out) noexcept
      : begin_(out.data()), at_(begin_), end_(begin_ + out.size()) {}

  void put(std::string_view text) noexcept {
    WEIR_ASSERT(text.size() <= room());
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  // A literal: its bytes are stored, without a call.
  template <std::size_t kSize>
  [[gnu::always_inline]] void put(const char (&literal)[kSize]) noexcept {
    constexpr std::size_t kText = kSize - 1;
    WEIR_ASSERT(kText <= room());
    std::memcpy(at_, literal, kText);
    at_ += kText;
  }
  void put(std::uint64_t number) noexcept {
    const auto [end, error] = std::to_chars(at_, end_, number);
    WEIR_ASSERT(error == std::errc());
    at_ = end;
  }
  std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - begin_); }

 private:
  std::size_t room() const noexcept { return static_cast<std::size_t>(end_ - at_); }

  char* begin_;
  char* at_;
  char* end_;
};

// A field line (RFC 9112, section 5). Both are known to be valid.
template <class Sink>
void put_field(Sink& sink, std::string_view name, std::string_view value) noexcept {
  sink.put(name);
  sink.put(": ");
  sink.put(value);
  sink.put("\r\n");
}

// What says the length of a body.
template <class Sink>
void put_framing(Sink& sink, bool says_length, std::uint64_t length, bool says_chunked) noexcept {
  if (says_length) {
    sink.put("Content-Length: ");
    sink.put(length);
    sink.put("\r\n");
  }
  if (says_chunked) sink.put("Transfer-Encoding: chunked\r\n");
}

// How many bytes `emit(sink)` writes.
template <class Emit>
std::size_t text_size(const Emit& emit) noexcept {
  TextCounter counter;
  emit(counter);
  return counter.size();
}

// Writes the `size` bytes of `emit(sink)`. Precondition: `out` has room for them.
template <class Emit>
void write_text(std::span<char> out, std::size_t size, const Emit& emit) noexcept {
  WEIR_ASSERT(out.size() >= size);
  TextSink sink(out.first(size));
  emit(sink);
  WEIR_ASSERT(sink.size() == size);
}

// Appends `size` bytes that `emit(sink)` writes. `out` doubles when it has no room for them.
template <class Emit>
void append_text(std::string& out, std::size_t size, const Emit& emit) {
  const std::size_t before = out.size();
  const std::size_t after = before + size;
  // The function's own argument is no measure: libstdc++ 12 gives the capacity there.
  out.resize_and_overwrite(after, [&](char* text, std::size_t) {
    write_text({text + before, size}, size, emit);
    return after;
  });
}

// Appends what `emit(sink)` writes, which is at most so many bytes. For what is written often: it
// is written once, and `out` may come to have more room than it needs.
template <class Emit>
void append_at_most(std::string& out, std::size_t most, const Emit& emit) {
  const std::size_t before = out.size();
  out.resize_and_overwrite(before + most, [&](char* text, std::size_t) {
    TextSink sink({text + before, most});
    emit(sink);
    return before + sink.size();
  });
}

}  // namespace weir::inline v1::http
