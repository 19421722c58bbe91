#include "reactor/kernel_backend.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>

namespace weir::inline v1 {

std::size_t LocalCompletions::take(std::span<Completion> batch) noexcept {
  const std::size_t count = std::min(batch.size(), waiting_.size() - next_);
  std::move(waiting_.begin() + static_cast<std::ptrdiff_t>(next_),
            waiting_.begin() + static_cast<std::ptrdiff_t>(next_ + count), batch.begin());
  next_ += count;
  // Amortised: what is moved down is never more than what has been taken.
  if (2 * next_ >= waiting_.size()) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
  }
  return count;
}

std::size_t KernelBackend::take_local(std::span<Completion> batch) noexcept {
  const bool share = skipped_kernel_ && batch.size() > 1;
  return local_.take(share ? batch.first(batch.size() / 2) : batch);
}

Expected<int> KernelBackend::open(const Address& peer, const Address& local) noexcept {
  return posix::open_stream(peer, local);
}

Expected<int> KernelBackend::listen(const Address& at, const ListenOptions& options) noexcept {
  return posix::listen_stream(at, options);
}

Expected<void> KernelBackend::adopt_stream(int fd) noexcept { return posix::adopt_stream(fd); }

Expected<void> KernelBackend::adopt_listener(int fd, int backlog) noexcept {
  return posix::adopt_listener(fd, backlog);
}

Expected<PeerCredentials> KernelBackend::peer_credentials(int fd) const noexcept {
  return posix::peer_credentials(fd);
}

std::int32_t KernelBackend::receive_with_descriptors(int fd, std::span<char> room,
                                                     std::vector<int>& descriptors) noexcept {
  ++counters_.system_calls;
  return posix::receive_with_descriptors(fd, room, descriptors);
}

bool KernelBackend::submit_elsewhere(Op& op) {
  const bool passes_by = op.kind == OpKind::send_file || op.kind == OpKind::zero_copy_send ||
                         op.kind == OpKind::resolve;
  if (!passes_by) return false;
  if (op.kind == OpKind::send_file) {
    file_sends_.submit(static_cast<SendFileOp&>(op));
    return true;
  }
  if (op.kind == OpKind::zero_copy_send) {
    return zero_copy_.submit(static_cast<ZeroCopySendOp&>(op));
  }
  if (lookups_.start(static_cast<ResolveOp&>(op))) {
    op.slot = 0;
  } else {
    finish(op, -EAGAIN);
  }
  return true;
}

bool KernelBackend::cancel_elsewhere(Op& op) {
  if (op.kind == OpKind::send_file) {
    file_sends_.cancel(static_cast<SendFileOp&>(op));
  } else if (op.kind == OpKind::resolve) {
    lookups_.forget(static_cast<ResolveOp&>(op));
    finish(op, -ECANCELED);
  } else if (op.kind == OpKind::zero_copy_send) {
    return zero_copy_.cancel(static_cast<ZeroCopySendOp&>(op));
  } else if (FileOperations::owns(op)) {
    files_.cancel(op);
  } else {
    return false;
  }
  return true;
}

void KernelBackend::run_elsewhere() {
  file_sends_.run();
  if (files_.answered()) files_.collect();
  if (!lookups_.answered()) return;
  for (ResolveOp* op : lookups_.take_answered()) finish(*op, op->error ? -EIO : 0);
}

Address KernelBackend::address(int fd, End end) const noexcept {
  return posix::address_of(fd, end);
}

std::int32_t KernelBackend::send_at_once(int fd, std::string_view bytes) noexcept {
  count_inline_send(1);
  const std::int32_t result = posix::send(fd, bytes);
  if (result < 0 && result != -EAGAIN) note_failed_send(fd);
  return result;
}

int KernelBackend::set(int fd, SocketOption option, int value) noexcept {
  return posix::set_option(fd, option, value);
}

int KernelBackend::get(int fd, SocketFact fact) const noexcept {
  return posix::get_fact(fd, fact);
}

std::int32_t KernelBackend::shutdown(int fd, Direction direction) noexcept {
  ++counters_.system_calls;
  return posix::shutdown(fd, direction);
}

void KernelBackend::remove_path(const std::string& path) noexcept { posix::remove(path); }

// The host waits for one fd, an epoll set of three. Wake and alarm are edge-triggered in it, so
// that one epoll_wait in prepare_host() makes them quiet; the source tells its own state.
int KernelBackend::event_fd() noexcept {
  if (host_fd_) return host_fd_.get();
  posix::Fd host(::epoll_create1(EPOLL_CLOEXEC));
  posix::Fd alarm(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!host || !alarm) return -1;
  for (const int fd : {source_fd(), wake_fd(), alarm.get()}) {
    const std::uint32_t edge = fd == source_fd() ? 0U : std::uint32_t{EPOLLET};
    epoll_event event{.events = EPOLLIN | edge, .data = {.fd = fd}};
    if (fd < 0 || ::epoll_ctl(host.get(), EPOLL_CTL_ADD, fd, &event) != 0) return -1;
  }
  host_fd_ = std::move(host);
  alarm_fd_ = std::move(alarm);
  return host_fd_.get();
}

void KernelBackend::prepare_host(Instant until, bool work_left) noexcept {
  if (!host_fd_) return;
  epoll_event events[3];
  ::epoll_wait(host_fd_.get(), events, 3, 0);
  itimerspec alarm{};
  if (until != kNever) {
    const auto since_boot = std::max(until.time_since_epoch(), Duration(1));
    alarm.it_value.tv_sec = since_boot / std::chrono::seconds(1);
    alarm.it_value.tv_nsec = (since_boot % std::chrono::seconds(1)).count();
  }
  ::timerfd_settime(alarm_fd_.get(), TFD_TIMER_ABSTIME, &alarm, nullptr);
  if (work_left || lookups_.answered() || files_.answered()) wake();
}

}  // namespace weir::inline v1
