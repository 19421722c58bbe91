// What a file is, by its name.
#pragma once

#include <string_view>

namespace weir::inline v1::http {

// For Content-Type, by what is behind the last dot, in any case; texts are UTF-8.
// application/octet-stream for what is not known. Of static storage duration.
std::string_view media_type_of(std::string_view name) noexcept;

}  // namespace weir::inline v1::http
