// Which of two representations a client would rather have (RFC 9110, section 12.5.1). Pure.
#pragma once

#include <span>
#include <string_view>

namespace weir::inline v1::http {

// How much a client wants a media type, 0 to 1000: the q of the most specific range in its Accept
// lines that matches "type/subtype" (lower case). Parameters of a range other than q are not looked
// at. Without any range 1000; 0 where none matches, and for a range whose q is wrong.
int quality_of(std::string_view media_type, std::span<const std::string_view> accept) noexcept;

// It asks for HTML, and for plain text less: a browser does, curl's */* does not.
bool prefers_html(std::span<const std::string_view> accept) noexcept;

}  // namespace weir::inline v1::http
