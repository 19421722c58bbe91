// Text and bytes: what a socket delivers after set_encoding(), and what it writes from text. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/reactor/error.h"

namespace weir::inline v1::net {

enum class Encoding : std::uint8_t { utf8, latin1, ascii, hex, base64, base64url, utf16le };

// Node's names, in any case: utf8, utf-8, latin1, binary, ascii, hex, base64, base64url, utf16le,
// utf-16le, ucs2, ucs-2. Any other one is Mistake::unknown_encoding.
Expected<Encoding> parse_encoding(std::string_view name);

// The bytes that `text`, which is UTF-8, stands for: Node's Buffer.from(text, encoding). No errors:
//   utf8           the text as it is, valid or not
//   latin1, ascii  the low byte of each UTF-16 unit; invalid UTF-8 counts as U+FFFD
//   utf16le        the units; invalid UTF-8 as above
//   hex            up to the first pair that is not two digits
//   base64(url)    up to the first '='; either alphabet, all other characters are passed over
// One deviation: beyond ASCII Node takes the low byte of a unit for a digit or '='; here such a
// character is neither.
std::string to_bytes(std::string_view text, Encoding encoding);

// Bytes in, in pieces that end anywhere; text out, as UTF-8 that never ends within a character.
// All pieces together give what Node's string_decoder gives: U+FFFD for invalid UTF-8, one for each
// maximal subpart (WHATWG), and for a lone surrogate; a byte order mark stays; ascii drops bit 7;
// base64 comes in groups of three bytes, padded at the end only. What is invalid comes out as soon
// as it is known to be, where Node may keep it until the next piece.
//
// One thread. Bounds: at most 3 bytes are held back between two calls; the whole text has at most
// three bytes for each byte in, and one more for padding. No errors: all bytes are some text.
class TextDecoder {
 public:
  explicit TextDecoder(Encoding encoding) noexcept : encoding_(encoding) {}

  Encoding encoding() const noexcept { return encoding_; }

  // Appends what is complete with `bytes` to `text` and holds the rest back.
  void decode(std::string_view bytes, std::string& text);
  // The bytes have ended: appends what stands for those held back, and is as new. Half a unit of
  // utf16le stands for nothing, as in Node.
  void finish(std::string& text);
  // True when decode() would append exactly `bytes` and hold nothing back, so that they may be
  // delivered where they are, without a copy. Never for another encoding than utf8.
  bool passes_through(std::string_view bytes) const noexcept;

  // The bytes that wait for the rest of their character.
  std::string_view held() const noexcept { return {held_, held_size_}; }

 private:
  void hold(char byte) noexcept { held_[held_size_++] = byte; }
  void decode_utf8(std::string_view bytes, std::string& text);
  void add_to_utf16(char byte, std::string& text);
  void add_to_base64(char byte, std::string& text);

  Encoding encoding_;
  std::uint8_t held_size_ = 0;  // 4 only within a call
  char held_[4] = {};
};

}  // namespace weir::inline v1::net
