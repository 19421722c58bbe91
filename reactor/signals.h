// Signals turned into a readable fd, without taking them away from anybody else.
#pragma once

#include "weir/reactor/error.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1 {

// While it lives, the process's handler for one signal makes fd() readable, then calls the handler
// that was there before; the last subscription to a signal restores that one. At most
// kSubscriptionsMax exist at one time in a process.
class SignalSubscription {
 public:
  static constexpr int kSubscriptionsMax = 64;

  static Expected<SignalSubscription> create(int signal);
  SignalSubscription(SignalSubscription&& other) noexcept
      : fd_(std::move(other.fd_)), index_(std::exchange(other.index_, -1)) {}
  SignalSubscription& operator=(SignalSubscription&&) = delete;
  ~SignalSubscription();

  int fd() const noexcept { return fd_.get(); }

 private:
  SignalSubscription(posix::Fd fd, int index) noexcept : fd_(std::move(fd)), index_(index) {}
  posix::Fd fd_;
  int index_;
};

}  // namespace weir::inline v1
