#include "http/call.h"

#include <algorithm>
#include <array>
#include <utility>

#include "weir/http/parse_error.h"
#include "weir/net/socket.h"
#include "http/agent_core.h"
#include "http/client_connection.h"

namespace weir::inline v1::http {
namespace {

// RFC 9110, section 9.2.2.
constexpr std::array<std::string_view, 6> kIdempotent = {"GET",   "HEAD", "PUT",
                                                         "DELETE", "OPTIONS", "TRACE"};

Error hang_up() { return {.code = errno_code(ECONNRESET), .detail = "socket hang up"}; }
Error cut_off() { return {.code = errno_code(ECONNRESET), .detail = "aborted"}; }

}  // namespace

void Call::reset() noexcept {
  request.reset();
  response.reset();
  waiting.clear();
  replay.clear();
  agent = nullptr;
  origin = nullptr;
  connection = nullptr;
  number = 0;
  written = sent = 0;
  stop_callback.reset();
  failure.reset();
  interim = 0;
  own_connection = socket_told = replayable = retried = response_begun = continued = over = false;
  is_waiting = failure_told = running = again = false;
}

void Call::begin(AgentCore& its_agent, Origin& its_origin) noexcept {
  agent = &its_agent;
  origin = &its_origin;
}

bool Call::is_idempotent() const noexcept {
  return std::ranges::find(kIdempotent, request.method()) != kIdempotent.end();
}

// ---- What may end it from outside ----

void Call::limit_time(Duration limit) {
  Reactor& reactor = agent->reactor;
  reactor.wheel().insert(deadline, later(reactor.now(), limit));
}

void Call::Deadline::on_fire(TimerNode& node) noexcept {
  static_cast<Deadline&>(node).call.fail(
      {.code = errno_code(ETIMEDOUT), .detail = "no complete response in the time_limit"});
}

void Call::watch(const std::stop_token& stop) {
  if (stop.stop_possible()) stop_callback.emplace(stop, Stop{this});
}

void Call::Stop::operator()() const noexcept { call->fail({.code = Mistake::aborted}); }

void Call::fail(Error error) noexcept {
  if (failure || over || gone()) return;
  failure.emplace(std::move(error));
  request.destroyed_ = !request.finished_;
  agent->stop_waiting(*this);
  look_again();
}

// What is wrong is told already, or will be.
void Call::fail_silently() noexcept {
  failure_told = true;
  fail({.code = Mistake::stream_destroyed});
}

void Call::destroy(std::error_code code) noexcept {
  if (code) return fail({.code = code});
  fail(response_begun ? cut_off() : hang_up());
}

// ---- What its request and its response ask for ----

bool Call::gone() const noexcept { return agent == nullptr || agent->gone; }

void Call::look_again() noexcept {
  if (running) {
    again = true;
  } else {
    look_again_later();
  }
}

void Call::look_again_later() noexcept {
  if (!gone() && !over) agent->reactor.schedule(runner);
}

bool Call::goes_out() const noexcept {
  return connection != nullptr && request.corked_ == 0 && waiting.empty();
}

// Behind what was lost for want of memory nothing more may go.
void Call::put(std::string_view text) {
  if (failure) return;
  written += text.size();
  look_again();
  if (!goes_out()) {
    if (!waiting.add(text)) fail({.code = errno_code(ENOMEM)});
    return;
  }
  keep_for_replay(text);
  static_cast<void>(connection->stream().write(text));  // 'closed' is told by its end
}

void Call::put(Buffer&& bytes) {
  if (bytes.size() <= limits::kCopiedPieceMax) return put(bytes.view());
  if (failure) return;
  written += bytes.size();
  look_again();
  if (!goes_out()) return waiting.add(std::move(bytes));
  give(std::move(bytes));
}

void Call::put(net::FileRange&& range) {
  if (failure) return;
  written += range.size;
  look_again();
  if (!goes_out()) return waiting.add(std::move(range));
  give(std::move(range));
}

void Call::give(Buffer&& bytes) {
  keep_for_replay(bytes);
  static_cast<void>(connection->stream().write(std::move(bytes)));
}

// To be sent again it costs a reference, however long it is; but a new connection must take them
// all at once.
void Call::give(net::FileRange&& range) {
  if (replay.sizes().files == net::limits::kQueuedFilesMax) give_up_replay();
  if (replayable) {
    replay.add({.file = range.file.share(), .offset = range.offset, .size = range.size});
  }
  const auto given = connection->stream().send_file(std::move(range));
  const bool refused = !given || *given == net::Write::refused;
  if (refused) fail({.code = errno_code(ENOBUFS)});  // a body with a hole is none
}

void Call::flush() {
  if (connection == nullptr || request.corked_ != 0 || waiting.empty()) return;
  waiting.drain([this](auto&& piece) { give(std::forward<decltype(piece)>(piece)); });
}

void Call::ended(bool complete_body) noexcept {
  if (!complete_body) {
    return fail({.code = Mistake::content_length_mismatch,
                 .detail = "the body has fewer bytes than Content-Length says"});
  }
  look_again();
}

std::size_t Call::in_stream() const noexcept {
  return connection == nullptr ? 0 : connection->in_stream();
}

net::Queued Call::stream_sizes() const noexcept {
  return connection == nullptr ? net::Queued() : connection->stream().queued();
}

std::size_t Call::queued() const noexcept { return waiting.bytes() + in_stream(); }

// A stream that is broken has let go of what it had, and tells its end later.
bool Call::has_stream() const noexcept {
  return connection != nullptr && !connection->socket().destroyed();
}

bool Call::all_sent() const noexcept { return request.ended_ && has_stream() && queued() == 0; }

// Some may be there already while a send is under way.
bool Call::is_unsent() const noexcept {
  return written == queued() && (connection == nullptr || !connection->is_sending());
}

// 'finish' may have been told of the connection before this one.
bool Call::is_done_with_connection() const noexcept { return request.finished_ && queued() == 0; }

bool Call::is_full_for(std::size_t size) const noexcept {
  const std::size_t most = agent->options.socket.queue.bytes_max;
  const std::size_t already = waiting.sizes().memory + stream_sizes().memory;
  return already != 0 && size > most - std::min(already, most);
}

bool Call::is_full_for_file() const noexcept {
  return waiting.sizes().files + stream_sizes().files >= net::limits::kQueuedFilesMax;
}

bool Call::is_above_high_water() const noexcept {
  const std::size_t already = queued();
  return already != 0 && already >= agent->options.socket.queue.high_water;
}

void Call::report_unhandled(const Error& error) const { agent->reactor.report_unhandled(error); }

// ---- Its connection ----

void Call::take(ClientConnection& its_connection) {
  connection = &its_connection;
  socket_told = false;
  request.reused_ = connection->is_used();
  replayable = agent->options.retry && request.reused_ && !retried && is_idempotent();
  flush();
  look_again();
}

void Call::keep_for_replay(std::string_view text) {
  if (has_room_for_replay(text.size()) && !replay.add(text)) give_up_replay();
}

void Call::keep_for_replay(const Buffer& bytes) {
  if (has_room_for_replay(bytes.size())) replay.add(bytes.share());
}

bool Call::has_room_for_replay(std::size_t size) noexcept {
  if (replayable && size > limits::kReplayBytesMax - replay.sizes().memory) give_up_replay();
  return replayable;
}

void Call::give_up_replay() noexcept {
  replayable = false;
  replay.clear();
}

void Call::let_connection_go() {
  give_up_replay();
  ClientConnection& released = *std::exchange(connection, nullptr);
  agent->release(released);
}

// Once more, on a new connection, if that can do no harm.
bool Call::retry() {
  if (!replayable || !connection->is_silent() || failure) return false;
  const std::size_t files = replay.sizes().files + waiting.sizes().files;
  if (files > net::limits::kQueuedFilesMax) return false;
  ClientConnection& lost = *std::exchange(connection, nullptr);
  replayable = false;
  retried = true;
  Waiting rest = std::exchange(waiting, std::exchange(replay, {}));
  rest.drain([this](auto&& piece) { waiting.add(std::forward<decltype(piece)>(piece)); });
  agent->retry(*this, lost);
  return true;
}

void Call::lose_connection(const Error& error) {
  if (retry()) return;
  agent->end(*std::exchange(connection, nullptr));
  if (response_begun) {
    fail(cut_off());
  } else {
    fail(error.code ? error : hang_up());
  }
  run();
}

// ---- The round ----

void Call::run() noexcept {
  if (gone() || over) return;
  running = true;
  do {
    again = false;
    if (!tell_request() || !read() || !settle()) return;
  } while (again);
  running = false;
  if (connection != nullptr) connection->update_flow(can_read());
}

// False when nothing may be touched any more; so below.
bool Call::tell_request() {
  if (connection != nullptr && !std::exchange(socket_told, true)) {
    request.socket_.emit_each([&](auto& listener, bool) {
      listener(request, connection->socket());
      return !gone();
    });
    if (gone()) return false;
  }
  flush();
  // What was lost for want of memory is in no queue, and was not sent.
  if (has_stream() && !failure) sent = written - queued();
  if (!request.tell(sent)) return false;
  const bool drained = waiting.empty() && in_stream() <= agent->options.socket.queue.low_water;
  if (request.needs_drain_ && has_stream() && drained && !failure) {
    request.needs_drain_ = false;
    if (!request.emit(request.drain_)) return false;
  }
  if (request.finished_ || !all_sent() || failure) return true;
  request.finished_ = true;
  return request.emit(request.finish_) && request.tell(written);
}

bool Call::can_read() const noexcept {
  if (connection == nullptr || failure || response.complete_) return false;
  return !response_begun || response.body_size() == 0U || response.takes_data();
}

bool Call::read() {
  while (can_read()) {
    ResponseParser& parser = connection->parser();
    const Step step = parser.next(connection->input().view());
    if (step.kind == Step::Kind::need_more) {
      connection->input().reset();
      return !connection->input_ended() || end_input();
    }
    if (!take_step(step)) return false;
  }
  return true;
}

bool Call::take_step(const Step& step) {
  Buffer& input = connection->input();
  const ReceivedHead& head = connection->parser().head();
  switch (step.kind) {
    case Step::Kind::head: input.drop_front(step.consumed); return begin_response();
    case Step::Kind::end:
      input.drop_front(step.consumed);
      return head.is_interim() || complete_response();
    case Step::Kind::body: {
      const auto offset = static_cast<std::size_t>(step.body.data() - input.data());
      Buffer piece = input.slice(offset, step.body.size());
      input.drop_front(step.consumed);
      return response.deliver(std::move(piece));
    }
    case Step::Kind::error: fail_parse(); return true;
    case Step::Kind::need_more: break;
  }
  return true;
}

void Call::fail_parse() {
  const ParseError error = connection->parser().failure().error;
  if (error == ParseError::cut_short) return fail(response_begun ? cut_off() : hang_up());
  fail({.code = error});
}

// Behind the server's FIN, all input is used up.
bool Call::end_input() {
  switch (connection->parser().finish().kind) {
    case Step::Kind::end: return complete_response();
    case Step::Kind::error: fail_parse(); return true;
    default: break;
  }
  if (!retry()) fail(hang_up());
  return true;
}

// ---- The response ----

bool Call::begin_response() {
  const ReceivedHead& head = connection->parser().head();
  if (head.is_interim()) return tell_interim();
  const bool tunnel = request.method() == "CONNECT" && head.status / 100 == 2;
  if (head.status == 101) return hand_over(request.upgrade_);
  if (tunnel) return hand_over(request.connect_);
  if (!response.keep_head(head)) {
    fail({.code = errno_code(ENOMEM)});
    return true;
  }
  response_begun = true;
  if (request.response_.empty()) response.resume();
  request.response_.emit_each([&](auto& listener, bool) {
    listener(response);
    return !gone();
  });
  return !gone();
}

bool Call::tell_interim() {
  const ReceivedHead& head = connection->parser().head();
  if (++interim > agent->options.max_interim) {
    fail({.code = ParseError::interim_too_many});
    return true;
  }
  if (head.status == 100) {
    continued = true;
    if (!request.emit(request.continue_)) return false;
  }
  request.information_.emit_each([&](auto& listener, bool) {
    listener(request, head);
    return !gone();
  });
  return !gone();
}

// The connection is somebody else's from now on.
bool Call::hand_over(net::Event<ClientUpgrade&>& event) {
  ResponseParser& parser = connection->parser();
  if (event.empty()) {
    fail({.code = errno_code(ECONNRESET),
          .detail = "the server has switched protocols, and nobody listens for that"});
    return true;
  }
  if (!response.keep_head(parser.head())) {
    fail({.code = errno_code(ENOMEM)});
    return true;
  }
  parser.hand_over();
  response_begun = response.complete_ = true;
  ClientUpgrade upgrade{.request = request,
                        .response = response,
                        .socket = connection->give_socket(),
                        .head = std::move(connection->input())};
  agent->end(*std::exchange(connection, nullptr));
  event.emit_each([&](auto& listener, bool) {
    listener(upgrade);
    return !gone();
  });
  return !gone();
}

// The connection goes before 'end' is told: whoever makes its next request there gets it.
bool Call::complete_response() {
  if (!response.deliver_rest_of_text()) return false;
  if (failure) return true;
  ResponseParser& parser = connection->parser();
  if (!response.trailers_.keep(parser.trailers())) {
    fail({.code = errno_code(ENOMEM)});
    return true;
  }
  parser.release_message();
  response.complete_ = true;
  agent->reactor.wheel().cancel(deadline);
  // A server that answers before it has said 100 may take what follows for a body, or not.
  const bool unsure = request.plan_ && request.plan_->expects_continue() && !continued &&
                      !all_sent();
  const bool keeps = response.head_.keep_alive && request.plan_ &&
                     request.plan_->keeps_connection() && !unsure;
  connection->keep(keeps, response.head_.keep_alive_seconds);
  if (!keeps && !request.ended_) request.destroyed_ = true;
  if (!keeps || is_done_with_connection()) let_connection_go();
  return response.tell_end() && response.tell_close();
}

// Only a notice.
void Call::tell_timeout() {
  request.timeout_.emit_each([this](auto& listener, bool) {
    listener(request);
    return !gone();
  });
}

// ---- The end ----

bool Call::settle() {
  if (failure) return end_failed();
  if (!response.complete_) return true;
  if (connection != nullptr && is_done_with_connection()) let_connection_go();
  return connection != nullptr || end();
}

bool Call::end_failed() {
  if (connection != nullptr) agent->end(*std::exchange(connection, nullptr));
  const Error error = *failure;
  if (!response_begun) {
    if (!failure_told && !request.emit_error(error)) return false;
  } else if (!response.complete_) {
    if (!response.tell_aborted(error) || !response.tell_close()) return false;
  }
  return end();
}

bool Call::end() {
  over = true;
  agent->reactor.wheel().cancel(deadline);
  const std::error_code code = failure ? failure->code : Mistake::stream_destroyed;
  if (!request.fail_calls(code) || !request.emit(request.close_)) return false;
  agent->give_back(*this);
  return false;
}

void Call::abandon() noexcept {
  runner.unlink();
  agent->reactor.wheel().cancel(deadline);
  stop_callback.reset();
  connection = nullptr;
}

}  // namespace weir::inline v1::http
