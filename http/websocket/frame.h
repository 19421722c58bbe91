// Heads of frames, and the codes of Close frames (RFC 6455, sections 5.2 and 7.4). Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "weir/http/websocket/error.h"
#include "weir/http/websocket/limits.h"

namespace weir::inline v1::http::websocket {

enum class Opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

constexpr bool is_control(Opcode opcode) noexcept {
  return static_cast<std::uint8_t>(opcode) >= static_cast<std::uint8_t>(Opcode::close);
}

using MaskKey = std::array<std::uint8_t, 4>;

struct FrameHead {
  Opcode opcode = Opcode::binary;
  bool fin = true;
  bool compressed = false;  // RSV1 (RFC 7692, section 6)
  std::optional<MaskKey> mask;
  std::uint64_t length = 0;  // of the payload, at most 2^63 - 1
};

struct ParsedFrameHead {
  std::size_t size = 0;  // bytes of the head; 0 when it is incomplete or wrong
  FrameError error = FrameError::none;
  FrameHead head;
};

// The head that `bytes` begin with. What is wrong by itself is found here, as soon as its byte is
// there: reserved bits and opcodes, a control frame in fragments or beyond 125 bytes, a length that
// is not the shortest form of its number or has bit 63. Whether RSV1, a mask, or a continuation may
// stand there is FrameReader's.
ParsedFrameHead parse_frame_head(std::string_view bytes) noexcept;

// Returns how many bytes it is; its payload follows, masked where there is a key. Precondition: a
// length of 63 bits, for a control frame `fin` and at most 125.
std::size_t write_frame_head(const FrameHead& head,
                             std::span<char, limits::kFrameHeadBytesMax> out) noexcept;

// ---- Close ----

namespace close_code {
inline constexpr std::uint16_t kNormal = 1000;
inline constexpr std::uint16_t kGoingAway = 1001;
inline constexpr std::uint16_t kProtocolError = 1002;
inline constexpr std::uint16_t kUnsupportedData = 1003;
inline constexpr std::uint16_t kNoStatus = 1005;  // never sent: a Close frame without a code
inline constexpr std::uint16_t kAbnormal = 1006;  // never sent: no Close frame at all
inline constexpr std::uint16_t kInvalidPayload = 1007;
inline constexpr std::uint16_t kPolicyViolation = 1008;
inline constexpr std::uint16_t kMessageTooBig = 1009;
inline constexpr std::uint16_t kMandatoryExtension = 1010;
inline constexpr std::uint16_t kInternalError = 1011;
inline constexpr std::uint16_t kServiceRestart = 1012;
inline constexpr std::uint16_t kTryAgainLater = 1013;
inline constexpr std::uint16_t kBadGateway = 1014;
}  // namespace close_code

// True exactly when a Close frame may carry the code: 1000-1003 and 1007-1014, which are
// registered, and 3000-4999, which are for libraries and applications.
constexpr bool may_be_sent(std::uint16_t code) noexcept {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

}  // namespace weir::inline v1::http::websocket
