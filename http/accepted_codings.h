// What Accept-Encoding says (RFC 9110, section 12.5.3) about the codings that files come in. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/field.h"

namespace weir::inline v1::http {

enum class ContentCoding : std::uint8_t { identity, brotli, gzip };
inline constexpr std::size_t kContentCodings = 3;

// Those that the sender prefers to identity, or likes as much, the best first; ours come first
// among equals: brotli, gzip. None without the field.
struct AcceptedCodings {
  std::array<ContentCoding, kContentCodings> best = {};
  std::size_t count = 0;
};
AcceptedCodings accepted_codings(std::span<const Field> fields) noexcept;

}  // namespace weir::inline v1::http
