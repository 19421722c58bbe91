// What a message that goes out has, whichever side it comes from: fields, body, trailers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/http/body_writer.h"
#include "weir/http/fields.h"
#include "weir/net/event.h"
#include "weir/net/socket_events.h"
#include "weir/net/socket_options.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

using net::ListenerId;
using net::Times;

// The common part of Response and ClientRequest: Self is one of them, Owner what has it in work.
// Thread: the reactor's. No listener runs inside the call that causes it.
// The head goes out with the first piece of the body, or with the end of it.
// Bounds: what is written and not yet with the kernel counts for the connection; from the socket's
// high-water mark on writes say `full`, and beyond its limit `refused`.
// Errors: mistakes in arguments are returned by the call. What a write or end meets (a body longer
// than its Content-Length, a head that cannot be) comes as 'error'.
template <class Self, class Owner>
class OutgoingMessage {
 public:
  // What became of a write, later: no code when the kernel has taken all of it. Comes exactly once
  // for each write and end, in order, never inside the call; but not for one that comes when the
  // connection is gone already or in 'close', which answers `closed`, nor after `refused`.
  using Done = Function<void(Self&, std::error_code)>;

  OutgoingMessage(const OutgoingMessage&) = delete;
  OutgoingMessage& operator=(const OutgoingMessage&) = delete;

  // After the head is out these five are Mistake::headers_sent.
  Expected<void> set_header(std::string_view name, std::string_view value);
  // A line for each value.
  Expected<void> set_header(std::string_view name, std::initializer_list<std::string_view> values);
  // set_header() for each name of `headers`, whose lines are copied: in one piece where nothing is
  // set yet. For what many messages have in common. After an error some may be set.
  Expected<void> set_headers(const Fields& headers);
  Expected<void> append_header(std::string_view name, std::string_view value);
  Expected<void> remove_header(std::string_view name);
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    return fields_.get(name);
  }
  bool has_header(std::string_view name) const noexcept { return fields_.has(name); }
  std::vector<std::string_view> header_names() const { return fields_.names(); }
  // Sends the head now.
  Expected<void> flush_headers();
  // The head is settled: sent, or on its way.
  bool headers_sent() const noexcept { return settled_; }

  // A piece of the body. Moves from `bytes` exactly when the result is ok or full. Empty pieces,
  // and bodies of messages that have none, are dropped and ok.
  net::Write write(Buffer&& bytes, Done done = {});
  net::Write write(std::string_view bytes, Done done = {});  // copies
  // A piece of the body that is part of a file (sendfile(2)): as Socket::send_file(), which says
  // what it promises. Its bytes count for `full` and 'drain' but take no memory; it is `refused`
  // only behind kQueuedFilesMax others. A file that has less than was promised ends the connection,
  // by a reset. Moves from `range` exactly when the result is ok or full. Without a file, or beyond
  // 2^63 - 1, it is an 'error': bad_argument, out_of_range.
  net::Write send_file(net::FileRange&& range, Done done = {});
  // The last piece, and what ends the body. Again: harmless without bytes.
  net::Write end(Done done = {});
  net::Write end(Buffer&& last, Done done = {});
  net::Write end(std::string_view last, Done done = {});
  net::Write end(net::FileRange&& last, Done done = {});
  // Sent behind a chunked body, else dropped. Mistake::trailer_invalid for fields that may not
  // stand there.
  Expected<void> set_trailer(std::string_view name, std::string_view value);
  // While corked nothing of it is sent; counted; end() uncorks.
  void cork() noexcept;
  void uncork() noexcept;

  bool writable_ended() const noexcept { return ended_; }
  bool writable_finished() const noexcept { return finished_; }
  bool destroyed() const noexcept { return destroyed_; }
  bool writable_needs_drain() const noexcept { return needs_drain_; }
  // Written, of this connection, and not yet with the kernel; bytes.
  std::size_t writable_length() const noexcept;

  // Once for each period from the first `full` or `refused` until the queue has drained; none
  // behind end().
  ListenerId on_drain(Function<void(Self&)> call, Times times = Times::always);
  // end() was called, and the kernel has taken everything.
  ListenerId on_finish(Function<void(Self&)> call, Times times = Times::always);
  // Without a listener it goes to Reactor::on_unhandled_error.
  ListenerId on_error(Function<void(Self&, const Error&)> call, Times times = Times::always);
  ListenerId on_timeout(Function<void(Self&)> call, Times times = Times::always);
  // Exactly once, and last: after 'finish', or without it when the connection ended first.
  ListenerId on_close(Function<void(Self&)> call, Times times = Times::always);

  void* user_data = nullptr;  // the user's

 protected:
  explicit OutgoingMessage(Owner& owner) noexcept;
  ~OutgoingMessage();

  Expected<void> check_open() const;
  // The head cannot change any more; the body will be framed so.
  void settle(BodyFraming framing) noexcept;
  // Back to before: for an answer in the place of one that cannot be.
  void unsettle() noexcept;
  void put_head();
  void put_end();
  void note(Error error);
  // Each returns false when nothing may be touched any more.
  bool tell(std::uint64_t sent);
  bool owes_calls() const noexcept;
  bool fail_calls(std::error_code code);
  bool emit(net::Event<Self&>& event);
  bool emit_error(const Error& error);
  bool is_watched() const noexcept {
    return pending_ != nullptr || !finish_.empty() || !close_.empty();
  }
  void remove_listener(ListenerId id) noexcept;
  void reset() noexcept;

  Owner& owner_;
  Fields fields_;
  Fields trailers_;
  net::Event<Self&> drain_;
  net::Event<Self&> finish_;
  net::Event<Self&, const Error&> error_;
  net::Event<Self&> timeout_;
  net::Event<Self&> close_;
  std::uint16_t corked_ = 0;
  bool has_listeners_ = false;
  bool head_out_ = false;  // given to the connection
  bool ended_ = false;     // end() was called
  bool finished_ = false;
  bool destroyed_ = false;
  bool needs_drain_ = false;
  bool over_ = false;  // nothing is taken any more, callbacks neither

 private:
  struct Pending;
  Self& self() noexcept { return static_cast<Self&>(*this); }
  template <class Bytes>
  std::optional<net::Write> refuse_write(const Bytes& bytes, Done& done);
  template <class Bytes>
  bool is_full_for(const Bytes& bytes) const noexcept;
  template <class Bytes>
  Expected<BodyPiece> piece_of(const Bytes& bytes);
  template <class Bytes>
  net::Write write_piece(Bytes&& bytes, Done&& done);
  template <class Bytes>
  net::Write end_with(Bytes&& bytes, Done&& done);
  template <class Bytes>
  void put_piece(Bytes&& bytes, const BodyPiece& piece);
  net::Write after_put(Done&& done);
  Pending& pending();
  void remember(Done done, std::error_code code = {});
  net::Write reject(Error error, Done&& done);
  net::Write reject_done(Done&& done, std::error_code code);
  net::Write fail(Error error, Done&& done);

  BodyWriter body_;
  std::unique_ptr<Pending> pending_;  // callbacks and errors that are due
  bool settled_ = false;
};

}  // namespace weir::inline v1::http
