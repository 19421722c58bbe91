// What stands behind a WebSocketServer. Private.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/websocket/websocket_server.h"
#include "weir/reactor/reactor.h"
#include "http/websocket/websocket_core.h"

namespace weir::inline v1::http {

class WebSocketPart;

// Invariants:
//   1. `cores_` are those of its WebSockets whose 'close' has not been told and that are not
//      abandoned; each knows its place there.
//   2. An attachment belongs to its listener, and so to the http::Server: whichever of the two ends
//      goes first tells the other by it.
// Owner: the WebSocketServer, until it goes; then a task, when no listener can be running.
class WebSocketServerCore final : private Task {
 public:
  WebSocketServerCore(WebSocketServer& handle, Reactor& reactor,
                      const WebSocketServerOptions& options);
  ~WebSocketServerCore();
  // The server goes: no listener is called any more, all connections end.
  void abandon() noexcept;

  void attach(Server& server, std::string_view path);
  WebSocket* accept(Upgrade& upgrade);
  BroadcastResult broadcast(MessageKind kind, Buffer message, SlowReader slow,
                            Function<bool(WebSocket&)>& wants);
  void for_each(Function<void(WebSocket&)>& visit);
  Expected<void> close(std::uint16_t code, std::string_view reason);
  std::size_t connections() const noexcept { return cores_.size(); }
  const WebSocketServerOptions& options() const noexcept { return options_; }
  Reactor& reactor() const noexcept { return reactor_; }
  WebSocketServer& handle() const noexcept { return *handle_; }
  bool gone() const noexcept { return handle_ == nullptr; }
  void off(ListenerId id) noexcept;

  // For its WebSockets.
  void remove(WebSocketCore& core) noexcept;

  WebSocketEvents events;
  net::Event<WebSocketHandshake&> handshake;
  net::Event<WebSocket&> connection;
  net::Event<WebSocketServer&> closed;

 private:
  struct Attachment;
  struct Attached;
  // What is said to a client that gets no WebSocket.
  struct Refusal {
    int status;
    std::string_view text;
    std::span<const Field> fields = {};
  };

  void service() noexcept;
  std::string_view why_not() const noexcept;
  // Null, for accept() to return.
  std::nullptr_t refuse(net::Socket& socket, const Refusal& refusal);
  bool ask(WebSocketHandshake& handshake);
  void collect_protocols(const Request& request);

  WebSocketPart& part_;
  Reactor& reactor_;
  WebSocketServer* handle_;
  WebSocketServerOptions options_;
  std::vector<WebSocketCore*> cores_;
  std::vector<Attachment*> attachments_;
  std::vector<std::string_view> protocols_;  // of the handshake that is going on
  bool closing_ = false;
  bool closed_due_ = false;
};

}  // namespace weir::inline v1::http
