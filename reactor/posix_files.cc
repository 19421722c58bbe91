#include "reactor/posix_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include "weir/reactor/posix.h"

namespace weir::inline v1::posix {
namespace {

// Some kernels, and sandboxes, say in other ways that they have no such call.
std::int32_t result_now() noexcept {
  return errno == ENOSYS || errno == EINVAL ? -EOPNOTSUPP : -errno;
}

int open_retrying(int at, const char* name, int flags) noexcept {
  for (;;) {
    const int fd = ::openat(at, name, flags);
    if (fd >= 0 || errno != EINTR) return fd;
  }
}

// ---- Below a directory ----

// Each component of a path that is walked costs a system call.
constexpr int kDepthMax = 32;
// O_NONBLOCK: opening a FIFO must not wait for its other end.
constexpr int kBelowFlags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

// A rename or mount elsewhere may cross the way of ".." in a link (openat2(2), EAGAIN): to be tried
// again so often.
constexpr int kRacesMax = 16;

bool is_component(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && !text.contains('\0');
}

bool is_plain_path(std::string_view path) {
  for (;;) {
    const std::size_t slash = path.find('/');
    if (!is_component(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

int open_beneath(const OpenOp& op, std::uint64_t resolve) noexcept {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(kBelowFlags);
  how.resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  if (!op.follows_links) how.resolve |= RESOLVE_NO_SYMLINKS;
  for (int races = 0;;) {
    const long fd = ::syscall(SYS_openat2, op.directory, op.path.c_str(), &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno == EINTR) continue;
    const bool raced = errno == EAGAIN && (resolve & RESOLVE_CACHED) == 0;
    if (!raced || ++races == kRacesMax) return -errno;
  }
}

// One component at a time, so that no symbolic link is ever followed.
int walk(const OpenOp& op) noexcept {
  Fd holder;
  int at = op.directory;
  std::string_view rest = op.path;
  for (int depth = 0; depth < kDepthMax; ++depth) {
    const std::size_t slash = rest.find('/');
    const std::string component(rest.substr(0, slash));
    const bool last = slash == std::string_view::npos;
    const int flags = last ? kBelowFlags : O_PATH | O_DIRECTORY | O_CLOEXEC;
    Fd next(open_retrying(at, component.c_str(), flags | O_NOFOLLOW));
    // What is no directory may be a link; both lead nowhere.
    if (!next) return -errno;
    if (last) return next.release();
    holder = std::move(next);
    at = holder.get();
    rest.remove_prefix(slash + 1);
  }
  return -ENAMETOOLONG;
}

// A sandbox may refuse what it does not know.
bool has_no_openat2(int result) noexcept { return result == -ENOSYS || result == -EPERM; }

// ---- What is in memory ----

// cachestat(2), which the C library does not have yet: one call for what takes many reads, and a
// third of the cost of one. False: not all, or nobody can tell.
bool is_all_cached(int fd, std::int64_t offset, std::size_t size) noexcept {
  constexpr long kCachestat = 451;
  static const auto kPage = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  static std::atomic<bool> missing = false;  // before Linux 6.5
  if (missing.load(std::memory_order_relaxed)) return false;
  struct {
    std::uint64_t offset, size;
  } const range = {static_cast<std::uint64_t>(offset), size};
  struct {
    std::uint64_t cached, dirty, written, evicted, recently_evicted;
  } found = {};
  if (::syscall(kCachestat, fd, &range, &found, 0) != 0) {
    if (errno == ENOSYS) missing.store(true, std::memory_order_relaxed);
    return false;
  }
  const std::uint64_t last = range.offset + size - 1;
  return found.cached >= last / kPage - range.offset / kPage + 1;
}

}  // namespace

// ---- SIGPIPE ----

NoSigpipe::NoSigpipe() noexcept {
  sigemptyset(&pipe_);
  sigaddset(&pipe_, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  if (sigismember(&before_, SIGPIPE) != 1) return;
  sigset_t pending;
  sigpending(&pending);
  was_pending_ = sigismember(&pending, SIGPIPE) == 1;
}

NoSigpipe::~NoSigpipe() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void NoSigpipe::take() noexcept {
  constexpr timespec kAtOnce{};
  while (!was_pending_ && sigtimedwait(&pipe_, nullptr, &kAtOnce) < 0 && errno == EINTR) {}
}

FileKind kind_of(int fd) noexcept {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return FileKind::closed;
  if (S_ISCHR(status.st_mode)) return FileKind::character;
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode)) {
    return FileKind::regular;
  }
  return FileKind::pipe;
}

// open(2) takes the lowest number that is free.
void occupy_standard_descriptors() noexcept {
  int fd = 0;
  while (fd >= 0 && fd <= STDERR_FILENO) fd = open_retrying(AT_FDCWD, "/", O_PATH | O_CLOEXEC);
  if (fd >= 0) ::close(fd);
}

std::int32_t read_now(int fd, std::int64_t offset, std::span<char> room) noexcept {
  const iovec piece{.iov_base = room.data(), .iov_len = room.size()};
  for (;;) {
    const ssize_t size = ::preadv2(fd, &piece, 1, offset, RWF_NOWAIT);
    if (size >= 0) return static_cast<std::int32_t>(size);
    if (errno != EINTR) return result_now();
  }
}

std::int32_t write_now(int fd, std::int64_t offset, std::span<const iovec> pieces) noexcept {
  NoSigpipe guard;
  for (;;) {
    const ssize_t size =
        ::pwritev2(fd, pieces.data(), static_cast<int>(pieces.size()), offset, RWF_NOWAIT);
    if (size >= 0) return static_cast<std::int32_t>(size);
    if (errno == EINTR) continue;
    const std::int32_t result = result_now();
    if (result == -EPIPE) guard.take();
    return result;
  }
}

std::int32_t read_file(int fd, std::int64_t offset, std::span<char> room) noexcept {
  for (;;) {
    const ssize_t size = offset < 0 ? ::read(fd, room.data(), room.size())
                                    : ::pread(fd, room.data(), room.size(), offset);
    if (size >= 0) return static_cast<std::int32_t>(size);
    if (errno != EINTR) return -errno;
  }
}

std::int32_t write_file(int fd, std::int64_t offset, std::span<const char> bytes) noexcept {
  for (;;) {
    const ssize_t size = offset < 0 ? ::write(fd, bytes.data(), bytes.size())
                                    : ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (size >= 0) return static_cast<std::int32_t>(size);
    if (errno != EINTR) return -errno;
  }
}

// O_NOCTTY: opening a terminal must not make it the process's.
int open_now(const OpenOp& op) noexcept {
  if (!is_plain_path(op.path)) return -ENOENT;
  const int result = open_beneath(op, RESOLVE_CACHED);
  return has_no_openat2(result) || result == -EINVAL ? -EAGAIN : result;
}

int open_file(const OpenOp& op) noexcept {
  if (op.directory >= 0) {
    if (!is_plain_path(op.path)) return -ENOENT;
    const int result = op.walks ? -ENOSYS : open_beneath(op, 0);
    return has_no_openat2(result) ? walk(op) : result;
  }
  int flags = O_CLOEXEC | O_NOCTTY | (op.writes ? O_WRONLY : O_RDONLY);
  if (op.creates) flags |= O_CREAT;
  if (op.truncates) flags |= O_TRUNC;
  if (op.appends) flags |= O_APPEND;
  for (;;) {
    const int fd = ::open(op.path.c_str(), flags, static_cast<mode_t>(op.permissions));
    if (fd >= 0) return fd;
    if (errno != EINTR) return -errno;
  }
}

std::size_t in_memory(int fd, std::int64_t offset, std::size_t size) noexcept {
  if (is_all_cached(fd, offset, size)) return size;
  char byte = 0;
  const auto is_there = [&](std::size_t at) {
    return read_now(fd, offset + static_cast<std::int64_t>(at), {&byte, 1}) >= 0;
  };
  std::size_t found = 0;
  while (found < size && is_there(found)) found += limits::kFileProbeStride;
  if (found == 0) return 0;
  // Of the last stride only the first byte is known to be there.
  const std::size_t end = std::min(found, size);
  return is_there(end - 1) ? end : found - limits::kFileProbeStride;
}

void make_nonblocking_again(int socket) noexcept {
  const int flags = ::fcntl(socket, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) ::fcntl(socket, F_SETFL, flags | O_NONBLOCK);
}

int check_regular(int fd) noexcept {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return -errno;
  if (!S_ISREG(status.st_mode)) return -EINVAL;
  const int flags = ::fcntl(fd, F_GETFL);
  const bool readable = flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY;
  return readable ? 0 : -EBADF;
}

std::int64_t file_size(int fd) noexcept {
  struct stat status{};
  return ::fstat(fd, &status) == 0 ? status.st_size : -errno;
}

Expected<FileFacts> file_facts(int fd) noexcept {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return failure({.code = errno_code(errno), .syscall = "fstat"});
  return FileFacts{.is_regular = S_ISREG(status.st_mode),
                   .is_directory = S_ISDIR(status.st_mode),
                   .device = status.st_dev,
                   .inode = status.st_ino,
                   .size = static_cast<std::uint64_t>(status.st_size),
                   .modified = status.st_mtim.tv_sec,
                   .modified_nanoseconds = static_cast<std::uint32_t>(status.st_mtim.tv_nsec),
                   .changed = status.st_ctim.tv_sec,
                   .changed_nanoseconds = static_cast<std::uint32_t>(status.st_ctim.tv_nsec)};
}

Expected<Fd> open_directory(const std::string& path) noexcept {
  Fd directory(open_retrying(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory) return directory;
  return failure({.code = errno_code(errno), .syscall = "open", .detail = "directory " + path});
}

std::uint64_t random_bits() noexcept {
  std::array<std::uint8_t, sizeof(std::uint64_t)> bytes;
  random(bytes);
  return std::bit_cast<std::uint64_t>(bytes);
}

int duplicate(int fd) noexcept {
  const int made = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return made >= 0 ? made : -errno;
}

}  // namespace weir::inline v1::posix
