// Reason phrases.
#pragma once

#include <string_view>

namespace weir::inline v1::http {

// "Not Found" for 404, "unknown" for what has no name. Of static storage duration.
std::string_view reason_phrase(int status) noexcept;

}  // namespace weir::inline v1::http
