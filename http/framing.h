// How long a received body is (RFC 9112, section 6). The one place that decides it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/body_framing.h"
#include "weir/http/field.h"
#include "weir/http/parse_error.h"

namespace weir::inline v1::http {

// What the fields say.
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
// Refused, in a request with 400, although a grammar or an older RFC has them: both fields, a field
// twice even with the same value, lists of lengths, signs, leading zeros (octal to some), empty
// list elements, chunked twice or not last, codings in HTTP/1.0, and the names Content_Length and
// Transfer_Encoding, which gateways turn into the real ones. Codings before chunked get a 501.
// Responses are read alike, though RFC 9112 would have one end with its connection when its last
// coding is another: nobody here decodes that.
Framing message_framing(int version_minor, std::span<const Field> fields) noexcept;

// That of a request. Precondition: no error.
constexpr BodyFraming body_framing(const Framing& said) noexcept {
  switch (said.kind) {
    case Framing::Kind::length:
      return {.kind = BodyFraming::Kind::length, .length = said.length};
    case Framing::Kind::chunked:
      return {.kind = BodyFraming::Kind::chunked};
    default:
      return {};
  }
}

// The method of the request, as far as the length of its response depends on it.
enum class Answers : std::uint8_t { head, connect, other };

// That of a response (RFC 9112, section 6.3), by the first line that fits. Precondition: no error.
//
//     to HEAD; 1xx, 204, 304; 2xx to CONNECT   none, whatever the fields say
//     the fields say it                        that
//     all else                                 until close
BodyFraming response_framing(const Framing& said, int status, Answers answers) noexcept;

// Decimal digits that do not overflow, as above.
bool parse_content_length(std::string_view text, std::uint64_t& length) noexcept;

// Content_Length or the like: a field name that only a hyphen tells from one of framing.
bool looks_like_framing(std::string_view name) noexcept;

}  // namespace weir::inline v1::http
