#include "weir/http/websocket/mask.h"

#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace weir::inline v1::http::websocket {

namespace scalar {

bool apply_mask(std::string_view in, char* out, const MaskKey& key, std::uint64_t offset) noexcept {
  unsigned all = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const unsigned byte = static_cast<unsigned char>(in[i]) ^ unsigned{key[(offset + i) % 4]};
    out[i] = static_cast<char>(byte);
    all |= byte;
  }
  return all < 0x80;
}

}  // namespace scalar

#ifdef __SSE2__
namespace {

__m128i load(const char* from) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
void store(char* to, __m128i bytes) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
}

// Each block is loaded as a whole before it is stored, for `out` may be close before `in`.
template <class Word>
void mask_word(const char* in, char* out, std::uint64_t key, std::uint64_t& all) noexcept {
  Word word;
  std::memcpy(&word, in, sizeof(Word));
  word ^= static_cast<Word>(key);
  std::memcpy(out, &word, sizeof(Word));
  all |= word;
}

}  // namespace

bool apply_mask(std::string_view in, char* out, const MaskKey& key, std::uint64_t offset) noexcept {
  constexpr std::size_t kWidth = sizeof(__m128i);
  // The key as it stands at `offset`, and from there at each multiple of four. In a register, for
  // bytes that are stored one by one and loaded together cost more than a short payload does.
  std::uint32_t key32;
  std::memcpy(&key32, key.data(), sizeof key32);
  key32 = std::rotr(key32, static_cast<int>(offset % 4) * 8);
  const std::uint64_t key64 = std::uint64_t{key32} << 32 | key32;

  const char* from = in.data();
  std::size_t left = in.size();
  std::uint64_t all = 0;
  if (left >= kWidth) {
    const __m128i key128 = _mm_set1_epi32(static_cast<int>(key32));
    __m128i seen = _mm_setzero_si128();
    for (; left >= 2 * kWidth; left -= 2 * kWidth, from += 2 * kWidth, out += 2 * kWidth) {
      const __m128i low = _mm_xor_si128(load(from), key128);
      const __m128i high = _mm_xor_si128(load(from + kWidth), key128);
      store(out, low);
      store(out + kWidth, high);
      seen = _mm_or_si128(seen, _mm_or_si128(low, high));
    }
    if (left >= kWidth) {
      const __m128i bytes = _mm_xor_si128(load(from), key128);
      store(out, bytes);
      seen = _mm_or_si128(seen, bytes);
      left -= kWidth, from += kWidth, out += kWidth;
    }
    if (_mm_movemask_epi8(seen) != 0) all = 0x80;
  }
  if (left >= 8) {
    mask_word<std::uint64_t>(from, out, key64, all);
    left -= 8, from += 8, out += 8;
  }
  if (left >= 4) {
    mask_word<std::uint32_t>(from, out, key64, all);
    left -= 4, from += 4, out += 4;
  }
  for (; left > 0; --left, key32 >>= 8) {
    const std::uint32_t byte = (static_cast<unsigned char>(*from++) ^ key32) & 0xff;
    *out++ = static_cast<char>(byte);
    all |= byte;
  }
  return (all & 0x8080808080808080) == 0;
}
#else
bool apply_mask(std::string_view in, char* out, const MaskKey& key, std::uint64_t offset) noexcept {
  return scalar::apply_mask(in, out, key, offset);
}
#endif

}  // namespace weir::inline v1::http::websocket
