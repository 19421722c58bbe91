// Submission queue entries for operations, each as the kernel wants it, and the way into it.
// Private to this package.
#pragma once

#include <liburing.h>

#include "weir/reactor/backend.h"

namespace weir::inline v1::uring {

void prepare_accept(io_uring_sqe* sqe, int fd, bool multishot) noexcept;
// MSG_WAITALL: the kernel sends the whole or says why not, while nothing else is sent on the fd. A
// descriptor goes with the first part only: the rest is submitted again without it. Returns how
// many bytes there are to send.
std::uint32_t prepare_send(io_uring_sqe* sqe, SendOp& op) noexcept;
// Room for a send that cannot wait for it by itself. A send request polls, and gives up with EAGAIN
// when it was woken 128 times for nothing: at once where the peer has sent its FIN, which answers
// every poll but one that repeats.
void prepare_send_watch(io_uring_sqe* sqe, int fd) noexcept;
// A poll for POLLOUT is answered by POLLRDHUP too, whatever was asked for (Linux 6.18). Where the
// peer's end is known, it is one that repeats, which tells what comes and not what is: it answers
// when note_seen() says so, and is cancelled then.
void prepare_poll(io_uring_sqe* sqe, const PollOp& op) noexcept;
// Adds what a poll's result tells. True when that is what the operation waits for.
bool note_seen(PollOp& op, std::int32_t result) noexcept;
// Of the request with this user_data; its own result has kCancelMark set.
void prepare_cancel(io_uring_sqe* sqe, std::uint64_t target) noexcept;
// No cancel finds it before the disk has answered.
bool waits_for_disk(const Op& op) noexcept;

// Opening, what is not open, terminals and other devices, and writes to pipes. The ring's writes to
// those raise SIGPIPE in whichever thread enters it. What blocks although it polls as ready, as a
// terminal may, blocks that thread; and given to the kernel's own workers (IOSQE_ASYNC) a read is
// sometimes missed by its cancel (seen on Linux 6.18).
bool goes_by_thread(const Op& op) noexcept;
// Memory for the read. False when it is refused.
bool make_room(ReadOp& op) noexcept;
// Precondition: make_room().
void prepare_read(io_uring_sqe* sqe, ReadOp& op) noexcept;
void prepare_write(io_uring_sqe* sqe, const WriteOp& op) noexcept;

// Submits, and runs the kernel's deferred work; waits for a completion until then.
void enter(io_uring& ring, Instant until) noexcept;
// Completions are to come that are not in the queue yet, but only if the ring is entered: deferred
// work, and what did not fit. For a ring with IORING_SETUP_TASKRUN_FLAG, as all of ours are.
bool kernel_has_more(const io_uring& ring) noexcept;

}  // namespace weir::inline v1::uring
