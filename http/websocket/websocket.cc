#include "weir/http/websocket/websocket.h"

#include <utility>

#include "http/websocket/websocket_core.h"
#include "http/websocket/websocket_part.h"
#include "http/websocket/websocket_server_core.h"

namespace weir::inline v1::http {

void WebSocketEvents::remove(net::ListenerId id) noexcept {
  open.remove(id);
  message.remove(id);
  piece.remove(id);
  ping.remove(id);
  pong.remove(id);
  drain.remove(id);
  error.remove(id);
  close.remove(id);
}

Expected<WebSocket*> WebSocket::connect(Agent& agent, std::string_view url,
                                        const WebSocketClientOptions& options) {
  return WebSocketCore::connect(agent, url, options);
}

Expected<WebSocket*> WebSocket::connect(Reactor& reactor, std::string_view url,
                                        const WebSocketClientOptions& options) {
  return WebSocketCore::connect(WebSocketPart::of(reactor).agent(), url, options);
}

net::Write WebSocket::send(MessageKind kind, std::string_view message) {
  return core_.send(kind, message, nullptr);
}

net::Write WebSocket::send(MessageKind kind, Buffer&& message) {
  return core_.send(kind, message.view(), &message);
}

net::Write WebSocket::send_piece(MessageKind kind, std::string_view piece, bool is_last) {
  return core_.send_piece(kind, piece, nullptr, is_last);
}

net::Write WebSocket::send_piece(MessageKind kind, Buffer&& piece, bool is_last) {
  return core_.send_piece(kind, piece.view(), &piece, is_last);
}

Expected<net::Write> WebSocket::ping(std::string_view payload) {
  return core_.send_control(websocket::Opcode::ping, payload);
}

Expected<net::Write> WebSocket::pong(std::string_view payload) {
  return core_.send_control(websocket::Opcode::pong, payload);
}

Expected<void> WebSocket::close(std::uint16_t code, std::string_view reason) {
  return core_.close(code, reason);
}

void WebSocket::destroy(std::error_code code) { core_.destroy(code); }
void WebSocket::pause() { core_.pause(); }
void WebSocket::resume() { core_.resume(); }
bool WebSocket::is_paused() const noexcept { return core_.is_paused(); }
WebSocketState WebSocket::state() const noexcept { return core_.state(); }
bool WebSocket::is_server() const noexcept { return core_.is_server(); }
std::string_view WebSocket::subprotocol() const noexcept { return core_.subprotocol(); }
bool WebSocket::is_deflating() const noexcept { return core_.is_deflating(); }
std::size_t WebSocket::writable_length() const noexcept { return core_.queued(); }
bool WebSocket::needs_drain() const noexcept { return core_.needs_drain(); }
int WebSocket::refusal_status() const noexcept { return core_.refusal_status(); }
net::Socket* WebSocket::socket() const noexcept { return core_.socket(); }
Reactor& WebSocket::reactor() const noexcept { return core_.reactor(); }
WebSocketRef WebSocket::weak() const noexcept { return core_.weak(); }

WebSocketServer* WebSocket::server() const noexcept {
  WebSocketServerCore* server = core_.server();
  return server == nullptr || server->gone() ? nullptr : &server->handle();
}

WebSocketEvents& WebSocket::own_events() { return core_.own_events(); }
void WebSocket::remove_listener(ListenerId id) noexcept { core_.remove_listener(id); }

WebSocket* WebSocketRef::get() const noexcept {
  WebSocketCore* core = core_.get();
  return core == nullptr || core->is_over() ? nullptr : &core->handle();
}

}  // namespace weir::inline v1::http
