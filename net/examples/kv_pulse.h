// A beat in regular intervals, whatever delays one of them.
#pragma once

#include <algorithm>
#include <utility>

#include "weir/reactor/reactor.h"

namespace weir::example::kv {

class Pulse {
 public:
  Pulse(Reactor& reactor, Duration interval, Function<void()> beat)
      : reactor_(reactor), interval_(interval), beat_(std::move(beat)), next_(reactor.now()) {
    wait();
  }

 private:
  // From the time when the last one was due: delays do not add up.
  void wait() {
    next_ += interval_;
    timer_ = reactor_.after(std::max(next_ - reactor_.now(), Duration::zero()), [this] {
      beat_();
      wait();
    });
  }

  Reactor& reactor_;
  Duration interval_;
  Function<void()> beat_;
  Instant next_;
  Timer timer_;
};

}  // namespace weir::example::kv
