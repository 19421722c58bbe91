// Whether bytes are UTF-8 (RFC 3629), as they come. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::inline v1::http::websocket {

// Bytes in pieces that end anywhere. Strict: no surrogates, nothing beyond U+10FFFF, no overlong
// forms; the byte that makes it impossible is found when it comes, not with its character's end.
// (net::TextDecoder replaces what is wrong, which is another question.)
class Utf8Checker {
 public:
  // False when these bytes and those before cannot begin a valid text; then for ever, until
  // reset().
  bool add(std::string_view bytes) noexcept;
  // The same for bytes that are known to be ASCII.
  bool add_ascii() noexcept {
    if (state_ != kStart) state_ = kWrong;
    return state_ == kStart;
  }
  // No character waits for its rest, and nothing was wrong.
  bool is_complete() const noexcept { return state_ == kStart; }
  void reset() noexcept { state_ = kStart; }

 private:
  static constexpr std::uint8_t kStart = 0;
  static constexpr std::uint8_t kWrong = 8;

  std::uint8_t state_ = kStart;  // a row of the table in utf8.cc
};

// A whole text.
bool is_utf8(std::string_view text) noexcept;

// Where the run of ASCII ends that `text` begins with: SSE2, and its twin for one byte at a time.
std::size_t ascii_run(std::string_view text) noexcept;
namespace scalar {
std::size_t ascii_run(std::string_view text) noexcept;
}  // namespace scalar

}  // namespace weir::inline v1::http::websocket
