// Reading: from bytes to handlers.
#include "http/connection.h"

#include <cerrno>
#include <utility>

#include "http/server_core.h"
#include "weir/reactor/gathered_bytes.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::http {
namespace {

constexpr ClientError kBodyTooLarge = {
    .status = 413, .code = "ERR_HTTP_BODY_TOO_LARGE", .text = "the body is too large"};

// What the parser did not say itself.
ClientError no_memory() noexcept {
  const ParseErrorFacts& facts = facts_of(ParseError::no_memory);
  return {.status = facts.status, .code = facts.code, .text = facts.text};
}

}  // namespace

Connection::Connection(ServerCore& core, net::Socket& socket) noexcept
    : Task([](Task& task) noexcept { static_cast<Connection&>(task).run(); }),
      reactor_(core.reactor),
      part_(core.part),
      core_(core),
      socket_(socket),
      stream_(socket),
      parser_(&core.options.parser, core.part.head_fields()),
      timer_(*this),
      message_begun_(now()),
      idle_since_(message_begun_) {
  stream_.set_user(this);
  arm();
}

bool Connection::gone() const noexcept { return gone_ || core_.gone; }

void Connection::look_again_later() noexcept {
  if (!gone()) reactor_.schedule(*this);
}

void Connection::look_again() noexcept {
  if (running_) {
    again_ = true;
  } else {
    look_again_later();
  }
}

// ---- What the stream tells ----

void Connection::on_stream_data(Buffer bytes) noexcept {
  core_.tallies.bytes_in += bytes.size();
  if (phase_ == Phase::lingering || phase_ == Phase::surrendered) {
    discard(bytes.size());
  } else if (input_.empty()) {
    input_ = std::move(bytes);
    parsed_ = 0;
  } else {
    // A handler has resumed the socket that we had paused.
    input_ = joined(input_, bytes);
    if (input_.empty()) return destroy(errno_code(ENOMEM));
    parsed_ = 0;
    credit_pause();
  }
  run();
}

void Connection::on_stream_end() noexcept {
  input_ended_ = true;
  run();
}

void Connection::on_stream_sent(bool drained) noexcept {
  if (drained) stream_full_ = false;
  output_left();
  if (!is_at_rest()) return run();
  drop_used_input();
  arm();
}

void Connection::on_stream_idle() noexcept {
  Request* request = reading_ == nullptr ? nullptr : &reading_->request;
  Response* response = pipeline_.empty() ? nullptr : &pipeline_.front().response;
  const bool heard = (request != nullptr && !request->timeout_.empty()) ||
                     (response != nullptr && !response->timeout_.empty()) ||
                     !core_.timeout.empty();
  if (!heard) return destroy({});
  const auto tell = [this](auto& event, auto& subject) {
    event.emit_each([&](auto& listener, bool) {
      listener(subject);
      return !gone();
    });
  };
  if (request != nullptr) tell(request->timeout_, *request);
  if (response != nullptr && !gone()) tell(response->timeout_, *response);
  if (!gone()) tell(core_.timeout, socket_);
}

void Connection::run() noexcept {
  if (gone() || socket_.destroyed()) return;
  running_ = true;
  do {
    if (!read()) return;
    again_ = false;  // what its handlers have made possible is done behind it
    if (!advance() || !tell() || !finish_closing()) return;
  } while (!socket_.destroyed() && (again_ || has_work()));
  running_ = false;
  send_staged();
  if (gone() || socket_.destroyed()) return;
  count_written();
  check_linger();
  update_flow();
  arm();
}

// The pipeline has made room for what waits.
bool Connection::has_work() const noexcept {
  const bool at_end = input_ended_ || (at_limit_ && reading_ == nullptr);
  return (at_end || !input_.empty()) && can_read();
}

bool Connection::tell() { return tell_leaving() && tell_pipeline(); }

// ---- Reading ----

// A body waits for whoever is to read it; a next request for room in the pipeline, and for output
// to leave.
bool Connection::can_read() const noexcept {
  if (phase_ != Phase::reading) return false;
  if (reading_ == nullptr) {
    if (core_.closing && !pipeline_.empty()) return false;
    return pipelined_ < core_.options.pipelined_max && !is_above_high_water();
  }
  const Request& request = reading_->request;
  return request.body_size() == 0U || reading_->answered || request.takes_data();
}

bool Connection::read() {
  while (!socket_.destroyed()) {
    const bool between = reading_ == nullptr && parser_.is_between_messages();
    const bool nothing = between && input_.empty();  // for the parser to look at
    if (nothing && !failure_) drop_used_input();  // a failure's listener gets the packet
    const bool at_end = input_ended_ || at_limit_;
    if ((nothing && !at_end) || !can_read()) return true;
    if (nothing) return end_input();
    if (reading_ != nullptr && !input_.empty() && waits_to_be_continued()) {
      unasked_ = true;
      body_begun_ = message_begun_ = now();
    }
    const Step step = parser_.next(input_.view());
    if (between) {
      parsed_ = 0;
      if (requests_ != 0 && !parser_.is_between_messages()) message_begun_ = now();
    }
    if (step.kind == Step::Kind::need_more) {
      drop_used_input();
      return end_input();
    }
    if (!take_step(step)) return false;
  }
  return true;
}

// Empty, it may still hold on to receive memory.
void Connection::drop_used_input() noexcept {
  input_.reset();
  parsed_ = 0;
}

void Connection::consume(std::size_t size) noexcept {
  input_.drop_front(size);
  parsed_ += size;
}

// The bytes before input_ are in the same receive and still there.
std::string_view Connection::packet() const noexcept {
  return {input_.data() - parsed_, parsed_ + input_.size()};
}

bool Connection::take_step(const Step& step) {
  switch (step.kind) {
    case Step::Kind::head: return begin_request(step.consumed);
    case Step::Kind::body: return read_body(step);
    case Step::Kind::end: consume(step.consumed); return end_request() && advance();
    case Step::Kind::error: return fail_parse();
    case Step::Kind::need_more: break;
  }
  return true;
}

// All input is used up. Behind the peer's FIN nothing else comes.
bool Connection::end_input() {
  if (at_limit_ && reading_ == nullptr) phase_ = Phase::closing;
  if (!input_ended_) return true;
  if (reading_ != nullptr || !parser_.is_between_messages()) {
    return fail({.status = 400,
                 .code = "HPE_INVALID_EOF_STATE",
                 .text = "the end of the connection in the middle of a request"});
  }
  phase_ = Phase::closing;
  return true;
}

bool Connection::begin_request(std::size_t consumed) {
  const RequestHead& head = parser_.head();
  const auto most = core_.options.body_bytes_max;
  if (most && head.framing.length > *most) {
    return fail(kBodyTooLarge);
  }
  Exchange* exchange = memory::is_plentiful() ? part_.take_exchange(*this) : nullptr;
  const bool kept = exchange != nullptr && exchange->request.keep_head(head);
  if (!kept) {
    if (exchange != nullptr) part_.give_back(*exchange);
    return fail(no_memory());
  }
  consume(consumed);
  exchange->ordinal = ++requests_;
  exchange->begun = now();
  ++core_.tallies.requests_begun;
  body_bytes_ = dropped_bytes_ = 0;
  unasked_ = false;
  body_begun_ = exchange->begun;
  reading_ = exchange;
  pipeline_.push_back(*exchange);
  if (++pipelined_ == 1) take_turn(*exchange);
  if (!dispatch(*exchange)) return false;
  // Mostly there is no body, and this is its end.
  const bool goes_on = reading_ == exchange && phase_ == Phase::reading && !socket_.destroyed();
  return !goes_on || !parser_.end_without_body() || (end_request() && advance());
}

bool Connection::dispatch(Exchange& exchange) {
  const RequestHead& head = exchange.request.head_;
  const std::uint64_t most = core_.options.requests_per_socket_max;
  if (most != 0 && exchange.ordinal > most) return drop(exchange);
  const bool tunnel = head.method == Method::connect;
  const bool upgrade = head.has_upgrade && head.framing.kind == Framing::Kind::none;
  if (tunnel || (upgrade && is_upgrade_wanted(exchange))) return begin_upgrade(exchange);
  if (head.expectation != Expectation::none) return meet_expectation(exchange);
  return call(core_.request, exchange);
}

bool Connection::is_upgrade_wanted(const Exchange& exchange) {
  return !core_.upgrade.empty() || core_.offer_upgrade(exchange.request, nullptr);
}

// What follows is no HTTP. Handed over when everything before it is answered; see hand_over().
bool Connection::begin_upgrade(Exchange& exchange) {
  parser_.hand_over();
  reading_ = nullptr;
  phase_ = Phase::closing;
  exchange.upgrades = true;
  exchange.request.complete_ = true;
  return true;
}

bool Connection::meet_expectation(Exchange& exchange) {
  const RequestHead& head = exchange.request.head_;
  Response& response = exchange.response;
  if (head.expectation == Expectation::proceed) {
    if (!core_.check_continue.empty()) return call(core_.check_continue, exchange);
    if (exchange.request.body_size() != 0U) static_cast<void>(response.write_continue());
    return call(core_.request, exchange);
  }
  if (!core_.check_expectation.empty()) return call(core_.check_expectation, exchange);
  exchange.closes = exchange.request.body_size() != 0U;
  static_cast<void>(response.set_status(417));
  response.end();
  return true;
}

// Beyond requests_per_socket_max.
bool Connection::drop(Exchange& exchange) {
  exchange.closes = true;
  core_.drop_request.emit_each([&](auto& listener, bool) {
    listener(exchange.request);
    return !gone();
  });
  if (gone()) return false;
  static_cast<void>(exchange.response.set_status(503));
  exchange.response.end();
  return true;
}

bool Connection::call(net::Event<Request&, Response&>& event, Exchange& exchange) {
  if (event.empty()) {
    static_cast<void>(exchange.response.set_status(404));
    exchange.response.end();
    return true;
  }
  event.emit_each([&](auto& listener, bool) {
    listener(exchange.request, exchange.response);
    return !gone();
  });
  return !gone();
}

bool Connection::read_body(const Step& step) {
  const auto offset = static_cast<std::size_t>(step.body.data() - input_.data());
  Buffer piece = input_.slice(offset, step.body.size());
  consume(step.consumed);
  body_bytes_ += piece.size();
  Request& request = reading_->request;
  const auto most = core_.options.body_bytes_max;
  if (most && body_bytes_ > *most) {
    return fail(kBodyTooLarge);
  }
  if (request.takes_data()) return request.deliver(std::move(piece));
  dropped_bytes_ += piece.size();
  if (dropped_bytes_ > limits::kUnwantedBodyMax) phase_ = Phase::closing;
  return true;
}

bool Connection::end_request() {
  Exchange& exchange = *std::exchange(reading_, nullptr);
  Request& request = exchange.request;
  if (!request.deliver_rest_of_text()) return false;
  if (!request.trailers_.keep(parser_.trailers())) {
    reading_ = &exchange;
    return fail(no_memory());
  }
  parser_.release_message();
  request.complete_ = true;
  if (!request.keep_alive()) phase_ = Phase::closing;
  return request.tell_end();
}

}  // namespace weir::inline v1::http
