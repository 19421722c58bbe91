// How the end of a body is marked (RFC 9112, section 6).
#pragma once

#include <cstdint>

namespace weir::inline v1::http {

struct BodyFraming {
  enum class Kind : std::uint8_t { none, length, chunked, until_close };
  Kind kind = Kind::none;
  std::uint64_t length = 0;  // for Kind::length
};

}  // namespace weir::inline v1::http
