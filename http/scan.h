// Where a run of bytes of one class ends. Everything that the parsers look at byte by byte goes
// through here.
#pragma once

#include <cstddef>
#include <string_view>

namespace weir::inline v1::http::scan {

// Each returns the offset of the first byte at or behind `from` that ends the run, or the size of
// `text` when none does. Precondition: from <= text.size(). Nothing beyond `text` is read.

// Ends at a control byte: 0x00-0x1f except HTAB, and 0x7f. What is before it may stand in a field
// value (RFC 9110, section 5.5), with 0x80-0xff as bytes without meaning.
std::size_t control(std::string_view text, std::size_t from = 0) noexcept;
// Ends at what is no tchar (RFC 9110, section 5.6.2).
std::size_t token(std::string_view text, std::size_t from = 0) noexcept;
// Ends at what may not stand in a request target: controls, blank, 0x7f-0xff, and " # < >. RFC 3986
// has no place for \ ^ ` { | } either, but browsers send those in queries as they are.
std::size_t target(std::string_view text, std::size_t from = 0) noexcept;
// Ends there, and at what has to be looked at in a target: ? % \.
std::size_t plain_target(std::string_view text, std::size_t from = 0) noexcept;

bool is_token_byte(char byte) noexcept;

// The same, one byte at a time: what other processors than x86-64 run, and what the tests compare
// the vector versions with.
namespace scalar {
std::size_t control(std::string_view text, std::size_t from = 0) noexcept;
std::size_t token(std::string_view text, std::size_t from = 0) noexcept;
std::size_t target(std::string_view text, std::size_t from = 0) noexcept;
std::size_t plain_target(std::string_view text, std::size_t from = 0) noexcept;
}  // namespace scalar

}  // namespace weir::inline v1::http::scan
