#include "reactor/uring_zero_copy.h"

#include <cerrno>

#include "reactor/uring_abi.h"
#include "reactor/uring_prepare.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1::uring {
namespace {

// The kernel does not lend here: no REPORT_USAGE before Linux 6.2 (EINVAL), no such socket, as of
// Unix (EOPNOTSUPP), or what may be locked in memory is used up (ENOMEM; ENOBUFS: of the socket).
bool is_refusal(std::int32_t result) noexcept {
  return result == -EINVAL || result == -EOPNOTSUPP || result == -ENOMEM || result == -ENOBUFS;
}

}  // namespace

void prepare_zero_copy(io_uring_sqe* sqe, Op& base, Request& request, FdState& fd) noexcept {
  auto& op = static_cast<ZeroCopySendOp&>(base);
  op.plain.fd = op.fd;
  op.plain.pieces = op.pieces;
  request.detail = prepare_send(sqe, op.plain) & Request::kNone;
  sqe->opcode = sqe->opcode == IORING_OP_SEND ? IORING_OP_SEND_ZC : IORING_OP_SENDMSG_ZC;
  sqe->ioprio |= IORING_SEND_ZC_REPORT_USAGE;
  fd.send_in_ring = true;
}

bool take_zero_copy(ZeroCopySends& sends, Op& base, FdState& fd, std::uint32_t wanted,
                    const io_uring_cqe& cqe, Completion& out) noexcept {
  auto& op = static_cast<ZeroCopySendOp&>(base);
  if ((cqe.flags & IORING_CQE_F_NOTIF) != 0) {
    const bool copied = (static_cast<unsigned>(cqe.res) & IORING_NOTIF_USAGE_ZC_COPIED) != 0;
    return sends.on_release(op, copied ? Release::copied : Release::lent, out);
  }
  const bool held = (cqe.flags & IORING_CQE_F_MORE) != 0;
  const bool cancelled = op.state == OpState::cancelling;
  fd.send_in_ring = false;
  --fd.operations;
  const bool passing = is_passing(op, cqe.res);
  if (!cancelled && (passing || is_refusal(cqe.res))) {
    fd.send_cannot_wait = fd.send_cannot_wait || cqe.res == -EAGAIN;
    sends.on_refusal(op, passing ? Release::copied : Release::refused, held);
    return false;
  }
  std::int32_t result = passing ? -ECANCELED : cqe.res;
  const bool fell_short = result >= 0 && static_cast<std::uint32_t>(result) < wanted;
  if (fell_short && !cancelled && posix::is_torn_down(op.fd)) {
    fd.send_took_error = true;
    result = -ECONNRESET;
  }
  return sends.on_result(op, result, held, out);
}

}  // namespace weir::inline v1::uring
