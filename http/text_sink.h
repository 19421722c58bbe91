// Text into memory of a known size, or only its size.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "weir/reactor/assert.h"

namespace weir::inline v1::http {

// One function writes a text twice: into a sink without memory to learn its size, then into one
// with that much. Owner: a local variable; the memory outlives it. Bounds: the memory's, asserted.
class TextSink {
 public:
  TextSink() noexcept = default;  // counts only
  explicit TextSink(std::span<char> out) noexcept : out_(out), counts_only_(false) {}

  void put(std::string_view text) noexcept {
    if (!counts_only_ && !text.empty()) {
      WEIR_ASSERT(text.size() <= out_.size() - size_);
      std::memcpy(out_.data() + size_, text.data(), text.size());
    }
    size_ += text.size();
  }
  // A literal: its bytes are stored, without a call.
  template <std::size_t kSize>
  [[gnu::always_inline]] void put(const char (&literal)[kSize]) noexcept {
    constexpr std::size_t kText = kSize - 1;
    if (!counts_only_) {
      WEIR_ASSERT(kText <= out_.size() - size_);
      std::memcpy(out_.data() + size_, literal, kText);
    }
    size_ += kText;
  }
  void put(std::uint64_t number) noexcept {
    char digits[20];
    put({digits, std::to_chars(digits, digits + sizeof digits, number).ptr});
  }
  // A field line (RFC 9112, section 5). Both are known to be valid.
  void put_field(std::string_view name, std::string_view value) noexcept {
    put(name);
    put(": ");
    put(value);
    put("\r\n");
  }

  // What says the length of a body.
  void put_framing(bool says_length, std::uint64_t length, bool says_chunked) noexcept {
    if (says_length) {
      put("Content-Length: ");
      put(length);
      put("\r\n");
    }
    if (says_chunked) put("Transfer-Encoding: chunked\r\n");
  }

  std::size_t size() const noexcept { return size_; }

 private:
  std::span<char> out_;
  std::size_t size_ = 0;
  bool counts_only_ = true;
};

// How many bytes `emit(sink)` writes.
template <class Emit>
std::size_t text_size(const Emit& emit) noexcept {
  TextSink sink;
  emit(sink);
  return sink.size();
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
