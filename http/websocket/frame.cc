#include "weir/http/websocket/frame.h"

#include <cstring>

#include "weir/reactor/assert.h"

namespace weir::inline v1::http::websocket {
namespace {

constexpr unsigned kFin = 0x80;
constexpr unsigned kRsv1 = 0x40;
constexpr unsigned kRsv23 = 0x30;
constexpr unsigned kMasked = 0x80;
// What the seven bits say when the length follows in two bytes, or in eight.
constexpr unsigned kLength16 = 126;
constexpr unsigned kLength64 = 127;

constexpr unsigned byte_at(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<unsigned char>(bytes[at]);
}

constexpr bool is_reserved(unsigned opcode) noexcept {
  return (opcode > 2 && opcode < 8) || opcode > 10;
}

FrameError judge_first(unsigned byte) noexcept {
  if ((byte & kRsv23) != 0) return FrameError::reserved_bits;
  if (is_reserved(byte & 0x0f)) return FrameError::reserved_opcode;
  const bool control = is_control(static_cast<Opcode>(byte & 0x0f));
  if (control && (byte & kFin) == 0) return FrameError::control_fragmented;
  return FrameError::none;
}

// The length's bytes have come.
FrameError judge_length(std::uint64_t length, unsigned form) noexcept {
  if ((length >> 63) != 0) return FrameError::length_too_large;
  if (form == kLength16 && length < kLength16) return FrameError::length_not_minimal;
  if (form == kLength64 && length <= 0xffff) return FrameError::length_not_minimal;
  return FrameError::none;
}

}  // namespace

ParsedFrameHead parse_frame_head(std::string_view bytes) noexcept {
  ParsedFrameHead parsed;
  if (bytes.empty()) return parsed;
  const unsigned first = byte_at(bytes, 0);
  parsed.error = judge_first(first);
  if (parsed.error != FrameError::none || bytes.size() < 2) return parsed;
  FrameHead& head = parsed.head;
  head.opcode = static_cast<Opcode>(first & 0x0f);
  head.fin = (first & kFin) != 0;
  head.compressed = (first & kRsv1) != 0;

  const unsigned second = byte_at(bytes, 1);
  const unsigned form = second & 0x7f;
  if (is_control(head.opcode) && form > limits::kControlPayloadMax) {
    parsed.error = FrameError::control_too_long;
    return parsed;
  }
  std::size_t size = form == kLength64 ? 10 : form == kLength16 ? 4 : 2;
  if (bytes.size() < size) return parsed;
  head.length = form;
  if (size > 2) {
    head.length = 0;
    for (std::size_t at = 2; at < size; ++at) head.length = head.length << 8 | byte_at(bytes, at);
    parsed.error = judge_length(head.length, form);
    if (parsed.error != FrameError::none) return parsed;
  }
  if ((second & kMasked) != 0) {
    if (bytes.size() < size + 4) return parsed;
    MaskKey key;
    std::memcpy(key.data(), bytes.data() + size, key.size());
    head.mask = key;
    size += key.size();
  }
  parsed.size = size;
  return parsed;
}

std::size_t write_frame_head(const FrameHead& head,
                             std::span<char, limits::kFrameHeadBytesMax> out) noexcept {
  WEIR_ASSERT((head.length >> 63) == 0);
  WEIR_ASSERT(!is_control(head.opcode) || (head.fin && head.length <= limits::kControlPayloadMax));
  std::size_t size = 0;
  const auto put = [&](unsigned byte) { out[size++] = static_cast<char>(byte); };
  put((head.fin ? kFin : 0) | (head.compressed ? kRsv1 : 0) | static_cast<unsigned>(head.opcode));
  const unsigned masked = head.mask.has_value() ? kMasked : 0;
  int length_bytes = 0;
  if (head.length < kLength16) {
    put(masked | static_cast<unsigned>(head.length));
  } else if (head.length <= 0xffff) {
    put(masked | kLength16);
    length_bytes = 2;
  } else {
    put(masked | kLength64);
    length_bytes = 8;
  }
  while (length_bytes-- > 0) put(static_cast<unsigned>(head.length >> (8 * length_bytes) & 0xff));
  if (head.mask.has_value()) {
    for (const std::uint8_t byte : *head.mask) put(byte);
  }
  return size;
}

}  // namespace weir::inline v1::http::websocket
