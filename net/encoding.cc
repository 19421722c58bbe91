#include "weir/net/encoding.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace weir::inline v1::net {
namespace {

constexpr char32_t kReplacement = 0xfffd;
constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::uint32_t byte_of(char c) noexcept { return static_cast<unsigned char>(c); }
constexpr bool is_high_surrogate(char32_t unit) noexcept { return (unit & 0xfc00) == 0xd800; }
constexpr bool is_low_surrogate(char32_t unit) noexcept { return (unit & 0xfc00) == 0xdc00; }

// ---- UTF-8 ----

// What some bytes begin with: a character, a maximal subpart that is none (and so U+FFFD), or the
// start of a character whose end is missing.
struct Sequence {
  enum class Kind : std::uint8_t { character, invalid, cut };
  Kind kind;
  std::size_t size;
  char32_t code_point;
};

// Precondition: `bytes` is not empty.
Sequence first_sequence(std::string_view bytes) noexcept {
  using enum Sequence::Kind;
  const std::uint32_t lead = byte_of(bytes[0]);
  if (lead < 0x80) return {character, 1, lead};
  if (lead < 0xc2 || lead > 0xf4) return {invalid, 1, kReplacement};
  const std::size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte's borders leave out overlong forms, surrogates and what is above U+10FFFF.
  std::uint32_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  std::uint32_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  char32_t code_point = lead & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if (i == bytes.size()) return {cut, i, kReplacement};
    const std::uint32_t next = byte_of(bytes[i]);
    if (next < least || next > most) return {invalid, i, kReplacement};
    code_point = code_point << 6 | (next & 0x3f);
    least = 0x80;
    most = 0xbf;
  }
  return {character, size, code_point};
}

// How many bytes at the front are whole characters.
std::size_t whole_characters(std::string_view bytes) noexcept {
  constexpr std::uint64_t kHighBits = 0x8080808080808080;
  std::size_t at = 0;
  while (at < bytes.size()) {
    for (std::uint64_t word = 0; bytes.size() - at >= sizeof word; at += sizeof word) {
      std::memcpy(&word, bytes.data() + at, sizeof word);
      if ((word & kHighBits) != 0) break;
    }
    if (at == bytes.size()) break;
    const Sequence next = first_sequence(bytes.substr(at));
    if (next.kind != Sequence::Kind::character) break;
    at += next.size;
  }
  return at;
}

void append(char32_t code_point, std::string& text) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  const auto continued = [&](int shift) { put(0x80 | (code_point >> shift & 0x3f)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    continued(6);
  } else {
    put(0xf0 | code_point >> 18);
    continued(12);
    continued(6);
  }
  continued(0);
}

// Calls `call` with each UTF-16 unit of a text in UTF-8.
template <class Call>
void for_each_unit(std::string_view text, Call&& call) {
  while (!text.empty()) {
    const Sequence next = first_sequence(text);
    text.remove_prefix(next.size);
    if (next.code_point < 0x10000) {
      call(next.code_point);
    } else {
      call(0xd7c0 + (next.code_point >> 10));
      call(0xdc00 + (next.code_point & 0x3ff));
    }
  }
}

// ---- Hex and base64 ----

// 0..15, or -1.
int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// 0..63, or -1.
int base64_value(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

std::string from_hex(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (; text.size() >= 2; text.remove_prefix(2)) {
    const int high = hex_value(text[0]);
    const int low = hex_value(text[1]);
    if (high < 0 || low < 0) break;
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

std::string from_base64(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;  // what was shifted out of the low ones has been used
  int count = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const int value = base64_value(c);
    if (value < 0) continue;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

// Of at most three bytes.
void append_base64(std::string_view group, bool url, std::string& text) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    bits = bits << 8 | (i < group.size() ? byte_of(group[i]) : 0);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t digit = bits >> (18 - 6 * i) & 63;
    if (i <= group.size()) {
      text += (url ? kBase64Url : kBase64)[digit];
    } else if (!url) {
      text += '=';
    }
  }
}

// ---- UTF-16 ----

char32_t unit_of(const char* bytes) noexcept { return byte_of(bytes[0]) | byte_of(bytes[1]) << 8; }

}  // namespace

// ---- Names ----

Expected<Encoding> parse_encoding(std::string_view name) {
  struct Named {
    std::string_view name;
    Encoding encoding;
  };
  constexpr Named kNames[] = {
      {"utf8", Encoding::utf8},       {"utf-8", Encoding::utf8},
      {"latin1", Encoding::latin1},   {"binary", Encoding::latin1},
      {"ascii", Encoding::ascii},     {"hex", Encoding::hex},
      {"base64", Encoding::base64},   {"base64url", Encoding::base64url},
      {"utf16le", Encoding::utf16le}, {"utf-16le", Encoding::utf16le},
      {"ucs2", Encoding::utf16le},    {"ucs-2", Encoding::utf16le}};
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  };
  std::string detail = "\"" + std::string(name) + "\" is none of";
  for (const Named& named : kNames) {
    if (std::ranges::equal(name, named.name, {}, lower)) return named.encoding;
    detail.append(" ").append(named.name);
  }
  return failure({.code = Mistake::unknown_encoding, .address = {}, .detail = std::move(detail)});
}

// ---- To bytes ----

std::string to_bytes(std::string_view text, Encoding encoding) {
  std::string bytes;
  switch (encoding) {
    case Encoding::utf8:
      return std::string(text);
    case Encoding::hex:
      return from_hex(text);
    case Encoding::base64:
    case Encoding::base64url:
      return from_base64(text);
    case Encoding::latin1:
    case Encoding::ascii:
      for_each_unit(text, [&](char32_t unit) { bytes += static_cast<char>(unit & 0xff); });
      break;
    case Encoding::utf16le:
      for_each_unit(text, [&](char32_t unit) {
        bytes += static_cast<char>(unit & 0xff);
        bytes += static_cast<char>(unit >> 8);
      });
      break;
  }
  return bytes;
}

// ---- To text ----

void TextDecoder::decode(std::string_view bytes, std::string& text) {
  if (encoding_ == Encoding::utf8) return decode_utf8(bytes, text);
  for (const char byte : bytes) {
    switch (encoding_) {
      case Encoding::utf8:
        break;
      case Encoding::latin1:
        append(byte_of(byte), text);
        break;
      case Encoding::ascii:
        text += static_cast<char>(byte & 0x7f);
        break;
      case Encoding::hex:
        text += kHexDigits[byte_of(byte) >> 4];
        text += kHexDigits[byte_of(byte) & 15];
        break;
      case Encoding::base64:
      case Encoding::base64url:
        add_to_base64(byte, text);
        break;
      case Encoding::utf16le:
        add_to_utf16(byte, text);
        break;
    }
  }
}

void TextDecoder::decode_utf8(std::string_view bytes, std::string& text) {
  using enum Sequence::Kind;
  while (held_size_ != 0 && !bytes.empty()) {
    hold(bytes.front());
    const Sequence first = first_sequence(held());
    // What was held was good so far: when it is invalid now, it is so without this byte.
    if (first.kind != invalid) bytes.remove_prefix(1);
    if (first.kind == cut) continue;
    append(first.code_point, text);
    held_size_ = 0;
  }
  while (!bytes.empty()) {
    const std::size_t good = whole_characters(bytes);
    text.append(bytes.substr(0, good));
    bytes.remove_prefix(good);
    if (bytes.empty()) return;
    const Sequence bad = first_sequence(bytes);
    if (bad.kind == cut) {
      for (const char byte : bytes) hold(byte);
      return;
    }
    append(kReplacement, text);
    bytes.remove_prefix(bad.size);
  }
}

// Between two units nothing is held but a high surrogate.
void TextDecoder::add_to_utf16(char byte, std::string& text) {
  hold(byte);
  if (held_size_ % 2 != 0) return;
  const char32_t last = unit_of(held_ + held_size_ - 2);
  if (held_size_ == 4) {
    const char32_t high = unit_of(held_);
    held_size_ = 0;
    if (is_low_surrogate(last)) {
      return append(0x10000 + ((high & 0x3ff) << 10) + (last & 0x3ff), text);
    }
    append(kReplacement, text);
    hold(held_[2]);
    hold(held_[3]);
  }
  if (is_high_surrogate(last)) return;
  append(is_low_surrogate(last) ? kReplacement : last, text);
  held_size_ = 0;
}

void TextDecoder::add_to_base64(char byte, std::string& text) {
  hold(byte);
  if (held_size_ < 3) return;
  append_base64(held(), encoding_ == Encoding::base64url, text);
  held_size_ = 0;
}

void TextDecoder::finish(std::string& text) {
  const bool base64 = encoding_ == Encoding::base64 || encoding_ == Encoding::base64url;
  if (base64 && held_size_ != 0) {
    append_base64(held(), encoding_ == Encoding::base64url, text);
  } else if (held_size_ >= (encoding_ == Encoding::utf16le ? 2 : 1)) {
    append(kReplacement, text);
  }
  held_size_ = 0;
}

bool TextDecoder::passes_through(std::string_view bytes) const noexcept {
  return encoding_ == Encoding::utf8 && held_size_ == 0 &&
         whole_characters(bytes) == bytes.size();
}

}  // namespace weir::inline v1::net
