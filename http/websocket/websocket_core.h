// What stands behind a WebSocket: the protocol between a stream and its listeners. Private.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/client_request.h"
#include "weir/http/websocket/deflate.h"
#include "weir/http/websocket/extensions.h"
#include "weir/http/websocket/frame_reader.h"
#include "weir/http/websocket/utf8.h"
#include "weir/http/websocket/websocket.h"
#include "weir/net/socket.h"
#include "weir/net/stream.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::http {

class WebSocketPart;
class WebSocketServerCore;

// Invariants:
//   1. Listeners run from service() only, which the reactor calls, or the stream: never inside a
//      call of a listener, and never one inside another for the same WebSocket. The calls of
//      WebSocket only queue, note what is due, and schedule.
//   2. 'close' is told exactly once, when the stream has closed (or, of a client, when there will
//      be none), and nothing after it. abandon() is the only way round it.
//   3. A frame is queued whole or not at all; a Close frame is the last one, and there is at most
//      one.
//   4. After our Close frame, or the stream's failing, nothing is told but 'error' and 'close'.
//      Once `dropping_`, what comes is not even parsed.
//   5. While input waits here the stream is paused. No message is told while paused_ or throttled_.
//   6. One timer: of the close when closing, else of the keepalive. In closing it is always armed,
//      unless close_timeout is zero.
//   7. Memory of a message being put together exists only while it is.
//   8. While it is open there is a stream: socket_ is not null.
//
//   connecting --handshake--> open --Close sent or come, FIN, failure--> closing --> closed
//                                                                   (stream has closed)
//
// Who owns what: the part's slab owns this; a server's stream belongs to its net::Server, a
// client's to this. The stream's own end comes as on_stream_closed() or, when its owner destroys
// it, on_stream_gone(). Memory goes in a task of its own (NetPart::destroy_later), when no listener
// can be running; so a listener may destroy the server, the http::Server, or this, and `gone_` says
// so to whoever is telling something.
class WebSocketCore final : private net::StreamUser, private Task {
 public:
  WebSocketCore(WebSocketPart& part, const WebSocketOptions& options,
                websocket::Role role) noexcept;
  ~WebSocketCore();

  // Its handshake is done: frames follow, `head` first.
  void stand(net::Socket& socket, Buffer head, const websocket::DeflateAgreement* deflate,
             std::string_view subprotocol);
  // Of a server: the socket gets this answer, and ends. Nobody is told anything.
  void refuse(net::Socket& socket, std::string_view answer);
  // Nobody is told any more, and the connection ends. Harmless again.
  void abandon() noexcept;

  // Clients: websocket_client.cc.
  static Expected<WebSocket*> connect(Agent& agent, std::string_view url,
                                      const WebSocketClientOptions& options);

  // The calls of WebSocket. ---------------------------------------------------------------------
  net::Write send(MessageKind kind, std::string_view message, Buffer* owned);
  net::Write send_piece(MessageKind kind, std::string_view piece, Buffer* owned, bool is_last);
  Expected<net::Write> send_control(websocket::Opcode opcode, std::string_view payload);
  Expected<void> close(std::uint16_t code, std::string_view reason);
  void destroy(std::error_code code);
  void pause();
  void resume();
  WebSocketEvents& own_events();
  void remove_listener(ListenerId id) noexcept;

  WebSocket& handle() noexcept { return handle_; }
  WebSocketState state() const noexcept { return state_; }
  bool is_server() const noexcept { return role_ == websocket::Role::server; }
  bool is_paused() const noexcept { return paused_; }
  bool needs_drain() const noexcept { return needs_drain_; }
  bool is_deflating() const noexcept { return deflate_ != nullptr; }
  std::string_view subprotocol() const noexcept { return subprotocol_; }
  std::size_t queued() const noexcept {
    return socket_ == nullptr ? 0 : socket_->writable_length();
  }
  int refusal_status() const noexcept { return end_ == nullptr ? 0 : end_->refusal_status; }
  net::Socket* socket() const noexcept { return socket_; }
  WebSocketServerCore* server() const noexcept { return server_; }
  Reactor& reactor() const noexcept { return reactor_; }
  bool is_over() const noexcept { return gone_ || close_told_; }
  WebSocketRef weak() const noexcept;

  // For the server. -----------------------------------------------------------------------------
  void join(WebSocketServerCore& server, std::uint32_t index) noexcept;
  // A whole frame that others get too. Precondition: is_ready_for_broadcast().
  net::Write send_shared(Buffer frame);
  bool is_ready_for_broadcast() const noexcept {
    return state_ == WebSocketState::open && !sending_pieces_;
  }
  bool is_full() const noexcept { return needs_drain_ || queued() >= limits_of_queue_.high_water; }
  // It can inflate what was compressed with the largest window and without context takeover.
  bool takes_shared_deflate() const noexcept;
  std::uint32_t index = 0;  // in the list of the server, or of the clients

 private:
  friend class WebSocketPart;
  struct Deadline : TimerNode {
    explicit Deadline(WebSocketCore& its_core) noexcept : TimerNode(on_fire), core(its_core) {}
    static void on_fire(TimerNode& node) noexcept;
    WebSocketCore& core;
  };
  // permessage-deflate, when it was agreed on.
  struct Deflate {
    int send_window_bits;
    int receive_window_bits;
    bool send_takeover;
    bool receive_takeover;
    std::unique_ptr<websocket::Deflater> deflater;  // only with context takeover
    std::unique_ptr<websocket::Inflater> inflater;  // likewise, or in a message
    Buffer input;             // of a message: what is to be inflated
    bool input_waits = false;  // there is such, which may be empty
    bool input_is_last = false;
  };
  // How it ends. Most never need it.
  struct End {
    std::string reason;
    Error error;
    int refusal_status = 0;
  };
  // A client's, until 'open'.
  struct Opening;
  struct OpeningGuard;

  void on_stream_data(Buffer bytes) noexcept override;
  void on_stream_end() noexcept override;
  void on_stream_sent(bool drained) noexcept override;
  void on_stream_idle() noexcept override {}
  void on_stream_closed(const Error& error) noexcept override;
  void on_stream_gone() noexcept override;

  // Everything that can be done now.
  void service() noexcept;
  void schedule() noexcept { reactor_.schedule(*this); }
  // Functions that tell something return false when this is gone, and nothing may be touched.
  bool tell_begin();
  bool tell_rest();
  void update_flow() noexcept;

  // Receiving: websocket_receive.cc.
  bool reads() const noexcept;
  bool has_input() const noexcept {
    return !input_.empty() || (deflate_ != nullptr && deflate_->input_waits);
  }
  bool read();
  bool read_step();
  std::span<char> payload_room();
  bool take_piece(const websocket::FrameStep& step);
  bool take_plain(const websocket::FrameStep& step);
  bool take_compressed(const websocket::FrameStep& step);
  bool inflate();
  bool end_inflating(websocket::Inflater::Status status);
  std::unique_ptr<websocket::Inflater> make_inflater();
  bool take_control(const websocket::FrameStep& step);
  bool take_close(const websocket::FrameStep& step);
  Buffer payload_of(const websocket::FrameStep& step);
  bool gather(std::string_view bytes);
  // At least one byte, and `least` if the message may still have so much. Empty: memory refused.
  std::span<char> message_room(std::size_t least);
  Buffer take_message();
  void drop_message() noexcept;
  void consume(std::size_t size) noexcept;
  bool has_piece_listener() const noexcept;
  bool tell_message(Buffer bytes);
  bool tell_piece(Buffer bytes, bool is_last);
  bool tell_control(net::Event<WebSocket&, Buffer> WebSocketEvents::*event,
                    std::string_view payload);

  // Sending: websocket_send.cc.
  struct Outgoing {
    websocket::Opcode opcode;
    bool fin = true;
    bool compressed = false;
  };
  bool may_send() const noexcept { return state_ == WebSocketState::open; }
  bool has_room(std::size_t size) const noexcept;
  websocket::FrameHead head_of(const Outgoing& frame, std::size_t size) noexcept;
  // A head, or a small frame with its head, that stands in the part's room.
  net::Write write_small(std::string_view bytes);
  net::Write refuse_write() noexcept;
  net::Write put(const Outgoing& frame, std::string_view payload, Buffer* owned);
  // Of our own accord: it is for the caller to bound them. Nobody owes, or is owed, a drain for it.
  void put_control(websocket::Opcode opcode, std::string_view payload);
  net::Write put_copied(const websocket::FrameHead& head, std::string_view payload);
  net::Write put_owned(const websocket::FrameHead& head, Buffer& payload);
  net::Write after_write(net::Write written) noexcept;
  net::Write misuse();
  net::Write send_deflated(websocket::Opcode opcode, std::string_view message);
  void send_pong(std::string_view payload);
  void send_waiting_pong();

  // Ending: websocket_end.cc.
  void begin_closing(std::uint16_t code, std::string_view reason);
  void enter_closing() noexcept;
  void end_output() noexcept;
  void fail(websocket::FrameError error);
  void no_memory() { destroy(errno_code(ENOMEM)); }
  void note_error(Error error);
  End& end();
  bool tell_error();
  bool tell_close();
  void leave() noexcept;
  void arm(Duration delay) noexcept;
  void arm_keepalive() noexcept;
  void on_time() noexcept;
  void look_after_peer();
  void note_activity() noexcept;

  // Clients: websocket_client.cc.
  Expected<void> start(Agent& agent, std::string_view url, const WebSocketClientOptions& options);
  void upgraded(ClientUpgrade& upgrade);
  void refused(ClientResponse& response);
  void connect_failed(const Error& error);
  void request_gone() noexcept;
  void drop_request() noexcept;

  // Calls the listeners of the server, then this one's own, with whether each is the last.
  template <class Kind, class Call>
  bool emit_with(Kind WebSocketEvents::*event, Call&& call);
  bool emit(net::Event<WebSocket&> WebSocketEvents::*event);
  template <class Kind>
  bool has_listener(Kind WebSocketEvents::*event) const noexcept;
  WebSocketEvents* shared_events() const noexcept;
  // It has gone, or its server has: no listener is called any more.
  bool is_silent() const noexcept;

  WebSocketPart& part_;
  Reactor& reactor_;
  WebSocketOptions options_;
  websocket::Role role_;
  WebSocket handle_;
  net::Socket* socket_ = nullptr;
  std::unique_ptr<net::Socket> owned_socket_;  // a client's
  WebSocketServerCore* server_ = nullptr;
  std::unique_ptr<WebSocketEvents> own_events_;
  net::QueueLimits limits_of_queue_;
  websocket::FrameReader reader_;
  Buffer input_;              // received, not parsed
  BufferBlock message_;       // being put together
  std::size_t message_used_ = 0;
  std::uint64_t announced_ = 0;  // payload of the frame that is yet to come
  websocket::Utf8Checker utf8_;  // of an inflated text
  std::unique_ptr<Deflate> deflate_;
  std::unique_ptr<End> end_;
  std::unique_ptr<Opening> opening_;
  std::string subprotocol_;
  Deadline deadline_;
  Instant last_input_;
  std::uint64_t dropped_bytes_ = 0;
  std::size_t inflated_ = 0;  // in this turn
  std::uint16_t close_code_ = 1006;
  MessageKind kind_ = MessageKind::text;  // of the message that comes
  WebSocketState state_ = WebSocketState::connecting;
  std::uint8_t pong_size_ = 0;
  std::array<char, websocket::limits::kControlPayloadMax> pong_;  // that waits

  bool paused_ = false;
  bool stream_paused_ = false;
  bool throttled_ = false;      // a message was refused: not read until the queue has drained
  bool needs_drain_ = false;
  bool drain_due_ = false;
  bool begin_due_ = false;      // 'connection' or 'open'
  bool error_due_ = false;
  bool pong_waits_ = false;
  bool in_pieces_ = false;      // the message that comes is told in pieces
  bool sending_pieces_ = false;
  bool close_sent_ = false;
  bool close_received_ = false;
  bool dropping_ = false;
  bool refusing_ = false;
  bool output_ended_ = false;
  bool peer_ended_ = false;
  bool stream_closed_ = false;  // or there will never be one
  bool close_told_ = false;
  bool awaits_pong_ = false;
  bool ping_sent_ = false;      // else there was no room, or what comes is not read
  bool was_queued_ = false;     // when the stream last sent, or at the last look at the peer
  bool took_queued_ = false;    // since that look something left that had not at once
  bool gone_ = false;
};

template <class Kind, class Call>
bool WebSocketCore::emit_with(Kind WebSocketEvents::*event, Call&& call) {
  WebSocketEvents* shared = shared_events();
  WebSocketEvents* own = own_events_.get();
  const bool own_follow = own != nullptr && !(own->*event).empty();
  const ListenerId newest = own == nullptr ? ListenerId::none : (own->*event).newest();
  if (shared != nullptr) {
    (shared->*event).emit_each([&](auto& listener, bool last) {
      call(listener, last && !own_follow);
      return !is_silent();
    });
  }
  if (is_silent()) return false;
  if (own_follow) {
    (own->*event).emit_each(newest, [&](auto& listener, bool last) {
      call(listener, last);
      return !is_silent();
    });
  }
  return !is_silent();
}

template <class Kind>
bool WebSocketCore::has_listener(Kind WebSocketEvents::*event) const noexcept {
  WebSocketEvents* shared = shared_events();
  if (shared != nullptr && !(shared->*event).empty()) return true;
  return own_events_ != nullptr && !((*own_events_).*event).empty();
}

}  // namespace weir::inline v1::http
