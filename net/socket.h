// A stream socket over TCP or a Unix socket, in the spirit of Node's net.Socket.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/net/channel.h"
#include "weir/net/event.h"
#include "weir/net/net_part.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class Server;
class Socket;

// What became of a write.
enum class Write : std::uint8_t {
  ok,       // queued, below the high-water mark
  full,     // queued; the high-water mark is reached: go on after 'drain'
  refused,  // not taken, the queue's limit would be passed; one 'drain' follows
  closed,   // not taken, after end(), the automatic end or destroy; no 'drain' ever follows
};

// What happens when a write is refused.
enum class QueuePolicy : std::uint8_t {
  pause,  // the socket is not read until the queue has drained
  drop,   // nothing else: the writer has dropped the bytes; dropped_writes() counts
  close,  // the socket is destroyed with ENOBUFS
};

struct SocketOptions {
  QueueLimits queue = {};
  QueuePolicy policy = QueuePolicy::pause;
  bool allow_half_open = false;  // false: the peer's FIN ends our side too, after 'end'
  bool no_delay = false;         // TCP_NODELAY
  int keep_alive_seconds = 0;    // 0: off
};

struct ConnectOptions {
  std::string host = "127.0.0.1";  // numeric, or "localhost" for 127.0.0.1
  int port = -1;                   // 1..65535
  std::string path = {};           // of a Unix socket; wins over host and port
  std::string local_address = {};  // numeric; empty: the kernel chooses
  int local_port = 0;
  Duration timeout = Duration::zero();  // zero: as long as the kernel tries; else ETIMEDOUT
};

enum class ReadyState : std::uint8_t { opening, open, read_only, write_only, closed };

enum class Times : std::uint8_t { always, once };

// The listeners of a socket, or of all sockets of a server.
struct SocketEvents {
  Event<Socket&> connect;
  Event<Socket&> ready;
  Event<Socket&, Buffer> data;
  Event<Socket&> end;
  Event<Socket&> drain;
  Event<Socket&> finish;
  Event<Socket&> timeout;
  Event<Socket&, const Error&> error;
  Event<Socket&, std::error_code> close;
};

// The events, common to Socket (for one) and Server (for all its sockets). Listeners run in the
// order of registration, a server's before the socket's own, never inside the call that causes
// them, and may do anything to any socket, also destroy this one.
template <class Self>
class SocketListeners {
 public:
  // The connection stands; before any data. Not for accepted sockets.
  ListenerId on_connect(Function<void(Socket&)> call, Times times = Times::always) {
    return events().connect.add(std::move(call), times == Times::once);
  }
  // Right after 'connect'.
  ListenerId on_ready(Function<void(Socket&)> call, Times times = Times::always) {
    return events().ready.add(std::move(call), times == Times::once);
  }
  // Received bytes; several listeners share the memory. Nothing is read before there is a listener
  // or resume() was called: a connection whose data nobody consumes never ends.
  ListenerId on_data(Function<void(Socket&, Buffer)> call, Times times = Times::always) {
    const ListenerId id = events().data.add(std::move(call), times == Times::once);
    static_cast<Self&>(*this).data_listener_added();
    return id;
  }
  // The peer's FIN, after all data.
  ListenerId on_end(Function<void(Socket&)> call, Times times = Times::always) {
    return events().end.add(std::move(call), times == Times::once);
  }
  // Exactly once for each period from the first `full` or `refused` until the queue has reached the
  // low-water mark.
  ListenerId on_drain(Function<void(Socket&)> call, Times times = Times::always) {
    return events().drain.add(std::move(call), times == Times::once);
  }
  // After end(): everything was handed to the kernel, and our FIN sent.
  ListenerId on_finish(Function<void(Socket&)> call, Times times = Times::always) {
    return events().finish.add(std::move(call), times == Times::once);
  }
  // No activity for the time of set_timeout(). Only a notice.
  ListenerId on_timeout(Function<void(Socket&)> call, Times times = Times::always) {
    return events().timeout.add(std::move(call), times == Times::once);
  }
  // Before 'close'. Without a listener it goes to Reactor::on_unhandled_error.
  ListenerId on_error(Function<void(Socket&, const Error&)> call, Times times = Times::always) {
    return events().error.add(std::move(call), times == Times::once);
  }
  // Exactly once for each connection, and last; with the error that ended it, or none.
  ListenerId on_close(Function<void(Socket&, std::error_code)> call,
                      Times times = Times::always) {
    return events().close.add(std::move(call), times == Times::once);
  }

 private:
  SocketEvents& events() { return static_cast<Self&>(*this).own_events(); }
};

class SocketRef;

// Owner: an accepted Socket belongs to its Server and goes after 'close'; one that the user makes
// is the user's, keeps counters and addresses after 'close', and may connect again. Destroying one
// calls no handler any more and ends its connection.
// Thread: the reactor's. The reactor outlives it.
// Errors: mistakes in arguments are returned; what the kernel says comes as 'error', then 'close'.
// Times are Durations, sizes bytes.
class Socket final : public SocketListeners<Socket>, private ChannelOwner, private Task {
 public:
  explicit Socket(Reactor& reactor, SocketOptions options = {});
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  // Starts connecting; 'connect' or 'error' follows. Writes are queued until then.
  Expected<void> connect(const ConnectOptions& options);

  // Queues; never enters the kernel, which happens after this handler. Moves from `bytes` exactly
  // when the result is ok or full. Writing after one's own end() destroys the socket with
  // ERR_STREAM_WRITE_AFTER_END, after the automatic end with EPIPE.
  Write write(Buffer&& bytes);
  Write write(std::string_view bytes);  // copies
  // Sends everything that is queued, then FIN, then 'finish'; the other direction goes on. Again:
  // harmless.
  void end();
  Write end(Buffer&& last);
  // Ends the connection now: what is queued is dropped, and so is what was not delivered (the peer
  // then sees a reset). 'error' if there is a code, then 'close'. Again: harmless.
  void destroy(std::error_code code = {});
  // end(), then destroy() when everything is out, without waiting for the peer.
  void destroy_soon();
  // The peer sees ECONNRESET. TCP only (ERR_INVALID_HANDLE_TYPE).
  Expected<void> reset_and_destroy();

  // No 'data' after pause() has returned; nothing is lost. The kernel's window closes, which is how
  // the peer feels it.
  void pause();
  void resume();
  bool is_paused() const noexcept { return paused_; }
  // While corked nothing is sent; counted; end() uncorks.
  void cork() noexcept { ++corked_; }
  void uncork();

  // 'timeout' after so long without activity: bytes read, a write to the kernel begun or done, the
  // connection made. Zero: off. Does not keep run() going.
  void set_timeout(Duration timeout);
  // Remembered when there is no connection yet. Without effect on Unix sockets.
  void set_no_delay(bool on = true);
  void set_keep_alive(bool on, Duration initial_delay = Duration::zero());
  // SO_RCVBUF and SO_SNDBUF, bytes (the kernel doubles them). 0 or the error.
  std::error_code set_buffer_sizes(int receive, int send);
  void set_allow_half_open(bool on) noexcept { allow_half_open_ = on; }

  ReadyState ready_state() const noexcept;
  bool connecting() const noexcept { return state_ == State::connecting; }
  bool destroyed() const noexcept { return state_ == State::closing || state_ == State::closed; }
  bool writable() const noexcept { return !ended_ && !destroyed() && state_ != State::fresh; }
  bool writable_ended() const noexcept { return ended_; }
  bool writable_finished() const noexcept { return finished_; }
  bool writable_needs_drain() const noexcept;
  // Accepted by write() and not yet by the kernel.
  std::size_t writable_length() const noexcept;
  // Taken from the kernel, delivered or not; given to write(), queued or not. They survive 'close'.
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }
  std::uint64_t bytes_written() const noexcept { return bytes_written_; }
  std::uint64_t dropped_writes() const noexcept;
  // Known from 'connect' or 'connection' on, kept after 'close'; Family::none for Unix sockets.
  Address local_address() const { return Address(local_); }
  Address remote_address() const { return Address(remote_); }

  // The fd, for options that weir does not know; -1 when there is none. It stays the socket's.
  int native_handle() const noexcept { return channel_ == nullptr ? -1 : channel_->fd(); }
  Reactor& reactor() const noexcept { return net_.reactor(); }
  Server* server() const noexcept { return server_; }  // the accepting one
  void ref();
  void unref();  // does not keep run() going any more
  // A reference that turns null when the connection ends.
  SocketRef weak() const noexcept;

  void* user_data = nullptr;  // the user's

 private:
  friend class Server;
  friend class SocketRef;
  friend struct SocketSlab;
  friend class Slab<Socket>;
  friend class SocketListeners<Socket>;
  enum class State : std::uint8_t { fresh, connecting, open, closing, closed };
  struct Own;
  struct IdleTimer;
  struct Guard;

  // Accepted. The fd is the socket's once start() was called.
  Socket(Server& server, NetPart& net, const SocketOptions& options, SocketEvents& shared);
  bool open(int fd);
  void start();
  void drain();

  SocketEvents& own_events();
  void data_listener_added();
  Own& own();
  // Each returns false when the socket was destroyed by a handler.
  template <class Kind, class Call>
  bool emit_with(Kind SocketEvents::*event, Call&& call);
  bool emit(Event<Socket&> SocketEvents::*event);
  bool emit_data(Buffer bytes);
  bool emit_error();
  bool emit_close();

  void on_connected(std::error_code code) noexcept override;
  void on_received(Buffer bytes) noexcept override;
  void on_peer_ended() noexcept override;
  void on_sent(std::size_t bytes, bool drained) noexcept override;
  void on_broken(std::error_code code, const char* syscall) noexcept override;
  void on_closed() noexcept override;
  void on_over_budget(bool must_close) noexcept override;

  static void run_service(Task& task) noexcept;
  void service() noexcept;
  bool deliver_held();
  bool finish_output();
  bool peer_end();
  void schedule() noexcept { net_.reactor().schedule(*this); }

  Write closed_write();
  Write after_push(WriteQueue::Push pushed, std::size_t size);
  void note_error(std::error_code code, const char* syscall, const Address& address = {});
  void begin_close(CloseMode mode);
  void finish_close();
  CloseMode destroy_mode() const noexcept;
  Expected<Address> target_of(const ConnectOptions& options) const;
  void start_connecting(const Address& peer, const Address& local, Duration timeout);
  bool undelivered_input() const noexcept;
  bool consuming() const noexcept;
  void update_input();
  void touch() noexcept;
  void hold_reactor() noexcept;
  void let_reactor_go() noexcept;
  void learn_addresses();
  void apply_options();
  void abandon() noexcept;

  NetPart& net_;
  Channel* channel_ = nullptr;
  Server* server_ = nullptr;
  const SocketOptions* options_;
  SocketEvents* shared_ = nullptr;
  Own* own_ = nullptr;
  std::unique_ptr<IdleTimer> idle_;
  std::unique_ptr<std::vector<Buffer>> held_;  // received, and nobody reads
  Guard* guard_ = nullptr;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t bytes_written_ = 0;
  IpEndpoint local_;
  IpEndpoint remote_;
  std::uint32_t server_index_ = 0;  // in the server's list
  std::uint32_t paused_in_turn_ = 0;
  std::uint16_t corked_ = 0;
  State state_ = State::fresh;
  bool paused_ : 1 = false;
  bool flowing_ : 1 = false;       // resume() was called: data may be dropped without a listener
  bool throttled_ : 1 = false;     // not read because too much is queued
  bool allow_half_open_ : 1 = false;
  bool ended_ : 1 = false;         // end() was called, or the automatic end has happened
  bool auto_ended_ : 1 = false;    // it was the automatic one
  bool drained_ : 1 = false;       // it was Server::drain(): writing on is no mistake
  bool finished_ : 1 = false;      // our FIN is out
  bool peer_fin_ : 1 = false;      // the peer's FIN is known; 'end' may wait for held data
  bool end_emitted_ : 1 = false;
  bool destroy_when_finished_ : 1 = false;
  bool auto_end_due_ : 1 = false;
  bool close_due_ : 1 = false;     // the channel is gone: 'close' is to be emitted
  bool referenced_ : 1 = true;
  bool holds_reactor_ : 1 = false;
};

// Weak: get() is null once the connection has ended. Must not outlive the reactor.
class SocketRef {
 public:
  SocketRef() noexcept = default;
  Socket* get() const noexcept;

 private:
  friend class Socket;
  explicit SocketRef(Slab<Channel>::Ref channel) noexcept : channel_(channel) {}
  Slab<Channel>::Ref channel_;
};

}  // namespace weir::inline v1::net
