#include "reactor/uring_thread.h"

#include <utility>

#include "reactor/uring_probe.h"
#include "weir/reactor/buffer.h"

namespace weir::inline v1 {

bool RingThread::is_this() const noexcept {
  return !is_known() || issuer_ == detail::this_thread();
}

void RingThread::claim(io_uring& ring) noexcept {
  issuer_ = detail::this_thread();
  enable_probed_ring(ring);
}

// A thread has few places for them; without one it goes on as before.
void RingThread::register_fd(io_uring& ring) noexcept {
  to_be_registered_ = false;
  registered_ = io_uring_register_ring_fd(&ring) == 1;
}

void RingThread::run_ends(io_uring* ring) noexcept {
  to_be_registered_ = false;
  if (std::exchange(registered_, false)) io_uring_unregister_ring_fd(ring);
}

}  // namespace weir::inline v1
