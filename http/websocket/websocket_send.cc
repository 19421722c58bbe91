// From messages to bytes.
#include <cstring>
#include <utility>

#include "weir/http/websocket/limits.h"
#include "weir/http/websocket/mask.h"
#include "weir/http/websocket/utf8.h"
#include "http/websocket/websocket_core.h"
#include "http/websocket/websocket_part.h"

namespace weir::inline v1::http {

using net::Write;
using websocket::FrameHead;
using websocket::Opcode;
using websocket::limits::kFrameHeadBytesMax;

namespace {

Opcode opcode_of(MessageKind kind) noexcept {
  return kind == MessageKind::text ? Opcode::text : Opcode::binary;
}

}  // namespace

// ---- Whole messages ----

Write WebSocketCore::send(MessageKind kind, std::string_view message, Buffer* owned) {
  if (!may_send()) return Write::closed;
  if (sending_pieces_) return misuse();
  const Opcode opcode = opcode_of(kind);
  if (deflate_ != nullptr && message.size() >= options_.deflate.threshold) {
    const Write written = send_deflated(opcode, message);
    const bool taken = written == Write::ok || written == Write::full;
    if (taken && owned != nullptr) owned->reset();
    return written;
  }
  return put({.opcode = opcode}, message, owned);
}

// What is refused must not have gone into the compressor: its memory of it would be the peer's.
Write WebSocketCore::send_deflated(Opcode opcode, std::string_view message) {
  Deflate& deflate = *deflate_;
  if (!has_room(message.size() + kFrameHeadBytesMax)) return refuse_write();
  if (deflate.send_takeover && deflate.deflater == nullptr) {
    deflate.deflater = std::make_unique<websocket::Deflater>(deflate.send_window_bits, true,
                                                             options_.deflate.level);
  }
  const auto compressed =
      deflate.send_takeover
          ? part_.deflate(message, *deflate.deflater)
          : part_.deflate(message, deflate.send_window_bits, options_.deflate.level);
  if (!compressed) {
    // It may have begun; another one begins without what the peer has not got.
    deflate.deflater.reset();
    return put({.opcode = opcode}, message, nullptr);
  }
  const std::size_t size = compressed->size();
  const Write written =
      after_write(put_copied(head_of({.opcode = opcode, .compressed = true}, size), *compressed));
  part_.end_deflating();
  return written;
}

// ---- Messages in pieces ----

Write WebSocketCore::send_piece(MessageKind kind, std::string_view piece, Buffer* owned,
                                bool is_last) {
  if (!may_send()) return Write::closed;
  const Opcode opcode = sending_pieces_ ? Opcode::continuation : opcode_of(kind);
  const Write written = put({.opcode = opcode, .fin = is_last}, piece, owned);
  if (written == Write::ok || written == Write::full) sending_pieces_ = !is_last;
  return written;
}

// A message within a message: what the peer would make of it nobody knows.
Write WebSocketCore::misuse() {
  note_error({.code = Mistake::write_after_end,
              .detail = "a message was sent while one in pieces is unfinished"});
  begin_closing(websocket::close_code::kInternalError, {});
  schedule();
  return Write::closed;
}

// ---- Frames ----

bool WebSocketCore::has_room(std::size_t size) const noexcept {
  const std::size_t queue = queued();
  const std::size_t most = limits_of_queue_.bytes_max;
  return queue == 0 || (size <= most && queue <= most - size);
}

// As Socket::write() does it.
Write WebSocketCore::refuse_write() noexcept {
  switch (socket_->queue_policy()) {
    case net::QueuePolicy::pause:
      throttled_ = true;
      schedule();
      break;
    case net::QueuePolicy::drop: break;
    case net::QueuePolicy::close: destroy(errno_code(ENOBUFS)); return Write::closed;
  }
  needs_drain_ = true;
  return Write::refused;
}

FrameHead WebSocketCore::head_of(const Outgoing& frame, std::size_t size) noexcept {
  return {.opcode = frame.opcode,
          .fin = frame.fin,
          .compressed = frame.compressed,
          .mask = is_server() ? std::nullopt : std::optional(part_.mask()),
          .length = size};
}

Write WebSocketCore::put(const Outgoing& frame, std::string_view payload, Buffer* owned) {
  if (!has_room(payload.size() + kFrameHeadBytesMax)) return refuse_write();
  const FrameHead head = head_of(frame, payload.size());
  const bool copies = owned == nullptr || head.mask ||
                      payload.size() <= websocket::limits::kCopiedMessageMax;
  if (!copies) return after_write(put_owned(head, *owned));
  const Write written = put_copied(head, payload);
  if (owned != nullptr && written != Write::closed) owned->reset();
  return after_write(written);
}

// Head and payload in one piece.
Write WebSocketCore::put_copied(const FrameHead& head, std::string_view payload) {
  const std::size_t most = kFrameHeadBytesMax + payload.size();
  const bool small = payload.size() <= websocket::limits::kCopiedMessageMax;
  BufferBlock own;
  std::span<char> room;
  if (small) {
    room = part_.send_room(most);
  } else if (own.allocate(most)) {
    room = own.space();
  }
  if (room.size() < most) {
    no_memory();
    return Write::closed;
  }
  const std::size_t at = write_frame_head(head, room.first<kFrameHeadBytesMax>());
  if (head.mask) {
    websocket::apply_mask(payload, room.data() + at, *head.mask, 0);
  } else if (!payload.empty()) {
    std::memcpy(room.data() + at, payload.data(), payload.size());
  }
  const std::size_t size = at + payload.size();
  return small ? write_small({room.data(), size}) : socket_->write(own.commit(size));
}

// Behind others it is copied: a few bytes that a peer leaves there must not keep a whole block of
// the part's.
Write WebSocketCore::write_small(std::string_view bytes) {
  return queued() == 0 ? socket_->write(part_.commit_sent(bytes.size())) : socket_->write(bytes);
}

// A large one goes as it is, behind its head.
Write WebSocketCore::put_owned(const FrameHead& head, Buffer& payload) {
  const std::span<char> room = part_.send_room(kFrameHeadBytesMax);
  if (room.size() < kFrameHeadBytesMax) {
    no_memory();
    return Write::closed;
  }
  const std::size_t size = write_frame_head(head, room.first<kFrameHeadBytesMax>());
  const Write first = write_small({room.data(), size});
  if (first == Write::closed) return first;
  return socket_->write(std::move(payload));
}

Write WebSocketCore::after_write(Write written) noexcept {
  if (written == Write::full) needs_drain_ = true;
  return written;
}

Write WebSocketCore::send_shared(Buffer frame) {
  if (!has_room(frame.size())) return refuse_write();
  return after_write(socket_->write(std::move(frame)));
}

bool WebSocketCore::takes_shared_deflate() const noexcept {
  return deflate_ != nullptr && !deflate_->send_takeover &&
         deflate_->send_window_bits == websocket::limits::kWindowBitsMax;
}

// ---- Control frames ----

Expected<Write> WebSocketCore::send_control(Opcode opcode, std::string_view payload) {
  if (payload.size() > websocket::limits::kControlPayloadMax) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "a ping or pong has at most 125 bytes (RFC 6455, section 5.5)"});
  }
  if (!may_send()) return Write::closed;
  return put({.opcode = opcode}, payload, nullptr);
}

void WebSocketCore::put_control(Opcode opcode, std::string_view payload) {
  put_copied(head_of({.opcode = opcode}, payload.size()), payload);
}

// While the queue is full one answer waits, the latest.
void WebSocketCore::send_pong(std::string_view payload) {
  pong_waits_ = queued() >= limits_of_queue_.high_water;
  if (!pong_waits_) {
    put_control(Opcode::pong, payload);
    return;
  }
  pong_size_ = static_cast<std::uint8_t>(payload.size());
  std::memcpy(pong_.data(), payload.data(), payload.size());
}

void WebSocketCore::send_waiting_pong() {
  if (!pong_waits_ || !may_send() || queued() >= limits_of_queue_.high_water) return;
  pong_waits_ = false;
  put_control(Opcode::pong, {pong_.data(), pong_size_});
}

}  // namespace weir::inline v1::http
