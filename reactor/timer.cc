// Timers with a callable, as users see them; the wheel below knows only nodes.
#include <cerrno>

#include "reactor/handles.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1 {

Timer::Timer(Timer&& other) noexcept
    : reactor_(std::exchange(other.reactor_, nullptr)), record_(std::exchange(other.record_, {})) {}

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    cancel();
    reactor_ = std::exchange(other.reactor_, nullptr);
    record_ = std::exchange(other.record_, {});
  }
  return *this;
}

void Timer::cancel() noexcept {
  if (Record* record = record_.get(); record != nullptr) reactor_->timers_.destroy(record);
  record_ = {};
}

bool Timer::armed() const noexcept { return record_.get() != nullptr; }

void Timer::unref() noexcept {
  Record* record = record_.get();
  if (record == nullptr || !record->referenced) return;
  record->referenced = false;
  reactor_->unref();
}

Timer Reactor::after(Duration delay, Function<void()> fire) {
  Timer::Record* record = timers_.create(*this, std::move(fire));
  if (record == nullptr) {
    report_unhandled({.code = errno_code(ENOMEM), .syscall = "after"});
    return {};
  }
  wheel_.insert(*record, later(now(), std::max(delay, Duration::zero())));
  return Timer(*this, Slab<Timer::Record>::ref(record));
}

}  // namespace weir::inline v1
