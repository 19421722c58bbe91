#include "weir/http/response.h"

#include <utility>

#include "weir/http/fixed_head.h"
#include "weir/net/socket.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/outgoing_message_impl.h"

namespace weir::inline v1::http {

template class OutgoingMessage<Response, Exchange>;

void Response::reset() noexcept {
  OutgoingMessage::reset();
  plan_.reset();
  reason_.clear();
  status_ = 200;
  sends_date_ = true;
  measured_ = true;
  continued_ = false;
}

// ---- The head ----

Expected<void> Response::set_status(int status, std::string_view reason) {
  if (const auto open = check_open(); !open) return open;
  if (status != 101 && (status < 200 || status > 999)) {
    return failure({.code = Mistake::invalid_status_code,
                    .detail = "a response has a status of 200 to 999, or 101; interim ones have "
                              "calls of their own"});
  }
  if (const auto good = check_reason(reason); !good) return good;
  status_ = status;
  reason_ = reason;
  return {};
}

Expected<void> Response::write_head(int status, std::string_view reason,
                                    std::initializer_list<Field> headers) {
  if (const auto set = set_status(status, reason); !set) return set;
  if (const auto set = fields_.merge(headers); !set) return set;
  return settle_head({});
}

// The plan refers to the fields and the reason, which do not change any more.
Expected<void> Response::settle_head(std::optional<std::uint64_t> body_size) {
  plan_.emplace([&] { return owner_.connection->response_facts(owner_, body_size); });
  if (auto decided = plan_->decide(); !decided) {
    plan_.reset();
    return decided;
  }
  settle(plan_->framing());
  return {};
}

void Response::send_head() { owner_.connection->put_head(owner_, *plan_); }

// The client learns that the server is at fault.
void Response::head_failed() {
  unsettle();
  plan_.reset();
  reason_.clear();
  status_ = 500;
  owner_.closes = true;
  if (const auto settled = settle_head(0); settled) put_end();
}

// ---- Interim answers ----

Expected<void> Response::write_interim(std::string_view head) {
  if (const auto open = check_open(); !open) return open;
  if (allows_interim(request().version_minor())) owner_.put(head);
  return {};
}

Expected<void> Response::write_continue() {
  const auto written = write_interim(kContinueHead);
  if (written && !std::exchange(continued_, true)) owner_.connection->continued(owner_);
  return written;
}

Expected<void> Response::write_processing() { return write_interim(kProcessingHead); }

Expected<void> Response::write_early_hints(std::initializer_list<Field> headers) {
  Fields fields;
  if (const auto set = fields.merge(headers); !set) return set;
  std::string head;
  if (const auto appended = append_early_hints(fields, head); !appended) return appended;
  return write_interim(head);
}

// ---- Its connection ----

Expected<void> Response::set_timeout(Duration timeout) { return socket().set_timeout(timeout); }

void Response::destroy(std::error_code code) {
  if (owner_.connection == nullptr) return;
  destroyed_ = !finished_;
  owner_.connection->destroy(code);
}

Request& Response::request() const noexcept { return owner_.request; }
net::Socket& Response::socket() const noexcept { return owner_.connection->socket(); }

ResponseRef Response::weak() const noexcept { return {owner_, owner_.number}; }

Response* ResponseRef::get() const noexcept {
  if (exchange_ == nullptr || exchange_->number != number_) return nullptr;
  return &exchange_->response;
}

}  // namespace weir::inline v1::http
