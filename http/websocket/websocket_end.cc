// How it ends: the two Close frames, failures, times.
#include <cstring>
#include <utility>

#include "weir/http/websocket/frame.h"
#include "weir/http/websocket/limits.h"
#include "weir/http/websocket/utf8.h"
#include "weir/net/net_part.h"
#include "http/websocket/websocket_core.h"
#include "http/websocket/websocket_opening.h"
#include "http/websocket/websocket_part.h"
#include "http/websocket/websocket_server_core.h"

namespace weir::inline v1::http {

using websocket::FrameError;
using websocket::FrameStep;
using websocket::Opcode;
using websocket::close_code::kNoStatus;

Expected<void> WebSocketCore::close(std::uint16_t code, std::string_view reason) {
  const bool no_code = code == kNoStatus;
  if (!no_code && !websocket::may_be_sent(code)) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "a Close frame may not carry this code (RFC 6455, section 7.4)"});
  }
  if (reason.size() > websocket::limits::kCloseReasonMax) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "the reason of a close has at most 123 bytes"});
  }
  if (!websocket::is_utf8(reason) || (no_code && !reason.empty())) {
    return failure({.code = Mistake::bad_argument,
                    .detail = "the reason of a close is UTF-8, and stands behind a code"});
  }
  if (state_ == WebSocketState::connecting) {
    destroy({});
  } else if (state_ == WebSocketState::open) {
    begin_closing(code, reason);
    schedule();
  }
  return {};
}

void WebSocketCore::destroy(std::error_code code) {
  if (gone_ || stream_closed_ || refusing_) return;
  if (code) note_error({.code = code});
  enter_closing();
  dropping_ = true;
  if (socket_ != nullptr) return socket_->destroy();
  drop_request();
  stream_closed_ = true;
  schedule();
}

// Nothing is sent any more, nor told but 'connection', which a server's has always, 'error' and
// 'close'.
void WebSocketCore::enter_closing() noexcept {
  if (state_ == WebSocketState::closing) return;
  state_ = WebSocketState::closing;
  pong_waits_ = drain_due_ = needs_drain_ = false;
  if (!is_server()) begin_due_ = false;
  if (deflate_ != nullptr) {
    deflate_->input_waits = false;
    deflate_->input.reset();
  }
  if (socket_ != nullptr) arm(options_.close_timeout);
}

void WebSocketCore::begin_closing(std::uint16_t code, std::string_view reason) {
  if (state_ == WebSocketState::closing || socket_ == nullptr) return;
  std::array<char, websocket::limits::kControlPayloadMax> payload;
  std::size_t size = 0;
  if (code != kNoStatus) {
    payload[0] = static_cast<char>(code >> 8);
    payload[1] = static_cast<char>(code & 0xff);
    if (!reason.empty()) std::memcpy(payload.data() + 2, reason.data(), reason.size());
    size = 2 + reason.size();
  }
  enter_closing();
  const net::Write written =
      put_copied(head_of({.opcode = Opcode::close}, size), {payload.data(), size});
  close_sent_ = written != net::Write::closed;
}

// Everything that is queued, then FIN.
void WebSocketCore::end_output() noexcept {
  if (std::exchange(output_ended_, true) || socket_ == nullptr) return;
  socket_->end();
}

// The peer's Close frame: ours goes, if it has not, and a server ends the connection (RFC 6455,
// section 7.1.1).
bool WebSocketCore::take_close(const FrameStep& step) {
  close_received_ = true;
  close_code_ = step.code;
  if (!step.payload.empty()) end().reason = step.payload;
  consume(step.consumed);
  begin_closing(step.code, {});
  dropping_ = true;
  if (is_server()) end_output();
  return true;
}

void WebSocketCore::fail(FrameError error) {
  note_error({.code = error});
  begin_closing(websocket::facts_of(error).close_code, {});
  dropping_ = true;
  end_output();
}

// ---- What is told ----

WebSocketCore::End& WebSocketCore::end() {
  if (end_ == nullptr) end_ = std::make_unique<End>();
  return *end_;
}

// The first one counts.
void WebSocketCore::note_error(Error error) {
  if (end().error.code) return;
  end_->error = std::move(error);
  error_due_ = true;
}

bool WebSocketCore::tell_error() {
  if (!std::exchange(error_due_, false) || refusing_) return true;
  return emit_with(&WebSocketEvents::error,
                   [this](auto& listener, bool) { listener(handle_, end_->error); });
}

// False: it is over.
bool WebSocketCore::tell_close() {
  state_ = WebSocketState::closed;
  close_told_ = true;
  if (!refusing_) {
    const WebSocketClose how{.code = close_code_,
                             .reason = end_ == nullptr ? std::string_view() : end_->reason,
                             .was_clean = close_sent_ && close_received_,
                             .error = end_ == nullptr ? std::error_code() : end_->error.code};
    if (server_ != nullptr) server_->remove(*this);
    emit_with(&WebSocketEvents::close, [&](auto& listener, bool) { listener(handle_, how); });
  }
  leave();
  return false;
}

// The memory goes when no listener can be running.
void WebSocketCore::leave() noexcept {
  gone_ = true;
  Task::unlink();
  reactor_.wheel().cancel(deadline_);
  if (!is_server()) part_.remove_client(*this);
  net::NetPart::of(reactor_).destroy_later({this, [](void* object) noexcept {
                                              auto* dying = static_cast<WebSocketCore*>(object);
                                              dying->part_.cores().destroy(dying);
                                            }});
}

// ---- Times ----

void WebSocketCore::arm(Duration delay) noexcept {
  TimerWheel& wheel = reactor_.wheel();
  wheel.cancel(deadline_);
  if (delay > Duration::zero()) wheel.insert(deadline_, later(reactor_.now(), delay));
}

void WebSocketCore::arm_keepalive() noexcept {
  if (options_.ping_interval == Duration::zero()) return;
  last_input_ = reactor_.now();
  arm(options_.ping_interval);
}

void WebSocketCore::note_activity() noexcept {
  if (options_.ping_interval == Duration::zero()) return;
  last_input_ = reactor_.now();
  if (std::exchange(awaits_pong_, false) && state_ == WebSocketState::open) {
    arm(options_.ping_interval);
  }
}

void WebSocketCore::Deadline::on_fire(TimerNode& node) noexcept {
  static_cast<Deadline&>(node).core.on_time();
}

void WebSocketCore::on_time() noexcept {
  if (state_ == WebSocketState::open) return look_after_peer();
  if (socket_ != nullptr) socket_->destroy();
}

void WebSocketCore::look_after_peer() {
  // While nothing is read, silence says nothing about the peer; what is queued does.
  const bool blind = paused_ || throttled_;
  const Duration silence = reactor_.now() - last_input_;
  if (!blind && silence < options_.ping_interval) return arm(options_.ping_interval - silence);
  if (blind && queued() == 0) return arm(options_.ping_interval);
  const bool took = std::exchange(took_queued_, false);
  was_queued_ = queued() != 0;
  if (!awaits_pong_) {
    awaits_pong_ = options_.pong_timeout != Duration::zero();
    ping_sent_ = false;
  } else if (!took) {
    return destroy(errno_code(ETIMEDOUT));
  }
  // One that the queue has no room for is not needed: what is queued asks as well.
  if (!ping_sent_ && !blind && has_room(websocket::limits::kFrameHeadBytesMax)) {
    ping_sent_ = true;
    put_control(Opcode::ping, {});
  }
  arm(awaits_pong_ ? options_.pong_timeout : options_.ping_interval);
}

}  // namespace weir::inline v1::http
