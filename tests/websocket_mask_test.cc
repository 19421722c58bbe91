// http::websocket::apply_mask: that the vector version does what the scalar one does, at every
// offset, length and alignment, and in place.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "tests/random.h"
#include "tests/rules.h"
#include "weir/http/websocket/mask.h"

namespace weir::test {
namespace {

using http::websocket::apply_mask;
using http::websocket::MaskKey;
namespace scalar = http::websocket::scalar;

constexpr MaskKey kKey = {0x37, 0xfa, 0x21, 0x3d};
constexpr MaskKey kAsciiKey = {0x01, 0x7f, 0x20, 0x00};
constexpr std::size_t kLengths = 150;  // four pairs of vectors, and each rest

TEST(WebSocketMask, IsThatOfTheRfc) {
  RULES("6455.5.3.2");
  char out[5];
  EXPECT_TRUE(apply_mask("\x7f\x9f\x4d\x51\x58", out, kKey, 0));
  EXPECT_EQ(std::string_view(out, 5), "Hello");
  EXPECT_FALSE(apply_mask("Hello", out, kKey, 0));
  EXPECT_EQ(std::string_view(out, 5), "\x7f\x9f\x4d\x51\x58");
  EXPECT_TRUE(scalar::apply_mask("\x51\x58", out, kKey, 3));
  EXPECT_EQ(std::string_view(out, 2), "lo");
}

TEST(WebSocketMask, EveryOffsetLengthAndAlignment) {
  std::vector<char> in(kLengths + 64);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<char>(i * 7 + 3);
  std::vector<char> out(kLengths + 64);
  std::string expected(kLengths, '\0');
  for (std::size_t length = 0; length <= kLengths; ++length) {
    for (std::uint64_t offset = 0; offset < 5; ++offset) {
      for (std::size_t align = 0; align < 17; align += align < 4 ? 1 : 4) {
        const std::string_view bytes(in.data() + align, length);
        const bool ascii = scalar::apply_mask(bytes, expected.data(), kKey, offset);
        std::ranges::fill(out, '#');
        char* place = out.data() + 20 - align;
        ASSERT_EQ(apply_mask(bytes, place, kKey, offset), ascii);
        ASSERT_EQ(std::string_view(place, length), std::string_view(expected).substr(0, length))
            << length << " from " << offset << " at " << align;
        ASSERT_EQ(place[-1], '#');
        ASSERT_EQ(place[length], '#');
      }
    }
  }
}

TEST(WebSocketMask, FindsTheOneByteThatIsNotAscii) {
  for (std::size_t length = 1; length <= kLengths; ++length) {
    std::string text(length, 'a');
    std::string out(length, '\0');
    ASSERT_TRUE(apply_mask(text, out.data(), kAsciiKey, 1)) << length;
    for (std::size_t at = 0; at < length; ++at) {
      text[at] = '\xe1';
      ASSERT_FALSE(apply_mask(text, out.data(), kAsciiKey, 1)) << at << " of " << length;
      ASSERT_FALSE(scalar::apply_mask(text, out.data(), kAsciiKey, 1));
      text[at] = 'a';
    }
  }
}

TEST(WebSocketMask, InPlaceAndTowardsTheFront) {
  for (std::size_t length = 0; length <= kLengths; ++length) {
    for (const std::size_t before : {0, 1, 2, 3, 4, 6, 7, 8, 14, 15, 16, 17, 31, 40}) {
      std::string bytes(before + length, '\0');
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 11 + 5);
      std::string expected(length, '\0');
      const std::string_view in = std::string_view(bytes).substr(before);
      scalar::apply_mask(in, expected.data(), kKey, 2);
      apply_mask(in, bytes.data(), kKey, 2);
      ASSERT_EQ(bytes.substr(0, length), expected) << length << " bytes, " << before << " before";
    }
  }
}

TEST(WebSocketMask, TouchesNothingBeyond) {
  for (std::size_t length = 0; length <= kLengths; ++length) {
    const std::string text(length, 'x');
    const ExactBytes in(text);  // for a sanitizer
    const auto out = std::make_unique<char[]>(length);
    apply_mask(in.view(), out.get(), kKey, 0);
  }
}

TEST(WebSocketMask, TwiceIsNothing) {
  for_seeds(500, [](Random& random) {
    std::string text(random.below(5000), '\0');
    for (char& byte : text) byte = static_cast<char>(random.below(256));
    MaskKey key;
    for (std::uint8_t& byte : key) byte = static_cast<std::uint8_t>(random.below(256));
    const std::uint64_t offset = random.below(UINT64_MAX);
    std::string masked(text.size(), '\0');
    apply_mask(text, masked.data(), key, offset);
    // In two parts, as it comes off the wire.
    const std::size_t cut = random.below(text.size() + 1);
    const std::string_view view = masked;
    std::string back(text.size(), '\0');
    const bool first = apply_mask(view.substr(0, cut), back.data(), key, offset);
    const bool second = apply_mask(view.substr(cut), back.data() + cut, key, offset + cut);
    EXPECT_EQ(back, text);
    EXPECT_EQ(first && second, std::ranges::none_of(text, [](char c) { return c < 0; }));
  });
}

}  // namespace
}  // namespace weir::test
