// The calls of the C library that reactor/ makes and that may fail or fall short, one by one.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace weir::test {

enum class LibcCall : std::uint8_t {
  accept4,
  bind,
  cachestat,  // by syscall(2)
  chmod,
  close,
  connect,
  duplicate,  // fcntl(2), F_DUPFD_CLOEXEC
  epoll_create1,
  epoll_ctl,  // but EPOLL_CTL_DEL
  epoll_pwait2,
  epoll_wait,
  eventfd,
  fstat,
  getaddrinfo,
  getpeername,
  getrandom,
  getsockname,
  getsockopt,
  if_nametoindex,
  ioctl,
  listen,
  mmap,
  open,
  openat,
  openat2,        // by syscall(2)
  pending_error,  // getsockopt(2), SO_ERROR: the value, not the call
  pipe2,
  pipe_size,      // fcntl(2), F_SETPIPE_SZ
  poll,
  pread,
  preadv2,
  pthread_create,
  pwrite,
  pwritev2,
  read,
  read_event,  // read(2) of an eventfd
  recv,
  recvmmsg,
  recvmsg,
  send,
  sendfile,
  sendmmsg,
  sendmsg,
  setsockopt,
  shutdown,
  sigtimedwait,
  socket,
  splice_in,   // splice(2) into a pipe
  splice_out,  // and out of one
  stat,
  timerfd_create,
  unlink,
  write,
  write_event,  // write(2) to an eventfd
};
inline constexpr std::size_t kLibcCalls = static_cast<std::size_t>(LibcCall::write_event) + 1;

struct LibcFacts {
  LibcCall call;
  const char* name;
  const char* symbol;  // as the linker knows it
  // What the kernel may do to it at any time and a correct program does not show.
  bool interrupted = false;    // EINTR
  bool spuriously_not = false;  // EAGAIN though there is something; told again if there is
  bool shortens = false;       // fewer bytes, datagrams or events than there are
  // What its man page lets it fail with, less what says no more than that the caller has made a
  // mistake (EBADF, EFAULT, ENOTSOCK and the like) or what only becomes true with other arguments.
  std::span<const int> failures = {};
};

std::span<const LibcFacts> libc_calls();
inline const LibcFacts& facts_of(LibcCall call) {
  return libc_calls()[static_cast<std::size_t>(call)];
}

// A function of the C library that no wrap stands in front of, and why.
struct Unwrapped {
  std::string_view symbol;
  std::string_view reason;
};
std::span<const Unwrapped> unwrapped_calls();

}  // namespace weir::test
