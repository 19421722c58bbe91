#include "bench/soak_frames.h"

#include <algorithm>
#include <array>
#include <utility>

namespace weir::bench {
namespace {

constexpr std::uint8_t kLast = 0x80;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::size_t kShortMax = 125;
constexpr std::uint8_t kTwoBytes = 126;
constexpr std::uint8_t kEightBytes = 127;
constexpr std::size_t kControlMax = 125;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

}  // namespace

std::string websocket_request(std::string_view target) {
  return "GET " + std::string(target) +
         " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
}

bool accepts_websocket(std::string_view head) {
  return head.starts_with("HTTP/1.1 101 ") &&
         head.find("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") !=
             std::string_view::npos;
}

std::string websocket_frame(SoakOpcode opcode, bool last, std::string_view payload,
                            SoakRandom& random) {
  std::string frame;
  frame.reserve(payload.size() + 14);
  frame += static_cast<char>((last ? kLast : 0) | static_cast<std::uint8_t>(opcode));
  const auto append = [&frame](std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) frame += static_cast<char>(value >> (8 * i));
  };
  const bool is_short = payload.size() <= kShortMax;
  const bool is_medium = payload.size() <= 0xffff;
  append(kMasked | (is_short ? payload.size() : is_medium ? kTwoBytes : kEightBytes), 1);
  if (!is_short) append(payload.size(), is_medium ? 2 : 8);
  std::array<char, 4> mask{};
  for (char& byte : mask) byte = static_cast<char>(random.below(256));
  frame.append(mask.data(), mask.size());
  for (std::size_t i = 0; i < payload.size(); ++i) {
    frame += static_cast<char>(payload[i] ^ mask[i % mask.size()]);
  }
  return frame;
}

// ---- Reading ----

void FrameReader::expect(const Message& message) {
  (message.opcode == SoakOpcode::pong ? pongs_ : messages_).push_back(message);
}

bool FrameReader::fail(const std::string& what) {
  error_ = what;
  return false;
}

FrameReader::Message FrameReader::next() {
  finished_ = false;
  if (frame_ == SoakOpcode::close) return {.opcode = SoakOpcode::close, .payload = {}};
  const Message message = queue().front();
  queue().pop_front();
  return message;
}

bool FrameReader::take(std::string_view& bytes) {
  while (!finished_ && (!bytes.empty() || (in_payload_ && left_ == 0))) {
    if (!(in_payload_ ? take_payload(bytes) : take_head(bytes))) return false;
  }
  return true;
}

bool FrameReader::take_head(std::string_view& bytes) {
  head_ += bytes.front();
  bytes.remove_prefix(1);
  if (head_.size() < 2) return true;
  const std::uint8_t first = byte_at(head_, 0);
  const std::uint8_t second = byte_at(head_, 1);
  if ((second & kMasked) != 0) return fail("a masked frame");
  const std::size_t more = second == kTwoBytes ? 2 : second == kEightBytes ? 8 : 0;
  if (head_.size() < 2 + more) return true;
  const std::uint64_t size = more == 0 ? second : big_endian(std::string_view(head_).substr(2));
  head_.clear();
  if ((first & 0x70) != 0) return fail("a frame with reserved bits");
  return begin_frame(static_cast<SoakOpcode>(first & 0x0f), (first & kLast) != 0, size);
}

bool FrameReader::begin_frame(SoakOpcode opcode, bool last, std::uint64_t size) {
  const bool goes_on = opcode == SoakOpcode::continuation;
  frame_ = opcode;
  last_ = last;
  left_ = size;
  in_payload_ = true;
  if (is_control()) {
    if (!last || size > kControlMax) return fail("a control frame in parts");
    if (opcode == SoakOpcode::ping) return fail("a ping");
    control_received_ = 0;
    return opcode == SoakOpcode::close || !pongs_.empty() || fail("a pong for nothing");
  }
  if (goes_on != in_message_) return fail(goes_on ? "a part of nothing" : "a message in another");
  if (messages_.empty()) return fail("a message that nobody has sent");
  if (!goes_on && opcode != messages_.front().opcode) return fail("a message of another kind");
  if (!goes_on) message_received_ = 0;
  in_message_ = true;
  return true;
}

bool FrameReader::take_payload(std::string_view& bytes) {
  const std::string_view part = bytes.substr(0, left_);
  std::uint64_t& received = is_control() ? control_received_ : message_received_;
  if (frame_ != SoakOpcode::close && !queue().front().payload.match(pattern_, received, part)) {
    return fail("wrong bytes in a message from byte " + std::to_string(received) + " on");
  }
  bytes.remove_prefix(part.size());
  received += part.size();
  left_ -= part.size();
  return left_ != 0 || end_frame();
}

bool FrameReader::end_frame() {
  in_payload_ = false;
  if (!is_control() && !last_) return true;
  finished_ = true;
  if (!is_control()) in_message_ = false;
  if (frame_ == SoakOpcode::close) return true;
  const std::uint64_t size = queue().front().payload.size;
  const std::uint64_t received = is_control() ? control_received_ : message_received_;
  return received == size || fail("a message of " + std::to_string(received) + " bytes, not of " +
                                  std::to_string(size));
}

}  // namespace weir::bench
