// Faults of io_uring, put between the backend and liburing by the linker (--wrap): the library is
// the same as everywhere, and pays nothing. What is done, and when, is said by a UringSchedule.
//
// Invariants
// 1. The kernel does whatever is done. An entry of the submission queue goes to it as the backend
//    made it, or with less to do: fewer bytes, one result in the place of many, or nothing at all.
// 2. An operation that is to fail never gets there: a NOP with its user_data brings the result
//    (IORING_NOP_INJECT_RESULT), or the kernel itself refuses a number that is no operation's.
// 3. So no result is changed of an operation that has moved bytes or brought a descriptor, and
//    nothing that the kernel has done is hidden from the backend.
// 4. A request that waits is ended by a cancel of the kernel's, never by a completion made up. Its
//    last completion is the kernel's -ECANCELED, in whose place a schedule may put another errno
//    value. Or the result before it is to be the last one: that loses IORING_CQE_F_MORE, as when
//    the completion queue is full, and the -ECANCELED goes to nobody.
// 5. A cancel of the backend's fails as the kernel's would: with ENOENT when its target has ended
//    already (one that is submitted together with its target does not fail), with any other error
//    when that ends shortly, by itself.
// 6. When entering the kernel is to fail, the kernel is not entered: all entries stay queued.
// 7. Every completion is that of a request which has not had its last one. This is checked, unless
//    thousands came and went unseen, as they may on a ring without DEFER_TASKRUN.
// 8. The schedule is asked in the order of submissions, so that a seed gives its decisions again.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>

namespace weir::test {

namespace uring {
class Ring;
}

// A request that the kernel has, or is about to get.
struct UringRequest {
  unsigned opcode = IORING_OP_NOP;
  int fd = -1;
  bool repeats = false;      // multishot
  std::uint64_t target = 0;  // of a cancel: user_data
};

// One entry of a submission queue on its way to the kernel. At most one of these calls is made.
class UringEntry {
 public:
  UringEntry(uring::Ring& ring, io_uring_sqe& sqe, const UringRequest& request) noexcept
      : ring_(ring), sqe_(sqe), request_(request) {}

  const UringRequest& request() const noexcept { return request_; }
  // Of a send, read or write, and of a receive whose size the backend leaves to its buffers.
  // 0: its length is not to be changed.
  std::size_t bytes() const noexcept;
  // Precondition: 0 < most < bytes(). A repeating receive becomes one that does not repeat.
  void shorten(std::size_t most) noexcept;
  // Of a receive or accept: one result, in the place of many.
  bool may_repeat_once() const noexcept;
  void repeat_once() noexcept;
  // The result is -error; see invariants 2 and 5.
  void fail(int error) noexcept;
  // The kernel does not know the operation.
  void mask() noexcept;

 private:
  uring::Ring& ring_;
  io_uring_sqe& sqe_;
  UringRequest request_;
};

// What happens. All calls are made on the thread of the ring, one at a time in the whole process.
class UringSchedule {
 public:
  virtual ~UringSchedule() = default;
  // Before io_uring_setup(2).
  virtual void on_setup(io_uring_params&) {}
  // Whether the kernel says that it knows an operation.
  virtual bool knows(unsigned) { return true; }
  // Before io_uring_enter(2), the `first` one of a ring or a later one: 0, or an errno value.
  virtual int on_enter([[maybe_unused]] bool first) { return 0; }
  // Likewise, for each request that the kernel has: an errno value ends it.
  virtual int on_waiting(const UringRequest&) { return 0; }
  // A request has a good result that is not to be its last. True: it is.
  virtual bool on_result(const UringRequest&) { return false; }
  virtual void on_entry(UringEntry&) {}
};

// While it lives, all rings of the process follow its schedule. One at a time; other threads may
// have rings meanwhile.
class UringFaults {
 public:
  explicit UringFaults(UringSchedule& schedule);
  UringFaults(const UringFaults&) = delete;
  UringFaults& operator=(const UringFaults&) = delete;
  ~UringFaults();
};

// What the wrap has seen in this process. Nothing here was without effect.
struct UringCounts {
  std::uint64_t entries = 0;      // submitted
  std::uint64_t completions = 0;
  std::uint64_t shortened = 0;
  std::uint64_t failed = 0;
  std::uint64_t ended = 0;        // requests that waited, with an error
  std::uint64_t ended_well = 0;   // with a good result
  std::uint64_t refused = 0;      // times that the kernel was not entered
  std::uint64_t overflows = 0;    // times that the kernel had more completions than room for them
  std::uint64_t strays = 0;       // completions that break invariant 7
};
UringCounts uring_counts();

// Whether this kernel's NOPs bring the result that they are given (Linux 6.10).
bool uring_faults_work();

}  // namespace weir::test
