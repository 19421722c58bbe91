// http::websocket::Utf8Checker against a reader that decodes: all sequences of up to three bytes,
// samples of four, at every split.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/http_trace.h"
#include "tests/random.h"
#include "tests/rules.h"
#include "weir/http/websocket/utf8.h"

namespace weir::test {
namespace {

using http::websocket::ascii_run;
using http::websocket::is_utf8;
using http::websocket::Utf8Checker;

enum class Verdict : std::uint8_t { wrong, incomplete, complete };

// How many bytes a character has that begins with this one, and its first bits.
std::size_t size_of(unsigned byte, std::uint32_t& bits) {
  if (byte < 0x80) return bits = byte, 1;
  if (byte >= 0xc0 && byte < 0xe0) return bits = byte & 0x1f, 2;
  if (byte >= 0xe0 && byte < 0xf0) return bits = byte & 0x0f, 3;
  if (byte >= 0xf0 && byte < 0xf8) return bits = byte & 0x07, 4;
  return 0;
}

// Some character of `size` bytes whose first bits, before `missing` more bytes, are these.
bool may_become(std::uint32_t bits, std::size_t missing, std::size_t size) {
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const std::uint32_t first = bits << (6 * missing);
  const std::uint32_t last = first | ((1U << (6 * missing)) - 1);
  if (last < kLeast[size] || first > 0x10ffff) return false;
  return !(first >= 0xd800 && last <= 0xdfff);
}

// By what the bytes stand for, character after character.
Verdict slow_verdict(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint32_t bits = 0;
    const std::size_t size = size_of(static_cast<unsigned char>(text[at]), bits);
    if (size == 0 || !may_become(bits, size - 1, size)) return Verdict::wrong;
    for (std::size_t i = 1; i < size; ++i) {
      if (at + i == text.size()) return Verdict::incomplete;
      const auto byte = static_cast<unsigned char>(text[at + i]);
      if ((byte & 0xc0) != 0x80) return Verdict::wrong;
      bits = bits << 6 | (byte & 0x3f);
      if (!may_become(bits, size - 1 - i, size)) return Verdict::wrong;
    }
    at += size;
  }
  return Verdict::complete;
}

Verdict verdict_of(const Pieces& pieces) {
  Utf8Checker checker;
  for (const std::string_view piece : pieces) {
    if (!checker.add(piece)) return Verdict::wrong;
  }
  return checker.is_complete() ? Verdict::complete : Verdict::incomplete;
}

void expect_at_every_split(std::string_view text) {
  const Verdict expected = slow_verdict(text);
  for (std::size_t at = 0; at <= text.size(); ++at) {
    ASSERT_EQ(verdict_of(split_at(text, at)), expected)
        << testing::PrintToString(std::string(text)) << " cut at " << at;
  }
  ASSERT_EQ(verdict_of(split_in_bytes(text)), expected);
  ASSERT_EQ(is_utf8(text), expected == Verdict::complete);
}

TEST(WebSocketUtf8, OneAndTwoBytes) {
  RULES("6455.8.1.1 6455.8.1.2");
  expect_at_every_split("");
  for (int first = 0; first < 256; ++first) {
    std::string text(1, static_cast<char>(first));
    expect_at_every_split(text);
    for (int second = 0; second < 256; ++second) {
      expect_at_every_split(text + static_cast<char>(second));
    }
  }
}

TEST(WebSocketUtf8, ThreeBytes) {
  RULES("6455.8.1.1");
  // What is wrong after two bytes has been seen above, and stays so.
  std::string text(3, '\0');
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      text[0] = static_cast<char>(first);
      text[1] = static_cast<char>(second);
      for (int third = 0; third < 256; ++third) {
        text[2] = static_cast<char>(third);
        ASSERT_EQ(verdict_of({text}), slow_verdict(text)) << first << " " << second << " " << third;
      }
      if (slow_verdict(std::string_view(text).substr(0, 2)) == Verdict::incomplete) {
        for (const char third : {'\x7f', '\x80', '\xbf', '\xc0'}) {
          text[2] = third;
          expect_at_every_split(text);
        }
      }
    }
  }
}

TEST(WebSocketUtf8, FourBytes) {
  RULES("6455.8.1.1");
  constexpr unsigned kBytes[] = {0x00, 0x41, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xff};
  std::string text(4, '\0');
  for (unsigned first = 0; first < 256; ++first) {
    for (const unsigned second : kBytes) {
      for (const unsigned third : kBytes) {
        for (const unsigned fourth : kBytes) {
          text[0] = static_cast<char>(first);
          text[1] = static_cast<char>(second);
          text[2] = static_cast<char>(third);
          text[3] = static_cast<char>(fourth);
          ASSERT_EQ(verdict_of({text}), slow_verdict(text));
        }
      }
    }
  }
  for (const std::string_view known :
       {"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf0\x8f\xbf\xbf",
        "\xf8\x88\x80\x80\x80", "\xef\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80"}) {
    expect_at_every_split(known);
  }
}

TEST(WebSocketUtf8, AWrongByteBehindAnyRunOfAscii) {
  for (std::size_t length = 0; length <= 70; ++length) {
    for (const std::string_view end : {"", "\xff", "\xc3\xa4", "\xc3", "\xe2\x82", "\x80"}) {
      const std::string text = std::string(length, 'a') + std::string(end) + std::string(20, 'b');
      ASSERT_EQ(verdict_of({text}), slow_verdict(text)) << length;
      const ExactBytes exact(text);
      ASSERT_EQ(ascii_run(exact.view()), http::websocket::scalar::ascii_run(text));
      ASSERT_EQ(ascii_run(text), end.empty() ? text.size() : length);
    }
  }
}

TEST(WebSocketUtf8, StaysWrongUntilItIsReset) {
  Utf8Checker checker;
  EXPECT_FALSE(checker.add("\xff"));
  EXPECT_FALSE(checker.add("a"));
  EXPECT_FALSE(checker.add_ascii());
  EXPECT_FALSE(checker.is_complete());
  checker.reset();
  EXPECT_TRUE(checker.add("\xc3"));
  EXPECT_FALSE(checker.is_complete());
  checker.reset();
  EXPECT_TRUE(checker.add_ascii());
  EXPECT_TRUE(checker.add("\xc3"));
  EXPECT_FALSE(checker.add_ascii());
}

TEST(WebSocketUtf8, RandomTexts) {
  for_seeds(2000, [](Random& random) {
    constexpr std::string_view kPieces[] = {"a", "plain ASCII", "\xc3\xa4", "\xe2\x82\xac",
                                            "\xf0\x9f\x98\x80", "\xed\x9f\xbf"};
    std::string text;
    for (std::uint64_t count = random.below(40); count > 0; --count) {
      text += kPieces[random.below(std::size(kPieces))];
    }
    if (random.once_in(2) && !text.empty()) {
      text[random.below(text.size())] = static_cast<char>(random.below(256));
    }
    expect_at_every_split(text);
  });
}

}  // namespace
}  // namespace weir::test
