#include "weir/http/websocket/frame_reader.h"

#include <algorithm>
#include <utility>

#include "weir/http/websocket/mask.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::http::websocket {

FrameStep FrameReader::next(std::string_view input, std::span<char> room) noexcept {
  WEIR_ASSERT(options_.role == Role::client || room.size() >= limits::kControlPayloadMax);
  std::size_t used = 0;
  // Again only for a fragment without payload, of which there is nothing to tell.
  while (state_ != State::failed && state_ != State::closed) {
    if (state_ == State::head && !read_head(input, used)) break;
    if (state_ == State::control) return read_control(input, used, room);
    const FrameStep step = read_data(input, used, room);
    if (step.kind != FrameStep::Kind::need_more || left_ != 0) return step;
    used = step.consumed;
  }
  if (state_ == State::failed) return fail(error_);
  return {.consumed = input.size()};
}

// False: incomplete, or wrong.
bool FrameReader::read_head(std::string_view input, std::size_t& used) noexcept {
  std::string_view bytes = input.substr(used);
  if (held_size_ != 0) {
    const std::size_t more = std::min(bytes.size(), limits::kFrameHeadBytesMax - held_size_);
    bytes.copy(held_ + held_size_, more);
    bytes = {held_, held_size_ + more};
  }
  const ParsedFrameHead parsed = parse_frame_head(bytes);
  FrameError error = parsed.error;
  if (parsed.size == 0 && error == FrameError::none) {
    if (held_size_ == 0) bytes.copy(held_, bytes.size());
    held_size_ = static_cast<std::uint8_t>(bytes.size());
    return false;
  }
  if (error == FrameError::none) error = judge(parsed.head);
  if (error != FrameError::none) {
    fail(error);
    return false;
  }
  used += parsed.size - held_size_;
  held_size_ = 0;
  head_ = parsed.head;
  left_ = head_.length;
  state_ = is_control(head_.opcode) ? State::control : State::data;
  return true;
}

// Whether the frame may stand here; a message begins with it when it does.
FrameError FrameReader::judge(const FrameHead& head) noexcept {
  const bool continues = head.opcode == Opcode::continuation;
  if (head.compressed && (!options_.deflate || continues || is_control(head.opcode))) {
    return FrameError::compressed_bit;
  }
  if (options_.role == Role::server && !head.mask.has_value()) return FrameError::mask_missing;
  if (options_.role == Role::client && head.mask.has_value()) return FrameError::mask_unexpected;
  if (is_control(head.opcode)) return FrameError::none;
  if (continues && !in_message_) return FrameError::continuation_without_start;
  if (!continues && in_message_) return FrameError::message_within_message;
  if (!continues) {  // utf8_ is at the start of a character: the text before this has ended well
    in_message_ = true;
    told_first_ = false;
    compressed_ = head.compressed;
    opcode_ = head.opcode;
    message_bytes_ = 0;
  }
  const std::uint64_t bytes_max = compressed_
                                      ? limits::compressed_bytes_max(options_.message_bytes_max)
                                      : options_.message_bytes_max;
  if (head.length > bytes_max - message_bytes_) return FrameError::message_too_big;
  message_bytes_ += head.length;
  return FrameError::none;
}

FrameStep FrameReader::read_data(std::string_view input, std::size_t used,
                                 std::span<char> room) noexcept {
  std::size_t size = input.size() - used;
  if (head_.mask.has_value()) size = std::min(size, room.size());
  if (left_ < size) size = static_cast<std::size_t>(left_);
  std::string_view payload = input.substr(used, size);
  bool ascii = false;
  if (head_.mask.has_value()) {
    ascii = apply_mask(payload, room.data(), *head_.mask, head_.length - left_);
    payload = {room.data(), size};
  }
  left_ -= size;
  if (left_ == 0) state_ = State::head;
  const bool last = left_ == 0 && head_.fin;
  if (opcode_ == Opcode::text && !compressed_) {
    const bool good = size == 0 || (ascii ? utf8_.add_ascii() : utf8_.add(payload));
    if (!good || (last && !utf8_.is_complete())) return fail(FrameError::text_not_utf8);
  }
  FrameStep step{.consumed = used + size};
  if (size == 0 && !last) return step;
  step.kind = FrameStep::Kind::piece;
  step.opcode = opcode_;
  step.first = !std::exchange(told_first_, true);
  step.last = last;
  step.compressed = compressed_;
  step.payload = payload;
  step.frame_left = left_;
  if (last) in_message_ = false;
  return step;
}

FrameStep FrameReader::read_control(std::string_view input, std::size_t used,
                                    std::span<char> room) noexcept {
  const std::size_t size = std::min(input.size() - used, static_cast<std::size_t>(left_));
  std::string_view payload = input.substr(used, size);
  char* out = room.data();
  used += size;
  if (held_size_ != 0 || size < left_) {
    payload.copy(held_ + held_size_, size);
    held_size_ = static_cast<std::uint8_t>(held_size_ + size);
    left_ -= size;
    if (left_ != 0) return {.consumed = used};
    payload = {held_, held_size_};
    out = held_;
    held_size_ = 0;
  }
  left_ = 0;
  state_ = State::head;
  if (head_.mask.has_value()) {
    apply_mask(payload, out, *head_.mask, 0);
    payload = {out, payload.size()};
  }
  return control_step(payload, used);
}

FrameStep FrameReader::control_step(std::string_view payload, std::size_t used) noexcept {
  if (head_.opcode == Opcode::close) return close_step(payload, used);
  return {.kind = head_.opcode == Opcode::ping ? FrameStep::Kind::ping : FrameStep::Kind::pong,
          .consumed = used,
          .payload = payload};
}

FrameStep FrameReader::close_step(std::string_view payload, std::size_t used) noexcept {
  FrameStep step{.kind = FrameStep::Kind::close, .consumed = used, .code = close_code::kNoStatus};
  if (payload.size() == 1) return fail(FrameError::close_payload);
  if (!payload.empty()) {
    step.code = static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8 |
                                           static_cast<unsigned char>(payload[1]));
    step.payload = payload.substr(2);
    if (!may_be_sent(step.code)) return fail(FrameError::close_code);
    if (!is_utf8(step.payload)) return fail(FrameError::close_reason);
  }
  state_ = State::closed;
  return step;
}

FrameStep FrameReader::fail(FrameError error) noexcept {
  state_ = State::failed;
  error_ = error;
  return {.kind = FrameStep::Kind::error, .error = error};
}

}  // namespace weir::inline v1::http::websocket
