// The ways in which a connection ends.
#include <utility>

#include "weir/http/fixed_head.h"
#include "weir/net/net_part.h"
#include "http/connection.h"
#include "http/server_core.h"

namespace weir::inline v1::http {

Connection::~Connection() {
  const auto give_back = [this](Exchange& exchange) { part_.give_back(exchange); };
  pipeline_.for_each(give_back);
  leaving_.for_each(give_back);
}

// ---- Errors of the client ----

bool Connection::fail_parse() {
  const ParseFailure& failure = parser_.failure();
  const ParseErrorFacts& facts = facts_of(failure.error);
  return fail({.status = facts.status,
               .code = facts.code,
               .text = facts.text,
               .parse_error = failure.error,
               .bytes_parsed = failure.offset});
}

// The answer has its place behind those to the requests before. The input stays: it is the packet
// that the listener gets.
bool Connection::fail(const ClientError& error) {
  if (phase_ != Phase::reading) return true;
  phase_ = Phase::closing;
  ++core_.tallies.refusals;
  failure_.emplace(Failure{.error = error});
  return cut_reading();
}

// The request whose body is wrong, or late, gets no answer of its own; unless one is out.
bool Connection::cut_reading() {
  if (reading_ == nullptr) return true;
  Exchange& exchange = *std::exchange(reading_, nullptr);
  if (exchange.answered && exchange.waiting.empty() && exchange.in_turn) {
    failure_->silent = true;
    return cut_request(exchange, {});
  }
  const bool some_out = exchange.in_turn && exchange.written > exchange.waiting.bytes();
  failure_->silent = some_out && exchange.response.head_out_;
  forget_waiting(exchange);
  exchange.unlink();
  --pipelined_;
  return cut_off(exchange, {});
}

// Precondition: everything before it is answered.
bool Connection::answer_failure() {
  const Failure failure = *failure_;
  failure_.reset();
  if (failure.silent) {
    close_after_output();
    return true;
  }
  if (core_.client_error.empty()) {
    send(error_answer(failure.error.status));
    core_.tallies.count_response(failure.error.status);
    close_after_output();
    return true;
  }
  flush_staged();
  phase_ = Phase::surrendered;
  linger_until_ = later(now(), limits::kLingerTime);
  ClientError error = failure.error;
  error.packet = packet();
  core_.client_error.emit_each([&](auto& listener, bool) {
    listener(error, socket_);
    return !gone();
  });
  if (gone()) return false;
  input_.reset();
  return true;
}

// ---- Closing ----

bool Connection::is_idle() const noexcept {
  return phase_ == Phase::reading && reading_ == nullptr && pipeline_.empty() && queued() == 0 &&
         parser_.is_between_messages() && input_.empty();
}

// All that run() could find to do is to wait for the next request.
bool Connection::is_at_rest() const noexcept {
  return is_idle() && leaving_.empty() && !input_ended_ && !at_limit_ && !paused_ &&
         !core_.closing && !gone() && !socket_.destroyed();
}

void Connection::server_closes() {
  if (is_idle()) {
    destroy({});
  } else {
    look_again();
  }
}

// Behind an answer that ends the connection nothing is answered.
bool Connection::drop_pipeline() {
  while (!pipeline_.empty()) {
    Exchange& exchange = pipeline_.pop_front();
    --pipelined_;
    if (reading_ == &exchange) reading_ = nullptr;
    forget_waiting(exchange);
    if (!cut_off(exchange, {})) return false;
  }
  return true;
}

bool Connection::finish_closing() {
  const bool done = core_.closing && phase_ == Phase::reading && reading_ == nullptr &&
                    parser_.is_between_messages() && input_.empty() && requests_ != 0;
  if (done) phase_ = Phase::closing;
  if (phase_ != Phase::closing || !pipeline_.empty()) return true;
  if (failure_) return answer_failure();
  close_after_output();
  return true;
}

// Lingering (RFC 9112, section 9.6): the FIN goes out behind the last byte, and what the client
// still sends is read and dropped, so that no reset overtakes the answer.
void Connection::close_after_output() {
  flush_staged();
  phase_ = Phase::lingering;
  dropped_bytes_ = input_.size();
  input_.reset();
  linger_until_ = kNever;
  stream_.end();
}

void Connection::discard(std::size_t size) { dropped_bytes_ += size; }

// Once the output is out the client has so much time, and so many bytes, to see it.
void Connection::check_linger() noexcept {
  if (phase_ == Phase::surrendered && socket_.writable_ended()) {
    phase_ = Phase::lingering;
    linger_until_ = kNever;
  }
  if (phase_ != Phase::lingering || in_stream() != 0) return;
  if (linger_until_ == kNever) linger_until_ = later(now(), limits::kLingerTime);
  if (dropped_bytes_ > limits::kLingerBytesMax) destroy({});
}

// ---- The connection is gone ----

void Connection::on_stream_closed(const Error& error) noexcept {
  if (gone()) return;
  running_ = true;
  phase_ = Phase::lingering;
  core_.remove(*this);
  bool going_on = true;
  for (IntrusiveList<Exchange>* list : {&leaving_, &pipeline_}) {
    while (going_on && !list->empty()) going_on = cut_off(list->pop_front(), error.code);
  }
  condemn();
}

// Before its end. No code: the client is to blame.
bool Connection::cut_request(Exchange& exchange, std::error_code code) {
  return exchange.request.tell_aborted(
      {.code = code ? code : errno_code(ECONNRESET), .detail = "aborted"});
}

// Precondition: the exchange is in no list.
bool Connection::cut_off(Exchange& exchange, std::error_code code) {
  Response& response = exchange.response;
  if (!std::exchange(exchange.counted, true)) ++core_.tallies.requests_cut_off;
  const bool served = response.finished_ && exchange.request.complete_;
  response.destroyed_ = !response.finished_;
  const bool going_on = (served || exchange.request.aborted_ || cut_request(exchange, code)) &&
                        response.fail_calls(code ? code : Mistake::stream_destroyed) &&
                        retire(exchange);
  if (!going_on && !exchange.linked()) pipeline_.push_back(exchange);
  return going_on;
}

// The server goes: what is in work is given back with this.
void Connection::abandon() noexcept {
  gone_ = true;
  stream_.set_user(nullptr);
  condemn();
}

// Handlers may be running: memory goes in a task of its own.
void Connection::condemn() noexcept {
  gone_ = true;
  unlink();
  reactor_.wheel().cancel(timer_);
  count_written();
  core_.tallies.bytes_lost += counted_written_ - counted_sent_;
  if (core_.staged_for == this) {
    core_.staged_for = nullptr;
    core_.staged.clear();
  }
  net::NetPart::of(reactor_).destroy_later({this, [](void* object) noexcept {
                                              auto* dying = static_cast<Connection*>(object);
                                              dying->part_.connections().destroy(dying);
                                            }});
}

}  // namespace weir::inline v1::http
