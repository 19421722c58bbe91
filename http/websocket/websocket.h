// A WebSocket (RFC 6455) with permessage-deflate (RFC 7692): one end of a connection, server's or
// client's. websocket_server.h accepts them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "weir/http/agent.h"
#include "weir/http/field.h"
#include "weir/http/websocket/error.h"
#include "weir/http/websocket/websocket_options.h"
#include "weir/net/event.h"
#include "weir/net/socket_events.h"
#include "weir/net/socket_options.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/error.h"
#include "weir/reactor/function.h"
#include "weir/reactor/slab.h"

namespace weir::inline v1::net {
class Socket;
}

namespace weir::inline v1::http {

class WebSocket;
class WebSocketCore;
class WebSocketRef;
class WebSocketServer;

enum class MessageKind : std::uint8_t { text, binary };

enum class WebSocketState : std::uint8_t {
  connecting,  // a client's, before its handshake is done
  open,
  closing,  // a Close frame was sent or has come, or the connection has failed; nothing is sent
  closed,   // 'close' is being told
};

// How it ended. Views are good for the listener.
struct WebSocketClose {
  // Of the peer's Close frame: 1005 when that had none, 1006 when there was no such frame (RFC
  // 6455, section 7.1.5).
  std::uint16_t code = 1006;
  std::string_view reason;  // of that frame, valid UTF-8
  // A Close frame has gone both ways.
  bool was_clean = false;
  // What 'error' has told, or none.
  std::error_code error;
};

// The listeners of a WebSocket, or of all WebSockets of a server. Private to this package.
struct WebSocketEvents {
  net::Event<WebSocket&> open;
  net::Event<WebSocket&, MessageKind, Buffer> message;
  net::Event<WebSocket&, MessageKind, Buffer, bool> piece;
  net::Event<WebSocket&, Buffer> ping;
  net::Event<WebSocket&, Buffer> pong;
  net::Event<WebSocket&> drain;
  net::Event<WebSocket&, const Error&> error;
  net::Event<WebSocket&, const WebSocketClose&> close;

  void remove(net::ListenerId id) noexcept;
};

// The events, common to WebSocket (for one) and WebSocketServer (for all of its). Listeners run in
// the order of registration, a server's before the WebSocket's own, never inside the call that
// causes them, and may do anything to any WebSocket, also destroy this one.
template <class Self>
class WebSocketListeners {
 public:
  // A whole message, unmasked and inflated, at most message_bytes_max; text is valid UTF-8. Several
  // listeners share the memory. Keeping a small one may keep up to 64 KiB of others' memory with
  // it: keep a copy instead (Buffer::to_owned()).
  ListenerId on_message(Function<void(WebSocket&, MessageKind, Buffer)> call,
                        Times times = Times::always) {
    return events().message.add(std::move(call), times == Times::once);
  }
  // Once such a listener is there messages are not gathered: it is told each piece as it comes, and
  // whether it is the last of its message, which may be empty. Where the sender has cut frames
  // means nothing. Text has been checked as far as it came; a piece may end within a character.
  // message_bytes_max holds for the sum of the pieces: raise it, it costs no memory then.
  // No on_message() is called for messages that begin while there is such a listener.
  ListenerId on_piece(Function<void(WebSocket&, MessageKind, Buffer, bool is_last)> call,
                      Times times = Times::always) {
    return events().piece.add(std::move(call), times == Times::once);
  }
  // A ping has come. Its pong goes by itself (see WebSocket).
  ListenerId on_ping(Function<void(WebSocket&, Buffer)> call, Times times = Times::always) {
    return events().ping.add(std::move(call), times == Times::once);
  }
  // A pong has come, asked for or not, those of ping_interval's pings too.
  ListenerId on_pong(Function<void(WebSocket&, Buffer)> call, Times times = Times::always) {
    return events().pong.add(std::move(call), times == Times::once);
  }
  // Exactly once for each period from the first `full` or `refused` until the queue has reached the
  // socket's low-water mark; none any more once it is closing.
  ListenerId on_drain(Function<void(WebSocket&)> call, Times times = Times::always) {
    return events().drain.add(std::move(call), times == Times::once);
  }
  // Before 'close': what the peer did against the rules (websocket::FrameError), the error of the
  // socket (ECONNRESET ...), ETIMEDOUT (pong_timeout, open_timeout), what destroy() was given; of a
  // client also that there is no connection, or that the answer is no good handshake
  // (websocket::HandshakeError). Without a listener it is nobody's: 'close' has its code.
  ListenerId on_error(Function<void(WebSocket&, const Error&)> call,
                      Times times = Times::always) {
    return events().error.add(std::move(call), times == Times::once);
  }
  // Exactly once, and last.
  ListenerId on_close(Function<void(WebSocket&, const WebSocketClose&)> call,
                      Times times = Times::always) {
    return events().close.add(std::move(call), times == Times::once);
  }
  // Removes a listener; harmless when it has gone. One that is removed while its event is being
  // emitted still runs for that emission.
  void off(ListenerId id) noexcept { static_cast<Self&>(*this).remove_listener(id); }

 private:
  WebSocketEvents& events() { return static_cast<Self&>(*this).own_events(); }
};

// Owner: the reactor; it is there until 'close' has been told. Whoever keeps it longer than a
// listener holds a WebSocketRef. A server's goes without a word when its WebSocketServer or its
// http::Server is destroyed, any when the reactor is.
// Thread: the reactor's.
// Events of a server's: connection (the server's), (message | ping | pong | drain)*, error?, close.
// Of a client's: open before these; or error, close.
// Sending: Write as Socket::write() answers it, against the socket's queue and its limits: `ok`;
// `full`: taken, go on after 'drain'; `refused`: not taken, one 'drain' follows; `closed`: not
// taken and never again, it is closing or closed, or not open yet. A message is taken whole or not
// at all. Nothing enters the kernel inside a call.
// Pings are answered by themselves; while the queue is full (at or above its high-water mark) the
// answer waits, one at most: the latest ping's (RFC 6455, section 5.5.3).
// After close() and after a peer's Close frame no message, ping, pong or drain is told any more;
// what comes is read and dropped. The server then ends the TCP connection, the client waits for
// that; either destroys it close_timeout after its own Close frame was queued.
// What breaks the rules fails the connection: 'error', a Close frame with the code of its
// FrameError (1002, 1007, 1009) behind what is queued, the end of the TCP connection, and 'close'
// with 1006, as nothing is read any more. A FIN without a Close frame ends it with 1006, without
// 'error'.
// Memory: one message of at most message_bytes_max that is being put together (twice that while it
// grows), what socket and queue have, and WebSocketDeflate's.
class WebSocket final : public WebSocketListeners<WebSocket> {
 public:
  // Connects to "ws://host:port/path?query" and asks for a WebSocket there; 'open' or 'error'
  // follows. Null never. Through `agent`, whose socket options hold, with a connection of its own;
  // when the agent goes before 'open': ECANCELED. Or by an agent of the reactor's with the
  // defaults. Errors: Mistakes in the URL (bad_argument, invalid_protocol for all but ws, bad_port)
  // and the options; ENOMEM.
  static Expected<WebSocket*> connect(Agent& agent, std::string_view url,
                                      const WebSocketClientOptions& options = {});
  static Expected<WebSocket*> connect(Reactor& reactor, std::string_view url,
                                      const WebSocketClientOptions& options = {});

  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  // A message. Text must be valid UTF-8; that is not checked, and a peer fails the connection for
  // what is not. A view is copied; a Buffer is moved from exactly when it is taken, and a server
  // copies it only when it is small or compressed; a client always does, to mask it.
  // While a message in pieces is unfinished this is a mistake: the connection ends as by
  // close(1011), 'error' tells Mistake::write_after_end, and the answer is `closed`.
  net::Write send(MessageKind kind, std::string_view message);
  net::Write send(MessageKind kind, Buffer&& message);
  net::Write send_text(std::string_view text) { return send(MessageKind::text, text); }
  net::Write send_text(Buffer&& text) { return send(MessageKind::text, std::move(text)); }
  net::Write send_binary(std::string_view bytes) { return send(MessageKind::binary, bytes); }
  net::Write send_binary(Buffer&& bytes) { return send(MessageKind::binary, std::move(bytes)); }
  // A message in pieces, a frame each, with the kind of the first one. Not compressed. What is
  // `refused` was not sent, and is sent again, as the same piece, after 'drain'. Pings, pongs and a
  // close may go between.
  net::Write send_piece(MessageKind kind, std::string_view piece, bool is_last);
  net::Write send_piece(MessageKind kind, Buffer&& piece, bool is_last);

  // Mistake::out_of_range above 125 bytes. `closed` as for messages.
  Expected<net::Write> ping(std::string_view payload = {});
  // One that nobody asked for.
  Expected<net::Write> pong(std::string_view payload = {});

  // Sends a Close frame behind everything that is queued, and begins to end. 1005: a frame without
  // a code. A client that is connecting gives up: 'close' with 1006. Again, or after the peer's:
  // harmless. Errors, and nothing has happened: Mistake::out_of_range for a code that may not be
  // sent (only 1000 to 1003, 1007 to 1014, and 3000 to 4999 may), or a reason of more than 123
  // bytes; bad_argument for a reason that is no UTF-8, or with 1005.
  Expected<void> close(std::uint16_t code = 1000, std::string_view reason = {});
  // Ends the connection now; what is queued is dropped, no Close frame goes. 'error' if there is a
  // code, then 'close' with 1006, or with the code of a Close frame that had come. Again: harmless.
  void destroy(std::error_code code = {});

  // No message, piece, ping or pong after pause() has returned; nothing is lost, and the peer feels
  // the kernel's window. A Close frame and an end wait behind what is not read; close() reads on,
  // and drops.
  void pause();
  void resume();
  bool is_paused() const noexcept;

  WebSocketState state() const noexcept;
  bool is_open() const noexcept { return state() == WebSocketState::open; }
  bool is_server() const noexcept;
  // The chosen one, or empty. Good as long as this.
  std::string_view subprotocol() const noexcept;
  // permessage-deflate was agreed on.
  bool is_deflating() const noexcept;
  // Bytes of frames that the kernel has not taken.
  std::size_t writable_length() const noexcept;
  // `full` or `refused` was said, and 'drain' not yet.
  bool needs_drain() const noexcept;
  // Of a client whose handshake was refused, in 'error' and 'close': the answer's status, else 0.
  int refusal_status() const noexcept;
  // For addresses and options; null while there is none. Its bytes are not the user's.
  net::Socket* socket() const noexcept;
  WebSocketServer* server() const noexcept;  // the accepting one
  Reactor& reactor() const noexcept;
  WebSocketRef weak() const noexcept;

  // The handshake is done. Only of clients.
  ListenerId on_open(Function<void(WebSocket&)> call, Times times = Times::always) {
    return own_events().open.add(std::move(call), times == Times::once);
  }

  void* user_data = nullptr;  // the user's

 private:
  friend class WebSocketCore;
  friend class WebSocketListeners<WebSocket>;
  explicit WebSocket(WebSocketCore& core) noexcept : core_(core) {}
  ~WebSocket() = default;
  WebSocketEvents& own_events();
  void remove_listener(ListenerId id) noexcept;

  WebSocketCore& core_;
};

// Weak: get() is null once 'close' has been told, or it went without. Must not outlive the reactor.
class WebSocketRef {
 public:
  WebSocketRef() noexcept = default;
  WebSocket* get() const noexcept;

 private:
  friend class WebSocketCore;
  explicit WebSocketRef(Slab<WebSocketCore>::Ref core) noexcept : core_(core) {}
  Slab<WebSocketCore>::Ref core_;
};

}  // namespace weir::inline v1::http
