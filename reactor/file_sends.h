// SendFileOps of a kernel backend. Private to this package.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "reactor/posix_file_sender.h"
#include "weir/reactor/backend.h"

namespace weir::inline v1 {

class KernelBackend;
class LocalCompletions;
namespace posix {
class NoSigpipe;
}

// Those of a turn are carried out together at its end, but for one of which a piece has just been
// read: SIGPIPE is blocked once for all of them, and what they need of the kernel stays in the
// processor's caches.
//
// Sending waits for what is not in memory, so a few bytes of the file are looked at before each
// call, which sends what they find. Where they find nothing, or the kernel cannot tell, a piece is
// read first, by a ReadOp of our own on the backend above. Its bytes are dropped: the kernel has
// them now. A socket that takes nothing is polled.
//
//     end of turn --> in memory? -- yes --------> FileSender --> result
//      ^                    no --> read it first --^   |
//      +-------------- poll <-- nothing taken ---------+
//
// A read that fails says nothing: it is sent all the same, which gives the reason. That may wait
// for the file only then (no thread was free to read: see kBlockingJobsMax), or when what has just
// been seen in memory, or lies between what was looked at, has been taken out of it.
//
// What was all in memory a moment ago is not asked for again: a crowd sends the same files. It may
// have been taken out since, or the descriptor be another file's now: then a call may wait, too.
//
// An operation ends when what it waits for has ended: nobody needs its file any more, for a job on
// a thread has a duplicate (see FileOperations).
//
// Owner thread only. Goes when none of its operations is in flight.
class FileSends {
 public:
  FileSends(KernelBackend& backend, LocalCompletions& local) noexcept;
  FileSends(const FileSends&) = delete;
  FileSends& operator=(const FileSends&) = delete;
  ~FileSends();

  void set_nowait(bool on) noexcept { nowait_ = on; }  // see BackendOptions
  void submit(SendFileOp& op);
  // Precondition: in flight.
  void cancel(SendFileOp& op);
  // The end of the turn; before the backend looks for what it has ready.
  void run();

 private:
  struct Place;
  struct Seen {
    int file = -1;
    std::int64_t begin = 0;
    std::int64_t end = 0;
    Instant at;
  };

  static void on_read(Op& op, Completion& completion) noexcept;
  static void on_writable(Op& op, Completion& completion) noexcept;
  void look(posix::NoSigpipe& guard, SendFileOp& op);
  std::size_t find_in_memory(const SendFileOp& op, std::size_t size) noexcept;
  void send(posix::NoSigpipe& guard, SendFileOp& op, std::size_t size);
  void read(SendFileOp& op, std::size_t size);
  void wait(SendFileOp& op);
  Place& place_of(SendFileOp& op);
  void finish(SendFileOp& op, std::int32_t result);

  KernelBackend& backend_;
  LocalCompletions& local_;
  posix::FileSender sender_;
  std::vector<SendFileOp*> turn_;  // to be carried out at the end of it
  std::vector<std::unique_ptr<Place>> places_;  // of operations that have had to wait
  std::vector<std::uint32_t> free_;
  std::array<Seen, 16> seen_;  // by file and offset
  bool nowait_ = true;
};

}  // namespace weir::inline v1
