#include "weir/http/scan.h"

#include <array>
#include <bit>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace weir::inline v1::http::scan {
namespace {

// One bit for each class that a byte belongs to.
enum Class : std::uint8_t { kControl = 1, kToken = 2, kTarget = 4, kPlainTarget = 8 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  constexpr std::string_view kNoTarget = "\"#<>";
  constexpr std::string_view kNotPlain = "?%\\";
  std::array<std::uint8_t, 256> classes{};
  for (unsigned value = 0; value < 256; ++value) {
    const char byte = static_cast<char>(value);
    unsigned all = 0;
    if ((value < 0x20 && value != '\t') || value == 0x7f) all |= kControl;
    const bool letter = (value | 0x20) >= 'a' && (value | 0x20) <= 'z';
    const bool digit = value >= '0' && value <= '9';
    if (letter || digit || kTokenMarks.contains(byte)) all |= kToken;
    if (value > 0x20 && value < 0x7f && !kNoTarget.contains(byte)) all |= kTarget;
    if ((all & kTarget) != 0 && !kNotPlain.contains(byte)) all |= kPlainTarget;
    classes[value] = static_cast<std::uint8_t>(all);
  }
  return classes;
}

constexpr std::array<std::uint8_t, 256> kClasses = make_classes();

constexpr bool in_class(char byte, Class wanted) noexcept {
  return (kClasses[static_cast<unsigned char>(byte)] & wanted) != 0;
}

// The first byte whose membership of `wanted` is `ends`.
template <Class wanted, bool ends>
std::size_t scan_bytes(std::string_view text, std::size_t from) noexcept {
  while (from < text.size() && in_class(text[from], wanted) != ends) ++from;
  return from;
}

}  // namespace

bool is_token_byte(char byte) noexcept { return in_class(byte, kToken); }

namespace scalar {

std::size_t control(std::string_view text, std::size_t from) noexcept {
  return scan_bytes<kControl, true>(text, from);
}
std::size_t token(std::string_view text, std::size_t from) noexcept {
  return scan_bytes<kToken, false>(text, from);
}
std::size_t target(std::string_view text, std::size_t from) noexcept {
  return scan_bytes<kTarget, false>(text, from);
}
std::size_t plain_target(std::string_view text, std::size_t from) noexcept {
  return scan_bytes<kPlainTarget, false>(text, from);
}

}  // namespace scalar

#ifdef __SSE2__
namespace {

constexpr std::size_t kWidth = sizeof(__m128i);

__m128i all_of(char byte) noexcept { return _mm_set1_epi8(byte); }
__m128i equal(__m128i bytes, char byte) noexcept { return _mm_cmpeq_epi8(bytes, all_of(byte)); }
// Of bytes without a sign: those in [low, high].
__m128i within(__m128i bytes, unsigned low, unsigned high) noexcept {
  const __m128i moved = _mm_sub_epi8(bytes, all_of(static_cast<char>(low)));
  const __m128i width = all_of(static_cast<char>(high - low));
  return _mm_cmpeq_epi8(_mm_min_epu8(moved, width), moved);
}

// Each gives 0xff for the bytes where the run may end.
struct ControlEnds {
  static __m128i in(__m128i bytes) noexcept {
    const __m128i low = _mm_andnot_si128(equal(bytes, '\t'), within(bytes, 0, 0x1f));
    return _mm_or_si128(low, equal(bytes, 0x7f));
  }
};
// Takes the rare marks for ends too: names are letters, digits and hyphens, and the rest of a
// token is left to the table.
struct TokenMayEnd {
  static __m128i in(__m128i bytes) noexcept {
    const __m128i lower = _mm_or_si128(bytes, all_of(0x20));
    const __m128i letter = within(lower, 'a', 'z');
    const __m128i digit = within(bytes, '0', '9');
    const __m128i good = _mm_or_si128(_mm_or_si128(letter, digit), equal(bytes, '-'));
    return _mm_xor_si128(good, all_of(-1));
  }
};
struct TargetEnds {
  static __m128i in(__m128i bytes) noexcept {
    const __m128i outside = _mm_xor_si128(within(bytes, 0x21, 0x7e), all_of(-1));
    const __m128i quotes = _mm_or_si128(equal(bytes, '"'), equal(bytes, '#'));
    const __m128i angles = _mm_or_si128(equal(bytes, '<'), equal(bytes, '>'));
    return _mm_or_si128(outside, _mm_or_si128(quotes, angles));
  }
};

struct PlainTargetEnds {
  static __m128i in(__m128i bytes) noexcept {
    const __m128i seen = _mm_or_si128(equal(bytes, '?'), equal(bytes, '%'));
    return _mm_or_si128(TargetEnds::in(bytes), _mm_or_si128(seen, equal(bytes, '\\')));
  }
};

// The same for less than a vector: halves, of which the second overlaps the first.
template <class Ends>
std::size_t scan_short(std::string_view text, std::size_t from) noexcept {
  constexpr std::size_t kHalf = kWidth / 2;
  constexpr unsigned kHalfOfBits = 0xff;
  if (text.size() < from + kHalf) return from;
  for (const std::size_t at : {from, text.size() - kHalf}) {
    const auto* address = reinterpret_cast<const __m128i*>(text.data() + at);
    const auto mask = _mm_movemask_epi8(Ends::in(_mm_loadl_epi64(address)));
    const unsigned ends = static_cast<unsigned>(mask) & kHalfOfBits;
    if (ends != 0) return at + static_cast<std::size_t>(std::countr_zero(ends));
  }
  return text.size();
}

// The first byte where the run may end. The last vector overlaps what has been looked at.
template <class Ends>
std::size_t scan_vectors(std::string_view text, std::size_t from) noexcept {
  const auto ends_at = [&](std::size_t at) {
    const auto* address = reinterpret_cast<const __m128i*>(text.data() + at);
    return static_cast<unsigned>(_mm_movemask_epi8(Ends::in(_mm_loadu_si128(address))));
  };
  for (; text.size() - from >= kWidth; from += kWidth) {
    const unsigned ends = ends_at(from);
    if (ends != 0) return from + static_cast<std::size_t>(std::countr_zero(ends));
  }
  if (from == text.size()) return from;
  if (text.size() < kWidth) return scan_short<Ends>(text, from);
  const std::size_t last = text.size() - kWidth;
  const unsigned ends = ends_at(last) >> (from - last);
  return ends == 0 ? text.size() : from + static_cast<std::size_t>(std::countr_zero(ends));
}

}  // namespace

std::size_t control(std::string_view text, std::size_t from) noexcept {
  return scalar::control(text, scan_vectors<ControlEnds>(text, from));
}
std::size_t token(std::string_view text, std::size_t from) noexcept {
  return scalar::token(text, scan_vectors<TokenMayEnd>(text, from));
}
std::size_t target(std::string_view text, std::size_t from) noexcept {
  return scalar::target(text, scan_vectors<TargetEnds>(text, from));
}
std::size_t plain_target(std::string_view text, std::size_t from) noexcept {
  return scalar::plain_target(text, scan_vectors<PlainTargetEnds>(text, from));
}
#else
std::size_t control(std::string_view text, std::size_t from) noexcept {
  return scalar::control(text, from);
}
std::size_t token(std::string_view text, std::size_t from) noexcept {
  return scalar::token(text, from);
}
std::size_t target(std::string_view text, std::size_t from) noexcept {
  return scalar::target(text, from);
}
std::size_t plain_target(std::string_view text, std::size_t from) noexcept {
  return scalar::plain_target(text, from);
}
#endif

}  // namespace weir::inline v1::http::scan
