// Conditional requests (RFC 9110, section 13) for a representation that exists. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/field.h"

namespace weir::inline v1::http {

// Of the representation that would be sent.
struct Validators {
  std::string_view etag;      // as it is sent: "x" or W/"x"
  std::int64_t modified = 0;  // Last-Modified: seconds since 1970-01-01T00:00:00Z
};

enum class Precondition : std::uint8_t {
  holds,         // the request is to be carried out
  not_modified,  // 304
  failed,        // 412
};

// The fields of a GET or HEAD request, in the order of RFC 9110, section 13.2.2, without If-Range.
// Dates that are none are ignored. `now`: see parse_date().
Precondition check_preconditions(std::span<const Field> fields, const Validators& validators,
                                 std::int64_t now) noexcept;

// Whether Range counts, of a request with this If-Range: only what is a strong validator of the
// same bytes does (RFC 9110, section 13.1.5). `now`: also the time of day, which tells whether a
// date is old enough for that.
bool if_range_holds(std::string_view value, const Validators& validators,
                    std::int64_t now) noexcept;

}  // namespace weir::inline v1::http
