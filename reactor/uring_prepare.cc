#include "reactor/uring_prepare.h"

#include <poll.h>
#include <sys/socket.h>

#include "reactor/posix_files.h"
#include "reactor/uring_probe.h"
#include "reactor/uring_state.h"
#include "weir/reactor/assert.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1::uring {

void prepare_accept(io_uring_sqe* sqe, int fd, bool multishot) noexcept {
  constexpr int kFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (multishot) {
    io_uring_prep_multishot_accept(sqe, fd, nullptr, nullptr, kFlags);
  } else {
    io_uring_prep_accept(sqe, fd, nullptr, nullptr, kFlags);
  }
}

std::uint32_t prepare_send(io_uring_sqe* sqe, SendOp& op) noexcept {
  const int flags = MSG_NOSIGNAL | (op.passed_fd < 0 ? MSG_WAITALL : 0);
  if (op.pieces.size() == 1 && op.passed_fd < 0) {
    io_uring_prep_send(sqe, op.fd, op.pieces[0].iov_base, op.pieces[0].iov_len, flags);
  } else {
    const auto* message = static_cast<const msghdr*>(posix::message_of(op));
    io_uring_prep_sendmsg(sqe, op.fd, message, static_cast<unsigned>(flags));
  }
  return static_cast<std::uint32_t>(bytes_of(op.pieces));
}

void prepare_send_watch(io_uring_sqe* sqe, int fd) noexcept {
  io_uring_prep_poll_multishot(sqe, fd, POLLOUT);
}

void prepare_poll(io_uring_sqe* sqe, const PollOp& op) noexcept {
  if (op.watch_hangup) {
    io_uring_prep_poll_multishot(sqe, op.fd, kHangupMask);
    return;
  }
  unsigned mask = 0;
  if (op.wanted.has(Events::readable)) mask |= POLLIN;
  if (op.wanted.has(Events::writable)) mask |= POLLOUT;
  if (op.seen.has(Events::peer_closed)) {
    io_uring_prep_poll_multishot(sqe, op.fd, mask);
  } else {
    io_uring_prep_poll_add(sqe, op.fd, mask);
  }
}

bool note_seen(PollOp& op, std::int32_t result) noexcept {
  if (result > 0) op.seen.bits |= events_of(static_cast<unsigned>(result)).bits;
  const std::uint8_t awaited = op.wanted.bits | Events::hangup | Events::error;
  return (op.seen.bits & awaited) != 0;
}

void prepare_cancel(io_uring_sqe* sqe, std::uint64_t target) noexcept {
  io_uring_prep_cancel64(sqe, target, 0);
  io_uring_sqe_set_data64(sqe, target | kCancelMark);
}

bool waits_for_disk(const Op& op) noexcept {
  return is_of_file(op.kind) && posix::kind_of(op.fd) == posix::FileKind::regular;
}

bool goes_by_thread(const Op& op) noexcept {
  if (op.kind == OpKind::open) return true;
  if (!is_of_file(op.kind)) return false;
  const posix::FileKind kind = posix::kind_of(op.fd);
  if (kind == posix::FileKind::regular) return false;
  return op.kind == OpKind::write || kind != posix::FileKind::pipe;
}

bool make_room(ReadOp& op) noexcept {
  WEIR_ASSERT(op.size > 0 && op.size <= limits::kFileBytesMax);
  return op.room.room() >= op.size || op.room.allocate(op.size);
}

void prepare_read(io_uring_sqe* sqe, ReadOp& op) noexcept {
  io_uring_prep_read(sqe, op.fd, op.room.space().data(), static_cast<unsigned>(op.size),
                     static_cast<std::uint64_t>(op.offset));
}

void prepare_write(io_uring_sqe* sqe, const WriteOp& op) noexcept {
  io_uring_prep_writev(sqe, op.fd, op.pieces.data(), static_cast<unsigned>(op.pieces.size()),
                       static_cast<std::uint64_t>(op.offset));
}

void enter(io_uring& ring, Instant until) noexcept {
  io_uring_cqe* cqe = nullptr;
  if (until == kNever) {
    check_entry(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, nullptr, nullptr));
    return;
  }
  const Duration left = until == Instant::min() ? Duration::zero() : until - posix::now();
  if (left <= Duration::zero()) {
    check_entry(io_uring_submit_and_get_events(&ring));
    return;
  }
  __kernel_timespec rest{.tv_sec = left / std::chrono::seconds(1),
                         .tv_nsec = (left % std::chrono::seconds(1)).count()};
  // -ETIME and -EINTR are the ordinary ends of a wait.
  check_entry(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &rest, nullptr));
}

bool kernel_has_more(const io_uring& ring) noexcept {
  const unsigned flags = IO_URING_READ_ONCE(*ring.sq.kflags);
  return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

}  // namespace weir::inline v1::uring
