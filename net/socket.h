// A stream socket over TCP or a Unix socket, in the spirit of Node's net.Socket.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "weir/net/address_pair.h"
#include "weir/net/channel.h"
#include "weir/net/encoding.h"
#include "weir/net/net_part.h"
#include "weir/net/socket_events.h"
#include "weir/net/socket_options.h"
#include "weir/net/stream.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class Server;
class PipeSink;
class PipeSource;

class SocketRef;

// What became of a write, later: no code when the kernel has taken all of it (the peer may not have
// yet). Comes exactly once for each write that answered ok, full or closed, in the order of the
// writes, never inside the call.
using WriteDone = Function<void(Socket&, std::error_code)>;

// A connection without its Socket: what detach() hands over.
struct Detached {
  int fd = -1;                 // the receiver's, non-blocking, close-on-exec
  std::vector<Buffer> unread;  // received, not delivered: the stream goes on after these
};

// Owner: an accepted Socket belongs to its Server and goes after 'close'; one that the user makes
// is the user's, keeps counters and addresses after 'close', and may connect again. Destroying one
// calls no handler any more and ends its connection.
// Thread: the reactor's. The reactor outlives it.
// Errors: mistakes in arguments are returned; what the kernel says comes as 'error', then 'close'.
// Times are Durations, sizes bytes.
class Socket final : public Stream,
                     public SocketListeners<Socket>,
                     private ChannelOwner,
                     private Task {
 public:
  explicit Socket(Reactor& reactor, SocketOptions options = {});
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  // Starts connecting; 'connect' or 'error' follows. Writes are queued until then. On success the
  // order is 'lookup' (names only), 'connection_attempt', 'connect', 'ready', data.
  Expected<void> connect(ConnectOptions options, Function<void(Socket&)> once_connected = {});
  // A number is a port of `host`, any other text the path of a Unix socket.
  template <class Text>
    requires std::is_convertible_v<const Text&, std::string_view>
  Expected<void> connect(const Text& port_or_path, std::string_view host = "localhost") {
    return connect_to_text(port_or_path, host);
  }
  // Takes a connected stream socket over, which somebody else may share: destroy() then does not
  // shut it down. No 'connect'. On errors the fd stays the caller's. A pipe or file is
  // ERR_INVALID_FD_TYPE.
  Expected<void> adopt(int fd);
  // Gives the connection away: sends what is queued, stops reading, and calls `done` with the fd,
  // or with the error that came first. The fd is the receiver's; 'close' follows. The peer notices
  // nothing.
  Expected<void> detach(Function<void(Socket&, Expected<Detached>)> done);

  // Queues; never enters the kernel, which happens after this handler. Moves from `bytes` exactly
  // when the result is ok or full. Writing after one's own end() destroys the socket with
  // ERR_STREAM_WRITE_AFTER_END, after the automatic end with EPIPE.
  Write write(Buffer&& bytes) override;
  Write write(std::string_view bytes) override;  // copies
  // Enters the kernel here and now, when nothing is queued before: what it takes is neither copied
  // nor queued, nor is anybody told that it was sent. The rest is written as by write(). For a
  // protocol that has gathered all there is to write: many small ones cost a system call each.
  Write write_at_once(std::string_view bytes) override;
  // `done` allocates; it is dropped when the answer is `refused`.
  Write write(Buffer&& bytes, WriteDone done);
  Write write(std::string_view bytes, WriteDone done);
  // Sends part of a file (sendfile(2)), behind what was written before and in front of what is
  // written later: it is queued, corked, counted and called back for as a write of as many bytes,
  // and answers `full` and owes 'drain' where that would. Moves from `range` exactly when the
  // result is ok or full; then the file stays open until its last byte has gone or the connection
  // has closed. Its bytes take no memory: they count neither for the limit of the queue nor for the
  // reactor's budget, and it is refused only behind kQueuedFilesMax others. The kernel reads them
  // when they leave, and later: whoever changes a file that is being sent changes what is sent.
  // A file that has less than was promised, or cannot be read, ends the connection with "sendfile
  // ENODATA", or what the kernel says, and by a reset: a TCP peer does not take what it has for the
  // whole (on a Unix socket it sees an end: there are no resets).
  // ERR_INVALID_ARG_VALUE without a file, ERR_OUT_OF_RANGE beyond 2^63 - 1; `done` is dropped then.
  Expected<Write> send_file(FileRange&& range, WriteDone done);
  Expected<Write> send_file(FileRange&& range) override {
    return send_file(std::move(range), WriteDone());
  }
  // Sends everything that is queued, then FIN, then 'finish', right before which `done` is called;
  // the other direction goes on. Again: harmless.
  void end() override { end(WriteDone()); }
  void end(WriteDone done);
  Write end(Buffer&& last, WriteDone done = {});
  Write end(std::string_view last, WriteDone done = {});
  // Passes a descriptor to the peer of a Unix socket, with these bytes, at least one (SCM_RIGHTS,
  // unix(7)). The fd is the socket's when the result is ok or full, and closed when it was passed.
  Expected<Write> send_descriptor(int fd, std::string_view bytes);
  // From now on descriptors that the peer passes come as 'descriptor'; without this they are
  // closed. Unix sockets only. To be called before data comes.
  Expected<void> receive_descriptors();
  // Who is at the other end of a Unix socket, as of when it connected (SO_PEERCRED).
  Expected<PeerCredentials> peer_credentials() const;
  // Ends the connection now: what is queued is dropped, and so is what was not delivered (the peer
  // then sees a reset). 'error' if there is a code, then 'close'. Again: harmless.
  void destroy(std::error_code code = {}) override;
  // end(), then destroy() when everything is out, without waiting for the peer.
  void destroy_soon();
  // The peer sees ECONNRESET; while connecting, right after 'connect'. TCP only
  // (ERR_INVALID_HANDLE_TYPE); ERR_SOCKET_CLOSED before connect().
  Expected<void> reset_and_destroy();

  // No 'data' after pause() has returned; nothing is lost. The kernel's window closes, which is how
  // the peer feels it.
  void pause() override;
  void resume() override;
  bool is_paused() const noexcept { return paused_; }
  // 'data' carries text from now on, as UTF-8, and never part of a character: what is incomplete
  // waits for the rest, or for 'end'. Bytes that are valid UTF-8 already are not copied.
  void set_encoding(Encoding encoding);
  // While corked nothing is sent; counted; end() uncorks.
  void cork() noexcept {
    if (!ended_ && !detaching_) ++corked_;
  }
  void uncork();

  // 'timeout' after so long without activity: bytes read, a write to the kernel begun or done, the
  // connection made, a name looked up. Zero: off, and without the listeners that were given here.
  // Does not keep run() going. ERR_OUT_OF_RANGE when negative.
  Expected<void> set_timeout(Duration timeout, Function<void(Socket&)> once_timed_out = {});
  // What was set last; until the socket connects again.
  Duration timeout() const noexcept;
  // Remembered when there is no connection yet. Without effect on Unix sockets.
  void set_no_delay(bool on = true);
  void set_keep_alive(bool on, Duration initial_delay = Duration::zero());
  // SO_RCVBUF and SO_SNDBUF, bytes (the kernel doubles them). 0 or the error.
  std::error_code set_buffer_sizes(int receive, int send);
  void set_allow_half_open(bool on) noexcept { allow_half_open_ = on; }

  ReadyState ready_state() const noexcept;
  bool connecting() const noexcept { return state_ == State::connecting; }
  // Not connected yet, or not any more.
  bool pending() const noexcept { return state_ != State::open; }
  bool destroyed() const noexcept { return state_ == State::closing || state_ == State::closed; }
  bool writable() const noexcept {
    return !ended_ && !detaching_ && (state_ == State::open || state_ == State::connecting);
  }
  bool writable_ended() const noexcept { return ended_; }
  bool writable_finished() const noexcept { return finished_; }
  bool writable_needs_drain() const noexcept;
  // A send is under way: some of writable_length() may be with the kernel already.
  bool sending() const noexcept { return channel_ != nullptr && channel_->sending(); }
  // Bytes wait here, or with the kernel, that were not delivered because the socket is paused.
  bool undelivered_input() const noexcept;
  // Accepted by write() and send_file(), and not yet by the kernel.
  std::size_t writable_length() const noexcept override;
  Queued queued() const noexcept override {
    return channel_ == nullptr ? Queued() : channel_->queued_parts();
  }
  // Taken from the kernel, delivered or not; given to write() or send_file(), queued or not. They
  // survive 'close'.
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }
  std::uint64_t bytes_written() const noexcept { return bytes_written_; }
  std::uint64_t dropped_writes() const noexcept;
  // Known from 'connect' or 'connection' on, kept after 'close'; Family::none for Unix sockets.
  Address local_address() const { return Address(ends_.local()); }
  Address remote_address() const { return Address(ends_.remote()); }

  // Of connect() with a name: the addresses that were tried, in order.
  std::span<const Address> attempted_addresses() const noexcept;

  // For a protocol that stands on this socket; see Stream.
  void set_user(StreamUser* user) override;
  // In the place of those of its options.
  void set_queue_limits(const QueueLimits& limits);
  const QueueLimits& queue_limits() const noexcept { return options().queue; }
  QueuePolicy queue_policy() const noexcept { return options().policy; }

  // The fd, for options that weir does not know; -1 when there is none. It stays the socket's.
  // TCP_CORK does not outlast a file, which is sent under it.
  int native_handle() const noexcept { return channel_ == nullptr ? -1 : channel_->fd(); }
  Reactor& reactor() const noexcept { return net().reactor(); }
  // The accepting one.
  Server* server() const noexcept { return retired_ ? nullptr : shared_->server; }
  void ref();
  void unref();  // does not keep run() going any more
  // A reference that turns null when the connection ends.
  SocketRef weak() const noexcept;

 private:
  friend class Server;
  friend class SocketRef;
  friend PipeSource& source_of(Socket& socket);
  friend PipeSink& sink_of(Socket& socket);
  friend class Slab<Socket>;
  friend class SocketListeners<Socket>;
  enum class State : std::uint8_t { fresh, connecting, open, closing, closed };
  struct Own;
  struct Callbacks;
  struct Dialing;
  struct Aside;
  using Guard = SocketGuard;

  // What the sockets of a server have in common, for as long as one of them is there; that of a
  // user's socket is its own.
  struct Shared {
    NetPart& net;
    const SocketOptions* options;
    Server* server = nullptr;
    SocketEvents* events = nullptr;  // the server's; null when there is none
  };

  // Accepted. The fd is the socket's once start() was called.
  explicit Socket(Shared& shared);
  bool open(int fd);
  void start();
  void drain();

  SocketEvents& own_events();
  void data_listener_added();
  void remove_listener(ListenerId id) noexcept;
  Own& own();
  // Each returns false when the socket was destroyed by a handler.
  template <class Kind, class Call>
  bool emit_with(Kind SocketEvents::*event, Call&& call);
  bool emit(Event<Socket&> SocketEvents::*event);
  template <class Argument>
  bool emit(Event<Socket&, const Argument&> SocketEvents::*event, const Argument& argument);
  bool emit_data(Buffer&& bytes);
  bool emit_data_to_own(Buffer&& bytes);
  template <class Call>
  bool tell_user(Call&& call);
  bool tell_user_closed();
  bool deliver(Buffer&& bytes);
  bool deliver_rest_of_text();
  bool text_waits() const noexcept;
  bool call(WriteDone done, std::error_code code);
  bool emit_error();
  void emit_descriptor(int fd);
  bool emit_close();

  void on_connected(std::error_code code) noexcept override;
  void on_received(Buffer&& bytes) noexcept override;
  void on_descriptor_received(int fd) noexcept override;
  void on_peer_ended() noexcept override;
  void on_sent(std::size_t bytes, bool drained) noexcept override;
  void on_broken(std::error_code code, const char* syscall) noexcept override;
  void on_closed() noexcept override;
  void on_over_budget(bool must_close) noexcept override;
  void looked_up(std::error_code code, const std::vector<IpEndpoint>& found) noexcept;

  void part_pipes() noexcept;
  static void run_service(Task& task) noexcept;
  void service() noexcept;
  bool deliver_held();
  void serve_all() noexcept;
  bool flush();
  bool sent(bool drained);
  bool finish_output();
  bool peer_end();
  void schedule() noexcept {
    more_due_ = true;
    reactor().schedule(*this);
  }

  Write closed_write();
  std::error_code closed_code() const noexcept;
  Callbacks& callbacks();
  Write remember(Write result, bool was_writable, std::error_code if_closed, WriteDone done);
  void call_at_end(WriteDone done);
  bool complete_writes();
  bool complete_ends(std::error_code code);
  bool fail_callbacks();
  Write queue_file(FileRange&& range);
  Write after_push(WriteQueue::Push pushed, std::size_t size);
  void note_error(std::error_code code, const char* syscall, const Address& address = {});
  void begin_close(CloseMode mode);
  void finish_close();
  void retire();
  CloseMode destroy_mode() const noexcept;
  Expected<void> check_connect(const ConnectOptions& options, Address& numeric,
                               Address& local) const;
  Expected<void> connect_to_text(std::string_view port_or_path, std::string_view host);
  void forget_last_connection();
  void drop_dialing() noexcept;
  void start_lookup();
  void dial();
  bool attempt(const Address& candidate);
  void attempt_failed(const Error& error);
  void attempt_timed_out();
  void try_next();
  void stand();
  void hand_over();
  bool give_detached();
  bool consuming() const noexcept;
  bool shared_data_is_heard() const noexcept;
  void note_pause() noexcept;
  void look_again() noexcept {
    if (state_ == State::open) schedule();
  }
  void update_input();
  void touch() noexcept {
    if (aside_ != nullptr) note_activity();
  }
  void note_activity() noexcept;
  void set_timeout_of_options();
  void forget_timeout() noexcept;
  void stop_idle_timer() noexcept;
  Aside& aside();
  void tidy_aside() noexcept;
  bool holds_input() const noexcept;
  void drop_held() noexcept;
  void hold_reactor() noexcept;
  void let_reactor_go() noexcept;
  bool learn_addresses(int fd);
  bool is_ip() const noexcept { return ends_.remote().family != Family::none; }
  bool is_guarded() const noexcept;
  NetPart& net() const noexcept { return shared_->net; }
  SocketEvents* server_events() const noexcept { return shared_->events; }
  const SocketOptions& options() const noexcept {
    return own_options_ ? own_options() : *shared_->options;
  }
  const SocketOptions& own_options() const noexcept;
  void apply_options();
  void abandon() noexcept;

  // There is one for each connection, however idle: its size counts. First what fits behind the
  // bases.
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
  bool reset_when_connected_ : 1 = false;
  bool detaching_ : 1 = false;
  bool stood_ : 1 = false;         // the connection has been there
  bool auto_end_due_ : 1 = false;
  bool close_due_ : 1 = false;     // the channel is gone: 'close' is to be emitted
  bool more_due_ : 1 = false;      // the service has more to do than to send
  bool referenced_ : 1 = true;
  bool holds_reactor_ : 1 = false;
  bool retired_ : 1 = false;       // after 'close' of an accepted socket: its memory is about to go
  bool own_options_ : 1 = false;   // an accepted socket's are those of Own
  std::uint16_t corked_ = 0;

 public:
  void* user_data = nullptr;  // the user's

 private:
  Shared* shared_;
  Channel* channel_ = nullptr;
  StreamUser* user_ = nullptr;
  Own* own_ = nullptr;
  std::unique_ptr<Aside> aside_;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t bytes_written_ = 0;
  [[no_unique_address]] AddressPair ends_;  // the next one fits behind it
  std::uint16_t paused_in_turn_ = 0;
};
static_assert(sizeof(Socket) == 128);

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
