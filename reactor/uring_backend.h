// The io_uring backend: multishot operations on one ring for each reactor.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "reactor/kernel_backend.h"
#include "reactor/uring_buffers.h"
#include "reactor/uring_datagrams.h"
#include "reactor/uring_prepare.h"
#include "reactor/uring_probe.h"
#include "reactor/uring_requests.h"
#include "reactor/uring_state.h"
#include "reactor/uring_thread.h"
#include "weir/reactor/backend.h"

namespace weir::inline v1::uring {

class UringBackend final : public KernelBackend {
 public:
  UringBackend(posix::Fd wake, UringRing ring, const UringOptions& options) noexcept
      : KernelBackend(std::move(wake)),
        datagrams_(counters_, options.buffer_ring),
        ring_(std::move(ring)),
        options_(options),
        arena_(*ring_.pool) { zero_copy().set_available(ring_.zero_copy); }

  BackendKind kind() const noexcept override { return BackendKind::io_uring; }
  void submit(Op& op) noexcept override;
  void cancel(Op& op) noexcept override;
  std::size_t send_or_submit(SendOp& op) noexcept override;
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override;
  void run_begins() noexcept override { thread_.run_begins(); }
  void run_ends() noexcept override { thread_.run_ends(ring_.ring.get()); }
  void release(int fd) noexcept override {
    files().forget(fd);
    if (fds_[fd].operations != 0) return;
    fds_[fd] = {};
    datagrams_.forget(fd);
  }
  void close(int fd) noexcept override;
  void prepare(Instant until) noexcept override;
  std::size_t live_chunks() const noexcept override { return ring_.pool->live_chunks(); }
  bool memory_in_demand() const noexcept override { return ring_.pool->in_demand(); }
  void trim_memory() noexcept override { ring_.pool->trim(); }
  Datagrams& datagrams() noexcept override { return datagrams_; }
  void note_failed_send(int fd) noexcept override { fds_[fd].send_took_error = true; }

 protected:
  int source_fd() noexcept override;

 private:
  io_uring& ring() noexcept { return *ring_.ring; }
  void enter(Instant until) noexcept {
    ++counters_.system_calls;
    uring::enter(ring(), until);
  }
  // Submissions.
  void lose_ring() noexcept;
  void queue_waiting() noexcept;
  io_uring_sqe* get_sqe() noexcept;
  void arm(Op& op) noexcept;
  Role arm_recv(Op& op, io_uring_sqe* sqe) noexcept;
  void send_cancel(Op& op) noexcept;
  void arm_wake() noexcept;
  void flush_sends() noexcept;
  void send_tried(SendOp& op, std::int32_t result) noexcept;
  // Completions.
  std::size_t reap(std::span<Completion> batch) noexcept;
  bool on_cqe(const io_uring_cqe& cqe, Completion& out) noexcept;
  void on_cancel_answer(std::uint64_t target, std::int32_t result) noexcept;
  bool on_accept(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept;
  bool on_recv(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept;
  bool on_readiness(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept;
  bool on_starved_watch(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept;
  bool on_send(Op& op, std::uint32_t wanted, std::int32_t result, Completion& out) noexcept;
  bool on_send_watch(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept;
  bool on_read(ReadOp& op, std::int32_t result, Completion& out) noexcept;
  bool on_poll(PollOp& op, const io_uring_cqe& cqe, Completion& out) noexcept;
  bool on_datagrams(Op& op, const io_uring_cqe& cqe, Completion& out) noexcept;
  bool last(Op& op, std::int32_t result, Completion& out) noexcept;
  void finish(Op& op, std::int32_t result) noexcept;
  bool continue_or_end(Op& op) noexcept;
  // Receives: promised more, without a buffer ring, and without memory.
  void expect_more(Op& op) noexcept;
  void renew_promised() noexcept;
  std::size_t run_receives(std::span<Completion> batch) noexcept;
  bool receive_now(Op& op, Completion& out) noexcept;
  void feed_starved() noexcept;
  void starve(Op& op) noexcept;

  UringDatagrams datagrams_;  // goes behind the ring
  UringRing ring_;
  UringOptions options_;
  ReceiveArena arena_;  // used without a buffer ring only
  Requests requests_;
  PagedTable<FdState> fds_;
  IntrusiveList<Op> sends_;     // submitted this turn, with the kernel at the next poll()
  IntrusiveList<Op> blocked_;   // found the submission queue full
  IntrusiveList<Op> readable_;  // receives without a buffer ring whose fd has bytes
  IntrusiveList<Op> promised_;  // receives of which the kernel has said that more follows
  IntrusiveList<Op> starved_;   // receives without memory, first come, first served
  std::vector<std::uint64_t> blocked_cancels_;  // user_data of requests to cancel
  std::uint64_t returned_seen_ = 0;
  posix::Fd event_fd_;
  RingThread thread_{options_.register_ring_fd};
  SendCount send_count_;
  bool wake_armed_ = false;      // a poll on the wake fd is with the kernel
  bool starved_news_ = false;    // a receive in starved_ has no watch yet
};

}  // namespace weir::inline v1::uring

namespace weir::inline v1 {

// A ring that works, and which of its techniques are in use ("multishot receive, incremental buffer
// ring, DEFER_TASKRUN"). The error says in `detail` what the kernel refused and what to do about
// it.
struct UringBackendMade {
  std::unique_ptr<Backend> backend;
  std::string techniques;
};
Expected<UringBackendMade> make_uring_backend(const BackendOptions& options);

}  // namespace weir::inline v1
