#include "weir/http/websocket/utf8.h"

#include <array>
#include <bit>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace weir::inline v1::http::websocket {
namespace {

// What a byte is, and what may come: RFC 3629, section 4.
enum Class : std::uint8_t {
  kAscii,
  kRest80,  // 80-8f
  kRest90,  // 90-9f
  kRestA0,  // a0-bf
  kTwo,     // c2-df
  kE0,
  kThree,  // e1-ec, ee, ef
  kEd,
  kF0,
  kFour,  // f1-f3
  kF4,
  kNever,  // c0, c1, f5-ff
};
constexpr std::size_t kClasses = 12;

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    classes[byte] = byte < 0x80                       ? kAscii
                    : byte < 0x90                     ? kRest80
                    : byte < 0xa0                     ? kRest90
                    : byte < 0xc0                     ? kRestA0
                    : byte < 0xc2 || byte > 0xf4      ? kNever
                    : byte < 0xe0                     ? kTwo
                    : byte == 0xe0                    ? kE0
                    : byte == 0xed                    ? kEd
                    : byte < 0xf0                     ? kThree
                    : byte == 0xf0                    ? kF0
                    : byte == 0xf4                    ? kF4
                                                      : kFour;
  }
  return classes;
}

constexpr std::array<std::uint8_t, 256> kClassOf = make_classes();

// Rows: what has come. 0 nothing; 1, 2, 3 so many bytes must follow; 4 e0; 5 ed; 6 f0; 7 f4;
// 8 wrong.
constexpr std::uint8_t kNext[9][kClasses] = {
    // asc 80 90 a0 two e0 thr ed f0 fou f4 never
    {0, 8, 8, 8, 1, 4, 2, 5, 6, 3, 7, 8}, {8, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8},
    {8, 1, 1, 1, 8, 8, 8, 8, 8, 8, 8, 8}, {8, 2, 2, 2, 8, 8, 8, 8, 8, 8, 8, 8},
    {8, 8, 8, 1, 8, 8, 8, 8, 8, 8, 8, 8}, {8, 1, 1, 8, 8, 8, 8, 8, 8, 8, 8, 8},
    {8, 8, 2, 2, 8, 8, 8, 8, 8, 8, 8, 8}, {8, 2, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8},
    {8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8},
};

constexpr bool is_rest(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

// The size of a character of two bytes, or of three after any first one but e0 and ed, which is
// most of what is not ASCII; else 0. Each step of the table waits for the one before, this does
// not.
std::size_t common_character(std::string_view text) noexcept {
  const auto first = static_cast<unsigned char>(text[0]);
  if (text.size() >= 3 && is_rest(text[1]) && is_rest(text[2]) && kClassOf[first] == kThree) {
    return 3;
  }
  return text.size() >= 2 && is_rest(text[1]) && kClassOf[first] == kTwo ? 2 : 0;
}

}  // namespace

bool Utf8Checker::add(std::string_view bytes) noexcept {
  std::uint8_t state = state_;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto byte = static_cast<unsigned char>(bytes[at]);
    if (state == kStart && byte < 0x80) {
      at += ascii_run(bytes.substr(at));
      continue;
    }
    const std::size_t size = state == kStart ? common_character(bytes.substr(at)) : 0;
    if (size != 0) {
      at += size;
      continue;
    }
    state = kNext[state][kClassOf[byte]];
    if (state == kWrong) break;
    ++at;
  }
  state_ = state;
  return state != kWrong;
}

bool is_utf8(std::string_view text) noexcept {
  Utf8Checker checker;
  checker.add(text);
  return checker.is_complete();
}

namespace scalar {

std::size_t ascii_run(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace scalar

#ifdef __SSE2__
std::size_t ascii_run(std::string_view text) noexcept {
  constexpr std::size_t kWidth = sizeof(__m128i);
  std::size_t at = 0;
  for (; text.size() - at >= kWidth; at += kWidth) {
    const auto* address = reinterpret_cast<const __m128i*>(text.data() + at);
    const auto high = static_cast<unsigned>(_mm_movemask_epi8(_mm_loadu_si128(address)));
    if (high != 0) return at + static_cast<std::size_t>(std::countr_zero(high));
  }
  return at + scalar::ascii_run(text.substr(at));
}
#else
std::size_t ascii_run(std::string_view text) noexcept { return scalar::ascii_run(text); }
#endif

}  // namespace weir::inline v1::http::websocket
