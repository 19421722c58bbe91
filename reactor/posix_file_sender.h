// The system calls that send a part of a file. Private to this package.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "reactor/posix.h"
#include "weir/reactor/backend.h"

namespace weir::inline v1::posix {

class NoSigpipe;

// Sends files to sockets from where the kernel has them: what is in memory now is not copied.
//
// Up to 64 KiB sendfile(2) does it. It hands more over in pieces of 64 KiB, for that is what the
// pipe inside it holds; with a pipe of our own, that holds all of a part, 1 MiB costs a sixteenth
// less (splice(2), twice). Invariant: between two calls the pipe is empty, or there is none. What
// the socket has not taken of it goes with it, so a socket that has just been full gets sendfile.
//
// The pipe is made with the first part that needs it, and takes two descriptors. Without it (no
// descriptors, or more memory in pipes than the user may have: pipe(7)) everything is sendfile's.
//
// Owner thread only.
class FileSender {
 public:
  struct Sent {
    std::int32_t result;
    unsigned system_calls;
  };

  // What is before the file, and then `size` bytes of it: waits for the file, where it is not in
  // memory, but not for the socket, which is non-blocking. -EAGAIN, or another error, only when
  // nothing was sent. 0: nothing is before it, and it has nothing there.
  Sent send(NoSigpipe& guard, const SendFileOp& op, std::size_t size,
            bool was_full) noexcept;

 private:
  std::int32_t send_all(const SendFileOp& op, std::size_t size, bool was_full) noexcept;
  std::int32_t send_file(const SendFileOp& op, std::size_t size) noexcept;
  std::optional<std::int32_t> send_by_pipe(const SendFileOp& op, std::size_t size) noexcept;
  bool has_pipe() noexcept;

  Fd pipe_in_;
  Fd pipe_out_;
  bool too_large_ = false;  // such a pipe for this user: not to be asked for again
  unsigned calls_ = 0;      // of this part
};

}  // namespace weir::inline v1::posix
