// Stands in front of the C library: see libc_faults.h. Whoever calls f is given __wrap_f by the
// linker, and the real one is __real_f (ld(1), --wrap).
#include <fcntl.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <span>

#include "tests/libc_faults.h"

using weir::test::Attempt;
using weir::test::judge;
using weir::test::LibcCall;
using weir::test::note_closed;
using weir::test::note_registration;
using weir::test::tell_again;
using weir::test::Verdict;

// The prototype of the real one, and the head of the wrap.
#define WEIR_WRAP(Result, name, ...)         \
  extern "C" Result __real_##name(__VA_ARGS__); \
  extern "C" Result __wrap_##name(__VA_ARGS__)
// A call of this function, to be judged.
#define WEIR_CALL(call, fd) \
  Attempt { __builtin_return_address(0), LibcCall::call, fd }

namespace {

constexpr int kNone = -1;  // no descriptor

// The library's sends on sockets ask for no signal.
bool raises_sigpipe(LibcCall call) { return call != LibcCall::send && call != LibcCall::sendmsg; }

// One call that may be made for less than `size`.
template <class Result, class Real>
Result part(const Attempt& attempt, std::size_t size, Real real) {
  const Verdict verdict = judge(attempt, size);
  if (verdict.error == EAGAIN) tell_again(attempt.fd);
  if (verdict.error == EPIPE && raises_sigpipe(attempt.call)) raise(SIGPIPE);
  if (verdict.error != 0) {
    errno = verdict.error;
    return -1;
  }
  const Result result = real(std::min(size, verdict.most));
  if (verdict.most < size) tell_again(attempt.fd);
  return result;
}

// One call that is made whole or not at all.
template <class Real>
auto whole(const Attempt& attempt, Real real) -> decltype(real()) {
  return part<decltype(real())>(attempt, 1, [&](std::size_t) { return real(); });
}

// The first so many bytes of some pieces.
class Front {
 public:
  Front(const iovec* pieces, std::size_t count, std::size_t bytes) {
    for (std::size_t i = 0; i < count && bytes != 0; ++i) {
      pieces_[count_] = pieces[i];
      pieces_[count_].iov_len = std::min(pieces[i].iov_len, bytes);
      bytes -= pieces_[count_++].iov_len;
    }
  }
  iovec* data() { return pieces_.data(); }
  std::size_t count() const { return count_; }

 private:
  std::array<iovec, 1024> pieces_;  // IOV_MAX
  std::size_t count_ = 0;
};

std::size_t size_of(const iovec* pieces, std::size_t count) {
  std::size_t size = 0;
  for (const iovec& piece : std::span(pieces, count)) size += piece.iov_len;
  return size;
}

// A message of which at most `bytes` are taken; what goes with the first byte, goes.
class ShorterMessage {
 public:
  ShorterMessage(const msghdr& message, std::size_t bytes)
      : front_(message.msg_iov, message.msg_iovlen, bytes), header_(message) {
    header_.msg_iov = front_.data();
    header_.msg_iovlen = front_.count();
  }
  msghdr& header() { return header_; }

 private:
  Front front_;
  msghdr header_;
};

}  // namespace

WEIR_WRAP(int, fstat, int fd, struct stat* status) {
  return whole(WEIR_CALL(fstat, fd), [&] { return __real_fstat(fd, status); });
}

namespace {

// Such as an eventfd: of no kind that has a name.
bool is_anonymous(int fd) {
  struct stat status{};
  return __real_fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == 0;
}

}  // namespace

// ---- Sockets ----

WEIR_WRAP(int, socket, int family, int type, int protocol) {
  return whole(WEIR_CALL(socket, kNone), [&] { return __real_socket(family, type, protocol); });
}

WEIR_WRAP(int, bind, int fd, const sockaddr* address, socklen_t size) {
  return whole(WEIR_CALL(bind, fd), [&] { return __real_bind(fd, address, size); });
}

WEIR_WRAP(int, listen, int fd, int backlog) {
  return whole(WEIR_CALL(listen, fd), [&] { return __real_listen(fd, backlog); });
}

WEIR_WRAP(int, accept4, int fd, sockaddr* address, socklen_t* size, int flags) {
  return whole(WEIR_CALL(accept4, fd), [&] { return __real_accept4(fd, address, size, flags); });
}

WEIR_WRAP(int, connect, int fd, const sockaddr* address, socklen_t size) {
  return whole(WEIR_CALL(connect, fd), [&] { return __real_connect(fd, address, size); });
}

// A connection that is in order has no such error: it is broken off.
WEIR_WRAP(int, shutdown, int fd, int how) {
  if (judge(WEIR_CALL(shutdown, fd), 1).error != 0) {
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    __real_connect(fd, &nobody, sizeof nobody);
  }
  return __real_shutdown(fd, how);
}

WEIR_WRAP(int, getsockname, int fd, sockaddr* address, socklen_t* size) {
  return whole(WEIR_CALL(getsockname, fd), [&] { return __real_getsockname(fd, address, size); });
}

WEIR_WRAP(int, getpeername, int fd, sockaddr* address, socklen_t* size) {
  return whole(WEIR_CALL(getpeername, fd), [&] { return __real_getpeername(fd, address, size); });
}

WEIR_WRAP(int, setsockopt, int fd, int level, int name, const void* value, socklen_t size) {
  return whole(WEIR_CALL(setsockopt, fd),
               [&] { return __real_setsockopt(fd, level, name, value, size); });
}

WEIR_WRAP(int, getsockopt, int fd, int level, int name, void* value, socklen_t* size) {
  const Attempt pending = WEIR_CALL(pending_error, fd);
  return whole(WEIR_CALL(getsockopt, fd), [&] {
    const int result = __real_getsockopt(fd, level, name, value, size);
    if (result != 0 || level != SOL_SOCKET || name != SO_ERROR) return result;
    const Verdict verdict = judge(pending, 1);
    if (verdict.error != 0) *static_cast<int*>(value) = verdict.error;
    return result;
  });
}

WEIR_WRAP(ssize_t, recv, int fd, void* room, std::size_t size, int flags) {
  return part<ssize_t>(WEIR_CALL(recv, fd), size,
                       [&](std::size_t most) { return __real_recv(fd, room, most, flags); });
}

WEIR_WRAP(ssize_t, recvmsg, int fd, msghdr* message, int flags) {
  const std::size_t size = size_of(message->msg_iov, message->msg_iovlen);
  return part<ssize_t>(WEIR_CALL(recvmsg, fd), size, [&](std::size_t most) {
    if (most == size) return __real_recvmsg(fd, message, flags);
    ShorterMessage shorter(*message, most);
    const ssize_t result = __real_recvmsg(fd, &shorter.header(), flags);
    message->msg_controllen = shorter.header().msg_controllen;
    message->msg_flags = shorter.header().msg_flags;
    return result;
  });
}

WEIR_WRAP(int, recvmmsg, int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  return part<int>(WEIR_CALL(recvmmsg, fd), count, [&](std::size_t most) {
    return __real_recvmmsg(fd, messages, static_cast<unsigned>(most), flags, timeout);
  });
}

WEIR_WRAP(ssize_t, send, int fd, const void* bytes, std::size_t size, int flags) {
  return part<ssize_t>(WEIR_CALL(send, fd), size,
                       [&](std::size_t most) { return __real_send(fd, bytes, most, flags); });
}

WEIR_WRAP(ssize_t, sendmsg, int fd, const msghdr* message, int flags) {
  const std::size_t size = size_of(message->msg_iov, message->msg_iovlen);
  return part<ssize_t>(WEIR_CALL(sendmsg, fd), size, [&](std::size_t most) {
    if (most == size) return __real_sendmsg(fd, message, flags);
    return __real_sendmsg(fd, &ShorterMessage(*message, most).header(), flags);
  });
}

WEIR_WRAP(int, sendmmsg, int fd, mmsghdr* messages, unsigned count, int flags) {
  return part<int>(WEIR_CALL(sendmmsg, fd), count, [&](std::size_t most) {
    return __real_sendmmsg(fd, messages, static_cast<unsigned>(most), flags);
  });
}

WEIR_WRAP(ssize_t, sendfile, int socket, int file, off_t* offset, std::size_t size) {
  return part<ssize_t>(WEIR_CALL(sendfile, socket), size, [&](std::size_t most) {
    return __real_sendfile(socket, file, offset, most);
  });
}

WEIR_WRAP(ssize_t, splice, int from, off64_t* from_at, int to, off64_t* to_at, std::size_t size,
          unsigned flags) {
  const auto real = [&](std::size_t most) {
    return __real_splice(from, from_at, to, to_at, most, flags);
  };
  if (from_at != nullptr) return part<ssize_t>(WEIR_CALL(splice_in, kNone), size, real);
  return part<ssize_t>(WEIR_CALL(splice_out, to), size, real);
}

// ---- Waiting ----

WEIR_WRAP(int, epoll_create1, int flags) {
  return whole(WEIR_CALL(epoll_create1, kNone), [&] { return __real_epoll_create1(flags); });
}

WEIR_WRAP(int, epoll_ctl, int set, int change, int fd, epoll_event* event) {
  const auto real = [&] {
    const int result = __real_epoll_ctl(set, change, fd, event);
    const epoll_event known = event == nullptr ? epoll_event{} : *event;
    if (result == 0) note_registration(set, change, fd, known);
    return result;
  };
  return change == EPOLL_CTL_DEL ? real() : whole(WEIR_CALL(epoll_ctl, fd), real);
}

WEIR_WRAP(int, epoll_wait, int set, epoll_event* events, int count, int timeout) {
  return part<int>(
      WEIR_CALL(epoll_wait, kNone), static_cast<std::size_t>(count), [&](std::size_t most) {
        return __real_epoll_wait(set, events, static_cast<int>(most), timeout);
      });
}

WEIR_WRAP(int, epoll_pwait2, int set, epoll_event* events, int count, const timespec* timeout,
          const sigset_t* mask) {
  return part<int>(
      WEIR_CALL(epoll_pwait2, kNone), static_cast<std::size_t>(count), [&](std::size_t most) {
        return __real_epoll_pwait2(set, events, static_cast<int>(most), timeout, mask);
      });
}

WEIR_WRAP(int, poll, pollfd* entries, nfds_t count, int timeout) {
  return whole(WEIR_CALL(poll, kNone), [&] { return __real_poll(entries, count, timeout); });
}

WEIR_WRAP(int, eventfd, unsigned count, int flags) {
  return whole(WEIR_CALL(eventfd, kNone), [&] { return __real_eventfd(count, flags); });
}

WEIR_WRAP(int, timerfd_create, int clock, int flags) {
  return whole(WEIR_CALL(timerfd_create, kNone),
               [&] { return __real_timerfd_create(clock, flags); });
}

WEIR_WRAP(int, sigtimedwait, const sigset_t* signals, siginfo_t* info, const timespec* timeout) {
  return whole(WEIR_CALL(sigtimedwait, kNone),
               [&] { return __real_sigtimedwait(signals, info, timeout); });
}

// ---- Files ----

// The descriptor is gone whatever close(2) says, on Linux.
WEIR_WRAP(int, close, int fd) {
  const Verdict verdict = judge(WEIR_CALL(close, fd), 1);
  note_closed(fd);
  const int result = __real_close(fd);
  if (verdict.error == 0) return result;
  errno = verdict.error;
  return -1;
}

WEIR_WRAP(ssize_t, read, int fd, void* room, std::size_t size) {
  const auto real = [&](std::size_t most) { return __real_read(fd, room, most); };
  if (is_anonymous(fd)) return whole(WEIR_CALL(read_event, fd), [&] { return real(size); });
  return part<ssize_t>(WEIR_CALL(read, fd), size, real);
}

WEIR_WRAP(ssize_t, pread, int fd, void* room, std::size_t size, off_t offset) {
  return part<ssize_t>(WEIR_CALL(pread, fd), size, [&](std::size_t most) {
    return __real_pread(fd, room, most, offset);
  });
}

WEIR_WRAP(ssize_t, preadv2, int fd, const iovec* pieces, int count, off_t offset, int flags) {
  const auto pieces_count = static_cast<std::size_t>(count);
  return part<ssize_t>(
      WEIR_CALL(preadv2, fd), size_of(pieces, pieces_count), [&](std::size_t most) {
        Front front(pieces, pieces_count, most);
        return __real_preadv2(fd, front.data(), static_cast<int>(front.count()), offset, flags);
      });
}

WEIR_WRAP(ssize_t, write, int fd, const void* bytes, std::size_t size) {
  const auto real = [&](std::size_t most) { return __real_write(fd, bytes, most); };
  if (is_anonymous(fd)) return whole(WEIR_CALL(write_event, fd), [&] { return real(size); });
  return part<ssize_t>(WEIR_CALL(write, fd), size, real);
}

WEIR_WRAP(ssize_t, pwrite, int fd, const void* bytes, std::size_t size, off_t offset) {
  return part<ssize_t>(WEIR_CALL(pwrite, fd), size, [&](std::size_t most) {
    return __real_pwrite(fd, bytes, most, offset);
  });
}

WEIR_WRAP(ssize_t, pwritev2, int fd, const iovec* pieces, int count, off_t offset, int flags) {
  const auto pieces_count = static_cast<std::size_t>(count);
  return part<ssize_t>(
      WEIR_CALL(pwritev2, fd), size_of(pieces, pieces_count), [&](std::size_t most) {
        Front front(pieces, pieces_count, most);
        return __real_pwritev2(fd, front.data(), static_cast<int>(front.count()), offset, flags);
      });
}

extern "C" int __real_open(const char* path, int flags, ...);
extern "C" int __wrap_open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0U;
  va_end(more);
  return whole(WEIR_CALL(open, kNone), [&] { return __real_open(path, flags, mode); });
}

extern "C" int __real_openat(int at, const char* path, int flags, ...);
extern "C" int __wrap_openat(int at, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0U;
  va_end(more);
  return whole(WEIR_CALL(openat, kNone), [&] { return __real_openat(at, path, flags, mode); });
}

// What _FORTIFY_SOURCE makes of openat() with three arguments.
extern "C" int __wrap___openat_2(int at, const char* path, int flags) {
  return whole(WEIR_CALL(openat, kNone), [&] { return __real_openat(at, path, flags, 0U); });
}

WEIR_WRAP(int, stat, const char* path, struct stat* status) {
  return whole(WEIR_CALL(stat, kNone), [&] { return __real_stat(path, status); });
}

WEIR_WRAP(int, chmod, const char* path, mode_t mode) {
  return whole(WEIR_CALL(chmod, kNone), [&] { return __real_chmod(path, mode); });
}

WEIR_WRAP(int, unlink, const char* path) {
  return whole(WEIR_CALL(unlink, kNone), [&] { return __real_unlink(path); });
}

extern "C" int __real_fcntl(int fd, int command, ...);
extern "C" int __wrap_fcntl(int fd, int command, ...) {
  va_list more;
  va_start(more, command);
  const long argument = va_arg(more, long);
  va_end(more);
  const auto real = [&] { return __real_fcntl(fd, command, argument); };
  if (command == F_DUPFD_CLOEXEC) return whole(WEIR_CALL(duplicate, fd), real);
  return command == F_SETPIPE_SZ ? whole(WEIR_CALL(pipe_size, fd), real) : real();
}

WEIR_WRAP(int, pipe2, int* ends, int flags) {
  return whole(WEIR_CALL(pipe2, kNone), [&] { return __real_pipe2(ends, flags); });
}

extern "C" int __real_ioctl(int fd, unsigned long request, ...);
extern "C" int __wrap_ioctl(int fd, unsigned long request, ...) {
  va_list more;
  va_start(more, request);
  void* const argument = va_arg(more, void*);
  va_end(more);
  return whole(WEIR_CALL(ioctl, fd), [&] { return __real_ioctl(fd, request, argument); });
}

// ---- The rest ----

extern "C" long __real_syscall(long number, ...);
extern "C" long __wrap_syscall(long number, ...) {
  va_list more;
  va_start(more, number);
  long given[6];
  for (long& one : given) one = va_arg(more, long);
  va_end(more);
  const auto real = [&] {
    return __real_syscall(number, given[0], given[1], given[2], given[3], given[4], given[5]);
  };
  constexpr long kCachestat = 451;
  if (number == SYS_openat2) return whole(WEIR_CALL(openat2, kNone), real);
  if (number == kCachestat) return whole(WEIR_CALL(cachestat, kNone), real);
  return real();
}

WEIR_WRAP(ssize_t, getrandom, void* room, std::size_t size, unsigned flags) {
  return part<ssize_t>(WEIR_CALL(getrandom, kNone), size,
                       [&](std::size_t most) { return __real_getrandom(room, most, flags); });
}

WEIR_WRAP(void*, mmap, void* wish, std::size_t size, int protection, int flags, int fd,
          off_t offset) {
  const Verdict verdict = judge(WEIR_CALL(mmap, fd), 1);
  if (verdict.error == 0) return __real_mmap(wish, size, protection, flags, fd, offset);
  errno = verdict.error;
  return MAP_FAILED;
}

// Its result is the error.
WEIR_WRAP(int, pthread_create, pthread_t* thread, const pthread_attr_t* attributes,
          void* (*run)(void*), void* argument) {
  const Verdict verdict = judge(WEIR_CALL(pthread_create, kNone), 1);
  if (verdict.error != 0) return verdict.error;
  return __real_pthread_create(thread, attributes, run, argument);
}

// Likewise, but one says that errno has it.
WEIR_WRAP(int, getaddrinfo, const char* node, const char* service, const addrinfo* hints,
          addrinfo** found) {
  const Verdict verdict = judge(WEIR_CALL(getaddrinfo, kNone), 1);
  if (verdict.error == 0) return __real_getaddrinfo(node, service, hints, found);
  if (verdict.error == EAI_SYSTEM) errno = EMFILE;
  return verdict.error;
}

WEIR_WRAP(unsigned, if_nametoindex, const char* name) {
  const Verdict verdict = judge(WEIR_CALL(if_nametoindex, kNone), 1);
  if (verdict.error == 0) return __real_if_nametoindex(name);
  errno = verdict.error;
  return 0;
}
