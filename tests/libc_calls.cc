#include "tests/libc_calls.h"

#include <netdb.h>

#include <cerrno>

namespace weir::test {
namespace {

// From the man pages of Linux 6 (man7.org), socket(7), tcp(7), unix(7), udp(7) and ip(7).
constexpr int kAccept[] = {ECONNABORTED, EMFILE,       ENFILE,          ENOBUFS,   ENOMEM,
                           EPERM,        EPROTO,       ENETDOWN,        ENOPROTOOPT, EHOSTDOWN,
                           ENONET,
                           EHOSTUNREACH, EOPNOTSUPP,   ENETUNREACH,     ETIMEDOUT, ENOSR,
                           ESOCKTNOSUPPORT, EPROTONOSUPPORT};
constexpr int kBind[] = {EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL, ELOOP,  ENAMETOOLONG,
                         ENOENT, ENOMEM,     ENOTDIR,       EROFS,  ENOBUFS};
constexpr int kCachestat[] = {EOPNOTSUPP, EPERM, ENOSYS};
constexpr int kChmod[] = {EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM, EROFS};
constexpr int kClose[] = {EINTR, EIO, ENOSPC, EDQUOT};
constexpr int kConnect[] = {EACCES,       EPERM,       EADDRINUSE,   EADDRNOTAVAIL,
                            EAFNOSUPPORT, EAGAIN,      EALREADY,     ECONNREFUSED,
                            ECONNRESET,   EHOSTUNREACH, ENETUNREACH, ENOBUFS,
                            ENOMEM,       EPROTOTYPE,  ETIMEDOUT};
constexpr int kDuplicate[] = {EMFILE};
constexpr int kDescriptors[] = {EMFILE, ENFILE, ENODEV, ENOMEM};
constexpr int kEpollCreate[] = {EMFILE, ENFILE, ENOMEM};
constexpr int kEpollCtl[] = {ENOMEM, ENOSPC};
// Of what filters system calls, too (seccomp(2)): ENOSYS, EPERM.
constexpr int kEpollPwait2[] = {ENOSYS, EPERM};
constexpr int kFstat[] = {ENOMEM, EOVERFLOW, EIO};
constexpr int kGetaddrinfo[] = {EAI_AGAIN,  EAI_FAIL,   EAI_FAMILY, EAI_MEMORY,  EAI_NODATA,
                                EAI_NONAME, EAI_SYSTEM, EAI_ADDRFAMILY};
constexpr int kName[] = {ENOBUFS, ENOTCONN};
constexpr int kOwnName[] = {ENOBUFS};
constexpr int kGetsockopt[] = {ENOPROTOOPT, ENOBUFS, ENOMEM};
constexpr int kIfNametoindex[] = {ENODEV, EMFILE};
constexpr int kIoctl[] = {ENOTTY, EINVAL};
constexpr int kListen[] = {EADDRINUSE, EOPNOTSUPP, ENOBUFS};
constexpr int kMmap[] = {EAGAIN, ENFILE, ENOMEM, EPERM};
constexpr int kOpen[] = {EACCES, EDQUOT,  EISDIR, ELOOP,  EMFILE, ENAMETOOLONG, ENFILE,
                         ENODEV, ENOENT,  ENOMEM, ENOSPC, ENOTDIR, ENXIO,       EOVERFLOW,
                         EPERM,  EROFS,   ETXTBSY, EWOULDBLOCK, EIO};
constexpr int kOpenat[] = {EACCES, ELOOP, EMFILE,  ENAMETOOLONG, ENFILE,    ENODEV,      ENOENT,
                           ENOMEM, ENXIO, ENOTDIR, EOVERFLOW,    EPERM,     EWOULDBLOCK, EIO};
constexpr int kOpenat2[] = {EACCES, ELOOP,     EMFILE, ENAMETOOLONG, ENFILE,      ENODEV,
                            ENOENT, ENOMEM,    ENXIO,  ENOTDIR,      EWOULDBLOCK, EIO,
                            EXDEV,  EOVERFLOW, EINVAL, E2BIG,        ENOSYS,      EPERM};
// What becomes of a connection later.
constexpr int kPendingError[] = {ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT};
constexpr int kPipeSize[] = {EPERM, ENOMEM};
constexpr int kPoll[] = {ENOMEM};
constexpr int kRead[] = {EAGAIN, EIO, EISDIR, EINVAL};
constexpr int kReadNow[] = {EIO, EISDIR, EINVAL, EOPNOTSUPP, ENOSYS};
constexpr int kPthreadCreate[] = {EAGAIN, EPERM};
constexpr int kWrite[] = {EAGAIN, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EPIPE, EINVAL};
constexpr int kWriteNow[] = {EDQUOT, EFBIG,  EIO,        ENOSPC, EPERM,
                             EPIPE,  EINVAL, EOPNOTSUPP, ENOSYS};
constexpr int kReceive[] = {ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETDOWN, ENETUNREACH,
                            ENOBUFS,      ENOMEM,     ENOTCONN,     EIO,      ETIMEDOUT};
constexpr int kSend[] = {EACCES,  ECONNREFUSED, ECONNRESET, EDESTADDRREQ, EHOSTUNREACH, EMSGSIZE,
                         ENETDOWN, ENETUNREACH, ENOBUFS,    ENOMEM,       ENOTCONN,     EPERM,
                         EPIPE,   ETIMEDOUT};
constexpr int kSendmsg[] = {EACCES,  ECONNRESET, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOBUFS,
                            ENOMEM,  ENOTCONN,   EPERM,        EPIPE,    ETIMEDOUT,   ETOOMANYREFS};
constexpr int kSendmmsg[] = {EACCES,      ECONNREFUSED, EHOSTUNREACH, EINVAL,  EMSGSIZE, ENETDOWN,
                             ENETUNREACH, ENOBUFS,      ENOMEM,       EPERM,   EIO};
constexpr int kSendfile[] = {ECONNRESET, EINVAL, EIO,       ENOMEM,   ENOTCONN,
                             EOVERFLOW,  EPIPE,  ESPIPE,    ETIMEDOUT};
constexpr int kSetsockopt[] = {ENOPROTOOPT, ENOBUFS, ENOMEM, EPERM, EINVAL, EADDRNOTAVAIL, ENODEV};
constexpr int kShutdown[] = {ENOTCONN};
constexpr int kSocket[] = {EACCES, EAFNOSUPPORT, EINVAL, EMFILE,
                           ENFILE, ENOBUFS,      ENOMEM, EPROTONOSUPPORT};
constexpr int kSpliceIn[] = {EINVAL, EIO, ENOMEM, ENOSYS, EPERM};
constexpr int kSpliceOut[] = {ECONNRESET, ENOMEM, ENOTCONN, EPIPE, ETIMEDOUT};
constexpr int kStat[] = {EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW};
constexpr int kTimerfd[] = {EMFILE, ENFILE, ENODEV, ENOMEM, EPERM};
constexpr int kUnlink[] = {EACCES,       EBUSY,  EIO,    EISDIR,  ELOOP,
                           ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM, EROFS};

using enum LibcCall;
constexpr LibcFacts kCalls[] = {
    {.call = accept4, .name = "accept4", .symbol = "accept4", .interrupted = true,
     .spuriously_not = true, .failures = kAccept},
    {.call = bind, .name = "bind", .symbol = "bind", .failures = kBind},
    {.call = cachestat, .name = "cachestat", .symbol = "syscall", .failures = kCachestat},
    {.call = chmod, .name = "chmod", .symbol = "chmod", .failures = kChmod},
    {.call = close, .name = "close", .symbol = "close", .failures = kClose},
    {.call = connect, .name = "connect", .symbol = "connect", .interrupted = true,
     .failures = kConnect},
    {.call = duplicate, .name = "duplicate", .symbol = "fcntl", .failures = kDuplicate},
    {.call = epoll_create1, .name = "epoll_create1", .symbol = "epoll_create1",
     .failures = kEpollCreate},
    {.call = epoll_ctl, .name = "epoll_ctl", .symbol = "epoll_ctl", .failures = kEpollCtl},
    {.call = epoll_pwait2, .name = "epoll_pwait2", .symbol = "epoll_pwait2", .interrupted = true,
     .shortens = true, .failures = kEpollPwait2},
    {.call = epoll_wait, .name = "epoll_wait", .symbol = "epoll_wait", .interrupted = true,
     .shortens = true},
    {.call = eventfd, .name = "eventfd", .symbol = "eventfd", .failures = kDescriptors},
    {.call = fstat, .name = "fstat", .symbol = "fstat", .failures = kFstat},
    {.call = getaddrinfo, .name = "getaddrinfo", .symbol = "getaddrinfo",
     .failures = kGetaddrinfo},
    {.call = getpeername, .name = "getpeername", .symbol = "getpeername", .failures = kName},
    {.call = getrandom, .name = "getrandom", .symbol = "getrandom", .interrupted = true,
     .shortens = true},
    {.call = getsockname, .name = "getsockname", .symbol = "getsockname", .failures = kOwnName},
    {.call = getsockopt, .name = "getsockopt", .symbol = "getsockopt", .failures = kGetsockopt},
    {.call = if_nametoindex, .name = "if_nametoindex", .symbol = "if_nametoindex",
     .failures = kIfNametoindex},
    {.call = ioctl, .name = "ioctl", .symbol = "ioctl", .failures = kIoctl},
    {.call = listen, .name = "listen", .symbol = "listen", .failures = kListen},
    {.call = mmap, .name = "mmap", .symbol = "mmap", .failures = kMmap},
    {.call = open, .name = "open", .symbol = "open", .interrupted = true, .failures = kOpen},
    {.call = openat, .name = "openat", .symbol = "openat", .interrupted = true,
     .failures = kOpenat},
    {.call = openat2, .name = "openat2", .symbol = "syscall", .interrupted = true,
     .spuriously_not = true, .failures = kOpenat2},
    {.call = pending_error, .name = "pending_error", .symbol = "getsockopt",
     .failures = kPendingError},
    {.call = pipe2, .name = "pipe2", .symbol = "pipe2", .failures = kDescriptors},
    {.call = pipe_size, .name = "pipe_size", .symbol = "fcntl", .failures = kPipeSize},
    {.call = poll, .name = "poll", .symbol = "poll", .interrupted = true, .failures = kPoll},
    {.call = pread, .name = "pread", .symbol = "pread", .interrupted = true, .shortens = true,
     .failures = kRead},
    {.call = preadv2, .name = "preadv2", .symbol = "preadv2", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kReadNow},
    {.call = pthread_create, .name = "pthread_create", .symbol = "pthread_create",
     .failures = kPthreadCreate},
    {.call = pwrite, .name = "pwrite", .symbol = "pwrite", .interrupted = true, .shortens = true,
     .failures = kWrite},
    {.call = pwritev2, .name = "pwritev2", .symbol = "pwritev2", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kWriteNow},
    {.call = read, .name = "read", .symbol = "read", .interrupted = true, .shortens = true,
     .failures = kRead},
    {.call = read_event, .name = "read_event", .symbol = "read", .interrupted = true},
    {.call = recv, .name = "recv", .symbol = "recv", .interrupted = true, .spuriously_not = true,
     .shortens = true, .failures = kReceive},
    {.call = recvmmsg, .name = "recvmmsg", .symbol = "recvmmsg", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kReceive},
    {.call = recvmsg, .name = "recvmsg", .symbol = "recvmsg", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kReceive},
    {.call = send, .name = "send", .symbol = "send", .interrupted = true, .spuriously_not = true,
     .shortens = true, .failures = kSend},
    {.call = sendfile, .name = "sendfile", .symbol = "sendfile", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kSendfile},
    {.call = sendmmsg, .name = "sendmmsg", .symbol = "sendmmsg", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kSendmmsg},
    {.call = sendmsg, .name = "sendmsg", .symbol = "sendmsg", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kSendmsg},
    {.call = setsockopt, .name = "setsockopt", .symbol = "setsockopt", .failures = kSetsockopt},
    {.call = shutdown, .name = "shutdown", .symbol = "shutdown", .failures = kShutdown},
    {.call = sigtimedwait, .name = "sigtimedwait", .symbol = "sigtimedwait", .interrupted = true},
    {.call = socket, .name = "socket", .symbol = "socket", .failures = kSocket},
    {.call = splice_in, .name = "splice_in", .symbol = "splice", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kSpliceIn},
    {.call = splice_out, .name = "splice_out", .symbol = "splice", .interrupted = true,
     .spuriously_not = true, .shortens = true, .failures = kSpliceOut},
    {.call = stat, .name = "stat", .symbol = "stat", .failures = kStat},
    {.call = timerfd_create, .name = "timerfd_create", .symbol = "timerfd_create",
     .failures = kTimerfd},
    {.call = unlink, .name = "unlink", .symbol = "unlink", .failures = kUnlink},
    {.call = write, .name = "write", .symbol = "write", .interrupted = true, .shortens = true,
     .failures = kWrite},
    {.call = write_event, .name = "write_event", .symbol = "write", .interrupted = true},
};

// The facts of a call stand at its number.
consteval bool is_in_order() {
  std::size_t next = 0;
  for (const LibcFacts& facts : kCalls) {
    if (facts.call != static_cast<LibcCall>(next++)) return false;
  }
  return next == kLibcCalls;
}
static_assert(is_in_order());

constexpr std::string_view kMemoryOnly = "touches no more than memory";
constexpr std::string_view kCannotFail = "cannot fail";
constexpr std::string_view kArguments = "fails for wrong arguments only";
constexpr std::string_view kRing = "of the ring, whose results do not come through errno";
constexpr std::string_view kThreads = "no result of a lock that is used rightly";

constexpr Unwrapped kUnwrapped[] = {
    {"abort", kCannotFail},
    {"clock_gettime", "clocks that every Linux has"},
    {"exit", kCannotFail},
    {"fprintf", "one line to stderr; that it did not come out is nobody's"},
    {"free", kCannotFail},
    {"freeaddrinfo", kCannotFail},
    {"getpid", kCannotFail},
    {"htons", kMemoryOnly},
    {"inet_ntop", kMemoryOnly},
    {"inet_pton", kMemoryOnly},
    {"io_uring_free_probe", kRing},
    {"io_uring_get_probe_ring", kRing},
    {"io_uring_queue_exit", kRing},
    {"io_uring_queue_init_params", kRing},
    {"io_uring_register_buf_ring", kRing},
    {"io_uring_register_eventfd", kRing},
    {"io_uring_register_ring_fd", kRing},
    {"io_uring_submit", kRing},
    {"io_uring_submit_and_get_events", kRing},
    {"io_uring_submit_and_wait", kRing},
    {"io_uring_submit_and_wait_timeout", kRing},
    {"io_uring_unregister_ring_fd", kRing},
    {"malloc", "refused by memory::set_gate(): MemoryTest"},
    {"memchr", kMemoryOnly},
    {"memcmp", kMemoryOnly},
    {"memcpy", kMemoryOnly},
    {"memmove", kMemoryOnly},
    {"memset", kMemoryOnly},
    {"munmap", "of what mmap() has given, whole"},
    {"ntohs", kMemoryOnly},
    {"pthread_atfork", "once in a process; without memory only forked children are worse off"},
    {"pthread_cond_clockwait", kThreads},
    {"pthread_detach", kArguments},
    {"pthread_join", kThreads},
    {"pthread_mutex_lock", kThreads},
    {"pthread_mutex_unlock", kThreads},
    {"pthread_once", kThreads},
    {"pthread_self", kCannotFail},
    {"pthread_sigmask", kArguments},
    {"sched_getaffinity", "then threads go where they may: usable_cpus()"},
    {"sched_setaffinity", "likewise: Pin"},
    {"sched_yield", kCannotFail},
    {"sigaction", "EINVAL alone, for signals that have no handlers: SignalTest"},
    {"sigaddset", kArguments},
    {"sigemptyset", kMemoryOnly},
    {"sigfillset", kMemoryOnly},
    {"sigismember", kArguments},
    {"sigpending", kArguments},
    {"snprintf", kMemoryOnly},
    {"stderr", "no function"},
    {"strerrorname_np", kMemoryOnly},
    {"strlen", kMemoryOnly},
    {"sysconf", "the size of a page, which is known"},
    {"timerfd_settime", kArguments},
};

}  // namespace

std::span<const LibcFacts> libc_calls() { return kCalls; }
std::span<const Unwrapped> unwrapped_calls() { return kUnwrapped; }

}  // namespace weir::test
