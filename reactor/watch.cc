// Watching fds of foreign libraries: a one-shot poll, submitted again after each callback, which
// makes it level-triggered on every backend.
#include "reactor/handles.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1 {

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    cancel();
    record_ = std::exchange(other.record_, nullptr);
  }
  return *this;
}

void Watch::cancel() noexcept {
  if (record_ != nullptr) std::exchange(record_, nullptr)->abandon();
}

void Watch::unref() noexcept {
  if (record_ != nullptr) record_->drop_reference();
}

Watch Reactor::watch(int fd, Events wanted, Function<void(Events)> ready) {
  return Watch(new Watch::Record(*this, fd, wanted, std::move(ready)));
}

}  // namespace weir::inline v1
