// Sends without a copy on io_uring: IORING_OP_SEND_ZC and IORING_OP_SENDMSG_ZC. Private to this
// package.
#pragma once

#include <liburing.h>

#include "reactor/uring_requests.h"
#include "reactor/uring_state.h"
#include "reactor/zero_copy_sends.h"

namespace weir::inline v1::uring {

// As prepare_send(); notes the size in the request. Where a send cannot wait in the ring, this one
// comes back with EAGAIN and goes plainly.
void prepare_zero_copy(io_uring_sqe* sqe, Op& op, Request& request, FdState& fd) noexcept;

// One or two entries come of a request: its result, and with IORING_CQE_F_MORE the notice that the
// kernel has let go (IORING_CQE_F_NOTIF), also of a failure. True when this one became a completion
// in `out`. `wanted`: how many bytes there were to send.
bool take_zero_copy(ZeroCopySends& sends, Op& op, FdState& fd, std::uint32_t wanted,
                    const io_uring_cqe& cqe, Completion& out) noexcept;

}  // namespace weir::inline v1::uring
