// A request as a handler sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

#include "weir/http/cookie.h"
#include "weir/http/head.h"
#include "weir/http/incoming_message.h"
#include "weir/http/url.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::net {
class Socket;
}

namespace weir::inline v1::http {

struct Exchange;
class Request;
class RequestRef;
class Response;

extern template class IncomingMessage<Request, Exchange>;

// Owner: the connection. It is there from 'request' until its 'close' has been emitted, which comes
// when the request is complete and answered, or when the connection ends; whoever keeps it longer
// than a handler holds a RequestRef. All views of it are good as long.
// What an unread body does to its client: it waits until the response is finished; what is left
// then is dropped.
class Request final : public IncomingMessage<Request, Exchange> {
 public:
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

  // The pairs of all Cookie fields: while (const auto cookie = cookies.next()) ... Each field line
  // by itself: for (const Field& field : fields()).
  std::optional<std::string_view> cookie(std::string_view name) const noexcept;

  // From the head: nothing when it is chunked.
  std::optional<std::uint64_t> body_size() const noexcept;
  // In the place of 'data' and 'end' listeners: the whole body, if it is at most so large, when it
  // is complete. The view is good for the call. A larger one gets a 413, one without memory a 503,
  // and `done` is not called; nor is it when the client goes before ('close' tells).
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

  ListenerId on_timeout(Function<void(Request&)> call, Times times = Times::always);
  void off(ListenerId id) noexcept;

  RequestRef weak() const noexcept;

 private:
  friend class Connection;
  friend struct Exchange;
  explicit Request(Exchange& exchange) noexcept : IncomingMessage(exchange) {}
  ~Request() = default;

  bool keep_head(const RequestHead& head) noexcept;
  void reset() noexcept;

  RequestHead head_;
  net::Event<Request&> timeout_;
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
