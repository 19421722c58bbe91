// coro::Stream: a connection as awaitable reads and writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "weir/net/coro_context.h"
#include "weir/net/coro_input.h"
#include "weir/net/socket.h"

namespace weir::inline v1::coro {

// The most that read_exactly() and read_until() may be asked for, bytes.
inline constexpr std::size_t kReadBytesMax = std::size_t{1} << 30;

class Acceptor;
class Stream;

namespace detail {

// What has happened to the output of a stream.
enum class Progress : std::uint8_t { connected, sent, drained };

class Read;
class Output;
template <class Bytes>
class Write;
class Drain;
class Finish;
class Closed;
class Connect;

// The socket of a stream that connects.
struct OwnSocket {
  OwnSocket(Reactor& reactor, net::SocketOptions options) : socket(reactor, options) {}
  net::Socket socket;
  Stream* stream = nullptr;
};

}  // namespace detail

// A connection, seen by coroutines. It owns the connection: destroying the stream ends it at once,
// with what is queued, like Socket::destroy(); co_await end() first for an orderly end.
//
// Invariants
// 1. An await lives in the frame of the coroutine that awaits it. At most one read, and at most one
//    of write, drain, end, closed and connect wait at a time (asserted); a stream may be moved or
//    destroyed only while nobody waits on it (asserted).
// 2. No coroutine is resumed inside a call of this class: only by a completion or in a task.
// 3. Bytes that have come are read once, in order, whatever else happens: cancelling a read, or its
//    failing, loses none of them. They come before the end and before an error.
// 4. While nobody reads at most one receive's bytes are held here, and the socket is paused; while
//    read_exactly() or read_until() waits, what it was asked for and one receive.
// 5. The socket may close at any time, also be destroyed with its Acceptor: whoever waits, or
//    awaits anything later, is told. A coroutine may destroy its own stream and acceptor.
// 6. The peer's end does not end our side: allow_half_open is set.
// Errors: of the connection as Socket's 'error' has them; ECANCELED; ETIMEDOUT after the socket's
// set_timeout(), which ends the awaits that are going on and nothing else; ERR_STREAM_DESTROYED
// when our side has closed. Awaiting again gives the connection's error again.
// Thread: the reactor's. The reactor outlives it.
class Stream final : private net::StreamUser, private ListNode {
 public:
  // To connect().
  explicit Stream(Reactor& reactor, net::SocketOptions options = {});
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  // Expected<void>. Again after the connection has closed. Cancelled: the attempt is given up.
  // The options must have a name: GCC 12 copies the bytes of an aggregate that is made within a
  // co_await expression, which breaks its strings.
  [[nodiscard]] detail::Connect connect(const net::ConnectOptions& options);
  detail::Connect connect(net::ConnectOptions&& options) = delete;
  [[nodiscard]] detail::Connect connect(int port, std::string_view host = "localhost");

  // Expected<Buffer>: what has come, at least a byte; empty when the peer has ended.
  [[nodiscard]] detail::Read read() noexcept;
  // Expected<Buffer>: `size` bytes, at most kReadBytesMax; empty when the peer has ended before the
  // first of them; ENODATA when later: read() then gives what came. Without a copy when they have
  // come in one piece.
  [[nodiscard]] detail::Read read_exactly(std::size_t size) noexcept;
  // Expected<Buffer>: up to and with `delimiter`, which outlives the await. EMSGSIZE when it does
  // not end within `size_max` bytes, at most kReadBytesMax; the rest as for read_exactly().
  [[nodiscard]] detail::Read read_until(std::string_view delimiter, std::size_t size_max) noexcept;

  // Expected<void>. Resumes when the bytes are queued and the queue is below the high-water mark,
  // or has drained: mostly at once. The bytes outlive the await. Cancelled: they are sent or not.
  [[nodiscard]] detail::Write<Buffer> write(Buffer bytes) noexcept;
  [[nodiscard]] detail::Write<std::string_view> write(std::string_view bytes) noexcept;  // copies
  // Expected<void>. Until the queue has drained, when it was full; else at once.
  [[nodiscard]] detail::Drain drain() noexcept;
  // Expected<void>. Ends our side, and resumes when everything and the FIN are with the kernel.
  [[nodiscard]] detail::Finish end() noexcept;

  // Ends the connection now; awaits end in a task.
  void destroy(std::error_code code = {});
  // Expected<void>: with the error that has ended the connection, or none. Until it has closed, as
  // after destroy(), or when both sides have ended; then it may connect() again.
  [[nodiscard]] detail::Closed closed() noexcept;

  // Options, addresses and counters. Null when the connection has closed.
  net::Socket* socket() const noexcept { return socket_; }

 private:
  friend class Acceptor;
  friend class detail::Read;
  friend class detail::Output;
  template <class Bytes>
  friend class detail::Write;
  friend class detail::Drain;
  friend class detail::Finish;
  friend class detail::Closed;
  friend class detail::Connect;

  // Accepted; `family` has the streams of its acceptor.
  Stream(net::Socket& socket, IntrusiveList<Stream>& family) noexcept;
  friend class IntrusiveList<Stream>;

  bool over() const noexcept { return at_end_ || socket_ == nullptr; }
  void hold() noexcept;
  void flow() noexcept;
  Expected<void> begin_connect(net::ConnectOptions options);
  template <class Bytes>
  net::Write push(Bytes& bytes) {
    if (socket_ == nullptr || !socket_->writable()) return net::Write::closed;
    if constexpr (std::is_same_v<Bytes, Buffer>) {
      return socket_->write(std::move(bytes));
    } else {
      return socket_->write(bytes);
    }
  }
  Error input_error() const;
  Error output_error() const;
  void take_over(Stream& other) noexcept;
  void let_go() noexcept;
  void forget_socket() noexcept;

  void on_stream_data(Buffer bytes) noexcept override;
  void on_stream_end() noexcept override;
  void on_stream_sent(bool drained) noexcept override;
  void on_stream_idle() noexcept override;
  void on_stream_closed(const Error& error) noexcept override;

  net::Socket* socket_ = nullptr;  // null before connect(), and when it has closed
  IntrusiveList<Stream>* family_ = nullptr;
  detail::Read* reader_ = nullptr;
  detail::Output* writer_ = nullptr;
  std::unique_ptr<detail::OwnSocket> own_;
  std::unique_ptr<Error> error_;  // what has ended the connection
  Input input_;
  bool paused_ = false;    // by us: there is input, and nobody reads
  bool at_end_ = false;    // the peer has ended
  bool finished_ = false;  // it closed after our FIN was out
};

namespace detail {

// One read. Its state is the stream's input: it looks again whenever that has changed.
class Read final : public Operation {
 public:
  enum class Until : std::uint8_t { any, size, delimiter };

  Read(Stream& stream, Until until, std::size_t size, std::string_view delimiter) noexcept
      : stream_(&stream), delimiter_(delimiter), size_(size), until_(until) {}
  Read(Read&& other) noexcept = default;
  ~Read() { let_go(); }

  bool await_ready() noexcept {
    if (take_cancel() || satisfied()) return true;
    WEIR_ASSERT(stream_->reader_ == nullptr);  // one read at a time
    stream_->reader_ = this;
    if (stream_->paused_) stream_->flow();
    return false;
  }
  Expected<Buffer> await_resume() {
    Stream& stream = *stream_;
    let_go();
    if (until_ == Until::any && failed_ == 0 && !stream.input_.empty()) [[likely]] {
      return stream.input_.take_all();
    }
    return rest(stream);
  }

 private:
  friend class coro::Stream;

  bool satisfied() noexcept {
    if (until_ == Until::any && !stream_->input_.empty()) return true;
    return stream_->over() || (until_ != Until::any && gathered());
  }
  bool gathered() noexcept;
  Expected<Buffer> rest(Stream& stream);
  void let_go() noexcept {
    if (stream_ == nullptr) return;
    if (stream_->reader_ == this) stream_->reader_ = nullptr;
    stream_ = nullptr;
  }
  void fail(int error) noexcept {
    failed_ = error;
    complete_later();
  }

  Stream* stream_;
  std::string_view delimiter_;
  std::size_t size_;
  std::size_t searched_ = 0;
  std::size_t found_ = 0;
  Until until_;
};

// What waits for the output.
class Output : public Operation {
 public:
  // It may complete, and be gone afterwards.
  virtual void notice(Progress progress) noexcept = 0;

 protected:
  explicit Output(Stream& stream) noexcept : stream_(&stream) {}
  Output(Output&& other) noexcept = default;
  ~Output() {
    if (stream_ != nullptr) let_go();
  }

  bool wait() noexcept {
    WEIR_ASSERT(stream_->writer_ == nullptr);  // one of these at a time
    stream_->writer_ = this;
    return false;
  }
  Stream& let_go() noexcept {
    Stream& stream = *std::exchange(stream_, nullptr);
    if (stream.writer_ == this) stream.writer_ = nullptr;
    return stream;
  }
  Expected<void> result_of(bool ok, const Stream& stream) const;

  Stream* stream_;

 private:
  friend class coro::Stream;
  void fail(int error) noexcept {
    failed_ = error;
    complete_later();
  }
};

template <class Bytes>
class Write final : public Output {
 public:
  Write(Stream& stream, Bytes bytes) noexcept : Output(stream), bytes_(std::move(bytes)) {}
  Write(Write&& other) noexcept = default;

  bool await_ready() noexcept {
    if (take_cancel()) return true;
    result_ = stream_->push(bytes_);
    if (result_ == net::Write::ok || result_ == net::Write::closed) return true;
    return wait();
  }
  Expected<void> await_resume() {
    const Stream& stream = let_go();
    if (failed_ == 0 && result_ == net::Write::ok) [[likely]] {
      return {};
    }
    return result_of(false, stream);
  }

 private:
  void notice(Progress progress) noexcept override {
    if (progress != Progress::drained) return;
    result_ = result_ == net::Write::refused ? stream_->push(bytes_) : net::Write::ok;
    if (result_ == net::Write::ok || result_ == net::Write::closed) complete();
  }

  Bytes bytes_;
  net::Write result_ = net::Write::closed;
};

class Drain final : public Output {
 public:
  explicit Drain(Stream& stream) noexcept : Output(stream) {}
  Drain(Drain&& other) noexcept = default;
  bool await_ready() noexcept;
  Expected<void> await_resume();

 private:
  void notice(Progress progress) noexcept override;
  bool drained_ = false;
};

// The socket says nothing to its user when its FIN is out, but that is so one task after its last
// byte.
class Finish final : public Output, private weir::Task {
 public:
  explicit Finish(Stream& stream) noexcept : Output(stream), weir::Task(look) {}
  Finish(Finish&& other) noexcept : Output(std::move(other)), weir::Task(look) {}
  bool await_ready() noexcept;
  Expected<void> await_resume();
  bool cancel() noexcept override;

 private:
  static void look(weir::Task& task) noexcept;
  void notice(Progress progress) noexcept override;
};

class Closed final : public Output {
 public:
  explicit Closed(Stream& stream) noexcept : Output(stream) {}
  Closed(Closed&& other) noexcept = default;
  bool await_ready() noexcept { return take_cancel() || stream_->socket() == nullptr || wait(); }
  Expected<void> await_resume();

 private:
  void notice(Progress) noexcept override {}
};

class Connect final : public Output {
 public:
  Connect(Stream& stream, net::ConnectOptions options) noexcept
      : Output(stream), options_(std::move(options)) {}
  Connect(Connect&& other) noexcept = default;
  bool await_ready() noexcept;
  Expected<void> await_resume();
  bool cancel() noexcept override;

 private:
  void notice(Progress progress) noexcept override;
  net::ConnectOptions options_;
  Expected<void> begun_;
  bool connected_ = false;
};

}  // namespace detail

inline detail::Read Stream::read() noexcept {
  return detail::Read(*this, detail::Read::Until::any, 0, {});
}

inline detail::Read Stream::read_exactly(std::size_t size) noexcept {
  return detail::Read(*this, detail::Read::Until::size, size, {});
}

inline detail::Read Stream::read_until(std::string_view delimiter, std::size_t size_max) noexcept {
  return detail::Read(*this, detail::Read::Until::delimiter, size_max, delimiter);
}

inline detail::Write<Buffer> Stream::write(Buffer bytes) noexcept {
  return detail::Write<Buffer>(*this, std::move(bytes));
}

inline detail::Write<std::string_view> Stream::write(std::string_view bytes) noexcept {
  return detail::Write<std::string_view>(*this, bytes);
}

inline detail::Drain Stream::drain() noexcept { return detail::Drain(*this); }

inline detail::Finish Stream::end() noexcept { return detail::Finish(*this); }

inline detail::Closed Stream::closed() noexcept { return detail::Closed(*this); }

inline detail::Connect Stream::connect(const net::ConnectOptions& options) {
  return detail::Connect(*this, options);
}

inline detail::Connect Stream::connect(int port, std::string_view host) {
  return detail::Connect(*this, net::ConnectOptions{.host = std::string(host), .port = port});
}

}  // namespace weir::inline v1::coro
