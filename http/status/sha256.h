// SHA-256 (FIPS 180-4), for the hashes in a Content-Security-Policy. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::inline v1::http {

std::array<std::uint8_t, 32> sha256(std::string_view bytes);
// "'sha256-...'": what allows this very script or style (CSP level 3, section 2.3.1).
std::string csp_hash(std::string_view bytes);

}  // namespace weir::inline v1::http
