// What the handles of reactor.h stand for. Private to this package.
#pragma once

#include "weir/reactor/reactor.h"
#include "reactor/signals.h"

namespace weir::inline v1 {

// What a Timer stands for.
struct Timer::Record : TimerNode {
  Record(Reactor& its_reactor, Function<void()> its_fire) noexcept
      : TimerNode(on_fire), reactor(its_reactor), fire(std::move(its_fire)) {
    reactor.ref();
  }
  ~Record() {
    if (referenced) reactor.unref();
  }

  // The record goes first, so that the callable sees a timer that is not armed and may drop it.
  static void on_fire(TimerNode& node) noexcept {
    auto& record = static_cast<Record&>(node);
    Function<void()> fire = std::move(record.fire);
    record.reactor.timers_.destroy(&record);
    fire();
  }

  Reactor& reactor;
  Function<void()> fire;
  bool referenced = true;
};

// Lives until the handle is dropped and the poll has its last result, whichever is later.
struct Watch::Record final : Resident {
  struct WatchOp : PollOp {
    explicit WatchOp(Record& its_owner) noexcept
        : PollOp([](Op& op, Completion& completion) noexcept {
            static_cast<WatchOp&>(op).owner.on_events(completion.result);
          }),
          owner(its_owner) {}
    Record& owner;
  };

  Record(Reactor& its_reactor, int fd, Events wanted, Function<void(Events)> its_ready)
      : reactor(its_reactor), ready(std::move(its_ready)), op(*this) {
    op.fd = fd;
    op.wanted = wanted;
    reactor.adopt(*this);
    reactor.ref();
    reactor.backend().submit(op);
  }

  ~Record() { reactor.backend().release(op.fd); }

  void drop_reference() noexcept {
    if (std::exchange(referenced, false)) reactor.unref();
  }

  void abandon() noexcept override {
    if (std::exchange(abandoned, true)) return;
    drop_reference();
    if (!op.idle()) {
      reactor.backend().cancel(op);
    } else if (!in_callback) {
      delete this;
    }
  }

  void on_events(std::int32_t result) noexcept {
    if (!abandoned) {
      in_callback = true;
      ready(result < 0 ? Events{Events::error} : Events{static_cast<std::uint8_t>(result)});
      in_callback = false;
    }
    if (abandoned) {
      delete this;
      return;
    }
    if (result >= 0) {
      reactor.backend().submit(op);
    } else {
      drop_reference();  // the fd cannot be polled: there is nothing more to wait for
    }
  }

  Reactor& reactor;
  Function<void(Events)> ready;
  WatchOp op;
  bool referenced = true;
  bool abandoned = false;
  bool in_callback = false;
};

struct Reactor::SignalHandler {
  SignalSubscription subscription;
  Watch watch;
};

}  // namespace weir::inline v1
