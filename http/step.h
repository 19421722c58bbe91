// What one call of a parser found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/parse_error.h"

namespace weir::inline v1::http {

struct Step {
  enum class Kind : std::uint8_t {
    need_more,  // all of the input is consumed and nothing else is known yet
    head,       // a head is complete; a body or `end` follows
    body,       // a piece of the body, never empty
    end,        // the message is complete
    error,      // and every step from here on is this one
  };
  Kind kind = Kind::need_more;
  // How much of the input is done with. The next call gets what is behind it.
  std::size_t consumed = 0;
  std::string_view body = {};  // for Kind::body: a view of the input
};

struct ParseFailure {
  ParseError error = ParseError::none;
  // Bytes of the message that were good: up to the line that is wrong, within a chunked body up to
  // the byte. The same however the input was cut.
  std::uint64_t offset = 0;
};

}  // namespace weir::inline v1::http
