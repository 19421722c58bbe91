// What a handler does with one request, as its script says.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/http_swarm_server.h"

namespace weir::test::http_swarm {
namespace {

using namespace std::chrono_literals;
using http::Request;
using http::Response;
using net::Write;

constexpr std::uint64_t kShort = 3;  // bytes that Slip::too_short leaves out
constexpr std::size_t kLargestPiece = 500'000;
constexpr std::size_t kCollectMax = 4'000'000;

}  // namespace

Job::Job(ServerProgram& program, Line& line, std::size_t index)
    : program_(program),
      run_(program.run()),
      line_(line),
      item_(line.item(index)),
      told_(line.told[index]),
      server_(program.number()) {}

void Job::fail(std::string_view what) {
  run_.fail(line_.name + " request " + std::to_string(item_.number),
            std::string(what) + " [" + state() + "]");
}

std::string Job::state() const {
  std::string text = "received " + std::to_string(received_) + " of " +
                     std::to_string(item_.body_size) + ", wrote " + std::to_string(told_.written);
  if (end_seen_) text += ", end";
  if (aborted_) text += ", aborted";
  if (paused_) text += ", paused";
  if (told_.settled) text += ", answers";
  if (drain_due_) text += ", waits for drain";
  if (told_.ended) text += ", ended";
  if (told_.finished) text += ", finish";
  if (told_.response_closed) text += ", response closed";
  if (told_.request_closed) text += ", closed";
  return text;
}

// Of everything that is told: not inside a call, not after the end.
bool Job::enter(std::string_view event) {
  if (in_call_) fail(std::string(event) + " inside a call");
  if (gone_ || server_ != program_.number()) fail(std::string(event) + " of a server that is gone");
  if (told_.request_closed) fail(std::string(event) + " after 'close'");
  if (run_.logs()) {
    run_.log(line_.name + " request " + std::to_string(item_.number), event);
  }
  return !run_.failed();
}

bool Job::is_broken(const Response& response) const {
  return response.destroyed() || told_.response_closed || response.socket().destroyed();
}

// ---- Listening ----

void Job::follow(Request& request, Response& response) {
  request.on_end([this](Request& same) { on_end(same); });
  request.on_aborted([this](Request& same) {
    if (!enter("aborted")) return;
    if (aborted_ || !same.aborted()) fail("'aborted' twice, or without aborted()");
    aborted_ = true;
    run_.count("aborted");
  });
  request.on_error([this](Request&, const Error&) {
    if (!enter("error of the request")) return;
    if (!aborted_ || request_error_) fail("'error' of the request without 'aborted', or twice");
    request_error_ = true;
  });
  request.on_close([this](Request&) {
    if (enter("close of the request")) on_request_close();
  });
  response.on_drain([this](Response&) {
    if (enter("drain")) on_drain();
  });
  response.on_finish([this](Response& same) {
    if (enter("finish")) on_finish(same);
  });
  response.on_error([this](Response&, const Error& error) {
    if (!enter("error of the response")) return;
    if (++errors_seen_ > errors_due_) fail("an 'error' of the response: " + error.message());
  });
  response.on_close([this](Response& same) {
    if (enter("close of the response")) on_response_close(same);
  });
}

void Job::on_data(Request& request, Buffer bytes) {
  if (!enter("data")) return;
  if (paused_) fail("data while it is paused");
  if (aborted_ || end_seen_ || request.complete()) fail("data after the end");
  if (!has_gap_ && !is_noise(item_.body_key(), received_, bytes.view())) {
    fail("wrong bytes in the request's body, at " + std::to_string(received_));
  }
  const bool stopped_before = received_ >= item_.answer.stops_at;
  received_ += bytes.size();
  if (received_ > item_.body_size) fail("more of the request's body than was sent");
  run_.count("data");
  const Answer& answer = item_.answer;
  if (answer.reads == Reads::echoes) {
    echoes_.push_back(std::move(bytes));
    return echo();
  }
  const bool stops = answer.reads == Reads::part && received_ >= answer.stops_at;
  if (!stops || stopped_before) return;
  paused_ = true;
  request.pause();
  run_.count("pause");
  if (answer.stops_for == 0s) return;
  pause_timer_ = program_.reactor().after(answer.stops_for, [this] {
    Request* same = request_.get();
    if (same == nullptr || gone_) return;
    paused_ = false;
    // What came behind the end of the response was dropped.
    if (told_.ended) has_gap_ = true;
    same->resume();
  });
}

void Job::on_end(Request& request) {
  if (!enter("end")) return;
  if (end_seen_ || aborted_ || !request.complete()) fail("'end' twice, or too early");
  end_seen_ = told_.complete = true;
  if (item_.wrong != Wrong::nothing) fail("'end' of a request that is wrong or cut off");
  const Reads reads = item_.answer.reads;
  const bool whole = reads == Reads::everything || reads == Reads::echoes;
  if (whole && received_ != item_.body_size) fail("'end' before all of the body");
  if (canonical_fields(request.trailers()) != item_.trailers) fail("wrong trailers");
  run_.count("end");
  if (reads == Reads::echoes) return echo();
  if (item_.answer.waits_for_end && reads != Reads::collects) start();
}

void Job::on_request_close() {
  if (!told_.response_closed) fail("the request's 'close' before the response's");
  if (!end_seen_ && !aborted_) fail("'close' without 'end' or 'aborted'");
  if (aborted_ != request_error_) fail("'aborted' without 'error'");
  told_.request_closed = true;
  for (Timer* timer : {&pump_timer_, &pause_timer_, &cork_timer_, &continue_timer_}) {
    timer->cancel();
  }
  late_timer_ = program_.reactor().after(run_.random().up_to(1s), [this] {
    if (request_.get() != nullptr || response_.get() != nullptr) {
      fail("a reference to it is good after 'close'");
    }
  });
}

void Job::on_drain() {
  if (!drain_due_) fail("'drain' without a reason");
  if (told_.ended) fail("'drain' after end()");
  drain_due_ = false;
  run_.count("drain");
  if (!told_.watched) return answer_alone();
  if (item_.answer.reads == Reads::echoes) return echo();
  if (!pump_waits_) pump();
}

void Job::on_finish(Response& response) {
  if (told_.finished || !told_.ended) fail("'finish' twice, or before end()");
  if (told_.response_closed) fail("'finish' after 'close'");
  if (response.destroyed()) fail("'finish' although it is destroyed");
  told_.finished = true;
  run_.count("finish");
}

void Job::on_response_close(Response& response) {
  if (told_.response_closed) fail("'close' of the response twice");
  if (response.writable_finished() != told_.finished) fail("writable_finished() is wrong");
  if (!told_.finished && !aborted_ && !response.socket().destroyed() && !told_.broken &&
      line_.excuse.empty() && !line_.acted_on && item_.keeps && item_.wrong == Wrong::nothing) {
    // Behind a response that ends the connection it is dropped, which the client's side judges.
    run_.count("close without finish");
  }
  if (callbacks_seen_ != callbacks_due_) fail("callbacks did not come before 'close'");
  if (told_.finished && errors_seen_ != errors_due_) fail("an 'error' did not come");
  told_.response_closed = true;
}

// ---- Beginning ----

void Job::begin(Request& request, Response& response) {
  request_ = request.weak();
  response_ = response.weak();
  told_.seen = true;
  const bool checks = run_.server.checks_continue;
  if (item_.expects && !checks) told_.continued = true;  // http has written it
  told_.watched = item_.answer.watched;
  if (!told_.watched) {
    run_.count("answered alone");
    return answer_alone();
  }
  follow(request, response);
  begin_reading(request);
  if (item_.expects && checks) proceed();
  const bool at_end = item_.answer.waits_for_end || item_.answer.reads == Reads::echoes;
  if (!at_end) start();
  if (item_.answer.reads == Reads::echoes) echo();
  if (item_.answer.acts_on_server) program_.act();
}

void Job::begin_reading(Request& request) {
  switch (item_.answer.reads) {
    case Reads::nothing: return;
    case Reads::drops: return request.resume();
    case Reads::collects:
      return request.read_body(kCollectMax, [this](Request&, Response&, std::string_view body) {
        if (!enter("the body")) return;
        if (!is_noise(item_.body_key(), 0, body) || body.size() != item_.body_size) {
          fail("read_body() has another body");
        }
        start();
      });
    default:
      request.on_data(
          [this](Request& same, Buffer bytes) { on_data(same, std::move(bytes)); });
  }
}

// Expect: 100-continue, and it is for the handler to say so.
void Job::proceed() {
  const Answer& answer = item_.answer;
  const bool needs = answer.waits_for_end || answer.reads == Reads::echoes;
  if (answer.continues == Continues::never && !needs) return;
  const auto tell = [this] {
    Response* response = response_.get();
    if (response == nullptr || gone_ || told_.continued) return;
    told_.continued = response->write_continue().has_value();
  };
  if (answer.continues != Continues::later) return tell();
  continue_timer_ = program_.reactor().after(run_.random().up_to(1500ms), tell);
}

void Job::start() {
  if (std::exchange(answering_, true)) return fail("it begins to answer twice");
  if (item_.answer.delay == 0s) return answer();
  pump_timer_ = program_.reactor().after(item_.answer.delay, [this] { answer(); });
}

// ---- Heads ----

void Job::answer_alone() {
  Response* response = response_.get();
  if (response == nullptr || gone_ || is_broken(*response)) return;
  if (!told_.settled && !set_head(*response)) return;
  const auto size = static_cast<std::size_t>(item_.answer.size);
  const Write result = response->end(noise(item_.answer_key(), 0, size));
  told_.settled = true;
  if (result == Write::refused) {
    // Only now somebody listens.
    drain_due_ = true;
    response->on_drain([this](Response&) { on_drain(); }, net::Times::once);
    return;
  }
  if (result == Write::closed) return fail("end() says `closed` without a reason");
  told_.written = size;
  told_.alone = told_.ended = true;
  told_.ended_at = run_.now();
}

bool Job::set_head(Response& response) {
  const Answer& answer = item_.answer;
  bool good = true;
  const auto set = [&](std::string_view name, std::string_view value) {
    good = response.set_header(name, value).has_value() && good;
  };
  set("X-Id", std::to_string(item_.number));
  if (answer.says_close) set("Connection", "close");
  const bool has_body = answer.status != 204 && answer.status != 205 && answer.status != 304;
  const std::uint64_t length = answer.size + (answer.slip == Slip::too_short ? kShort : 0);
  switch (answer.framed) {
    case Framed::automatic: break;
    case Framed::length: set("Content-Length", std::to_string(length)); break;
    case Framed::chunked: set("Transfer-Encoding", "chunked"); break;
    case Framed::trailer:
      if (has_body) set("Trailer", "X-Sum");
      break;
    case Framed::until_close:
      good = response.remove_header("Content-Length").has_value() && good;
      good = response.remove_header("Transfer-Encoding").has_value() && good;
      break;
    case Framed::head_first: break;
  }
  if (answer.slip == Slip::two_framings) {
    set("Content-Length", "5");
    set("Transfer-Encoding", "chunked");
  }
  const bool by_write_head = answer.framed == Framed::head_first && item_.number % 2 == 0 &&
                             answer.slip != Slip::two_framings;
  good = (by_write_head ? response.write_head(answer.status)
                        : response.set_status(answer.status)).has_value() && good;
  if (!good) fail("a head that is good is refused");
  return good;
}

void Job::send_interims(Response& response) {
  for (unsigned i = 0; i < item_.answer.interims; ++i) {
    const auto sent = i % 2 == 0 ? response.write_processing()
                                 : response.write_early_hints({{"Link", "</x>"}});
    if (!sent) return fail("an interim answer is refused");
    ++told_.interims;
  }
}

void Job::answer() {
  Response* response = response_.get();
  if (response == nullptr || gone_ || is_broken(*response)) return;
  const Answer& answer = item_.answer;
  told_.settled = true;
  // Behind the head it is too late, and the client may wait for it.
  if (item_.expects && !told_.continued && answer.reads == Reads::echoes) {
    told_.continued = response->write_continue().has_value();
  }
  if (answer.slip == Slip::two_framings) told_.failed = true;
  send_interims(*response);
  if (!set_head(*response)) return;
  if (answer.framed == Framed::head_first && item_.number % 2 == 1 && !told_.failed) {
    if (!response->flush_headers()) fail("flush_headers() is refused");
  }
  if (answer.framed == Framed::chunked || answer.framed == Framed::head_first) ++writes_;
  if (answer.corked != 0s) {
    response->cork();
    run_.count("cork");
    cork_timer_ = program_.reactor().after(answer.corked, [this] {
      Response* same = response_.get();
      if (same != nullptr && !gone_) same->uncork();
    });
  }
  if (answer.reads != Reads::echoes) pump();
}

// ---- Bodies ----

http::ResponseDone Job::callback() {
  const unsigned number = ++callbacks_due_;
  return [this, number](Response&, std::error_code code) {
    if (!enter("callback")) return;
    for (std::size_t i = 0; !code && i + 1 < item_.number; ++i) {
      if (line_.told[i].seen && !line_.told[i].ended) fail("a callback before its turn");
    }
    if (told_.response_closed) fail("a callback after 'close'");
    if (number != ++callbacks_seen_) fail("a callback out of order, or twice");
    run_.count("callback");
  };
}

void Job::note(Response& response, Write result, std::size_t size, std::size_t before) {
  static const char* const kNames[] = {"write ok", "write full", "write refused", "write closed"};
  run_.count(kNames[static_cast<std::size_t>(result)]);
  const net::QueueLimits& queue = run_.server.options.net.socket.queue;
  const std::size_t after = response.writable_length();
  if (after > 2 * std::max(queue.bytes_max, kLargestPiece) + 200'000) fail("too much is queued");
  switch (result) {
    case Write::ok:
      if (after != 0 && after >= queue.high_water) fail("`ok` above the high-water mark");
      break;
    case Write::full: drain_due_ = true; break;
    case Write::refused:
      drain_due_ = true;
      if (before == 0 || before + size <= queue.bytes_max) fail("refused without a reason");
      return;
    case Write::closed:
      if (!is_broken(response)) fail("`closed` without a reason");
      return;
  }
  told_.written += size;
}

Write Job::put(Response& response, std::string_view bytes) {
  ++writes_;
  const std::size_t before = response.writable_length();
  const bool as_buffer = run_.random().once_in(2);
  const unsigned due = callbacks_due_;
  http::ResponseDone done;
  if (item_.answer.callbacks) done = callback();
  in_call_ = true;
  Buffer buffer = as_buffer ? Buffer::copy(bytes) : Buffer();
  const Write result = as_buffer ? response.write(std::move(buffer), std::move(done))
                                 : response.write(bytes, std::move(done));
  in_call_ = false;
  if (result == Write::refused) {
    callbacks_due_ = due;
    --writes_;
  }
  if (as_buffer && result == Write::refused && buffer.size() != bytes.size()) {
    fail("a refused write took the bytes");
  }
  note(response, result, bytes.size(), before);
  return result;
}

void Job::pump_later(Duration delay) {
  pump_waits_ = true;
  pump_timer_ = program_.reactor().after(delay, [this] {
    pump_waits_ = false;
    pump();
  });
}

void Job::pump() {
  const Answer& answer = item_.answer;
  for (;;) {
    Response* response = response_.get();
    if (run_.failed() || response == nullptr || gone_ || told_.ended) return;
    if (is_broken(*response)) return;
    if (answer.breaks != Breaks::nothing && told_.written >= answer.breaks_at) {
      return break_off(*response);
    }
    if (told_.failed) {
      finish(*response, 0);
      return;
    }
    if (drain_due_ && answer.respects_full) return;
    const std::uint64_t left = answer.size - told_.written;
    const std::uint64_t wanted = run_.random().between(1, answer.piece_max);
    const auto size = static_cast<std::size_t>(std::min(left, wanted));
    if (size == left && (size == 0 || answer.end_takes_last)) {
      finish(*response, size);
      return;
    }
    const Write result = put(*response, noise(item_.answer_key(), told_.written, size));
    if (result == Write::refused || result == Write::closed) return;
    if (answer.gap != 0s) return pump_later(answer.gap);
  }
}

void Job::echo() {
  Response* response = response_.get();
  Request* request = request_.get();
  if (response == nullptr || request == nullptr || gone_ || is_broken(*response)) return;
  if (!std::exchange(answering_, true)) answer();
  while (!echoes_.empty() && !drain_due_ && !run_.failed()) {
    const Write result = put(*response, echoes_.front().view());
    if (result == Write::closed) return;
    if (result == Write::refused) break;
    echoes_.pop_front();
  }
  const bool waits = drain_due_ || !echoes_.empty();
  if (waits != paused_ && !end_seen_) {
    waits ? request->pause() : request->resume();
    paused_ = waits;
    run_.count("echo paused");
  }
  if (end_seen_ && echoes_.empty() && !told_.ended) finish(*response, 0);
}

// False: it is to be tried again after 'drain'.
bool Job::finish(Response& response, std::size_t last) {
  const bool sums = item_.answer.framed == Framed::trailer;
  if (item_.answer.slip == Slip::too_long && last == 0 && told_.written != 0) slip(response);
  const std::string sum = std::to_string(told_.written + last);
  if (sums && !response.set_trailer("X-Sum", sum)) fail("a trailer is refused");
  const std::size_t before = response.writable_length();
  if (told_.failed) ++errors_due_;
  const unsigned due = callbacks_due_;
  http::ResponseDone done;
  if (item_.answer.callbacks) done = callback();
  in_call_ = true;
  const std::string_view bytes = noise(item_.answer_key(), told_.written, last);
  const Write result = last == 0 ? response.end(std::move(done))
                                 : response.end(bytes, std::move(done));
  in_call_ = false;
  if (told_.failed) {
    if (result != Write::closed) fail("a head that cannot be is sent");
  } else {
    if (result == Write::refused) callbacks_due_ = due;
    if (last == 0 && result == Write::refused) fail("an end() without bytes is refused");
    const bool was_due = drain_due_;
    note(response, result, last, before);
    if (result == Write::closed) return true;
    if (result == Write::refused) return false;
    drain_due_ = was_due;
  }
  told_.alone = writes_ == 0;
  told_.ended = true;
  told_.ended_at = run_.now();
  drain_due_ = false;
  run_.count("answered");
  if (!response.writable_ended()) fail("writable_ended() is false");
  if (item_.answer.slip == Slip::write_after_end) slip(response);
  return true;
}

// Mistakes of a handler that the connection survives.
void Job::slip(Response& response) {
  const bool after_end = item_.answer.slip == Slip::write_after_end;
  if (!after_end && item_.to_head) return;
  const std::size_t before = response.writable_length();
  const Write result = response.write("x");
  if (result == Write::refused && before != 0) {
    drain_due_ = true;
    return;
  }
  if (result != Write::closed) return fail("a write that cannot be is taken");
  run_.count("slip");
  ++errors_due_;
}

void Job::break_off(Response& response) {
  run_.count("handler breaks off");
  run_.excuse(line_, "its handler has broken it off");
  told_.broken = true;
  in_call_ = true;
  switch (item_.answer.breaks) {
    case Breaks::request: response.request().destroy(errno_code(EPROTO)); break;
    case Breaks::socket: response.socket().destroy(); break;
    default: response.destroy();
  }
  in_call_ = false;
}

// ---- The end ----

void Job::abandon() {
  if (std::exchange(gone_, true)) return;
  for (Timer* timer : {&pump_timer_, &pause_timer_, &cork_timer_, &continue_timer_}) {
    timer->cancel();
  }
}

void Job::check_in_the_end() const {
  const bool closed = told_.request_closed || !told_.watched || gone_;
  if (!closed) run_.fail(line_.name + " request " + std::to_string(item_.number),
                         "no 'close' [" + state() + "]");
  if (!gone_ && (request_.get() != nullptr || response_.get() != nullptr)) {
    run_.fail(line_.name, "a request that is still there [" + state() + "]");
  }
}

}  // namespace weir::test::http_swarm
