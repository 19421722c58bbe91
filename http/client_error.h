// What a client did wrong, for 'client_error'.
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/http/parse_error.h"

namespace weir::inline v1::http {

// All views are good for the duration of the listener.
struct ClientError {
  int status = 400;        // of the answer that it would get
  std::string_view code;   // HPE_..., ERR_HTTP_REQUEST_TIMEOUT, ECONNRESET, ...
  std::string_view text;   // one line for people
  ParseError parse_error = ParseError::none;  // when the parser found it
  std::uint64_t bytes_parsed = 0;  // of the message that is wrong, which were good
  std::string_view packet = {};    // of the last receive, from where the wrong message begins
};

}  // namespace weir::inline v1::http
