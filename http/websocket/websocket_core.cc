// What the stream tells, and in which order the listeners hear of it.
#include "http/websocket/websocket_core.h"

#include <utility>

#include "weir/http/limits.h"
#include "weir/net/net_part.h"
#include "weir/reactor/gathered_bytes.h"
#include "http/websocket/websocket_opening.h"
#include "http/websocket/websocket_part.h"
#include "http/websocket/websocket_server_core.h"

namespace weir::inline v1::http {

using websocket::Role;

WebSocketCore::WebSocketCore(WebSocketPart& part, const WebSocketOptions& options,
                             Role role) noexcept
    : Task([](Task& task) noexcept { static_cast<WebSocketCore&>(task).service(); }),
      part_(part),
      reactor_(part.reactor()),
      options_(options),
      role_(role),
      handle_(*this),
      reader_({.role = role, .message_bytes_max = options.message_bytes_max}),
      deadline_(*this) {}

WebSocketCore::~WebSocketCore() = default;

void WebSocketCore::stand(net::Socket& socket, Buffer head,
                          const websocket::DeflateAgreement* deflate,
                          std::string_view subprotocol) {
  socket_ = &socket;
  state_ = WebSocketState::open;
  subprotocol_ = subprotocol;
  if (deflate != nullptr) {
    const bool server = is_server();
    deflate_ = std::make_unique<Deflate>();
    deflate_->send_window_bits =
        server ? deflate->server_max_window_bits : deflate->client_max_window_bits;
    deflate_->receive_window_bits =
        server ? deflate->client_max_window_bits : deflate->server_max_window_bits;
    deflate_->send_takeover =
        !(server ? deflate->server_no_context_takeover : deflate->client_no_context_takeover);
    deflate_->receive_takeover =
        !(server ? deflate->client_no_context_takeover : deflate->server_no_context_takeover);
    reader_ = websocket::FrameReader(
        {.role = role_, .deflate = true, .message_bytes_max = options_.message_bytes_max});
  }
  // What may be queued is decided here, where a head and its payload are one.
  limits_of_queue_ = socket.queue_limits();
  net::QueueLimits unbounded = limits_of_queue_;
  unbounded.bytes_max = SIZE_MAX;
  socket.set_queue_limits(unbounded);
  socket.set_user(this);
  input_ = std::move(head);
  begin_due_ = true;
  arm_keepalive();
  schedule();
}

void WebSocketCore::refuse(net::Socket& socket, std::string_view answer) {
  socket_ = &socket;
  state_ = WebSocketState::closing;
  refusing_ = dropping_ = true;
  socket.set_user(this);
  socket.write(answer);
  end_output();
  arm(limits::kLingerTime);
}

void WebSocketCore::abandon() noexcept {
  if (gone_) return;
  gone_ = true;
  state_ = WebSocketState::closed;
  if (server_ != nullptr && !close_told_) server_->remove(*this);
  drop_request();
  if (socket_ != nullptr) {
    net::Socket& socket = *std::exchange(socket_, nullptr);
    socket.set_user(nullptr);
    socket.destroy();
  }
  leave();
}

// ---- What the stream tells ----

void WebSocketCore::on_stream_data(Buffer bytes) noexcept {
  note_activity();
  if (dropping_) {
    dropped_bytes_ += bytes.size();
    if (dropped_bytes_ > limits::kLingerBytesMax) socket_->destroy();
    return;
  }
  if (input_.empty()) {
    input_ = std::move(bytes);
  } else {  // it came before the pause took effect
    input_ = joined(input_, bytes);
    if (input_.empty()) return no_memory();
  }
  service();
}

void WebSocketCore::on_stream_end() noexcept {
  peer_ended_ = true;
  service();
}

void WebSocketCore::on_stream_sent(bool) noexcept {
  if (std::exchange(was_queued_, queued() != 0)) took_queued_ = true;
  const bool drained = socket_->writable_length() <= limits_of_queue_.low_water;
  if (drained && std::exchange(needs_drain_, false)) {
    if (std::exchange(throttled_, false)) note_activity();
    drain_due_ = state_ == WebSocketState::open;
  }
  if (drain_due_ || pong_waits_) service();
}

void WebSocketCore::on_stream_closed(const Error& error) noexcept {
  socket_ = nullptr;
  stream_closed_ = true;
  enter_closing();
  if (error.code && !(close_sent_ && close_received_)) note_error(error);
  service();
}

void WebSocketCore::on_stream_gone() noexcept {
  socket_ = nullptr;
  abandon();
}

// ---- Telling ----

void WebSocketCore::service() noexcept {
  Task::unlink();
  if (gone_ || close_told_) return;
  if (!tell_begin() || !read() || !tell_rest()) return;
  if (peer_ended_ && (!has_input() || dropping_) && !output_ended_) {
    enter_closing();
    dropping_ = true;
    end_output();
  }
  if (!tell_error()) return;
  if (stream_closed_) {
    tell_close();
    return;
  }
  update_flow();
}

bool WebSocketCore::tell_begin() {
  if (!std::exchange(begin_due_, false)) return true;
  if (server_ == nullptr) return emit(&WebSocketEvents::open);
  server_->connection.emit_each([this](auto& listener, bool) {
    listener(handle_);
    return !is_silent();
  });
  return !is_silent();
}

bool WebSocketCore::tell_rest() {
  send_waiting_pong();
  // A listener may have filled the queue again: that period has a drain of its own.
  if (!std::exchange(drain_due_, false) || needs_drain_) return true;
  return emit(&WebSocketEvents::drain);
}

bool WebSocketCore::emit(net::Event<WebSocket&> WebSocketEvents::*event) {
  return emit_with(event, [this](auto& listener, bool) { listener(handle_); });
}

WebSocketEvents* WebSocketCore::shared_events() const noexcept {
  return server_ == nullptr || server_->gone() ? nullptr : &server_->events;
}

bool WebSocketCore::is_silent() const noexcept {
  return gone_ || (server_ != nullptr && server_->gone());
}

// The stream reads while messages may be told, and always when it is ending.
void WebSocketCore::update_flow() noexcept {
  if (socket_ == nullptr) return;
  const bool pause = !dropping_ && (!reads() || has_input());
  if (pause == stream_paused_) return;
  stream_paused_ = pause;
  if (!pause) return socket_->resume();
  socket_->pause();
  // What waits is not to keep a whole chunk of the receive memory.
  if (!input_.empty() && input_.size() <= websocket::limits::kCopiedMessageMax) {
    if (Buffer own = input_.to_owned(); !own.empty()) input_ = std::move(own);
  }
}

// ---- The calls of WebSocket ----

void WebSocketCore::pause() {
  paused_ = true;
  update_flow();
}

void WebSocketCore::resume() {
  if (!std::exchange(paused_, false)) return;
  note_activity();
  schedule();
}

WebSocketEvents& WebSocketCore::own_events() {
  if (own_events_ == nullptr) own_events_ = std::make_unique<WebSocketEvents>();
  return *own_events_;
}

void WebSocketCore::remove_listener(ListenerId id) noexcept {
  if (own_events_ != nullptr) own_events_->remove(id);
}

WebSocketRef WebSocketCore::weak() const noexcept {
  return is_over() ? WebSocketRef() : WebSocketRef(Slab<WebSocketCore>::ref(this));
}

void WebSocketCore::join(WebSocketServerCore& server, std::uint32_t its_index) noexcept {
  server_ = &server;
  index = its_index;
}

}  // namespace weir::inline v1::http
