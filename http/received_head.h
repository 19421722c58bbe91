// The head of a response, parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "weir/http/body_framing.h"
#include "weir/http/field.h"

namespace weir::inline v1::http {

// Views of the input that had the whole head in it, or else of the parser's own copy. They are good
// until that input is released, or the parser is reset or asked for the next message.
struct ReceivedHead {
  int status = 0;                 // 100..999
  std::string_view reason;        // as sent; may be empty
  int version_minor = 1;          // of HTTP/1
  std::span<const Field> fields;  // in order
  BodyFraming framing;
  // The server lets the connection be used again: HTTP/1.1 without a close, and a body that ends
  // before the connection does. Of a tunnel (101, CONNECT) it says nothing.
  bool keep_alive = true;
  // Upgrade names a protocol and Connection says so, in HTTP/1.1.
  bool has_upgrade = false;
  // Keep-Alive's timeout, where it is a plain number that fits; the first one.
  std::optional<std::uint32_t> keep_alive_seconds;

  // Another head follows for the same request. 101 is the last one that is HTTP.
  bool is_interim() const noexcept { return status / 100 == 1 && status != 101; }
};

}  // namespace weir::inline v1::http
