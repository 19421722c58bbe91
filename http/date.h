// Dates of HTTP (RFC 9110, section 5.6.7). Pure: the time comes from the caller.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::inline v1::http {

inline constexpr std::size_t kDateBytes = 29;  // "Sun, 06 Nov 1994 08:49:37 GMT"

// Seconds since 1970-01-01T00:00:00Z, without leap seconds. Years 0 to 9999; beyond them the first
// or the last second of those.
std::array<char, kDateBytes> format_date(std::int64_t seconds) noexcept;

// Any of the three formats, exactly, with the right day of the week; a leap second counts as the
// second before it. `now`, in the same seconds, decides the century of the format of RFC 850 with
// its two digits: at most 50 years ahead.
//
//     Sun, 06 Nov 1994 08:49:37 GMT   Sunday, 06-Nov-94 08:49:37 GMT   Sun Nov  6 08:49:37 1994
std::optional<std::int64_t> parse_date(std::string_view text, std::int64_t now) noexcept;

}  // namespace weir::inline v1::http
