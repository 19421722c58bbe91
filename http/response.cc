#include "weir/http/response.h"

#include <deque>
#include <string>
#include <utility>

#include "weir/http/chunked.h"
#include "weir/http/fixed_head.h"
#include "weir/net/socket.h"
#include "http/connection.h"
#include "http/exchange.h"

namespace weir::inline v1::http {

using net::Write;

struct Response::Pending {
  struct Call {
    std::uint64_t at;  // the connection's output up to here has its bytes; see due()
    ResponseDone done;
    std::error_code code;
  };
  std::deque<Call> calls;
  std::vector<Error> errors;
};

Response::Response(Exchange& exchange) noexcept : exchange_(exchange) {}
Response::~Response() = default;

void Response::reset() noexcept {
  fields_.clear();
  trailers_.clear();
  plan_.reset();
  body_ = BodyWriter();
  reason_.clear();
  status_ = 200;
  pending_.reset();
  if (has_listeners_) {
    drain_.clear();
    finish_.clear();
    error_.clear();
    timeout_.clear();
    close_.clear();
  }
  user_data = nullptr;
  corked_ = 0;
  sends_date_ = true;
  has_listeners_ = head_out_ = continued_ = ended_ = finished_ = destroyed_ = needs_drain_ = false;
  over_ = false;
}

// ---- The head ----

Expected<void> Response::check_open() const {
  if (plan_) return failure({.code = Mistake::headers_sent});
  if (ended_ || destroyed_) return failure({.code = Mistake::stream_destroyed});
  return {};
}

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

Expected<void> Response::set_header(std::string_view name, std::string_view value) {
  if (const auto open = check_open(); !open) return open;
  return fields_.set(name, value);
}

Expected<void> Response::set_header(std::string_view name,
                                    std::initializer_list<std::string_view> values) {
  if (const auto open = check_open(); !open) return open;
  return fields_.set(name, values);
}

Expected<void> Response::append_header(std::string_view name, std::string_view value) {
  if (const auto open = check_open(); !open) return open;
  return fields_.append(name, value);
}

Expected<void> Response::remove_header(std::string_view name) {
  if (const auto open = check_open(); !open) return open;
  fields_.remove(name);
  return {};
}

Expected<void> Response::write_head(int status, std::string_view reason,
                                    std::initializer_list<Field> headers) {
  if (const auto set = set_status(status, reason); !set) return set;
  Fields given;
  for (const Field& field : headers) {
    if (const auto set = given.append(field.name, field.value); !set) return set;
  }
  if (const auto merged = fields_.merge(given); !merged) return merged;
  return settle_head({});
}

Expected<void> Response::flush_headers() {
  if (ended_ || destroyed_) return failure({.code = Mistake::stream_destroyed});
  if (!plan_) {
    if (const auto settled = settle_head({}); !settled) return settled;
  }
  put_head();
  return {};
}

// The plan refers to the fields and the reason, which do not change any more.
Expected<void> Response::settle_head(std::optional<std::uint64_t> body_size) {
  const auto plan = exchange_.connection->plan(exchange_, body_size);
  if (!plan) return failure(plan.error());
  plan_.emplace(*plan);
  body_ = BodyWriter(plan->framing());
  return {};
}

void Response::put_head() {
  if (std::exchange(head_out_, true)) return;
  exchange_.connection->put_head(exchange_, *plan_);
}

// ---- Interim answers ----

Expected<void> Response::write_interim(std::string_view head) {
  if (const auto open = check_open(); !open) return open;
  if (allows_interim(request().version_minor())) exchange_.connection->put(exchange_, head);
  return {};
}

Expected<void> Response::write_continue() {
  const auto written = write_interim(kContinueHead);
  if (written && !std::exchange(continued_, true)) exchange_.connection->continued(exchange_);
  return written;
}

Expected<void> Response::write_processing() { return write_interim(kProcessingHead); }

Expected<void> Response::write_early_hints(std::initializer_list<Field> headers) {
  Fields fields;
  for (const Field& field : headers) {
    if (const auto set = fields.append(field.name, field.value); !set) return set;
  }
  std::string head;
  if (const auto appended = append_early_hints(fields, head); !appended) return appended;
  return write_interim(head);
}

// ---- The body ----

// What is wrong with writing now, before a byte of it is taken. Null: nothing.
std::optional<Write> Response::refuse_write(std::size_t size, ResponseDone& done) {
  if (over_) return Write::closed;
  if (destroyed_) {
    remember(std::move(done), make_error_code(Mistake::stream_destroyed));
    return Write::closed;
  }
  if (ended_) return reject({.code = Mistake::write_after_end}, std::move(done));
  if (exchange_.connection->is_full_for(exchange_, size)) {
    needs_drain_ = true;
    return Write::refused;
  }
  return std::nullopt;
}

template <class Bytes>
void Response::put_piece(Bytes&& bytes, const BodyPiece& piece) {
  // From here on they are ours, also when nothing of them is sent.
  auto taken = std::forward<Bytes>(bytes);
  if (!piece.is_sent()) return;
  Connection& connection = *exchange_.connection;
  if (!piece.before().empty()) connection.put(exchange_, piece.before());
  connection.put(exchange_, std::move(taken));
  if (!piece.behind().empty()) connection.put(exchange_, piece.behind());
}

Write Response::after_put(ResponseDone done) {
  if (done) remember(std::move(done));
  if (ended_) return exchange_.connection->is_above_high_water() ? Write::full : Write::ok;
  if (!exchange_.connection->is_above_high_water()) return Write::ok;
  needs_drain_ = true;
  // With nothing on its way, as behind a piece that is not sent, no completion would look.
  exchange_.connection->look_again_later();
  return Write::full;
}

template <class Bytes>
Write Response::write_piece(Bytes&& bytes, ResponseDone done) {
  if (const auto refused = refuse_write(bytes.size(), done)) return *refused;
  if (!plan_) {
    if (auto settled = settle_head({}); !settled) return fail(settled.error(), std::move(done));
  }
  const auto piece = body_.piece(bytes.size());
  if (!piece) return fail(piece.error(), std::move(done));
  put_head();
  put_piece(std::forward<Bytes>(bytes), *piece);
  return after_put(std::move(done));
}

template <class Bytes>
Write Response::end_with(Bytes&& bytes, ResponseDone done) {
  if (ended_ && !destroyed_ && !over_ && bytes.size() == 0) {
    remember(std::move(done), finished_ ? Mistake::already_finished : std::error_code());
    return Write::ok;
  }
  if (const auto refused = refuse_write(bytes.size(), done)) return *refused;
  if (!plan_) {
    if (auto settled = settle_head(bytes.size()); !settled) {
      return fail(settled.error(), std::move(done));
    }
  }
  const auto piece = body_.piece(bytes.size());
  if (!piece) {
    const Write result = fail(piece.error(), std::move(done));
    if (!ended_) put_end();
    return result;
  }
  put_head();
  put_piece(std::forward<Bytes>(bytes), *piece);
  put_end();
  return after_put(std::move(done));
}

void Response::put_end() {
  put_head();
  ended_ = true;
  needs_drain_ = false;
  corked_ = 0;
  auto end = body_.finish(&trailers_);
  if (!end) {
    note(end.error());
    end = body_.finish(nullptr);
  }
  if (end->size() != 0) {
    std::string text;
    end->append_to(text);
    exchange_.connection->put(exchange_, text);
  }
  exchange_.connection->answered(exchange_, end->is_complete());
}

Write Response::write(Buffer&& bytes, ResponseDone done) {
  return write_piece(std::move(bytes), std::move(done));
}

Write Response::write(std::string_view bytes, ResponseDone done) {
  return write_piece(bytes, std::move(done));
}

Write Response::end(ResponseDone done) { return end_with(std::string_view(), std::move(done)); }

Write Response::end(Buffer&& last, ResponseDone done) {
  return end_with(std::move(last), std::move(done));
}

Write Response::end(std::string_view last, ResponseDone done) {
  return end_with(last, std::move(done));
}

Expected<void> Response::set_trailer(std::string_view name, std::string_view value) {
  if (ended_ || destroyed_) return failure({.code = Mistake::stream_destroyed});
  if (is_forbidden_trailer(name)) {
    return failure({.code = Mistake::trailer_invalid,
                    .detail = "this field may not stand in a trailer section"});
  }
  return trailers_.set(name, value);
}

void Response::cork() noexcept {
  if (!ended_ && !destroyed_) ++corked_;
}

void Response::uncork() noexcept {
  if (corked_ == 0 || --corked_ != 0) return;
  exchange_.connection->look_again();
}

Expected<void> Response::set_timeout(Duration timeout) { return socket().set_timeout(timeout); }

void Response::destroy(std::error_code code) {
  if (exchange_.connection == nullptr) return;
  destroyed_ = !finished_;
  exchange_.connection->destroy(code);
}

std::size_t Response::writable_length() const noexcept {
  return exchange_.connection == nullptr ? 0 : exchange_.connection->queued();
}

// ---- Errors and callbacks, which are told later ----

Response::Pending& Response::pending() {
  if (pending_ == nullptr) pending_ = std::make_unique<Pending>();
  return *pending_;
}

void Response::remember(ResponseDone done, std::error_code code) {
  if (!done) return;
  pending().calls.push_back({exchange_.written, std::move(done), code});
  exchange_.connection->look_again_later();
}

void Response::note(Error error) {
  pending().errors.push_back(std::move(error));
  exchange_.connection->look_again_later();
}

Write Response::reject_done(ResponseDone done, std::error_code code) {
  remember(std::move(done), code);
  return Write::closed;
}

Write Response::reject(Error error, ResponseDone done) {
  const std::error_code code = error.code;
  note(std::move(error));
  return reject_done(std::move(done), code);
}

// What was asked for cannot be. While no head is out the client learns that the server is at fault.
Write Response::fail(Error error, ResponseDone done) {
  const Write result = reject(std::move(error), std::move(done));
  if (head_out_) return result;
  plan_.reset();
  fields_.clear();
  trailers_.clear();
  reason_.clear();
  status_ = 500;
  exchange_.closes = true;
  if (const auto settled = settle_head(0); settled) put_end();
  return result;
}

// What has happened meanwhile is told. False: the connection is gone, nothing may be touched.
bool Response::tell(std::uint64_t sent) {
  if (pending_ == nullptr) return true;
  Connection& connection = *exchange_.connection;
  for (const Error& error : std::exchange(pending_->errors, {})) {
    if (!emit_error(error)) return false;
  }
  // Those that come meanwhile have their turn later.
  for (std::size_t left = pending_->calls.size(); left > 0; --left) {
    if (pending_->calls.front().at > sent) return true;
    Pending::Call call = std::move(pending_->calls.front());
    pending_->calls.pop_front();
    call.done(*this, call.code);
    call.done.reset();  // which may hold the server
    if (connection.gone()) return false;
  }
  return true;
}

bool Response::owes_calls() const noexcept {
  return pending_ != nullptr && !pending_->calls.empty();
}

// The connection has ended: callbacks that wait get `code`.
bool Response::fail_calls(std::error_code code) {
  Connection& connection = *exchange_.connection;
  over_ = true;
  while (pending_ != nullptr && !pending_->calls.empty()) {
    Pending::Call call = std::move(pending_->calls.front());
    pending_->calls.pop_front();
    call.done(*this, call.code ? call.code : code);
    call.done.reset();
    if (connection.gone()) return false;
  }
  return true;
}

bool Response::emit(net::Event<Response&>& event) {
  const Connection& connection = *exchange_.connection;
  event.emit_each([&](auto& listener, bool) {
    listener(*this);
    return !connection.gone();
  });
  return !connection.gone();
}

bool Response::emit_error(const Error& error) {
  const Connection& connection = *exchange_.connection;
  if (error_.empty()) {
    connection.report_unhandled(error);
    return !connection.gone();
  }
  error_.emit_each([&](auto& listener, bool) {
    listener(*this, error);
    return !connection.gone();
  });
  return !connection.gone();
}

// ---- Facts and listeners ----

Request& Response::request() const noexcept { return exchange_.request; }
net::Socket& Response::socket() const noexcept { return exchange_.connection->socket(); }

ListenerId Response::on_drain(Function<void(Response&)> call, Times times) {
  has_listeners_ = true;
  return drain_.add(std::move(call), times == Times::once);
}

ListenerId Response::on_finish(Function<void(Response&)> call, Times times) {
  has_listeners_ = true;
  return finish_.add(std::move(call), times == Times::once);
}

ListenerId Response::on_error(Function<void(Response&, const Error&)> call, Times times) {
  has_listeners_ = true;
  return error_.add(std::move(call), times == Times::once);
}

ListenerId Response::on_timeout(Function<void(Response&)> call, Times times) {
  has_listeners_ = true;
  return timeout_.add(std::move(call), times == Times::once);
}

ListenerId Response::on_close(Function<void(Response&)> call, Times times) {
  has_listeners_ = true;
  return close_.add(std::move(call), times == Times::once);
}

void Response::off(ListenerId id) noexcept {
  drain_.remove(id);
  finish_.remove(id);
  error_.remove(id);
  timeout_.remove(id);
  close_.remove(id);
}

ResponseRef Response::weak() const noexcept { return {exchange_, exchange_.number}; }

Response* ResponseRef::get() const noexcept {
  if (exchange_ == nullptr || exchange_->number != number_) return nullptr;
  return &exchange_->response;
}

}  // namespace weir::inline v1::http
