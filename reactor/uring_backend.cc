#include "reactor/uring_backend.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "reactor/uring_abi.h"
#include "reactor/uring_zero_copy.h"

namespace weir::inline v1::uring {

// A ring has one issuer. When the reactor is destroyed by another thread than ran it, the ring is
// closed, which soon cancels everything in the kernel, and every operation ends. Before, what that
// thread has left is taken: connections that were accepted are to be closed.
void UringBackend::lose_ring() noexcept {
  if (ring_.ring == nullptr) return;
  for (Completion one; reap({&one, 1}) != 0;) local_.push(std::exchange(one, {}));
  ring_.ring.reset();
  requests_.take_all([this](Op& op) {
    op.unlink();
    if (!zero_copy().lose(op)) finish(op, -ECANCELED);
  });
  for (IntrusiveList<Op>* waiting : {&sends_, &blocked_, &readable_, &starved_}) {
    while (!waiting->empty()) finish(waiting->pop_front(), -ECANCELED);
  }
}

io_uring_sqe* UringBackend::get_sqe() noexcept {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring());
  // Before the first poll() it is not known whose ring this is: what does not fit waits.
  if (sqe != nullptr || !thread_.is_known() || !thread_.is_this()) return sqe;
  ++counters_.system_calls;
  io_uring_submit(&ring());
  return io_uring_get_sqe(&ring());
}

void UringBackend::arm_wake() noexcept {
  io_uring_sqe* sqe = get_sqe();
  wake_armed_ = sqe != nullptr;
  if (sqe == nullptr) return;
  io_uring_prep_poll_multishot(sqe, wake_fd(), POLLIN);
  io_uring_sqe_set_data64(sqe, kWakeMark);
}

void UringBackend::submit(Op& op) noexcept {
  WEIR_ASSERT(op.idle());
  op.state = OpState::submitted;
  if (submit_elsewhere(op)) return;
  if (goes_by_thread(op)) return files().submit(op);
  ++fds_[op.fd].operations;
  if (ring_.ring == nullptr) return finish(op, -ECANCELED);
  if (op.kind == OpKind::read && !make_room(static_cast<ReadOp&>(op))) return finish(op, -ENOMEM);
  if (op.kind == OpKind::send) {
    send_count_.add();
    op.slot = kQueuedSlot;
    sends_.push_back(op);
    return;
  }
  arm(op);
}

// Puts one submission queue entry down for the op, or lets it wait for room.
void UringBackend::arm(Op& op) noexcept {
  auto* connect = op.kind == OpKind::connect ? static_cast<ConnectOp*>(&op) : nullptr;
  const std::uint32_t size =
      connect != nullptr ? posix::to_system(connect->peer, connect->scratch) : 0;
  if (connect != nullptr && size == 0) return finish(op, -EINVAL);
  if (op.kind == OpKind::recv && ring_.buffers != nullptr && ring_.buffers->filled() == 0) {
    op.slot = kQueuedSlot;
    starve(op);
    return;
  }
  const bool dry = op.kind == OpKind::datagrams && datagrams_.dry();
  io_uring_sqe* sqe = dry ? nullptr : get_sqe();
  if (sqe == nullptr) {
    op.slot = kQueuedSlot;
    blocked_.push_back(op);
    return;
  }
  const std::uint64_t user_data = requests_.attach(op, Role::operation);
  Request& request = requests_[op.slot];
  switch (op.kind) {
    case OpKind::accept: prepare_accept(sqe, op.fd, options_.multishot_accept); break;
    case OpKind::connect:
      io_uring_prep_connect(sqe, op.fd, reinterpret_cast<sockaddr*>(connect->scratch), size);
      break;
    case OpKind::recv: request.role = arm_recv(op, sqe); break;
    case OpKind::send:
      if (fds_[op.fd].send_cannot_wait) {
        request.role = Role::send_watch;
        prepare_send_watch(sqe, op.fd);
        break;
      }
      request.detail = prepare_send(sqe, static_cast<SendOp&>(op)) & Request::kNone;
      fds_[op.fd].send_in_ring = true;
      break;
    case OpKind::zero_copy_send: prepare_zero_copy(sqe, op, request, fds_[op.fd]); break;
    case OpKind::poll: prepare_poll(sqe, static_cast<PollOp&>(op)); break;
    case OpKind::datagrams: datagrams_.prepare(ring(), sqe, op.fd); break;
    case OpKind::read: prepare_read(sqe, static_cast<ReadOp&>(op)); break;
    case OpKind::write: prepare_write(sqe, static_cast<WriteOp&>(op)); break;
    default: break;  // pass by, see submit()
  }
  io_uring_sqe_set_data64(sqe, user_data);
}

void UringBackend::cancel(Op& op) noexcept {
  if (op.slot == Op::kNoSlot || op.state != OpState::submitted) return;
  op.state = OpState::cancelling;
  if (cancel_elsewhere(op)) return;
  op.unlink();
  if (op.slot == kQueuedSlot) return finish(op, -ECANCELED);
  send_cancel(op);
}

void UringBackend::send_cancel(Op& op) noexcept {
  const std::uint64_t target = requests_.user_data(op.slot);
  io_uring_sqe* sqe = get_sqe();
  if (sqe == nullptr) return blocked_cancels_.push_back(target);
  prepare_cancel(sqe, target);
}

// What the kernel does not take at once becomes a request that waits.
std::size_t UringBackend::send_or_submit(SendOp& op) noexcept {
  WEIR_ASSERT(op.idle());
  if (ring_.ring == nullptr || !send_count_.is_inline(op)) {
    submit(op);
    return 0;
  }
  send_count_.add();
  const std::int32_t result = try_send(op);
  if (result > 0) {
    ++counters_.completions;
    return static_cast<std::size_t>(result);
  }
  op.state = OpState::submitted;
  ++fds_[op.fd].operations;
  send_tried(op, result);
  return 0;
}

void UringBackend::flush_sends() noexcept {
  send_count_.turn_ended();
  while (!sends_.empty()) {
    auto& op = static_cast<SendOp&>(sends_.pop_front());
    if (fds_[op.fd].send_cannot_wait || send_count_.is_inline(op)) {
      send_tried(op, try_send(op));
    } else {
      arm(op);
    }
  }
}

void UringBackend::send_tried(SendOp& op, std::int32_t result) noexcept {
  if (result == -EAGAIN) return arm(op);
  finish(op, result);
}

// What waits for room, for the end of the batch or for memory goes to the submission queue.
void UringBackend::queue_waiting() noexcept {
  thread_.enable(ring());
  if (!wake_armed_) arm_wake();
  for (std::size_t i = blocked_cancels_.size(); i > 0; --i) {
    io_uring_sqe* sqe = get_sqe();
    if (sqe == nullptr) break;
    prepare_cancel(sqe, blocked_cancels_.back());
    blocked_cancels_.pop_back();
  }
  if (datagrams_.dry()) datagrams_.reclaim();
  IntrusiveList<Op> retried;
  retried.splice_back(blocked_);
  while (!retried.empty()) arm(retried.pop_front());
  flush_sends();
  if (!promised_.empty()) renew_promised();
  feed_starved();
}

std::size_t UringBackend::poll(Instant until, std::span<Completion> batch) noexcept {
  run_elsewhere();
  if (!thread_.is_this()) lose_ring();
  if (ring_.ring == nullptr) return local_.take(batch);
  queue_waiting();
  std::size_t count = local_.empty() ? 0 : take_local(batch);
  const bool owes = !promised_.empty() && io_uring_cq_ready(&ring()) == 0;
  const bool must_enter = skipped_kernel_ || io_uring_sq_ready(&ring()) != 0 || owes;
  if (count != 0 && !must_enter) {
    skipped_kernel_ = true;
    counters_.completions += count;
    return count;
  }
  skipped_kernel_ = false;
  const bool work_here = count != 0 || owes || !readable_.empty() || !blocked_.empty() ||
                         io_uring_cq_ready(&ring()) != 0;
  const bool only_looks = !work_here && !must_enter && until == Instant::min();
  if (only_looks && !kernel_has_more(ring())) return 0;
  if (!work_here || must_enter || !readable_.empty()) enter(work_here ? Instant::min() : until);
  count += reap(batch.subspan(count));
  count += run_receives(batch.subspan(count));
  counters_.completions += count;
  return count;
}

std::size_t UringBackend::reap(std::span<Completion> batch) noexcept {
  std::size_t count = 0;
  io_uring_cqe* cqe = nullptr;
  while (count < batch.size() && io_uring_peek_cqe(&ring(), &cqe) == 0) {
    const io_uring_cqe copied = *cqe;
    io_uring_cqe_seen(&ring(), cqe);
    if (on_cqe(copied, batch[count])) ++count;
  }
  return count;
}

// True when the entry became a completion in `out`.
bool UringBackend::on_cqe(const io_uring_cqe& cqe, Completion& out) noexcept {
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  if (cqe.user_data == kWakeMark) {
    if (!more) wake_armed_ = false;
    return false;
  }
  if ((cqe.user_data & kCancelMark) != 0) {
    on_cancel_answer(cqe.user_data & ~kCancelMark, cqe.res);
    return false;
  }
  const std::uint32_t index = Requests::index_of(cqe.user_data);
  Request& request = requests_[index];
  WEIR_ASSERT(requests_.is_under_way(cqe.user_data));
  Op& op = *request.op;
  const Role role = request.role;
  const std::uint32_t send_bytes = request.detail;
  if (!more) {
    requests_.detach(index);
    op.slot = kQueuedSlot;
  }
  if (role == Role::readiness) return on_readiness(op, cqe, out);
  if (role == Role::starved_watch) return on_starved_watch(op, cqe, out);
  if (role == Role::send_watch) return on_send_watch(op, cqe, out);
  switch (op.kind) {
    case OpKind::accept: return on_accept(op, cqe, out);
    case OpKind::recv: return on_recv(op, cqe, out);
    case OpKind::send: return on_send(op, send_bytes, cqe.res, out);
    case OpKind::zero_copy_send:
      return take_zero_copy(zero_copy(), op, fds_[op.fd], send_bytes, cqe, out);
    case OpKind::poll: return on_poll(static_cast<PollOp&>(op), cqe, out);
    case OpKind::read: return on_read(static_cast<ReadOp&>(op), cqe.res, out);
    case OpKind::write:
      return is_passing(op, cqe.res) ? continue_or_end(op) : last(op, cqe.res, out);
    case OpKind::connect: return last(op, cqe.res, out);
    case OpKind::datagrams: return on_datagrams(op, cqe, out);
    default: break;
  }
  return false;
}

// The kernel does not find a request that it is about to make once more, or to leave to a worker
// thread, and which then may wait for ever. It is asked again until the request is over: but not
// about one that only waits for a disk, or for a peer to acknowledge what it was lent.
void UringBackend::on_cancel_answer(std::uint64_t target, std::int32_t result) noexcept {
  if (result != -ENOENT || !requests_.is_under_way(target)) return;
  Op& op = *requests_[Requests::index_of(target)].op;
  if (!cancel_elsewhere(op) && !waits_for_disk(op)) blocked_cancels_.push_back(target);
}

void UringBackend::finish(Op& op, std::int32_t result) noexcept {
  --fds_[op.fd].operations;
  KernelBackend::finish(op, result);
}

bool UringBackend::last(Op& op, std::int32_t result, Completion& out) noexcept {
  --fds_[op.fd].operations;
  op.slot = Op::kNoSlot;
  out = {.op = &op, .result = result, .more = false};
  return true;
}

// The kernel has ended a repeating request after a good result, or one that could go on. No result
// of this one: false.
bool UringBackend::continue_or_end(Op& op) noexcept {
  if (op.state == OpState::cancelling) {
    finish(op, -ECANCELED);
  } else {
    ++counters_.multishot_rearms;
    arm(op);
  }
  return false;
}

bool UringBackend::on_accept(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept {
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  const bool passing = cqe.res == -ECONNABORTED || is_passing(op, cqe.res);
  if (cqe.res < 0 && !passing) return last(op, cqe.res, out);
  if (!more) continue_or_end(op);
  if (cqe.res < 0) return false;
  out = {.op = &op, .result = cqe.res, .more = true};
  return true;
}

bool UringBackend::on_send(Op& op, std::uint32_t wanted, std::int32_t result,
                           Completion& out) noexcept {
  FdState& fd = fds_[op.fd];
  fd.send_in_ring = false;
  fd.send_cannot_wait = fd.send_cannot_wait || result == -EAGAIN;
  if (is_passing(op, result)) return continue_or_end(op);
  const bool fell_short = result >= 0 && static_cast<std::uint32_t>(result) < wanted;
  if (fell_short && op.state != OpState::cancelling && posix::is_torn_down(op.fd)) {
    fd.send_took_error = true;
    return last(op, -ECONNRESET, out);
  }
  return last(op, result, out);
}

bool UringBackend::on_send_watch(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept {
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  if (more && (cqe.res & (POLLOUT | POLLERR | POLLHUP)) != 0) send_cancel(op);
  if (more) return false;
  if (op.state == OpState::cancelling) return last(op, -ECANCELED, out);
  sends_.push_back(op);
  return false;
}

// A read that was cancelled and has brought something all the same is a read.
bool UringBackend::on_read(ReadOp& op, std::int32_t result, Completion& out) noexcept {
  if (is_passing(op, result)) return continue_or_end(op);
  last(op, result, out);
  if (result > 0) out.buffer = bytes_read(op.room, static_cast<std::size_t>(result));
  return true;
}

bool UringBackend::on_poll(PollOp& op, const io_uring_cqe& cqe, Completion& out) noexcept {
  const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  if (!op.watch_hangup) {
    const bool answered = note_seen(op, cqe.res);
    if (more && answered) send_cancel(op);
    if (more) return false;
    if (!answered && (cqe.res >= 0 || is_passing(op, cqe.res))) return continue_or_end(op);
    return last(op, answered ? std::exchange(op.seen, {}).bits : cqe.res, out);
  }
  if (cqe.res < 0) return is_passing(op, cqe.res) ? continue_or_end(op) : last(op, cqe.res, out);
  if (!more) continue_or_end(op);
  const Events events = events_of(static_cast<unsigned>(cqe.res) & kHangupMask);
  if (events.bits == 0) return false;
  out = {.op = &op, .result = events.bits, .more = true};
  return true;
}

bool UringBackend::on_datagrams(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept {
  if (is_passing(op, cqe.res)) return continue_or_end(op);
  const UringDatagrams::Taken taken = datagrams_.take(op.fd, cqe);
  if (taken == UringDatagrams::Taken::failed) return last(op, cqe.res, out);
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) continue_or_end(op);
  if (taken == UringDatagrams::Taken::nothing) return false;
  out = {.op = &op, .result = 1, .more = true};
  return true;
}

void UringBackend::close(int fd) noexcept {
  WEIR_ASSERT(fds_[fd].operations == 0);
  release(fd);
  zero_copy().forget(fd);
  ++counters_.system_calls;
  posix::close(fd);
}

// With DEFER_TASKRUN the ring's own fd never wakes a foreign poll: a registered eventfd does.
int UringBackend::source_fd() noexcept {
  if (event_fd_) return event_fd_.get();
  auto made = posix::make_eventfd();
  if (!made || io_uring_register_eventfd(&ring(), made->get()) != 0) return -1;
  event_fd_ = std::move(*made);
  return event_fd_.get();
}

// The ring is entered first and the eventfd read after it: entering posts completions, and each
// post signals the eventfd again.
void UringBackend::prepare(Instant until) noexcept {
  run_elsewhere();
  if (!thread_.is_this()) lose_ring();
  if (ring_.ring == nullptr) return prepare_host(until, !local_.empty());
  queue_waiting();
  ++counters_.system_calls;
  check_entry(io_uring_submit_and_get_events(&ring()));
  if (event_fd_) posix::drain_eventfd(event_fd_.get());
  prepare_host(until, kernel_has_more(ring()) || io_uring_cq_ready(&ring()) != 0 ||
                          !local_.empty() || !readable_.empty() || !blocked_.empty() ||
                          !promised_.empty());
}

}  // namespace weir::inline v1::uring

namespace weir::inline v1 {

Expected<UringBackendMade> make_uring_backend(const BackendOptions& options) {
  auto wake = posix::make_eventfd();
  if (!wake) return failure(wake.error());
  auto ring = make_uring_ring(options);
  if (!ring) return failure(ring.error());
  std::string techniques = ring->techniques;
  auto made = std::make_unique<uring::UringBackend>(std::move(*wake), std::move(*ring),
                                                    options.uring);
  made->set_file_nowait(options.file_nowait);
  return UringBackendMade{.backend = std::move(made), .techniques = std::move(techniques)};
}

}  // namespace weir::inline v1
