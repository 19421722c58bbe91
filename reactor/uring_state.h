// What the io_uring backend notes of its requests and fds.
#pragma once

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "weir/reactor/backend.h"

namespace weir::inline v1::uring {

inline constexpr std::uint64_t kWakeMark = ~std::uint64_t{1};
// In the user_data of a request to cancel another one, whose own is the rest of it.
inline constexpr std::uint64_t kCancelMark = std::uint64_t{1} << 31;

// An Op::slot that names no request: the op waits in a list of ours, the kernel knows nothing.
inline constexpr std::uint32_t kQueuedSlot = Op::kNoSlot - 1;

// POLLERR and POLLHUP are always reported. POLLRDHUP is Linux's "the peer sent FIN".
inline constexpr unsigned kHangupMask = POLLRDHUP | POLLERR | POLLHUP;
inline constexpr unsigned kReadableMask = POLLIN | POLLPRI | kHangupMask;

struct FdState {
  std::uint32_t operations : 24 = 0;  // submitted and without their last completion
  bool send_in_ring : 1 = false;   // a send request is with the kernel
  // A short send was told the connection's error, in whose place a receive sees a clean end. One
  // that fell short while the connection stands means nothing.
  bool send_took_error : 1 = false;
  bool send_cannot_wait : 1 = false;  // a send request gave up: room is polled for
  bool read_to_the_end : 1 = false;  // as in the epoll backend, for plain receives
  bool type_known : 1 = false;
  bool short_read_empties : 1 = false;
  bool starved : 1 = false;  // the receive waits for memory
  bool ending : 1 = false;   // the receive is over once its readiness poll has ended
  std::int32_t final_result = 0;
};
static_assert(sizeof(FdState) == 8);

// A result that says nothing of the descriptor: the request is to be made again. A send that was
// woken often for nothing (a Unix socket whose reader takes little at a time) may end so. What the
// kernel has cancelled is nobody's wish, either, unless it was asked to.
inline bool is_passing(const Op& op, std::int32_t result) noexcept {
  if (result >= 0) return false;
  return result == -EAGAIN || result == -EINTR ||
         (result == -ECANCELED && op.state != OpState::cancelling);
}

// A few sends, and large ones, are cheaper as plain calls; many small ones go as one batch. Whether
// a turn has few is not known before its end: until then, or until it has had many, it is taken to
// be like the last one.
class SendCount {
 public:
  void add() noexcept { ++this_turn_; }
  void turn_ended() noexcept { last_turn_ = std::exchange(this_turn_, 0); }
  bool is_inline(const SendOp& op) const noexcept {
    const bool few = std::max(last_turn_, this_turn_) < limits::kInlineSendsMax;
    return few || bytes_of(op.pieces) >= limits::kInlineSendBytesMin;
  }

 private:
  std::size_t this_turn_ = 0;
  std::size_t last_turn_ = 0;
};

inline Events events_of(unsigned mask) noexcept {
  Events events;
  if ((mask & POLLIN) != 0) events.bits |= Events::readable;
  if ((mask & POLLOUT) != 0) events.bits |= Events::writable;
  if ((mask & POLLRDHUP) != 0) events.bits |= Events::peer_closed;
  if ((mask & POLLHUP) != 0) events.bits |= Events::hangup;
  if ((mask & POLLERR) != 0) events.bits |= Events::error;
  return events;
}

}  // namespace weir::inline v1::uring
