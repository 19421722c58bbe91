// Awaiting the passing of time.
#pragma once

#include "weir/net/coro_context.h"
#include "weir/reactor/time.h"
#include "weir/reactor/timer_wheel.h"

namespace weir::inline v1::coro {

class Delay final : public Operation, private TimerNode {
 public:
  explicit Delay(Duration duration) noexcept : TimerNode(on_fire), duration_(duration) {}
  Delay(Delay&& other) noexcept
      : Operation(static_cast<Operation&&>(other)),
        TimerNode(on_fire),
        duration_(other.duration_) {}
  ~Delay() { disarm(); }

  bool await_ready() noexcept {
    if (take_cancel()) return true;
    Reactor& reactor = context().reactor();
    reactor.wheel().insert(*this, later(reactor.now(), duration_));
    reactor.ref();
    return false;
  }
  Expected<void> await_resume() noexcept {
    if (failed_ != 0) return failure({.code = errno_code(failed_)});
    return {};
  }
  bool cancel() noexcept override {
    disarm();
    return Operation::cancel();
  }

 private:
  static void on_fire(TimerNode& node) noexcept {
    auto& delay = static_cast<Delay&>(node);
    delay.context().reactor().unref();
    delay.complete();
  }
  void disarm() noexcept {
    if (!armed()) return;
    context().reactor().wheel().cancel(*this);
    context().reactor().unref();
  }

  Duration duration_;
};

// Sleeps: resumes after `duration`, at millisecond resolution, never early. Errors: ECANCELED.
// Keeps run() going meanwhile.
[[nodiscard]] inline Delay delay(Duration duration) noexcept { return Delay(duration); }

}  // namespace weir::inline v1::coro
