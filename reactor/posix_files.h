// System calls on what is no socket: pipes, terminals, files. Beside posix.h, private to this
// package.
#pragma once

#include <sys/uio.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>

#include "weir/reactor/backend.h"

namespace weir::inline v1::posix {

enum class FileKind : std::uint8_t {
  closed,     // no open descriptor
  regular,    // also a directory or block device: always ready, and perhaps slow
  pipe,       // also a socket: it can be waited for
  character,  // a terminal or another device: it can be waited for, and blocks none the less
};
FileKind kind_of(int fd) noexcept;

// Keeps the SIGPIPE of this thread's own calls from anybody: blocked meanwhile, and taken off again
// when one of them has raised it. The process's disposition is not touched. Two system calls.
class NoSigpipe {
 public:
  NoSigpipe() noexcept;
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;
  ~NoSigpipe();

  void take() noexcept;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_ = false;
};

// Whichever of descriptors 0 to 2 is closed becomes one that reads and writes with EBADF, and is
// closed on exec: so that no socket or ring takes its number and is then read as standard input.
void occupy_standard_descriptors() noexcept;

// Any thread. Bytes, 0, or -errno; EINTR is retried. `offset` -1: the file's own position.
//
// These never wait: -EAGAIN when the call would have to, -EOPNOTSUPP when the kernel cannot tell
// for this kind of file. A write never raises SIGPIPE.
std::int32_t read_now(int fd, std::int64_t offset, std::span<char> room) noexcept;
std::int32_t write_now(int fd, std::int64_t offset, std::span<const iovec> pieces) noexcept;
// These may wait for ever. To be called with SIGPIPE blocked, as the threads of the pool have it.
std::int32_t read_file(int fd, std::int64_t offset, std::span<char> room) noexcept;
std::int32_t write_file(int fd, std::int64_t offset, std::span<const char> bytes) noexcept;
int open_file(const OpenOp& op) noexcept;
// Of an operation with a directory, from what the kernel has in memory: -EAGAIN when it would have
// to look further, or cannot tell. Never waits for a disk; but the file system's own opening runs
// here, and one in user space, or over a network, may wait in it.
int open_now(const OpenOp& op) noexcept;
// How many of these bytes of a regular file, from the first on, seem to be in memory. Where the
// kernel does not say that all are (cachestat(2), since Linux 6.5), one in each kFileProbeStride is
// looked at, and the last one. Never waits; 0 also where the kernel cannot tell. What lies behind
// the file's end counts as in memory.
std::size_t in_memory(int fd, std::int64_t offset, std::size_t size) noexcept;
// The flag is the description's, which another process may share (Socket::adopt()).
void make_nonblocking_again(int socket) noexcept;
// 0 for a regular file that is open for reading; -EBADF, -EINVAL for what is none, or -errno.
int check_regular(int fd) noexcept;
std::int64_t file_size(int fd) noexcept;  // or -errno
// Another descriptor of the same file, close-on-exec; -errno.
int duplicate(int fd) noexcept;

}  // namespace weir::inline v1::posix
