// What is due when, and whether the stream is read.
#include <algorithm>

#include "http/connection.h"
#include "http/server_core.h"

namespace weir::inline v1::http {
namespace {

// Zero: none.
Instant after(Instant begin, Duration time) noexcept {
  return time == Duration::zero() ? kNever : later(begin, time);
}

}  // namespace

// Average pace: `bytes` have come, so the client has until the moment when they would be too few.
Instant Connection::body_deadline() const noexcept {
  const ServerOptions& options = core_.options;
  if (options.body_rate_min == 0 || reading_->request.body_size() == 0U) return kNever;
  const std::chrono::duration<double> paid(static_cast<double>(body_bytes_) /
                                           options.body_rate_min);
  const Duration most = std::chrono::hours(24 * 365);
  const Duration bought = paid < most ? std::chrono::duration_cast<Duration>(paid) : most;
  return later(body_begun_, std::max(options.body_rate_grace + limits::kBodyRateDelay, bought));
}

// The client is free to wait for a 100 as long as we do not send it, if it does wait.
bool Connection::waits_to_be_continued() const noexcept {
  const bool told = reading_->response.continued_ && reading_->in_turn;
  return reading_->request.head_.expectation == Expectation::proceed && !told && !unasked_;
}

Instant Connection::deadline() const noexcept {
  if (phase_ == Phase::lingering) return in_stream() == 0 ? linger_until_ : kNever;
  if (phase_ == Phase::surrendered) return linger_until_;
  if (phase_ != Phase::reading || paused_) return kNever;
  const ServerOptions& options = core_.options;
  if (reading_ != nullptr) {
    if (waits_to_be_continued() && !reading_->answered) return kNever;
    return std::min(after(message_begun_, options.request_timeout), body_deadline());
  }
  const bool between = parser_.is_between_messages();
  if (between && (!pipeline_.empty() || queued() != 0)) return kNever;
  if (between && requests_ != 0) return after(idle_since_, options.keep_alive_timeout);
  return std::min(after(message_begun_, *options.headers_timeout),
                  after(message_begun_, options.request_timeout));
}

void Connection::Deadline::on_fire(TimerNode& node) noexcept {
  Connection& connection = static_cast<Deadline&>(node).connection;
  if (connection.check_deadline()) connection.run();
}

// False when the connection is gone.
bool Connection::check_deadline() {
  if (gone() || socket_.destroyed()) return false;
  if (now() < deadline()) return true;
  if (phase_ == Phase::lingering) {
    destroy({});
    return true;
  }
  if (phase_ == Phase::surrendered) {  // its new owner may have ended it meanwhile
    linger_until_ = later(now(), limits::kLingerTime);
    return true;
  }
  if (reading_ != nullptr || requests_ == 0 || !parser_.is_between_messages()) {
    running_ = true;
    const bool going_on = fail({.status = 408,
                                .code = "ERR_HTTP_REQUEST_TIMEOUT",
                                .text = "the request did not come in time"});
    running_ = false;
    return going_on;
  }
  phase_ = Phase::closing;
  return true;
}

void Connection::arm() noexcept {
  const Instant due = deadline();
  if (due == kNever || (timer_.armed() && timer_.due <= due)) return;
  TimerWheel& wheel = reactor_.wheel();
  wheel.cancel(timer_);
  timer_.due = due;
  wheel.insert(timer_, due);
}

// While we do not read, the client's time stands still. Between requests we go on until there is
// something that must wait: mostly the output has left by then, and a receive that is stopped and
// started again costs more than a small file.
void Connection::update_flow() {
  if (gone() || socket_.destroyed()) return;
  bool pause = false;
  if (phase_ == Phase::reading) pause = !input_.empty() || (reading_ != nullptr && !can_read());
  if (phase_ == Phase::closing) pause = true;
  if (phase_ == Phase::lingering) {
    pause = dropped_bytes_ > limits::kLingerBytesMax && in_stream() != 0;
  }
  if (pause == paused_) return;
  if (pause) {
    paused_ = true;
    blocked_since_ = now();
    stream_.pause();
    // What waits is not to keep a whole chunk of the receive memory.
    if (!input_.empty() && input_.size() <= limits::kCopiedPieceMax) {
      if (Buffer own = input_.to_owned(); !own.empty()) {
        input_ = std::move(own);
        parsed_ = 0;
      }
    }
  } else {
    credit_pause();
    stream_.resume();
  }
}

// What we made the client wait is not counted.
void Connection::credit_pause() noexcept {
  paused_ = false;
  message_begun_ += now() - std::max(blocked_since_, message_begun_);
  body_begun_ += now() - std::max(blocked_since_, body_begun_);
}

}  // namespace weir::inline v1::http
