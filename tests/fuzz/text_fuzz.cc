// Any bytes as text, cut anywhere: Utf8Checker and TextDecoder say the same, and what plain
// functions, written down here a second time from the definition of UTF-8 and UTF-16, say. What is
// decoded is UTF-8, and encodes to the bytes that it came from.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/cut.h"
#include "tests/http_trace.h"
#include "weir/http/field_value.h"
#include "weir/http/websocket/utf8.h"
#include "weir/net/encoding.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using http::websocket::Utf8Checker;
using net::Encoding;

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

unsigned byte_of(char c) { return static_cast<unsigned char>(c); }

// ---- UTF-8 by its definition ----

// How many bytes of `text` are the beginning of some character: by trying which code points the
// bits that are missing may still make of it. `whole` says that none are.
std::size_t beginning(std::string_view text, bool& whole) {
  whole = false;
  const unsigned lead = byte_of(text[0]);
  std::size_t size = 1;
  std::uint32_t least = 0;  // that needs so many bytes
  std::uint32_t bits = lead;
  if (lead >= 0x80) {
    if (lead >> 5 == 6) {
      size = 2, least = 0x80, bits = lead & 0x1f;
    } else if (lead >> 4 == 14) {
      size = 3, least = 0x800, bits = lead & 0x0f;
    } else if (lead >> 3 == 30) {
      size = 4, least = 0x10000, bits = lead & 0x07;
    } else {
      return 0;
    }
  }
  for (std::size_t got = 1;; ++got) {
    const auto missing = static_cast<unsigned>(6 * (size - got));
    const std::uint32_t low = bits << missing;
    const std::uint32_t high = low | ((1U << missing) - 1);
    const bool only_surrogates = low >= 0xd800 && high <= 0xdfff;
    if (high < least || low > 0x10ffff || only_surrogates) return got - 1;
    whole = got == size;
    if (whole || got == text.size() || byte_of(text[got]) >> 6 != 2) return got;
    bits = bits << 6 | (byte_of(text[got]) & 0x3f);
  }
}

// With U+FFFD for each maximal subpart of what is no character. `good` is the number of bytes up to
// the one that makes it impossible to be UTF-8, `complete` that there is none and nothing missing.
std::string read_utf8(std::string_view text, std::size_t& good, bool& complete) {
  std::string result;
  good = text.size();
  complete = true;
  for (std::size_t at = 0; at < text.size();) {
    bool whole = false;
    const std::size_t size = beginning(text.substr(at), whole);
    result += whole ? text.substr(at, size) : kReplacement;
    if (!whole && complete) {
      complete = false;
      // The text may also have ended within the character.
      if (at + size < text.size()) good = at + size;
    }
    at += size == 0 ? 1 : size;
  }
  return result;
}

void try_checker(std::string_view text, const Pieces& pieces) {
  std::size_t good = 0;
  bool complete = false;
  read_utf8(text, good, complete);
  WEIR_ASSERT(http::websocket::is_utf8(text) == complete);
  Utf8Checker checker;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const ExactBytes byte(text.substr(i, 1));
    WEIR_ASSERT(checker.add(byte.view()) == (i < good));
  }
  WEIR_ASSERT(checker.is_complete() == complete);
  checker.reset();
  WEIR_ASSERT(checker.is_complete() && checker.add_ascii());
  std::size_t at = 0;
  for (const std::string_view piece : pieces) {
    const ExactBytes bytes(piece);
    at += piece.size();
    WEIR_ASSERT(checker.add(bytes.view()) == (at <= good));
  }
  WEIR_ASSERT(checker.is_complete() == complete);
  WEIR_ASSERT(checker.add_ascii() == complete);
  const std::size_t run = http::websocket::ascii_run(text);
  WEIR_ASSERT(run == http::websocket::scalar::ascii_run(text));
  for (std::size_t i = 0; i < run; ++i) WEIR_ASSERT(byte_of(text[i]) < 0x80);
  WEIR_ASSERT(run == text.size() || byte_of(text[run]) >= 0x80);
}

// ---- Decoding ----

void append_character(std::uint32_t code_point, std::string& text) {
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
    return;
  }
  const int more = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  const unsigned lead = more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0;
  text += static_cast<char>(lead | code_point >> 6 * more);
  for (int i = more - 1; i >= 0; --i) {
    text += static_cast<char>(0x80 | (code_point >> 6 * i & 0x3f));
  }
}

std::string read_utf16(std::string_view bytes) {
  std::vector<std::uint32_t> units;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    units.push_back(byte_of(bytes[i]) | byte_of(bytes[i + 1]) << 8);
  }
  std::string text;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const bool high = units[i] >= 0xd800 && units[i] < 0xdc00;
    const bool low = units[i] >= 0xdc00 && units[i] < 0xe000;
    if (high && i + 1 < units.size() && units[i + 1] >= 0xdc00 && units[i + 1] < 0xe000) {
      append_character(0x10000 + (units[i] - 0xd800) * 0x400 + (units[i + 1] - 0xdc00), text);
      ++i;
    } else if (high || low) {
      text += kReplacement;
    } else {
      append_character(units[i], text);
    }
  }
  return text;
}

std::string read_base64(std::string_view bytes, bool url) {
  std::string bits;
  for (const char c : bytes) {
    for (int bit = 7; bit >= 0; --bit) bits += (byte_of(c) >> bit & 1) != 0 ? '1' : '0';
  }
  while (bits.size() % 6 != 0) bits += '0';
  std::string text;
  for (std::size_t at = 0; at < bits.size(); at += 6) {
    const int value = std::stoi(bits.substr(at, 6), nullptr, 2);
    const int first = value < 26 ? 'A' : value < 52 ? 'a' - 26 : '0' - 52;
    const char last[] = {url ? '-' : '+', url ? '_' : '/'};
    text += value < 62 ? static_cast<char>(first + value) : last[value - 62];
  }
  while (!url && text.size() % 4 != 0) text += '=';
  return text;
}

std::string read_plainly(std::string_view bytes, Encoding encoding) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::size_t good = 0;
  bool complete = false;
  if (encoding == Encoding::utf8) return read_utf8(bytes, good, complete);
  if (encoding == Encoding::utf16le) return read_utf16(bytes);
  if (encoding == Encoding::base64) return read_base64(bytes, false);
  if (encoding == Encoding::base64url) return read_base64(bytes, true);
  std::string text;
  for (const char c : bytes) {
    if (encoding == Encoding::latin1) append_character(byte_of(c), text);
    if (encoding == Encoding::ascii) text += static_cast<char>(byte_of(c) % 128);
    if (encoding == Encoding::hex) {
      text += kDigits[byte_of(c) / 16];
      text += kDigits[byte_of(c) % 16];
    }
  }
  return text;
}

std::string decode(const Pieces& pieces, Encoding encoding) {
  net::TextDecoder decoder(encoding);
  std::string text;
  for (const std::string_view piece : pieces) {
    const ExactBytes bytes(piece);
    const std::size_t before = text.size();
    const bool passes = decoder.passes_through(bytes.view());
    decoder.decode(bytes.view(), text);
    WEIR_ASSERT(decoder.held().size() <= 3);
    WEIR_ASSERT(http::websocket::is_utf8(text));
    if (passes) WEIR_ASSERT(text.substr(before) == piece && decoder.held().empty());
  }
  decoder.finish(text);
  WEIR_ASSERT(decoder.held().empty() && http::websocket::is_utf8(text));
  return text;
}

// ---- And back ----

// UTF-16 of a text in UTF-8 that may have anything else in it.
std::string write_utf16(std::string_view text) {
  std::size_t good = 0;
  bool complete = false;
  const std::string valid = read_utf8(text, good, complete);
  std::string bytes;
  const auto put = [&](std::uint32_t unit) {
    bytes += static_cast<char>(unit % 256);
    bytes += static_cast<char>(unit / 256);
  };
  for (std::size_t at = 0; at < valid.size();) {
    bool whole = false;
    const std::size_t size = beginning(std::string_view(valid).substr(at), whole);
    std::uint32_t point = size == 1 ? byte_of(valid[at]) : byte_of(valid[at]) & (0x7fU >> size);
    for (std::size_t i = 1; i < size; ++i) point = point * 64 + byte_of(valid[at + i]) % 64;
    if (point >= 0x10000) {
      put(0xd800 + (point - 0x10000) / 0x400);
      put(0xdc00 + (point - 0x10000) % 0x400);
    } else {
      put(point);
    }
    at += size;
  }
  return bytes;
}

void try_encoding(std::string_view text) {
  const std::string units = write_utf16(text);
  WEIR_ASSERT(net::to_bytes(text, Encoding::utf16le) == units);
  std::string low_bytes;
  for (std::size_t i = 0; i < units.size(); i += 2) low_bytes += units[i];
  WEIR_ASSERT(net::to_bytes(text, Encoding::latin1) == low_bytes);
  WEIR_ASSERT(net::to_bytes(text, Encoding::ascii) == low_bytes);
  WEIR_ASSERT(net::to_bytes(text, Encoding::utf8) == text);
  // What these took for digits they write again; the bits of an incomplete byte are lost.
  const std::string from_hex = net::to_bytes(text, Encoding::hex);
  WEIR_ASSERT(http::equals_lower(text.substr(0, 2 * from_hex.size()),
                                 read_plainly(from_hex, Encoding::hex)));
  std::string digits;
  for (const char c : text.substr(0, text.find('='))) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter) digits += c;
    if (c == '+' || c == '-') digits += '-';
    if (c == '/' || c == '_') digits += '_';
  }
  const std::string from_base64 = net::to_bytes(text, Encoding::base64);
  WEIR_ASSERT(net::to_bytes(text, Encoding::base64url) == from_base64);
  WEIR_ASSERT(from_base64.size() == digits.size() * 6 / 8);
  const std::size_t exact = from_base64.size() * 8 / 6;
  WEIR_ASSERT(read_base64(from_base64, true).substr(0, exact) == digits.substr(0, exact));
}

void try_bytes(std::string_view bytes) {
  const Cuts cuts(bytes);
  const std::string_view input = cuts.input();
  const Pieces pieces = cuts.pieces();
  try_checker(input, pieces);
  try_encoding(input);
  for (const auto encoding :
       {Encoding::utf8, Encoding::latin1, Encoding::ascii, Encoding::hex, Encoding::base64,
        Encoding::base64url, Encoding::utf16le}) {
    const std::string text = read_plainly(input, encoding);
    WEIR_ASSERT(decode({input}, encoding) == text);
    WEIR_ASSERT(decode(pieces, encoding) == text);
    WEIR_ASSERT(decode(split_in_bytes(input), encoding) == text);
    const bool exact = encoding == Encoding::latin1 || encoding == Encoding::hex ||
                       encoding == Encoding::base64 || encoding == Encoding::base64url;
    if (exact) WEIR_ASSERT(net::to_bytes(text, encoding) == input);
  }
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
