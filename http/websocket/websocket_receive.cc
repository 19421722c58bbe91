// From bytes to messages.
#include <algorithm>
#include <cstring>
#include <utility>

#include "weir/http/websocket/limits.h"
#include "http/websocket/websocket_core.h"
#include "http/websocket/websocket_part.h"

namespace weir::inline v1::http {

using websocket::FrameError;
using websocket::FrameStep;
using websocket::Inflater;
using websocket::Opcode;

namespace {

constexpr std::size_t kGatheredBytesMax = UINT32_MAX - std::size_t{64} * 1024;

}  // namespace

bool WebSocketCore::reads() const noexcept {
  if (dropping_ || stream_closed_) return false;
  return state_ == WebSocketState::closing || (!paused_ && !throttled_);
}

bool WebSocketCore::read() {
  inflated_ = 0;
  while (reads()) {
    if (inflated_ >= websocket::limits::kInflatedPerTurn) {
      reactor_.schedule_next_turn(*this);
      return true;
    }
    if (deflate_ != nullptr && deflate_->input_waits) {
      if (!inflate()) return false;
    } else if (input_.empty()) {
      return true;
    } else if (!read_step()) {
      return false;
    }
  }
  if (dropping_) {
    input_.reset();
    drop_message();
  }
  return true;
}

bool WebSocketCore::read_step() {
  const std::span<char> room = payload_room();
  if (room.empty() && is_server()) {
    no_memory();
    return true;
  }
  const FrameStep step = reader_.next(input_.view(), room);
  switch (step.kind) {
    case FrameStep::Kind::need_more: consume(step.consumed); return true;
    case FrameStep::Kind::piece: return take_piece(step);
    case FrameStep::Kind::ping:
    case FrameStep::Kind::pong: return take_control(step);
    case FrameStep::Kind::close: return take_close(step);
    case FrameStep::Kind::error: fail(step.error); return true;
  }
  return true;
}

// Payload of a message that is being put together is unmasked to where it stays.
std::span<char> WebSocketCore::payload_room() {
  if (!is_server()) return {};
  if (message_used_ != 0 && !reader_.is_compressed()) {
    return message_room(websocket::limits::kControlPayloadMax);
  }
  return part_.receive_room();
}

void WebSocketCore::consume(std::size_t size) noexcept {
  if (size == input_.size()) {
    input_.reset();
  } else {
    input_.drop_front(size);
  }
}

// A Buffer of the payload, without a copy. Before consume().
Buffer WebSocketCore::payload_of(const FrameStep& step) {
  if (step.payload.empty()) return {};
  if (is_server()) return part_.commit_received(step.payload.size());
  const auto offset = static_cast<std::size_t>(step.payload.data() - input_.data());
  return input_.slice(offset, step.payload.size());
}

bool WebSocketCore::take_piece(const FrameStep& step) {
  if (state_ == WebSocketState::closing) {  // told to nobody
    consume(step.consumed);
    return true;
  }
  if (step.first) {
    kind_ = step.opcode == Opcode::text ? MessageKind::text : MessageKind::binary;
    in_pieces_ = has_piece_listener();
  }
  announced_ = step.frame_left;
  return step.compressed ? take_compressed(step) : take_plain(step);
}

bool WebSocketCore::take_plain(const FrameStep& step) {
  if (in_pieces_ || (step.first && step.last)) {
    Buffer payload = payload_of(step);
    consume(step.consumed);
    return in_pieces_ ? tell_piece(std::move(payload), step.last)
                      : tell_message(std::move(payload));
  }
  if (!gather(step.payload)) {
    no_memory();
    return true;
  }
  consume(step.consumed);
  return step.last ? tell_message(take_message()) : true;
}

bool WebSocketCore::take_control(const FrameStep& step) {
  const bool is_ping = step.kind == FrameStep::Kind::ping;
  std::array<char, websocket::limits::kControlPayloadMax> copy;
  const std::string_view payload(copy.data(), step.payload.size());
  std::copy(step.payload.begin(), step.payload.end(), copy.begin());
  consume(step.consumed);
  if (state_ != WebSocketState::open) return true;
  if (is_ping) send_pong(payload);
  return tell_control(is_ping ? &WebSocketEvents::ping : &WebSocketEvents::pong, payload);
}

// ---- A message that comes in parts ----

// Text and binary alike; bytes that lie where they belong already are only counted.
bool WebSocketCore::gather(std::string_view bytes) {
  if (bytes.empty()) return true;
  const bool in_place =
      message_used_ != 0 && bytes.data() == message_.space().data() + message_used_;
  if (!in_place) {
    const std::span<char> room = message_room(bytes.size());
    if (room.size() < bytes.size()) return false;
    std::memcpy(room.data(), bytes.data(), bytes.size());
  }
  message_used_ += bytes.size();
  return true;
}

std::span<char> WebSocketCore::message_room(std::size_t least) {
  const std::span<char> there = message_.space();
  if (there.size() >= message_used_ + least) return there.subspan(message_used_);
  // Beyond what a Buffer can be.
  if (least > kGatheredBytesMax - message_used_) return {};
  const auto announced =
      static_cast<std::size_t>(std::min<std::uint64_t>(announced_, 2 * message_used_));
  const std::size_t wanted = std::max({websocket::limits::kMessageBytesFirst,
                                       message_used_ + least, 2 * message_used_,
                                       message_used_ + announced});
  // Whole messages end at the limit; a control frame's payload may lie behind them for a while.
  const std::size_t most = std::min(options_.message_bytes_max, kGatheredBytesMax) +
                           websocket::limits::kControlPayloadMax;
  BufferBlock wider;
  if (!wider.allocate(std::max(std::min(wanted, most), message_used_ + least))) return {};
  if (message_used_ != 0) std::memcpy(wider.space().data(), there.data(), message_used_);
  message_ = std::move(wider);
  return message_.space().subspan(message_used_);
}

Buffer WebSocketCore::take_message() {
  Buffer message;
  if (message_used_ != 0) message = message_.commit(message_used_);
  drop_message();
  return message;
}

void WebSocketCore::drop_message() noexcept {
  message_.reset();
  message_used_ = 0;
  announced_ = 0;
}

// ---- Compressed ones ----

bool WebSocketCore::take_compressed(const FrameStep& step) {
  Deflate& deflate = *deflate_;
  if (step.first) utf8_.reset();
  if (deflate.inflater == nullptr) deflate.inflater = make_inflater();
  deflate.input = payload_of(step);
  deflate.input_is_last = step.last;
  deflate.input_waits = true;
  consume(step.consumed);
  return true;
}

std::unique_ptr<Inflater> WebSocketCore::make_inflater() {
  const Deflate& deflate = *deflate_;
  if (!deflate.receive_takeover) {
    return part_.take_inflater(deflate.receive_window_bits, options_.message_bytes_max);
  }
  return std::make_unique<Inflater>(deflate.receive_window_bits, true, options_.message_bytes_max);
}

// One round of what waits: until it is used up, or a piece has been told.
bool WebSocketCore::inflate() {
  Deflate& deflate = *deflate_;
  std::span<char> room = in_pieces_ ? part_.receive_room() : message_room(1);
  if (room.empty()) {
    no_memory();
    return true;
  }
  const Inflater::Step step =
      deflate.inflater->next(deflate.input.view(), deflate.input_is_last, room);
  deflate.input.drop_front(step.consumed);
  inflated_ += step.written;
  const std::string_view text(room.data(), step.written);
  const bool is_text = kind_ == MessageKind::text;
  if (is_text && !utf8_.add(text)) {
    fail(FrameError::text_not_utf8);
    return true;
  }
  const bool ended = step.status == Inflater::Status::end;
  if (step.status != Inflater::Status::need_room) {
    deflate.input_waits = false;
    deflate.input.reset();
    if (!end_inflating(step.status)) return true;
  }
  if (in_pieces_) {
    Buffer piece = step.written == 0 ? Buffer() : part_.commit_received(step.written);
    return piece.empty() && !ended ? true : tell_piece(std::move(piece), ended);
  }
  message_used_ += step.written;
  return ended ? tell_message(take_message()) : true;
}

// False: it has failed.
bool WebSocketCore::end_inflating(Inflater::Status status) {
  switch (status) {
    case Inflater::Status::need_room:
    case Inflater::Status::need_input: return true;
    case Inflater::Status::malformed: fail(FrameError::deflate_malformed); return false;
    case Inflater::Status::too_big: fail(FrameError::message_too_big); return false;
    case Inflater::Status::no_memory: no_memory(); return false;
    case Inflater::Status::end: break;
  }
  if (!deflate_->receive_takeover) {
    part_.give_back(std::move(deflate_->inflater), deflate_->receive_window_bits,
                    options_.message_bytes_max);
  }
  if (kind_ == MessageKind::text && !utf8_.is_complete()) {
    fail(FrameError::text_not_utf8);
    return false;
  }
  return true;
}

// ---- Telling ----

bool WebSocketCore::has_piece_listener() const noexcept {
  return has_listener(&WebSocketEvents::piece);
}

bool WebSocketCore::tell_message(Buffer bytes) {
  return emit_with(&WebSocketEvents::message, [&](auto& listener, bool last) {
    listener(handle_, kind_, last ? std::move(bytes) : bytes.share());
  });
}

bool WebSocketCore::tell_piece(Buffer bytes, bool is_last) {
  return emit_with(&WebSocketEvents::piece, [&](auto& listener, bool last) {
    listener(handle_, kind_, last ? std::move(bytes) : bytes.share(), is_last);
  });
}

bool WebSocketCore::tell_control(net::Event<WebSocket&, Buffer> WebSocketEvents::*event,
                                 std::string_view payload) {
  if (!has_listener(event)) return true;
  Buffer bytes = Buffer::copy(payload);
  return emit_with(event, [&](auto& listener, bool last) {
    listener(handle_, last ? std::move(bytes) : bytes.share());
  });
}

}  // namespace weir::inline v1::http
