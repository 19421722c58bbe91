// Encodings: what Node's string_decoder and Buffer.from give (v20.20.2, but for what is said to
// deviate), however the bytes are cut.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/random.h"
#include "weir/net/encoding.h"

namespace weir::test {
namespace {

using net::Encoding;
using net::parse_encoding;
using net::TextDecoder;
using net::to_bytes;
using std::string_view_literals::operator""sv;

constexpr Encoding kEncodings[] = {Encoding::utf8,   Encoding::latin1,    Encoding::ascii,
                                   Encoding::hex,    Encoding::base64,    Encoding::base64url,
                                   Encoding::utf16le};

// Of the tests' own, so that the tables do not stand on what they test.
std::string unhex(std::string_view digits) {
  std::string bytes;
  for (; digits.size() >= 2; digits.remove_prefix(2)) {
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(0, 2)), nullptr, 16));
  }
  return bytes;
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string digits;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    digits += kDigits[byte >> 4];
    digits += kDigits[byte & 15];
  }
  return digits;
}

std::string decoded(Encoding encoding, const std::vector<std::string_view>& pieces) {
  TextDecoder decoder(encoding);
  std::string text;
  for (const std::string_view piece : pieces) decoder.decode(piece, text);
  decoder.finish(text);
  return text;
}

std::vector<std::string_view> single_bytes(std::string_view bytes) {
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < bytes.size(); ++i) pieces.push_back(bytes.substr(i, 1));
  return pieces;
}

// ---- Names ----

TEST(ParseEncoding, KnowsNodesNamesInAnyCase) {
  constexpr std::pair<std::string_view, Encoding> kCases[] = {
      {"utf8", Encoding::utf8},         {"utf-8", Encoding::utf8},
      {"UTF8", Encoding::utf8},         {"Utf-8", Encoding::utf8},
      {"latin1", Encoding::latin1},     {"Latin1", Encoding::latin1},
      {"binary", Encoding::latin1},     {"BINARY", Encoding::latin1},
      {"ascii", Encoding::ascii},       {"ASCII", Encoding::ascii},
      {"hex", Encoding::hex},           {"HEX", Encoding::hex},
      {"base64", Encoding::base64},     {"BASE64", Encoding::base64},
      {"base64url", Encoding::base64url}, {"base64Url", Encoding::base64url},
      {"utf16le", Encoding::utf16le},   {"UTF-16le", Encoding::utf16le},
      {"ucs2", Encoding::utf16le},      {"Ucs-2", Encoding::utf16le}};
  for (const auto& [name, wanted] : kCases) {
    const auto encoding = parse_encoding(name);
    ASSERT_TRUE(encoding.has_value()) << name;
    EXPECT_EQ(*encoding, wanted) << name;
  }
}

TEST(ParseEncoding, RefusesAllOthersAndListsTheValidOnes) {
  constexpr std::string_view kCases[] = {
      ""sv,         "utf"sv,     "utf16"sv,      "utf-16"sv, "latin-1"sv, "us-ascii"sv, "ascii "sv,
      " utf8"sv,    "utf_8"sv,   "base64-url"sv, "buffer"sv, "hex\0"sv,   "utf88"sv,    "UTF\x18"sv,
      "utf\r8"sv};
  for (const std::string_view name : kCases) {
    const auto encoding = parse_encoding(name);
    ASSERT_FALSE(encoding.has_value()) << name;
    EXPECT_EQ(encoding.error().code, Mistake::unknown_encoding) << name;
  }
  EXPECT_EQ(parse_encoding("utf9").error().message(),
            "ERR_UNKNOWN_ENCODING: \"utf9\" is none of utf8 utf-8 latin1 binary ascii hex base64 "
            "base64url utf16le utf-16le ucs2 ucs-2");
}

// ---- To bytes ----

struct Encoded {
  Encoding encoding;
  std::string_view text;
  std::string_view bytes;  // in hex
};

TEST(ToBytes, GivesWhatBufferFromGives) {
  constexpr Encoded kCases[] = {
      {Encoding::utf8, "aé€😀", "61c3a9e282acf09f9880"},
      {Encoding::utf8, "\xff\xe2\x82", "ffe282"},
      {Encoding::latin1, "aé€😀", "61e9ac3d00"},
      {Encoding::ascii, "aé€😀", "61e9ac3d00"},
      {Encoding::latin1, "\xff\xe2\x82", "fdfd"},
      {Encoding::utf16le, "aé€😀\uffff", "6100e900ac203dd800deffff"},
      {Encoding::utf16le, "\U00010000\U0010ffff", "00d800dcffdbffdf"},
      {Encoding::utf16le, "\xff\xe2\x82", "fdfffdff"},
      {Encoding::utf16le, "", ""},
      {Encoding::hex, "", ""},
      {Encoding::hex, "00fF", "00ff"},
      {Encoding::hex, "0123456789abcdefABCDEF", "0123456789abcdefabcdef"},
      {Encoding::hex, "abc", "ab"},
      {Encoding::hex, "ab-cd", "ab"},
      {Encoding::hex, "abc-ef", "ab"},
      {Encoding::hex, "a", ""},
      {Encoding::hex, "zz", ""},
      {Encoding::hex, "é1", ""},
      {Encoding::hex, "61 62", "61"},
      {Encoding::hex, "0/", ""},
      {Encoding::hex, "0:", ""},
      {Encoding::hex, "0@", ""},
      {Encoding::hex, "0G", ""},
      {Encoding::hex, "0`", ""},
      {Encoding::hex, "0g", ""},
      {Encoding::hex, "G0", ""},
      {Encoding::base64, "", ""},
      {Encoding::base64, "YQ==", "61"},
      {Encoding::base64, "YQ", "61"},
      {Encoding::base64, "YWI=", "6162"},
      {Encoding::base64, "YWI", "6162"},
      {Encoding::base64, "YWJj", "616263"},
      {Encoding::base64, "AZaz09+/", "0196b3d3dfbf"},
      {Encoding::base64, "-_+/", "fbffbf"},
      {Encoding::base64, "Y W\nJ*j", "616263"},
      {Encoding::base64, "YéWJj", "616263"},
      {Encoding::base64, "=YWJj", ""},
      {Encoding::base64, "YQ==YQ==", "61"},
      {Encoding::base64, "YW=Jj", "61"},
      {Encoding::base64, "Y", ""},
      {Encoding::base64, "YWJjY", "616263"},
      {Encoding::base64, "YWJjYQ====", "61626361"},
      {Encoding::base64url, "-_-_", "fbffbf"},
      {Encoding::base64url, "+/+/", "fbffbf"},
      {Encoding::base64url, "YQ", "61"},
      {Encoding::base64url, "YQ==", "61"},
      {Encoding::base64url, "Y=Q=", ""},
  };
  for (const Encoded& wanted : kCases) {
    EXPECT_EQ(hex(to_bytes(wanted.text, wanted.encoding)), wanted.bytes)
        << static_cast<int>(wanted.encoding) << " " << wanted.text;
  }
}

// The deviation: to Node U+0130 is the digit 0 and U+D83D, the first half of the smiley, is '='.
TEST(ToBytes, TakesNothingBeyondAsciiForADigit) {
  EXPECT_EQ(hex(to_bytes("61\u0130\u0131", Encoding::hex)), "61");
  EXPECT_EQ(hex(to_bytes("YW\u0157Jj", Encoding::base64)), "616263");
  EXPECT_EQ(hex(to_bytes("YW😀Jj", Encoding::base64)), "616263");
}

TEST(ToBytes, AndBackIsTheSame) {
  for_seeds(200, [](Random& random) {
    std::string bytes(random.below(40), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.next());
    for (const Encoding encoding : {Encoding::latin1, Encoding::hex, Encoding::base64,
                                    Encoding::base64url}) {
      EXPECT_EQ(hex(to_bytes(decoded(encoding, {bytes}), encoding)), hex(bytes));
    }
  });
}

// ---- To text ----

struct Decoded {
  Encoding encoding;
  std::string_view bytes;  // in hex
  std::string_view text;   // in hex
};

constexpr Decoded kDecoded[] = {
    {Encoding::utf8, "", ""},
    {Encoding::utf8, "616263", "616263"},
    {Encoding::utf8, "00417f", "00417f"},
    {Encoding::utf8, "c3a9", "c3a9"},
    {Encoding::utf8, "e282ac", "e282ac"},
    {Encoding::utf8, "f09f9880", "f09f9880"},
    {Encoding::utf8, "ed95903ced959cea8080", "ed95903ced959cea8080"},
    {Encoding::utf8, "efbbbf61", "efbbbf61"},
    {Encoding::utf8, "80", "efbfbd"},
    {Encoding::utf8, "c0af", "efbfbdefbfbd"},
    {Encoding::utf8, "c2", "efbfbd"},
    {Encoding::utf8, "e282", "efbfbd"},
    {Encoding::utf8, "f09f98", "efbfbd"},
    {Encoding::utf8, "e0", "efbfbd"},
    {Encoding::utf8, "e080", "efbfbdefbfbd"},
    {Encoding::utf8, "e08080", "efbfbdefbfbdefbfbd"},
    {Encoding::utf8, "eda080", "efbfbdefbfbdefbfbd"},
    {Encoding::utf8, "f08080", "efbfbdefbfbdefbfbd"},
    {Encoding::utf8, "f0908041", "efbfbd41"},
    {Encoding::utf8, "f48fbfbf", "f48fbfbf"},
    {Encoding::utf8, "f4908080", "efbfbdefbfbdefbfbdefbfbd"},
    {Encoding::utf8, "f5", "efbfbd"},
    {Encoding::utf8, "ff", "efbfbd"},
    {Encoding::utf8, "c3c3a9", "efbfbdc3a9"},
    {Encoding::utf8, "e28241", "efbfbd41"},
    {Encoding::utf8, "f09f98c3a9", "efbfbdc3a9"},
    {Encoding::utf8, "e2e282ac", "efbfbde282ac"},
    {Encoding::utf8, "f09f9880f09f", "f09f9880efbfbd"},
    {Encoding::utf8, "efbfbd", "efbfbd"},
    {Encoding::utf8, "6162636465666768c3a96162636465666768ff",
     "6162636465666768c3a96162636465666768efbfbd"},
    {Encoding::latin1, "00417f80a0e9ff", "00417fc280c2a0c3a9c3bf"},
    {Encoding::ascii, "00417f80c1e9ff", "00417f0041697f"},
    {Encoding::hex, "", ""},
    {Encoding::hex, "00ff0aa0", "3030666630616130"},
    {Encoding::base64, "", ""},
    {Encoding::base64, "61", "59513d3d"},
    {Encoding::base64, "6162", "5957493d"},
    {Encoding::base64, "616263", "59574a6a"},
    {Encoding::base64, "61626364", "59574a6a5a413d3d"},
    {Encoding::base64, "fbffbffbff", "2b2f2b2f2b2f383d"},
    {Encoding::base64url, "61", "5951"},
    {Encoding::base64url, "6162", "595749"},
    {Encoding::base64url, "616263", "59574a6a"},
    {Encoding::base64url, "fbffbffbff", "2d5f2d5f2d5f38"},
    {Encoding::utf16le, "", ""},
    {Encoding::utf16le, "41", ""},
    {Encoding::utf16le, "4100", "41"},
    {Encoding::utf16le, "e900ac20", "c3a9e282ac"},
    {Encoding::utf16le, "3dd800de", "f09f9880"},
    {Encoding::utf16le, "3dd8", "efbfbd"},
    {Encoding::utf16le, "3dd841", "efbfbd"},
    {Encoding::utf16le, "3dd800", "efbfbd"},
    {Encoding::utf16le, "3dd84100", "efbfbd41"},
    {Encoding::utf16le, "3dd83dd800de", "efbfbdf09f9880"},
    {Encoding::utf16le, "3dd83dda00de", "efbfbdf29f9880"},
    {Encoding::utf16le, "00de", "efbfbd"},
    {Encoding::utf16le, "00de3dd8", "efbfbdefbfbd"},
    {Encoding::utf16le, "004100d8ffff", "e48480efbfbdefbfbf"},
    {Encoding::utf16le, "fffe4100", "efbbbf41"},
    {Encoding::utf16le, "ffdbffdf", "f48fbfbf"},
};

TEST(TextDecoder, GivesWhatStringDecoderGivesWhereverTheBytesAreCut) {
  for (const Decoded& wanted : kDecoded) {
    SCOPED_TRACE(std::to_string(static_cast<int>(wanted.encoding)) + " " +
                 std::string(wanted.bytes));
    const std::string memory = unhex(wanted.bytes);
    const std::string_view bytes = memory;
    EXPECT_EQ(hex(decoded(wanted.encoding, {bytes})), wanted.text);
    EXPECT_EQ(hex(decoded(wanted.encoding, single_bytes(bytes))), wanted.text);
    for (std::size_t i = 0; i <= bytes.size(); ++i) {
      for (std::size_t j = i; j <= bytes.size(); ++j) {
        EXPECT_EQ(hex(decoded(wanted.encoding, {bytes.substr(0, i), bytes.substr(i, j - i),
                                                bytes.substr(j)})),
                  wanted.text)
            << i << " " << j;
      }
    }
  }
}

// What each byte brings out, and the end: "" where it is held back.
struct Stepwise {
  Encoding encoding;
  std::string_view bytes;  // in hex
  std::vector<std::string_view> texts;
};

TEST(TextDecoder, HoldsBackWhatIsIncompleteAndNothingElse) {
  const Stepwise kCases[] = {
      {Encoding::utf8, "ed959c61", {"", "", "한", "a", ""}},
      {Encoding::utf8, "f09f8e89", {"", "", "", "🎉", ""}},
      {Encoding::utf8, "c3a9c3", {"", "é", "", "\ufffd"}},
      {Encoding::utf8, "e28261", {"", "", "\ufffda", ""}},
      {Encoding::utf8, "f09f98", {"", "", "", "\ufffd"}},
      {Encoding::utf8, "e080", {"", "\ufffd\ufffd", ""}},
      {Encoding::utf8, "c2c2a9", {"", "\ufffd", "©", ""}},
      {Encoding::utf8, "ff61", {"\ufffd", "a", ""}},
      {Encoding::utf16le, "41003dd800de", {"", "A", "", "", "", "😀", ""}},
      {Encoding::utf16le, "3dd84100", {"", "", "", "\ufffdA", ""}},
      {Encoding::utf16le, "3dd83dd8", {"", "", "", "\ufffd", "\ufffd"}},
      {Encoding::utf16le, "3dd800", {"", "", "", "\ufffd"}},
      {Encoding::base64, "61626364", {"", "", "YWJj", "", "ZA=="}},
      {Encoding::base64url, "61626364", {"", "", "YWJj", "", "ZA"}},
      {Encoding::hex, "0aff", {"0a", "ff", ""}},
      {Encoding::latin1, "61e9", {"a", "é", ""}},
      {Encoding::ascii, "61e1", {"a", "a", ""}},
  };
  for (const Stepwise& wanted : kCases) {
    SCOPED_TRACE(wanted.bytes);
    const std::string bytes = unhex(wanted.bytes);
    TextDecoder decoder(wanted.encoding);
    EXPECT_EQ(decoder.encoding(), wanted.encoding);
    ASSERT_EQ(wanted.texts.size(), bytes.size() + 1);
    for (std::size_t i = 0; i <= bytes.size(); ++i) {
      std::string text;
      if (i < bytes.size()) {
        decoder.decode(std::string_view(bytes).substr(i, 1), text);
      } else {
        decoder.finish(text);
      }
      EXPECT_EQ(text, wanted.texts[i]) << i;
    }
  }
}

TEST(TextDecoder, AppendsAndIsAsNewAfterTheEnd) {
  for (const Encoding encoding : kEncodings) {
    TextDecoder decoder(encoding);
    std::string text = "before ";
    decoder.decode("\xf0\x9f", text);
    decoder.finish(text);
    EXPECT_TRUE(text.starts_with("before ")) << text;
    const std::string first = text;
    decoder.finish(text);
    decoder.decode("", text);
    EXPECT_EQ(text, first);
    std::string again = "before ";
    decoder.decode("\xf0\x9f", again);
    decoder.finish(again);
    EXPECT_EQ(again, first);
  }
}

// Bytes that are often near a border of some encoding.
std::string random_bytes(Random& random) {
  constexpr std::string_view kPieces[] = {
      "a"sv,        "\xc3\xa9"sv, "\xe2\x82\xac"sv, "\xf0\x9f\x98\x80"sv, "\xed\xa0"sv,
      "\xe0\x80"sv, "\xf4\x90"sv, "\x3d\xd8"sv,     "\x00\xde"sv,         "\xef\xbb\xbf"sv,
      "\xf0\x90"sv, "\x80"sv,     "\xff"sv,         "abcdefghijk"sv,      "\xd8"sv};
  std::string bytes;
  for (std::uint64_t left = random.below(12); left > 0; --left) {
    if (random.once_in(4)) {
      bytes += static_cast<char>(random.next());
    } else {
      bytes += kPieces[random.below(std::size(kPieces))];
    }
  }
  return bytes;
}

TEST(TextDecoder, PiecesAddUpToTheWholeAndEachOfThemIsValid) {
  for_seeds(500, [](Random& random) {
    const std::string memory = random_bytes(random);
    const std::string_view bytes = memory;
    for (const Encoding encoding : kEncodings) {
      SCOPED_TRACE(static_cast<int>(encoding));
      const std::string whole = decoded(encoding, {bytes});
      EXPECT_LE(whole.size(), 3 * bytes.size() + 1);
      EXPECT_EQ(hex(decoded(encoding, single_bytes(bytes))), hex(whole));
      TextDecoder decoder(encoding);
      std::string joined;
      for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t size = 1 + random.below(5);
        std::string text;
        decoder.decode(bytes.substr(at, size), text);
        EXPECT_TRUE(TextDecoder(Encoding::utf8).passes_through(text)) << hex(text);
        joined += text;
        at += size;
      }
      decoder.finish(joined);
      EXPECT_EQ(hex(joined), hex(whole));
    }
  });
}

// ---- Passing through ----

TEST(TextDecoder, ValidUtf8PassesThrough) {
  const TextDecoder decoder(Encoding::utf8);
  for (const std::string_view valid :
       {""sv, "a"sv, "\0"sv, "\x7f"sv, "abcdefgh"sv, "abcdefghi"sv, "é"sv, "€"sv, "😀"sv,
        "abcdefg€abcdefghijklmnop😀"sv, "\ufeff"sv, "\ufffd"sv, "\ud7ff\ue000\U0010ffff"sv}) {
    EXPECT_TRUE(decoder.passes_through(valid)) << valid;
  }
}

TEST(TextDecoder, InvalidAndCutUtf8DoesNotPassThrough) {
  const TextDecoder decoder(Encoding::utf8);
  for (const std::string_view bad :
       {"\x80"sv, "\xff"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xe0\x9f\xbf"sv, "\xed\xa0\x80"sv,
        "\xf0\x8f\xbf\xbf"sv, "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xc3"sv, "\xe2\x82"sv,
        "\xf0\x9f\x98"sv, "\xe2\x41\x41"sv, "a\xe2\x82"sv}) {
    EXPECT_FALSE(decoder.passes_through(bad)) << hex(bad);
    // At every place in and beside a word of eight.
    for (std::size_t before = 0; before <= 17; ++before) {
      EXPECT_FALSE(decoder.passes_through(std::string(before, 'a') + std::string(bad))) << before;
      EXPECT_FALSE(decoder.passes_through(std::string(before, 'a') + std::string(bad) +
                                          "abcdefghijklmnop"))
          << before;
    }
  }
}

TEST(TextDecoder, NothingPassesWhileSomethingIsHeldBack) {
  TextDecoder decoder(Encoding::utf8);
  std::string text;
  decoder.decode("\xe2\x82", text);
  EXPECT_FALSE(decoder.passes_through("a"));
  EXPECT_FALSE(decoder.passes_through(""));
  EXPECT_FALSE(decoder.passes_through("\xac"));
  decoder.decode("\xac", text);
  EXPECT_TRUE(decoder.passes_through("a"));
  EXPECT_EQ(text, "€");
}

TEST(TextDecoder, OnlyUtf8PassesThrough) {
  for (const Encoding encoding : kEncodings) {
    EXPECT_EQ(TextDecoder(encoding).passes_through("a"), encoding == Encoding::utf8);
  }
}

TEST(TextDecoder, PassesThroughExactlyWhatDecodingDoesNotChange) {
  for_seeds(2000, [](Random& random) {
    const std::string bytes = random_bytes(random);
    TextDecoder decoder(Encoding::utf8);
    const bool passes = decoder.passes_through(bytes);
    std::string text;
    decoder.decode(bytes, text);
    EXPECT_EQ(passes, text == bytes) << hex(bytes);
  });
}

}  // namespace
}  // namespace weir::test
