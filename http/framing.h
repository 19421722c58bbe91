// How long the body of a request is (RFC 9112, section 6). The one place that decides it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/parse_error.h"

namespace weir::inline v1::http {

struct Framing {
  enum class Kind : std::uint8_t { none, length, chunked, error };
  Kind kind = Kind::none;
  ParseError error = ParseError::none;  // for Kind::error
  std::uint64_t length = 0;             // for Kind::length
};

// Two readers of one message must never see two messages, so there is one way to say each length:
//
//   neither field                           none
//   one Content-Length, digits              length
//   one Transfer-Encoding: chunked          chunked, in HTTP/1.1
//
// Refused with 400, although a grammar or an older RFC has them: both fields, a field twice even
// with the same value, lists of lengths, signs, leading zeros (octal to some), empty list elements,
// chunked twice or not last, codings in HTTP/1.0, and the names Content_Length and
// Transfer_Encoding, which gateways turn into the real ones. Codings before chunked get a 501.
Framing request_framing(int version_minor, std::span<const Field> fields) noexcept;

// Decimal digits that do not overflow, as above.
bool parse_content_length(std::string_view text, std::uint64_t& length) noexcept;

// Content_Length or the like: a field name that only a hyphen tells from one of framing.
bool looks_like_framing(std::string_view name) noexcept;

}  // namespace weir::inline v1::http
