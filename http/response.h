// The response to a request, as a handler writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/http/body_writer.h"
#include "weir/http/fields.h"
#include "weir/http/request.h"
#include "weir/http/response_head.h"
#include "weir/net/socket_options.h"

namespace weir::inline v1::http {

class Response;
class ResponseRef;

// What became of a write, later: no code when the kernel has taken all of it. Comes exactly once
// for each write and end, in order, never inside the call; but not for one that comes when the
// connection is gone already or in 'close', which answers `closed`, nor after `refused`.
using ResponseDone = Function<void(Response&, std::error_code)>;

// Owner: the connection; there as long as its request (see Request), whoever keeps it longer than a
// handler holds a ResponseRef.
// Thread: the reactor's. No listener runs inside the call that causes it.
// Framing: see plan_response(). The head goes out with the first piece of the body, or with the end
// of it; responses leave in the order of the requests, however late an earlier one is.
// Bounds: what is written and not yet with the kernel counts for the connection; from the socket's
// high-water mark on writes say `full`, and beyond its limit `refused`.
// Errors: mistakes in arguments are returned by the call. What a write or end meets (a body longer
// than its Content-Length, a head that cannot be) comes as 'error'; when no head is out then, the
// client gets a 500, and the connection is closed after it.
class Response {
 public:
  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;

  int status() const noexcept { return status_; }
  // 200..999, or 101 with an Upgrade; else Mistake::invalid_status_code. An empty `reason` is the
  // usual one. After the head is out all of these are Mistake::headers_sent.
  Expected<void> set_status(int status, std::string_view reason = {});
  Expected<void> set_header(std::string_view name, std::string_view value);
  // A line for each value.
  Expected<void> set_header(std::string_view name, std::initializer_list<std::string_view> values);
  Expected<void> append_header(std::string_view name, std::string_view value);
  Expected<void> remove_header(std::string_view name);
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    return fields_.get(name);
  }
  bool has_header(std::string_view name) const noexcept { return fields_.has(name); }
  std::vector<std::string_view> header_names() const { return fields_.names(); }
  // Status and headers at once, over those that were set. The head is settled by it, although it
  // leaves with the body only: without a Content-Length the body will be chunked.
  Expected<void> write_head(int status, std::initializer_list<Field> headers = {}) {
    return write_head(status, std::string_view(), headers);
  }
  Expected<void> write_head(int status, std::string_view reason,
                            std::initializer_list<Field> headers = {});
  // Sends the head now.
  Expected<void> flush_headers();
  // The head is settled: sent, or on its way.
  bool headers_sent() const noexcept { return plan_.has_value(); }
  void set_send_date(bool on) noexcept { sends_date_ = on; }

  // Interim answers; any number, before the head. `trailer_invalid` and the like: see
  // append_early_hints(). Dropped for HTTP/1.0.
  Expected<void> write_continue();
  Expected<void> write_processing();
  Expected<void> write_early_hints(std::initializer_list<Field> headers);

  // A piece of the body. Moves from `bytes` exactly when the result is ok or full. Empty pieces,
  // and bodies of answers that have none (HEAD, 204, 304), are dropped and ok.
  net::Write write(Buffer&& bytes, ResponseDone done = {});
  net::Write write(std::string_view bytes, ResponseDone done = {});  // copies
  // The last piece, and what ends the body. Again: harmless without bytes.
  net::Write end(ResponseDone done = {});
  net::Write end(Buffer&& last, ResponseDone done = {});
  net::Write end(std::string_view last, ResponseDone done = {});
  // Sent behind a chunked body, else dropped. Mistake::trailer_invalid for fields that may not
  // stand there.
  Expected<void> set_trailer(std::string_view name, std::string_view value);
  // While corked nothing of it is sent; counted; end() uncorks.
  void cork() noexcept;
  void uncork() noexcept;
  Expected<void> set_timeout(Duration timeout);  // see Request::set_timeout()
  // Ends the connection now: 'close' without 'finish'.
  void destroy(std::error_code code = {});

  bool writable_ended() const noexcept { return ended_; }
  bool writable_finished() const noexcept { return finished_; }
  bool destroyed() const noexcept { return destroyed_; }
  bool writable_needs_drain() const noexcept { return needs_drain_; }
  // Written, of this connection, and not yet with the kernel; bytes.
  std::size_t writable_length() const noexcept;

  Request& request() const noexcept;
  net::Socket& socket() const noexcept;

  // Once for each period from the first `full` or `refused` until the queue has drained.
  ListenerId on_drain(Function<void(Response&)> call, Times times = Times::always);
  // end() was called, and the kernel has taken everything.
  ListenerId on_finish(Function<void(Response&)> call, Times times = Times::always);
  // Without a listener it goes to Reactor::on_unhandled_error.
  ListenerId on_error(Function<void(Response&, const Error&)> call, Times times = Times::always);
  ListenerId on_timeout(Function<void(Response&)> call, Times times = Times::always);
  // Exactly once, and last: after 'finish', or without it when the connection ended first.
  ListenerId on_close(Function<void(Response&)> call, Times times = Times::always);
  void off(ListenerId id) noexcept;

  ResponseRef weak() const noexcept;

  void* user_data = nullptr;  // the user's

 private:
  friend class Connection;
  friend struct Exchange;
  struct Pending;
  explicit Response(Exchange& exchange) noexcept;
  ~Response();

  Expected<void> check_open() const;
  Expected<void> settle_head(std::optional<std::uint64_t> body_size);
  void put_head();
  Expected<void> write_interim(std::string_view head);
  std::optional<net::Write> refuse_write(std::size_t size, ResponseDone& done);
  template <class Bytes>
  net::Write write_piece(Bytes&& bytes, ResponseDone done);
  template <class Bytes>
  net::Write end_with(Bytes&& bytes, ResponseDone done);
  template <class Bytes>
  void put_piece(Bytes&& bytes, const BodyPiece& piece);
  net::Write after_put(ResponseDone done);
  void put_end();
  Pending& pending();
  void remember(ResponseDone done, std::error_code code = {});
  void note(Error error);
  net::Write reject(Error error, ResponseDone done);
  net::Write reject_done(ResponseDone done, std::error_code code);
  net::Write fail(Error error, ResponseDone done);
  // Each returns false when the connection is gone, and nothing may be touched.
  bool tell(std::uint64_t sent);
  bool owes_calls() const noexcept;
  bool fail_calls(std::error_code code);
  bool emit(net::Event<Response&>& event);
  bool emit_error(const Error& error);
  bool is_watched() const noexcept {
    return pending_ != nullptr || !finish_.empty() || !close_.empty();
  }
  void reset() noexcept;

  Exchange& exchange_;
  Fields fields_;
  Fields trailers_;
  std::optional<ResponsePlan> plan_;  // once the head is settled
  BodyWriter body_;
  std::string reason_;
  int status_ = 200;
  std::unique_ptr<Pending> pending_;  // callbacks and errors that are due
  net::Event<Response&> drain_;
  net::Event<Response&> finish_;
  net::Event<Response&, const Error&> error_;
  net::Event<Response&> timeout_;
  net::Event<Response&> close_;
  std::uint16_t corked_ = 0;
  bool has_listeners_ = false;
  bool sends_date_ = true;
  bool head_out_ = false;      // written to the connection
  bool continued_ = false;     // a 100 was sent
  bool ended_ = false;         // end() was called
  bool finished_ = false;
  bool destroyed_ = false;
  bool needs_drain_ = false;
  bool over_ = false;          // nothing is taken any more, callbacks neither
};

// As RequestRef.
class ResponseRef {
 public:
  ResponseRef() noexcept = default;
  Response* get() const noexcept;

 private:
  friend class Response;
  ResponseRef(Exchange& exchange, std::uint64_t number) noexcept
      : exchange_(&exchange), number_(number) {}
  Exchange* exchange_ = nullptr;
  std::uint64_t number_ = 0;
};

}  // namespace weir::inline v1::http
