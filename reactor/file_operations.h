// Reads, writes and opening of what is no socket, for a kernel backend. Private to this package.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "reactor/posix_files.h"
#include "weir/reactor/backend.h"
#include "reactor/thread_inbox.h"

namespace weir::inline v1 {

class LocalCompletions;

// Each operation is tried by a call that does not wait. Where that says "later", the fd is polled,
// by a PollOp of our own on the backend above; where the kernel has no such call for a kind of
// file, or a file is not in memory, the small pool of threads makes a call that may wait.
//
//     try --> result
//      |  \-> poll --> try again, or --> thread --> result
//      \----------------------------------^
//
// A job on a thread has a descriptor and memory of its own: neither closing the fd nor destroying
// the reactor waits for it (ThreadInbox).
// A cancelled operation ends at once. When its job has begun all the same, the job's place stays:
// what it reads is kept for the next read of the fd, until release(); the next write waits for it.
// So a fd has at most one thread for each direction, and no byte is lost or overtaken.
//
// Owner thread only. Goes when none of its operations is in flight.
class FileOperations {
 public:
  // `wake_fd` is an eventfd that is signalled when an answer is there.
  FileOperations(Backend& backend, LocalCompletions& local, int wake_fd);
  FileOperations(const FileOperations&) = delete;
  FileOperations& operator=(const FileOperations&) = delete;
  ~FileOperations();

  void set_nowait(bool on) noexcept { nowait_ = on; }
  void submit(Op& op);
  void cancel(Op& op);
  // True for an operation in flight that was given to submit().
  static bool owns(const Op& op) noexcept { return op.slot >> kMarkShift == 1; }
  bool answered() const noexcept { return inbox_->filled(); }
  void collect();
  // The fd is somebody else's now: what was kept for it goes.
  void forget(int fd) noexcept;

 private:
  static constexpr unsigned kMarkShift = 30;  // its bit in Op::slot says whose the number is
  static constexpr std::uint32_t kMark = 1U << kMarkShift;

  struct Answer {
    std::uint64_t id = 0;    // of a place
    bool withdrawn = false;  // cancelled before it began: nothing was done
    std::int32_t result = 0;
    BufferBlock room;  // with the bytes of a read
  };
  using Inbox = ThreadInbox<Answer>;
  struct Job;
  struct Place;

  static void on_ready(Op& op, Completion& completion) noexcept;
  Place& take_place();
  void free_place(Place& place) noexcept;
  Place* left_behind(const Place& newcomer) noexcept;
  void step(Place& place, bool ready);
  std::int32_t try_now(Op& op) noexcept;
  void wait_for(Place& place);
  void start_job(Place& place);
  bool fill_job(Job& job, Op& op) noexcept;
  void settle(Place& place, Answer answer);
  void settle_left_behind(Place& place, Answer answer);
  void finish(Place& place, std::int32_t result, Buffer bytes = {});

  Backend& backend_;
  LocalCompletions& local_;
  Inbox::Hold inbox_;
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<std::uint32_t> free_;
  bool nowait_ = true;  // see BackendOptions
};

// What a read has brought: a view of its memory, or a copy when that is mostly empty, so that a few
// bytes which somebody keeps do not hold all of it.
Buffer bytes_read(BufferBlock& room, std::size_t size) noexcept;

}  // namespace weir::inline v1
