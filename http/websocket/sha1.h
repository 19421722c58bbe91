// SHA-1 (RFC 3174), for Sec-WebSocket-Accept alone. Pure. That header proves that a server speaks
// WebSocket and is no security, so that a broken hash is good enough, and a library of cryptography
// too much.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace weir::inline v1::http::websocket {

std::array<std::uint8_t, 20> sha1(std::string_view bytes) noexcept;

}  // namespace weir::inline v1::http::websocket
