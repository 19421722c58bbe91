// A request as a handler sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/http/cookie.h"
#include "weir/http/head.h"
#include "weir/http/url.h"
#include "weir/net/encoding.h"
#include "weir/net/event.h"
#include "weir/net/socket_events.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/error.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::net {
class Socket;
}

namespace weir::inline v1::http {

struct Exchange;
class RequestRef;
class Response;

using net::ListenerId;
using net::Times;

// Owner: the connection. It is there from 'request' until its 'close' has been emitted, which comes
// when the request is complete and answered, or when the connection ends; whoever keeps it longer
// than a handler holds a RequestRef. All views of it are good as long.
// Thread: the reactor's. No listener runs inside the call that causes it.
// Events: data*, end, close; or, when it is cut off, aborted, error, close.
class Request {
 public:
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  Method method() const noexcept { return head_.method; }
  std::string_view method_text() const noexcept { return head_.method_text(); }
  std::string_view target() const noexcept { return head_.target; }  // as sent
  TargetForm target_form() const noexcept { return head_.form; }
  Url url() const noexcept { return split_url(head_.target); }
  std::string_view path() const noexcept { return url().path; }
  std::string_view query() const noexcept { return url().query.value_or(std::string_view()); }
  // What it is addressed to: see RequestHead::host.
  std::string_view host() const noexcept { return head_.host; }
  int version_minor() const noexcept { return head_.version_minor; }
  bool keep_alive() const noexcept { return head_.keep_alive; }

  // Field lines in order, as sent.
  std::span<const Field> fields() const noexcept { return head_.fields; }
  // The first line of that name, in any case of letters.
  std::optional<std::string_view> header(std::string_view name) const noexcept;
  // Each line's.
  std::vector<std::string_view> header_values(std::string_view name) const;
  // All lines of that name as one value, the way Node has them in `headers`: joined with ", ",
  // Cookie with "; ", and of what may stand only once the first.
  std::optional<std::string> combined_header(std::string_view name) const;
  // The pairs of all Cookie fields: while (const auto cookie = cookies.next()) ... Each field line
  // by itself: for (const Field& field : fields()).
  std::optional<std::string_view> cookie(std::string_view name) const noexcept;

  // From the head: nothing when it is chunked.
  std::optional<std::uint64_t> body_size() const noexcept;
  // Complete: read to its end, trailers included.
  bool complete() const noexcept { return complete_; }
  // The connection ended, or broke the rules, before it was complete and answered.
  bool aborted() const noexcept { return aborted_; }
  // After 'end'; empty unless the body was chunked.
  std::span<const Field> trailers() const noexcept { return trailers_; }

  // No 'data' after pause() has returned. Without a 'data' listener and without resume() the body
  // waits, and the client with it, until the response is finished; what is left then is dropped.
  void pause();
  void resume();
  bool is_paused() const noexcept { return paused_; }
  // 'data' carries text from now on, as UTF-8, and never part of a character.
  void set_encoding(net::Encoding encoding);
  // In the place of 'data' and 'end' listeners: the whole body, if it is at most so large, when it
  // is complete. The view is good for the call. A larger one gets a 413, and `done` is not called;
  // nor is it when the client goes before ('close' tells).
  void read_body(std::size_t bytes_max,
                 Function<void(Request&, Response&, std::string_view)> done);
  // As Socket::set_timeout(), of its socket: without activity for so long 'timeout' is told to the
  // request while it is incomplete, to the first unanswered response, and to the server. When none
  // of them listens the connection is destroyed.
  Expected<void> set_timeout(Duration timeout);
  // Ends the connection now.
  void destroy(std::error_code code = {});

  // Where it came from. Good as long as the request.
  net::Socket& socket() const noexcept;

  // A piece of the body: a view of what was received.
  ListenerId on_data(Function<void(Request&, Buffer)> call, Times times = Times::always);
  // The request is complete.
  ListenerId on_end(Function<void(Request&)> call, Times times = Times::always);
  // The client has gone, or what it sent is wrong.
  ListenerId on_aborted(Function<void(Request&)> call, Times times = Times::always);
  // After 'aborted': ECONNRESET, or what destroy() was given. Without a listener it is nobody's.
  ListenerId on_error(Function<void(Request&, const Error&)> call, Times times = Times::always);
  ListenerId on_timeout(Function<void(Request&)> call, Times times = Times::always);
  // Exactly once, and last.
  ListenerId on_close(Function<void(Request&)> call, Times times = Times::always);
  void off(ListenerId id) noexcept;

  RequestRef weak() const noexcept;

  void* user_data = nullptr;  // the user's

 private:
  friend class Connection;
  friend struct Exchange;
  explicit Request(Exchange& exchange) noexcept : exchange_(exchange) {}
  ~Request();

  bool keep_head(const RequestHead& head) noexcept;
  bool keep_trailers(std::span<const Field> trailers) noexcept;
  bool takes_data() const noexcept { return !paused_ && (flowing_ || !data_.empty()); }
  void deliver(Buffer bytes);
  void finish_text();
  void emit_data(Buffer bytes);
  void reset() noexcept;

  Exchange& exchange_;
  RequestHead head_;
  std::span<const Field> trailers_;
  void* memory_ = nullptr;          // fields and text of the head
  std::size_t memory_size_ = 0;
  void* trailer_memory_ = nullptr;
  std::optional<net::TextDecoder> decoder_;
  net::Event<Request&, Buffer> data_;
  net::Event<Request&> end_;
  net::Event<Request&> abort_;
  net::Event<Request&, const Error&> error_;
  net::Event<Request&> timeout_;
  net::Event<Request&> close_;
  bool has_listeners_ = false;
  bool paused_ = false;
  bool flowing_ = false;  // resume() was called: data may be dropped without a listener
  bool complete_ = false;
  bool aborted_ = false;
};

// Weak: get() is null once 'close' of the request and of its response have been emitted, or the
// server is gone, from its next turn on. Must not outlive the reactor.
class RequestRef {
 public:
  RequestRef() noexcept = default;
  Request* get() const noexcept;

 private:
  friend class Request;
  RequestRef(Exchange& exchange, std::uint64_t number) noexcept
      : exchange_(&exchange), number_(number) {}
  Exchange* exchange_ = nullptr;
  std::uint64_t number_ = 0;
};

}  // namespace weir::inline v1::http
