// The response to a request, as a handler writes it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "weir/http/outgoing_message.h"
#include "weir/http/request.h"
#include "weir/http/response_head.h"

namespace weir::inline v1::http {

class ResponseRef;

extern template class OutgoingMessage<Response, Exchange>;
using ResponseDone = OutgoingMessage<Response, Exchange>::Done;

// Owner: the connection; there as long as its request (see Request), whoever keeps it longer than a
// handler holds a ResponseRef.
// Framing: see plan_response(). Responses leave in the order of the requests, however late an
// earlier one is.
// Errors, besides: while no head is out, the client gets a 500 for what cannot be sent, and the
// connection is closed after it.
class Response final : public OutgoingMessage<Response, Exchange> {
 public:
  int status() const noexcept { return status_; }
  // 200..999, or 101 with an Upgrade; else Mistake::invalid_status_code. An empty `reason` is the
  // usual one. After the head is out: Mistake::headers_sent.
  Expected<void> set_status(int status, std::string_view reason = {});
  // Status and headers at once, over those that were set. The head is settled by it, although it
  // leaves with the body only: without a Content-Length the body will be chunked.
  Expected<void> write_head(int status, std::initializer_list<Field> headers = {}) {
    return write_head(status, std::string_view(), headers);
  }
  Expected<void> write_head(int status, std::string_view reason,
                            std::initializer_list<Field> headers = {});
  void set_send_date(bool on) noexcept { sends_date_ = on; }
  // Off: its time is not in ServerStats::latency. For what is long by design, as streams of events.
  void set_measured(bool on) noexcept { measured_ = on; }

  // Interim answers; any number, before the head. `trailer_invalid` and the like: see
  // append_early_hints(). Dropped for HTTP/1.0.
  Expected<void> write_continue();
  Expected<void> write_processing();
  Expected<void> write_early_hints(std::initializer_list<Field> headers);

  Expected<void> set_timeout(Duration timeout);  // see Request::set_timeout()
  // Ends the connection now: 'close' without 'finish'.
  void destroy(std::error_code code = {});

  Request& request() const noexcept;
  net::Socket& socket() const noexcept;
  void off(ListenerId id) noexcept { remove_listener(id); }

  ResponseRef weak() const noexcept;

 private:
  friend class Connection;
  friend struct Exchange;
  friend class OutgoingMessage<Response, Exchange>;
  explicit Response(Exchange& exchange) noexcept : OutgoingMessage(exchange) {}
  ~Response() = default;

  Expected<void> settle_head(std::optional<std::uint64_t> body_size);
  void send_head();
  void head_failed();
  Expected<void> write_interim(std::string_view head);
  void reset() noexcept;

  std::optional<ResponsePlan> plan_;  // once the head is settled
  std::string reason_;
  int status_ = 200;
  bool sends_date_ = true;
  bool measured_ = true;
  bool continued_ = false;  // a 100 was sent
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
