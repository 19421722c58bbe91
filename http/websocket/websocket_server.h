// Accepts WebSockets from an http::Server.
//
//     weir::http::Server server(reactor);
//     weir::http::WebSocketServer sockets(server);
//     sockets.on_message([](WebSocket& socket, MessageKind kind, weir::Buffer bytes) {
//       if (socket.send(kind, std::move(bytes)) != Write::ok) socket.pause();
//     });
//     sockets.on_drain([](WebSocket& socket) { socket.resume(); });
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/server.h"
#include "weir/http/websocket/websocket.h"

namespace weir::inline v1::http {

class WebSocketServerCore;

// A request for a WebSocket, as 'handshake' sees it; good for the call. It is a good one by RFC
// 6455; whether its Origin and path are welcome is the listener's to say.
class WebSocketHandshake {
 public:
  const Request& request() const noexcept { return request_; }
  // What the client offers, in its order.
  std::span<const std::string_view> protocols() const noexcept { return protocols_; }
  // Without a choice: none is spoken. Mistake::bad_argument for one that was not offered.
  Expected<void> choose(std::string_view protocol);
  // Answers with this status (400 to 599, else 403) and text in place of the 101. The last word
  // counts.
  void refuse(int status, std::string_view text = {});
  bool refused() const noexcept { return status_ != 0; }

  void* user_data = nullptr;  // becomes that of the WebSocket

 private:
  friend class WebSocketServerCore;
  WebSocketHandshake(const Request& request, std::span<const std::string_view> protocols) noexcept
      : request_(request), protocols_(protocols) {}

  const Request& request_;
  std::span<const std::string_view> protocols_;
  std::string_view chosen_;
  int status_ = 0;
  std::string text_;
};

// What to do with those that a broadcast finds with a full queue (at or above the socket's
// high-water mark).
enum class SlowReader : std::uint8_t {
  skip,   // this message passes them by; they go on
  close,  // destroyed with ENOBUFS: what they miss would make the rest worthless
};

struct BroadcastResult {
  std::size_t sent = 0;     // queued for so many
  std::size_t skipped = 0;  // full, or in the middle of a message in pieces
  std::size_t closed = 0;   // SlowReader::close
};

struct WebSocketServerOptions {
  // Of every accepted one. A time below zero is none; a level beyond 1 to 9 is the nearest of them.
  WebSocketOptions socket = {};
  // One more gets a 503.
  std::size_t connections_max = SIZE_MAX;
};

// Owner: the user. Destroying it calls no listener any more and destroys its WebSockets, which go
// without 'close'. Thread: the reactor's. The reactor outlives it; http servers it is attached to
// may go before or after it: with one go its WebSockets, likewise.
// A bad handshake gets 400, or 426 for another version than 13 (RFC 6455, section 4.2.2), with a
// line that says what was wrong, and the connection ends.
class WebSocketServer final : public WebSocketListeners<WebSocketServer> {
 public:
  explicit WebSocketServer(Reactor& reactor, const WebSocketServerOptions& options = {});
  // Attached from the start.
  explicit WebSocketServer(Server& server, const WebSocketServerOptions& options = {});
  WebSocketServer(const WebSocketServer&) = delete;
  WebSocketServer& operator=(const WebSocketServer&) = delete;
  ~WebSocketServer();

  // Takes the requests of `server` that ask for a WebSocket, at `path` (compared as sent, without
  // the query) or anywhere. All other requests are ordinary ones as before, those for another
  // upgrade too. Several may be attached to a server: the first that takes a path gets it.
  void attach(Server& server, std::string_view path = {});
  // Answers an upgrade of a listener of the user's own, whatever it asks for. Null: it was refused,
  // and is being ended. The socket is no longer the user's, either way.
  WebSocket* accept(Upgrade& upgrade);

  // A message for all that are open, and that `wants` says yes to. It is framed once, and
  // compressed once, for those that deflate without context takeover; the others get it as it is.
  // All connections share its memory. No listener runs inside. `wants` must not destroy this
  // server or its http::Server, nor accept.
  BroadcastResult broadcast(MessageKind kind, Buffer message, SlowReader slow = SlowReader::skip,
                            Function<bool(WebSocket&)> wants = {});
  BroadcastResult broadcast(MessageKind kind, std::string_view message,
                            SlowReader slow = SlowReader::skip,
                            Function<bool(WebSocket&)> wants = {});
  // Calls `visit` once with each that is open or closing now. It may do anything: one that has gone
  // when its turn comes is left out.
  void for_each(Function<void(WebSocket&)> visit);

  // Refuses new ones with 503 from now on, and closes all with this code (see WebSocket::close());
  // 'server_close' when the last one is gone. Again: harmless. The http::Server goes on: close() or
  // drain() it too.
  Expected<void> close(std::uint16_t code = 1001, std::string_view reason = {});
  // Those that are not closed.
  std::size_t connections() const noexcept;
  const WebSocketServerOptions& options() const noexcept;
  Reactor& reactor() const noexcept;

  // Before the 101. Without a listener all are welcome, without a subprotocol.
  ListenerId on_handshake(Function<void(WebSocketHandshake&)> call, Times times = Times::always);
  // A WebSocket is there; before anything of it. Never inside accept(). It may be closing already,
  // when it was closed, or its connection broke, since then.
  ListenerId on_connection(Function<void(WebSocket&)> call, Times times = Times::always);
  // Once, after close(), when none is left.
  ListenerId on_server_close(Function<void(WebSocketServer&)> call, Times times = Times::always);

 private:
  friend class WebSocketListeners<WebSocketServer>;
  friend class WebSocketServerCore;
  WebSocketEvents& own_events();
  void remove_listener(ListenerId id) noexcept;

  WebSocketServerCore* core_;  // goes when no listener can be running
};

}  // namespace weir::inline v1::http
