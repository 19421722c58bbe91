// Writing: from responses to the stream, in the order of their requests.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "http/connection.h"
#include "http/server_core.h"

namespace weir::inline v1::http {

// ---- What responses put ----

ResponseFacts Connection::response_facts(const Exchange& exchange,
                                         std::optional<std::uint64_t> body_size) {
  const Request& request = exchange.request;
  const Response& response = exchange.response;
  const RequestHead& head = request.head_;
  const ServerOptions& options = core_.options;
  ResponseFacts facts{.status = response.status_,
                      .reason = response.reason_,
                      .fields = &response.fields_,
                      .to_head = head.method == Method::head,
                      .version_minor = head.version_minor,
                      .client_keeps_alive = head.keep_alive,
                      .body_size = body_size};
  const HeadLines& lines = core_.head_lines();
  facts.keep_alive_seconds = lines.keep_alive_seconds();
  if (const std::uint64_t most = options.requests_per_socket_max; most != 0) {
    facts.requests_left =
        static_cast<std::uint32_t>(most > exchange.ordinal ? most - exchange.ordinal : 0);
  }
  const bool body_left = !request.complete_ && request.body_size() != 0U;
  const bool held_back = head.expectation == Expectation::proceed && !response.continued_;
  const bool unwanted = !request.takes_data() && head.framing.length > limits::kUnwantedBodyMax;
  // Of a server that closes: the last one, which is all that is begun.
  const bool last = core_.closing && exchange.ordinal == requests_;
  facts.closing = last || exchange.closes || (body_left && (held_back || unwanted));
  if (response.sends_date_ && options.send_date) {
    facts.date = lines.date();
    facts.usual_lines = lines.usual();
  }
  return facts;
}

bool Connection::goes_out(const Exchange& exchange) const noexcept {
  return exchange.in_turn && exchange.response.corked_ == 0 && exchange.waiting.empty();
}

void Connection::put_head(Exchange& exchange, const ResponsePlan& plan) {
  if (!goes_out(exchange)) {
    std::string text;
    plan.append_to(text);
    return put(exchange, text);
  }
  std::string& staged = core_.stage_for(*this);
  const std::size_t before = staged.size();
  plan.append_to(staged);
  out_ += staged.size() - before;
  exchange.written += staged.size() - before;
  look_again();
}

void Connection::put(Exchange& exchange, std::string_view text) {
  exchange.written += text.size();
  look_again();
  if (goes_out(exchange)) return send(text);
  if (!exchange.waiting.add(text)) return destroy(errno_code(ENOMEM));
  waiting_.bytes += text.size();
  waiting_.memory += text.size();
}

void Connection::put(Exchange& exchange, Buffer&& bytes) {
  if (bytes.size() <= limits::kCopiedPieceMax) return put(exchange, bytes.view());
  exchange.written += bytes.size();
  look_again();
  if (goes_out(exchange)) return send(std::move(bytes));
  waiting_.bytes += bytes.size();
  waiting_.memory += bytes.size();
  exchange.waiting.add(std::move(bytes));
}

void Connection::put(Exchange& exchange, net::FileRange&& range) {
  exchange.written += range.size;
  look_again();
  if (goes_out(exchange)) return send(std::move(range));
  waiting_.bytes += range.size;
  ++waiting_.files;
  exchange.waiting.add(std::move(range));
}

void Connection::continued(const Exchange& exchange) noexcept {
  if (reading_ == &exchange) body_begun_ = message_begun_ = now();
}

void Connection::answered(Exchange& exchange, bool complete) noexcept {
  exchange.answered = true;
  exchange.complete = complete;
  look_again();
}

std::size_t Connection::queued() const noexcept { return in_stream() + waiting_.bytes; }

// Whoever's turn it is, is not held up by what waits behind it. Files take no memory.
bool Connection::is_full_for(const Exchange& exchange, std::size_t size) const noexcept {
  const std::size_t most = core_.options.net.socket.queue.bytes_max;
  const std::size_t waiting =
      exchange.in_turn ? exchange.waiting.sizes().memory : waiting_.memory;
  const std::size_t already = stream_.queued().memory + staged() + waiting;
  return already != 0 && size > most - std::min(already, most);
}

// All that wait will be in the stream's queue together. Those whose turn has not come leave half of
// it to the one that may go on.
bool Connection::is_full_for_file(const Exchange& exchange) const noexcept {
  constexpr std::size_t kMost = net::limits::kQueuedFilesMax;
  const std::size_t already = stream_.queued().files + waiting_.files;
  return already >= (exchange.in_turn ? kMost : kMost / 2);
}

bool Connection::is_above_high_water() const noexcept {
  const std::size_t already = queued();
  return stream_full_ || (already != 0 && already >= core_.options.net.socket.queue.high_water);
}

void Connection::report_unhandled(const Error& error) const {
  reactor_.report_unhandled(error);
}

// ---- To the stream ----

void Connection::send(std::string_view text) {
  out_ += text.size();
  if (text.size() <= limits::kCopiedPieceMax) {
    std::string& staged = core_.stage_for(*this);
    staged += text;
    if (staged.size() >= limits::kStagedBytesMax) flush_staged();
  } else {
    flush_staged();
    give_to_stream(Buffer::copy(text));
  }
}

void Connection::send(Buffer&& bytes) {
  out_ += bytes.size();
  flush_staged();
  give_to_stream(std::move(bytes));
}

void Connection::send(net::FileRange&& range) {
  out_ += range.size;
  flush_staged();
  const auto result = stream_.send_file(std::move(range));
  given(result ? *result : net::Write::closed);
}

void Connection::flush_staged() {
  if (core_.staged_for != this) return;
  core_.staged_for = nullptr;
  give_to_stream(Buffer::copy(core_.staged));
  core_.staged.clear();
}

// Nothing comes behind it for now. Nobody tells of what leaves at once: what waits for that has its
// turn in the next one.
void Connection::send_staged() {
  if (core_.staged_for != this) return;
  core_.staged_for = nullptr;
  given(stream_.write_at_once(core_.staged));
  core_.staged.clear();
  if (socket_.destroyed() || in_stream() != 0) return;
  output_left();
  if (is_at_rest()) {
    drop_used_input();
  } else if (!gone()) {
    reactor_.schedule_next_turn(*this);
  }
}

void Connection::output_left() noexcept {
  count_sent();
  if (pipeline_.empty() && in_stream() == 0) idle_since_ = now();
}

// The stream takes everything: what may be queued was decided before. When it has no memory after
// all, half an answer helps nobody.
void Connection::give_to_stream(Buffer&& bytes) {
  if (bytes.empty()) return destroy(errno_code(ENOMEM));
  given(stream_.write(std::move(bytes)));
}

void Connection::given(net::Write result) {
  switch (result) {
    case net::Write::ok: break;
    case net::Write::full: stream_full_ = true; break;
    case net::Write::refused:
    case net::Write::closed: destroy(Mistake::write_after_end);  // if somebody else has ended it
  }
}

std::size_t Connection::staged() const noexcept {
  return core_.staged_for == this ? core_.staged.size() : 0;
}

std::size_t Connection::in_stream() const noexcept {
  return stream_.writable_length() + staged();
}

// Of our output, with the kernel. What somebody else writes, as a listener of client errors does,
// is taken for ours while it waits: what was sent may be told late, but never too early.
std::uint64_t Connection::sent() const noexcept {
  const std::uint64_t left = std::min<std::uint64_t>(in_stream(), out_);
  return std::max(out_ - left, counted_sent_);
}

// ---- The pipeline ----

void Connection::take_turn(Exchange& exchange) noexcept {
  exchange.in_turn = true;
  exchange.begin_at = out_;
  if (exchange.response.continued_) continued(exchange);
}

void Connection::forget_waiting(const Exchange& exchange) noexcept {
  const net::Queued& sizes = exchange.waiting.sizes();
  waiting_.bytes -= sizes.bytes;
  waiting_.memory -= sizes.memory;
  waiting_.files -= sizes.files;
}

void Connection::send_waiting(Exchange& exchange) {
  forget_waiting(exchange);
  exchange.waiting.drain([this]<class Piece>(Piece&& piece) {
    if constexpr (std::is_same_v<Piece, Buffer>) {
      if (piece.size() <= limits::kCopiedPieceMax) return send(piece.view());
    }
    send(std::forward<Piece>(piece));
  });
}

bool Connection::advance() {
  while (!pipeline_.empty() && !socket_.destroyed()) {
    Exchange& first = pipeline_.front();
    if (!first.in_turn) take_turn(first);
    if (first.upgrades) return hand_over(first);
    if (first.response.corked_ != 0) return true;
    if (!first.waiting.empty()) send_waiting(first);
    if (!first.answered) return true;
    if (!leave_pipeline(first)) return false;
  }
  return true;
}

void Connection::count_answered(Exchange& exchange) noexcept {
  ServerTallies& tallies = core_.tallies;
  ++tallies.requests_answered;
  tallies.count_response(exchange.response.status_);
  exchange.counted = true;
  if (tallies.latency == nullptr || !exchange.response.measured_ || !exchange.complete) return;
  if (sent() == out_) {  // it has ended behind its last byte: no completion would look
    tallies.latency->record(now() - exchange.begun);
  } else {
    unsent_.push_back({.begun = exchange.begun, .end_at = out_});
  }
}

void Connection::count_written() noexcept {
  const std::uint64_t written = out_ + waiting_.bytes;
  if (written == counted_written_) return;
  core_.tallies.bytes_written += written - counted_written_;
  counted_written_ = written;
}

void Connection::count_sent() noexcept {
  const std::uint64_t in_kernel = sent();
  core_.tallies.bytes_out += in_kernel - counted_sent_;
  counted_sent_ = in_kernel;
  if (!unsent_.empty()) measure(in_kernel);
}

void Connection::measure(std::uint64_t in_kernel) noexcept {
  Latencies& latency = *core_.tallies.latency;
  const Instant time = now();
  auto rest = unsent_.begin();
  const auto end = unsent_.end();
  for (; rest != end && rest->end_at <= in_kernel; ++rest) latency.record(time - rest->begun);
  if (rest == end) return unsent_.clear();
  unsent_.erase(unsent_.begin(), rest);
}

// Its answer is out of our hands. When nobody is told about it any more it goes at once.
bool Connection::leave_pipeline(Exchange& exchange) {
  exchange.unlink();
  --pipelined_;
  idle_since_ = now();
  count_answered(exchange);
  const Response& response = exchange.response;
  const bool keeps = response.plan_->keeps_connection() && exchange.complete;
  const std::uint64_t most = core_.options.requests_per_socket_max;
  // Requests behind the last one that may be served are told so, if there is a way to tell.
  const bool at_limit = most != 0 && exchange.ordinal >= most && exchange.complete &&
                        response.plan_->framing().kind != BodyFraming::Kind::until_close;
  if (!keeps && at_limit) at_limit_ = true;
  if (!keeps && !at_limit) phase_ = Phase::closing;
  if (!keeps && failure_) failure_->silent = true;
  const bool drops_rest = !keeps && !at_limit;
  const bool told = response.is_watched() || exchange.request.has_listeners_;
  if (told || reading_ == &exchange) {
    leaving_.push_back(exchange);
  } else if (!retire(exchange)) {
    return false;
  }
  return !drops_rest || drop_pipeline();
}

// Answered responses whose last byte is with the kernel.
bool Connection::tell_leaving() {
  while (!leaving_.empty() && !socket_.destroyed()) {
    Exchange& exchange = leaving_.front();
    Response& response = exchange.response;
    const std::uint64_t in_kernel = sent();
    if (in_kernel < exchange.begin_at) return true;
    if (!response.tell(in_kernel - exchange.begin_at)) return false;
    if (in_kernel < exchange.begin_at + exchange.written || socket_.destroyed()) return true;
    const bool news = !std::exchange(response.finished_, true);
    if (news && !(response.emit(response.finish_) && response.tell(exchange.written))) return false;
    const bool goes_on = reading_ == &exchange || response.owes_calls() || socket_.destroyed();
    if (goes_on) return true;
    exchange.unlink();
    if (!retire(exchange)) return false;
    again_ = true;  // an upgrade waits until it is alone
  }
  return true;
}

bool Connection::tell_pipeline() {
  pipeline_.for_each([this](Exchange& exchange) {
    if (gone() || socket_.destroyed()) return;
    Response& response = exchange.response;
    const bool drained = in_stream() <= core_.options.net.socket.queue.low_water;
    if (response.needs_drain_ && exchange.in_turn && exchange.waiting.empty() && drained) {
      stream_full_ = false;
      response.needs_drain_ = false;
      if (!response.emit(response.drain_)) return;
    }
    const std::uint64_t in_kernel = sent();
    const bool begun = exchange.in_turn && in_kernel > exchange.begin_at;
    response.tell(begun ? in_kernel - exchange.begin_at : 0);
  });
  return !gone();
}

// 'close' for both, and the memory back. Precondition: the exchange is in no list.
bool Connection::retire(Exchange& exchange) {
  Request& request = exchange.request;
  exchange.response.over_ = true;
  if (exchange.response.emit(exchange.response.close_)) request.tell_close();
  if (gone()) {
    leaving_.push_back(exchange);  // given back with this connection
    return false;
  }
  part_.give_back(exchange);
  return !gone();  // its listeners may have held the server's owner
}

// An upgrade waits until it is alone, and everything before it is with the kernel.
bool Connection::hand_over(Exchange& exchange) {
  if (!leaving_.empty() || queued() != 0) return true;
  const bool tunnel = exchange.request.method() == Method::connect;
  net::Event<Upgrade&>& event = tunnel ? core_.connect : core_.upgrade;
  exchange.unlink();
  const bool chosen = !tunnel && core_.offer_upgrade(exchange.request, nullptr);
  if (!chosen && event.empty()) {  // nobody takes it: the end, without an answer
    --pipelined_;
    if (!cut_off(exchange, {})) return false;
    close_after_output();
    return true;
  }
  stream_.set_user(nullptr);
  socket_.set_queue_limits(core_.options.net.socket.queue);
  core_.remove(*this);
  exchange.counted = true;
  ++core_.tallies.requests_taken_over;
  Upgrade upgrade{.request = exchange.request, .socket = socket_, .head = std::move(input_)};
  if (chosen) {
    core_.offer_upgrade(exchange.request, &upgrade);
  } else {
    event.emit_each([&](auto& listener, bool) {
      listener(upgrade);
      return !core_.gone;
    });
  }
  if (gone()) {
    leaving_.push_back(exchange);
  } else {
    retire(exchange);
  }
  condemn();
  return false;
}

}  // namespace weir::inline v1::http
