// Receives on io_uring: with a buffer ring by requests that repeat, without one by a poll that
// repeats and plain calls, and without memory by a watch for resets.
#include <liburing.h>
#include <poll.h>

#include <cerrno>

#include "reactor/uring_abi.h"
#include "reactor/uring_backend.h"

namespace weir::inline v1::uring {

Role UringBackend::arm_recv(Op& op, io_uring_sqe* sqe) noexcept {
  if (ring_.buffers == nullptr) {
    io_uring_prep_poll_multishot(sqe, op.fd, kReadableMask);
    return Role::readiness;
  }
  io_uring_prep_recv(sqe, op.fd, nullptr, 0, 0);
  if (!ring_.pool->in_demand()) sqe->ioprio |= IORING_RECV_MULTISHOT;  // see BufferPool
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = BufferRing::kGroup;
  return Role::operation;
}

bool UringBackend::on_recv(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept {
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  const bool promised =
      cqe.res > 0 ? (cqe.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0 : op.linked();
  op.unlink();
  if (cqe.res > 0) {
    Buffer received = ring_.buffers->take(cqe.flags, static_cast<std::size_t>(cqe.res));
    if (more) {
      ++counters_.multishot_receives;
    } else {
      continue_or_end(op);
    }
    if (promised) expect_more(op);
    out = {.op = &op,
           .result = cqe.res,
           .more = true,
           .buffer = deliverable(*ring_.pool, std::move(received))};
    return true;
  }
  WEIR_ASSERT(!more);
  // One that has found nothing too often the kernel leaves to a worker thread, which takes a whole
  // chunk beforehand.
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) ring_.buffers->take(cqe.flags, 0);
  if (cqe.res == -ENOBUFS) {
    ++counters_.ring_dry;
    if (op.state == OpState::cancelling) return last(op, -ECANCELED, out);
    starve(op);
    return false;
  }
  if (is_passing(op, cqe.res)) {
    continue_or_end(op);
    if (promised) expect_more(op);
    return false;
  }
  // An error of the connection is told whatever was cancelled: it will not be told again.
  const FdState& fd = fds_[op.fd];
  const bool doubtful = cqe.res == 0 && (fd.send_in_ring || fd.send_took_error);
  if (doubtful && posix::is_torn_down(op.fd)) return last(op, -ECONNRESET, out);
  return last(op, cqe.res, out);
}

void UringBackend::expect_more(Op& op) noexcept {
  if (op.state == OpState::submitted && !op.linked()) promised_.push_back(op);
}

// A socket of which the kernel says that it has more is read on before the kernel returns. Not so
// where the next byte is urgent (tcp(7)) while a signal is pending, or task work, which counts as
// one: tcp_recvmsg() then says EAGAIN, and the repeating request waits for an event that has been.
// It is ended, and so made anew, until it has brought something.
void UringBackend::renew_promised() noexcept {
  const bool all_is_told = io_uring_sq_ready(&ring()) == 0 && io_uring_cq_ready(&ring()) == 0 &&
                           !kernel_has_more(ring());
  if (!all_is_told) return;
  IntrusiveList<Op> broken;
  broken.splice_back(promised_);
  while (!broken.empty()) {
    Op& op = broken.pop_front();
    if (!posix::is_readable(op.fd)) continue;
    send_cancel(op);
    promised_.push_back(op);
  }
}

// A receive without a buffer ring learns here that its fd may have bytes.
bool UringBackend::on_readiness(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept {
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  FdState& fd = fds_[op.fd];
  if (cqe.res > 0 && (static_cast<unsigned>(cqe.res) & ~unsigned{POLLIN}) != 0) {
    fd.read_to_the_end = true;
  }
  if (!more && fd.ending) {
    fd.ending = false;
    return last(op, fd.final_result, out);
  }
  if (!more && op.state == OpState::cancelling) {
    op.unlink();
    return last(op, -ECANCELED, out);
  }
  if (!more && cqe.res < 0) {
    op.unlink();
    return is_passing(op, cqe.res) ? continue_or_end(op) : last(op, cqe.res, out);
  }
  if (op.state == OpState::cancelling || fd.ending) return false;
  if (fd.starved && cqe.res > 0 && (static_cast<unsigned>(cqe.res) & POLLERR) != 0) {
    op.unlink();
    const int error = posix::get_fact(op.fd, SocketFact::pending_error);
    const std::int32_t result = error > 0 ? -error : -ECONNRESET;
    if (!more) return last(op, result, out);
    fd.ending = true;
    fd.final_result = result;
    send_cancel(op);
    return false;
  }
  if (!more) {
    op.unlink();
    continue_or_end(op);
  } else {
    ++counters_.multishot_receives;
  }
  // Without room in the submission queue the op waits in `blocked_`; armed again, the poll reports
  // the same bytes.
  if (!op.linked()) readable_.push_back(op);
  return false;
}

std::size_t UringBackend::run_receives(std::span<Completion> batch) noexcept {
  std::size_t count = 0;
  while (count < batch.size() && !readable_.empty()) {
    if (receive_now(readable_.pop_front(), batch[count])) ++count;
  }
  return count;
}

bool UringBackend::receive_now(Op& op, Completion& out) noexcept {
  FdState& fd = fds_[op.fd];
  if (!fd.type_known) {
    fd.type_known = true;
    fd.short_read_empties = posix::is_tcp(op.fd);
  }
  const std::span<char> room = arena_.room();
  if (room.empty() && ring_.pool->available()) {
    // Below the pool's limit it is the system that has no memory: nothing may ever come back.
    fd.ending = true;
    fd.final_result = -ENOMEM;
    send_cancel(op);
    return false;
  }
  fd.starved = room.empty();
  if (room.empty()) {
    ++counters_.ring_dry;
    starve(op);
    return false;
  }
  ++counters_.system_calls;
  const std::int32_t result = posix::receive(op.fd, room);
  if (result == -EAGAIN) {
    if (fd.read_to_the_end && posix::is_readable(op.fd)) readable_.push_back(op);
    return false;
  }
  if (result <= 0) {
    // The readiness poll must end before the owner may close the fd.
    const bool swallowed =
        result == 0 && (fd.send_in_ring || fd.send_took_error) && posix::is_torn_down(op.fd);
    fd.ending = true;
    fd.final_result = swallowed ? -ECONNRESET : result;
    send_cancel(op);
    return false;
  }
  const auto size = static_cast<std::size_t>(result);
  out = {.op = &op,
         .result = result,
         .more = true,
         .buffer = deliverable(*ring_.pool, arena_.commit(size))};
  const bool emptied = size < room.size() && fd.short_read_empties && !fd.read_to_the_end;
  if (!emptied) readable_.push_back(op);
  return true;
}

void UringBackend::starve(Op& op) noexcept {
  starved_.push_back(op);
  starved_news_ = true;
}

// Starved receives are armed again when memory is back, a few for each chunk; the others watch for
// a reset meanwhile. None is armed on an empty ring: it would fail at once, for ever.
void UringBackend::feed_starved() noexcept {
  if (ring_.buffers != nullptr) ring_.buffers->replenish();
  if (starved_.empty()) return;
  const bool news = std::exchange(starved_news_, false);
  if (ring_.buffers == nullptr) {
    if (ring_.pool->returned() != returned_seen_) readable_.splice_back(starved_);
    returned_seen_ = ring_.pool->returned();
    return;
  }
  std::size_t feed = ring_.buffers->filled() * limits::kStarvedRearmsPerChunk;
  if (feed == 0 && !news) return;
  IntrusiveList<Op> waiting;
  waiting.splice_back(starved_);
  while (!waiting.empty()) {
    Op& op = waiting.pop_front();
    if (feed > 0) {
      --feed;
      if (op.slot != kQueuedSlot) {
        send_cancel(op);  // its watch; the receive is armed when the watch has ended
      } else {
        ++counters_.multishot_rearms;
        arm(op);
      }
      continue;
    }
    starved_.push_back(op);
    if (op.slot != kQueuedSlot) continue;
    if (io_uring_sqe* sqe = get_sqe(); sqe != nullptr) {
      const std::uint64_t user_data = requests_.attach(op, Role::starved_watch);
      io_uring_prep_poll_multishot(sqe, op.fd, kHangupMask);
      io_uring_sqe_set_data64(sqe, user_data);
    }
  }
}

bool UringBackend::on_starved_watch(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept {
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  const bool reset = cqe.res > 0 && (static_cast<unsigned>(cqe.res) & POLLERR) != 0;
  FdState& fd = fds_[op.fd];
  if (reset && !fd.ending && op.state != OpState::cancelling) {
    fd.ending = true;
    const int error = posix::get_fact(op.fd, SocketFact::pending_error);
    fd.final_result = error > 0 ? -error : -ECONNRESET;
    op.unlink();
    if (more) send_cancel(op);
  }
  if (more) return false;
  if (fd.ending) {
    fd.ending = false;
    return last(op, fd.final_result, out);
  }
  if (op.state == OpState::cancelling) return last(op, -ECANCELED, out);
  op.unlink();
  ++counters_.multishot_rearms;
  arm(op);
  return false;
}

}  // namespace weir::inline v1::uring
