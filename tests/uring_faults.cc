#include "tests/uring_faults.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace weir::test {
namespace {

// Linux 6.10; not in the header of liburing 2.3. Of sqe->rw_flags; the result is in sqe->len.
constexpr __kernel_rwf_t kNopInjectResult = 1 << 0;
// No kernel will have so many operations for a while.
constexpr std::uint8_t kNoOpcode = 255;
// In the user_data of cancels, whose results are no operation's (reactor/uring_state.h); and in
// that of the watch for wake-ups, which is looked at.
constexpr std::uint64_t kCancelMark = std::uint64_t{1} << 31;
constexpr std::uint64_t kWakeMark = ~std::uint64_t{1};

bool is_cancel(std::uint64_t user_data) noexcept {
  return (user_data & kCancelMark) != 0 && user_data != kWakeMark;
}

// Of IORING_OP_RECV and IORING_OP_RECVMSG with buffers of the ring; their sizes are in there.
constexpr std::size_t kBufferBytes = 16 * 1024;

UringRequest request_of(const io_uring_sqe& sqe) noexcept {
  UringRequest request{.opcode = sqe.opcode, .fd = sqe.fd};
  switch (sqe.opcode) {
    case IORING_OP_ACCEPT: request.repeats = (sqe.ioprio & IORING_ACCEPT_MULTISHOT) != 0; break;
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG: request.repeats = (sqe.ioprio & IORING_RECV_MULTISHOT) != 0; break;
    case IORING_OP_POLL_ADD: request.repeats = (sqe.len & IORING_POLL_ADD_MULTI) != 0; break;
    case IORING_OP_ASYNC_CANCEL: request.target = sqe.addr; break;
    default: break;
  }
  return request;
}

// A message or array of pieces with less in it, in the place of the backend's.
struct Less {
  msghdr message{};
  std::vector<iovec> pieces;

  Less(const iovec* from, std::size_t count, std::size_t most) : pieces(from, from + count) {
    for (iovec& piece : pieces) {
      piece.iov_len = std::min(piece.iov_len, most);
      most -= piece.iov_len;
    }
    std::erase_if(pieces, [](const iovec& piece) { return piece.iov_len == 0; });
  }
};

std::size_t bytes_of(const iovec* pieces, std::size_t count) noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) bytes += pieces[i].iov_len;
  return bytes;
}

const msghdr& message_of(const io_uring_sqe& sqe) noexcept {
  return *reinterpret_cast<const msghdr*>(sqe.addr);
}

const iovec* pieces_of(const io_uring_sqe& sqe) noexcept {
  return reinterpret_cast<const iovec*>(sqe.addr);
}

void make_nop(io_uring_sqe& sqe, int result) noexcept {
  const std::uint64_t user_data = sqe.user_data;
  io_uring_prep_nop(&sqe);
  sqe.user_data = user_data;
  sqe.rw_flags = kNopInjectResult;
  sqe.len = static_cast<std::uint32_t>(result);
}

}  // namespace

namespace uring {

// What is known of one ring.
class Ring {
 public:
  explicit Ring(io_uring& ring) noexcept : ring_(ring) {}

  // Looks at what the kernel has posted. All of it is noted; what the backend has taken already,
  // which on a ring without DEFER_TASKRUN it may, is changed no more, and may have gone unseen.
  void look(UringSchedule* schedule);
  void end_waiting(UringSchedule& schedule);
  void pass_entries(UringSchedule* schedule);
  void keep(std::uint64_t user_data, std::unique_ptr<Less> less) {
    less_[user_data] = std::move(less);
  }
  bool enter() noexcept { return std::exchange(fresh_, false); }  // true: for the first time
  void end_soon(std::uint64_t user_data) { soon_.push_back(user_data); }
  bool cancel(std::uint64_t user_data) noexcept;  // false: the kernel does not know it
  bool is_waiting(std::uint64_t user_data) const { return waiting_.contains(user_data); }

 private:
  struct Waiting {
    UringRequest request;
    int error = 0;      // is to be the last result: the request was cancelled
    bool well = false;  // likewise, and its last good result is to be the last
  };

  io_uring_cqe& cqe(unsigned at) noexcept { return ring_.cq.cqes[at & ring_.cq.ring_mask]; }
  void note(unsigned at, bool taken, UringSchedule* schedule);
  void end(unsigned at, const Waiting& waiting) noexcept;

  io_uring& ring_;
  bool fresh_ = true;
  bool saw_all_ = true;
  unsigned seen_ = 0;  // of the completion queue
  std::map<std::uint64_t, Waiting> waiting_;
  std::map<std::uint64_t, std::unique_ptr<Less>> less_;  // the kernel may look at it until the end
  std::vector<std::uint64_t> soon_;
};

}  // namespace uring

namespace {

struct Process {
  std::mutex mutex;
  std::map<const io_uring*, uring::Ring> rings;
  UringSchedule* schedule = nullptr;
  UringCounts counts;

  uring::Ring& ring(io_uring* of) { return rings.try_emplace(of, *of).first->second; }
};

// Never destroyed: reactors may go after main().
Process& process() {
  static auto* const made = new Process();
  return *made;
}

}  // namespace

namespace uring {

void Ring::look(UringSchedule* schedule) {
  const unsigned head = *ring_.cq.khead;
  while (seen_ != io_uring_smp_load_acquire(ring_.cq.ktail)) {
    const unsigned unseen = io_uring_smp_load_acquire(ring_.cq.ktail) - seen_;
    if (unseen > ring_.cq.ring_entries) {
      // Taken by the backend, and others are in their places.
      seen_ += unseen - ring_.cq.ring_entries;
      saw_all_ = false;
    }
    const unsigned at = seen_++;
    note(at, static_cast<int>(at - head) < 0, schedule);
  }
  if ((IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0) {
    ++process().counts.overflows;
  }
}

void Ring::note(unsigned at, bool taken, UringSchedule* schedule) {
  UringCounts& counts = process().counts;
  ++counts.completions;
  io_uring_cqe& completion = cqe(at);
  if (is_cancel(completion.user_data)) return;
  const auto found = waiting_.find(completion.user_data);
  if (found == waiting_.end()) {
    if (saw_all_) ++counts.strays;
    return;
  }
  Waiting& waiting = found->second;
  if ((completion.flags & IORING_CQE_F_MORE) != 0) {
    const bool may_end = schedule != nullptr && !taken && waiting.error == 0;
    if (completion.res < 0 || !may_end || !schedule->on_result(waiting.request)) return;
    waiting.error = ECANCELED;
    waiting.well = true;
    cancel(completion.user_data);
    io_uring_get_events(&ring_);
    return;
  }
  if (waiting.error != 0 && completion.res == -ECANCELED && !taken) end(at, waiting);
  less_.erase(completion.user_data);
  waiting_.erase(found);
}

// Invariant 4.
void Ring::end(unsigned at, const Waiting& waiting) noexcept {
  cqe(at).res = -waiting.error;
  if (!waiting.well) {
    ++process().counts.ended;
    return;
  }
  for (unsigned before = at; before != *ring_.cq.khead;) {
    io_uring_cqe& earlier = cqe(--before);
    if (earlier.user_data != cqe(at).user_data) continue;
    ++process().counts.ended_well;
    earlier.flags &= ~IORING_CQE_F_MORE;
    cqe(at).user_data = kCancelMark;
    cqe(at).res = 0;
    return;
  }
}

// The result of the target comes with the next entry into the kernel.
bool Ring::cancel(std::uint64_t user_data) noexcept {
  io_uring_sync_cancel_reg target{};
  target.addr = user_data;
  target.fd = -1;
  return io_uring_register_sync_cancel(&ring_, &target) != -ENOENT;
}

void Ring::end_waiting(UringSchedule& schedule) {
  for (const std::uint64_t user_data : std::exchange(soon_, {})) cancel(user_data);
  for (auto& [user_data, waiting] : waiting_) {
    if (waiting.error != 0) continue;
    waiting.error = schedule.on_waiting(waiting.request);
    if (waiting.error != 0) cancel(user_data);
  }
}

void Ring::pass_entries(UringSchedule* schedule) {
  const io_uring_sq& queue = ring_.sq;
  for (unsigned at = queue.sqe_head; at != queue.sqe_tail; ++at) {
    io_uring_sqe& sqe = queue.sqes[at & queue.ring_mask];
    ++process().counts.entries;
    UringEntry entry(*this, sqe, request_of(sqe));
    if (schedule != nullptr) schedule->on_entry(entry);
    if (is_cancel(sqe.user_data)) continue;
    waiting_[sqe.user_data] = {.request = request_of(sqe)};
  }
}

}  // namespace uring

// ---- Entries ----

std::size_t UringEntry::bytes() const noexcept {
  switch (sqe_.opcode) {
    case IORING_OP_SEND:
    case IORING_OP_READ: return sqe_.len;
    case IORING_OP_SENDMSG: return bytes_of(message_of(sqe_).msg_iov, message_of(sqe_).msg_iovlen);
    case IORING_OP_WRITEV: return bytes_of(pieces_of(sqe_), sqe_.len);
    case IORING_OP_RECV: return (sqe_.flags & IOSQE_BUFFER_SELECT) != 0 ? kBufferBytes : sqe_.len;
    default: return 0;
  }
}

void UringEntry::shorten(std::size_t most) noexcept {
  ++process().counts.shortened;
  switch (sqe_.opcode) {
    case IORING_OP_RECV: repeat_once(); break;
    case IORING_OP_SEND: sqe_.msg_flags &= ~static_cast<unsigned>(MSG_WAITALL); break;
    case IORING_OP_SENDMSG: {
      const msghdr& whole = message_of(sqe_);
      auto less = std::make_unique<Less>(whole.msg_iov, whole.msg_iovlen, most);
      less->message = whole;
      less->message.msg_iov = less->pieces.data();
      less->message.msg_iovlen = less->pieces.size();
      sqe_.addr = reinterpret_cast<std::uint64_t>(&less->message);
      sqe_.msg_flags &= ~static_cast<unsigned>(MSG_WAITALL);
      return ring_.keep(sqe_.user_data, std::move(less));
    }
    case IORING_OP_WRITEV: {
      auto less = std::make_unique<Less>(pieces_of(sqe_), sqe_.len, most);
      sqe_.addr = reinterpret_cast<std::uint64_t>(less->pieces.data());
      sqe_.len = static_cast<std::uint32_t>(less->pieces.size());
      return ring_.keep(sqe_.user_data, std::move(less));
    }
    default: break;
  }
  sqe_.len = static_cast<std::uint32_t>(most);
}

// A datagram without IORING_RECV_MULTISHOT comes in another form.
bool UringEntry::may_repeat_once() const noexcept {
  return request_.repeats && (sqe_.opcode == IORING_OP_RECV || sqe_.opcode == IORING_OP_ACCEPT);
}

void UringEntry::repeat_once() noexcept {
  constexpr unsigned kRepeating = IORING_RECV_MULTISHOT | IORING_ACCEPT_MULTISHOT;
  sqe_.ioprio = static_cast<std::uint16_t>(sqe_.ioprio & ~kRepeating);
}

void UringEntry::fail(int error) noexcept {
  if (sqe_.opcode == IORING_OP_ASYNC_CANCEL && error == ENOENT) {
    // It may stand in front of this one in the queue.
    if (!ring_.cancel(request_.target) && ring_.is_waiting(request_.target)) return;
  } else if (sqe_.opcode == IORING_OP_ASYNC_CANCEL) {
    ring_.end_soon(request_.target);
  }
  ++process().counts.failed;
  make_nop(sqe_, -error);
}

void UringEntry::mask() noexcept {
  ++process().counts.failed;
  sqe_.opcode = kNoOpcode;
}

// ---- The process ----

UringFaults::UringFaults(UringSchedule& schedule) {
  const std::lock_guard lock(process().mutex);
  process().schedule = &schedule;
}

UringFaults::~UringFaults() {
  const std::lock_guard lock(process().mutex);
  process().schedule = nullptr;
}

UringCounts uring_counts() {
  const std::lock_guard lock(process().mutex);
  return process().counts;
}

bool uring_faults_work() {
  static const bool works = [] {
    io_uring ring{};
    if (io_uring_queue_init(2, &ring, 0) != 0) return false;
    make_nop(*io_uring_get_sqe(&ring), -EXDEV);
    io_uring_cqe* cqe = nullptr;
    const bool done =
        io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_peek_cqe(&ring, &cqe) == 0;
    const bool injected = done && cqe->res == -EXDEV;
    io_uring_queue_exit(&ring);
    return injected;
  }();
  return works;
}

}  // namespace weir::test

// ---- What the linker puts in the place of liburing's functions ----

namespace {

using weir::test::process;
using weir::test::UringSchedule;

template <class Enter>
int enter(io_uring* ring, Enter&& call) {
  {
    const std::lock_guard lock(process().mutex);
    UringSchedule* schedule = process().schedule;
    auto& known = process().ring(ring);
    known.look(schedule);
    const bool first = known.enter();
    if (const int error = schedule == nullptr ? 0 : schedule->on_enter(first); error != 0) {
      ++process().counts.refused;
      return -error;
    }
    if (schedule != nullptr) known.end_waiting(*schedule);
    known.pass_entries(schedule);
  }
  const int result = call();
  const std::lock_guard lock(process().mutex);
  process().ring(ring).look(process().schedule);
  return result;
}

}  // namespace

extern "C" {

int __real_io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* params);
void __real_io_uring_queue_exit(io_uring* ring);
io_uring_probe* __real_io_uring_get_probe_ring(io_uring* ring);
int __real_io_uring_submit(io_uring* ring);
int __real_io_uring_submit_and_wait(io_uring* ring, unsigned wait_nr);
int __real_io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** cqe, unsigned wait_nr,
                                            __kernel_timespec* time, sigset_t* mask);
int __real_io_uring_submit_and_get_events(io_uring* ring);
int __real___io_uring_get_cqe(io_uring* ring, io_uring_cqe** cqe, unsigned submit, unsigned wait_nr,
                              sigset_t* mask);

int __wrap_io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* params) {
  {
    const std::lock_guard lock(process().mutex);
    process().rings.erase(ring);
    if (process().schedule != nullptr) process().schedule->on_setup(*params);
  }
  return __real_io_uring_queue_init_params(entries, ring, params);
}

void __wrap_io_uring_queue_exit(io_uring* ring) {
  {
    const std::lock_guard lock(process().mutex);
    process().rings.erase(ring);
  }
  __real_io_uring_queue_exit(ring);
}

io_uring_probe* __wrap_io_uring_get_probe_ring(io_uring* ring) {
  io_uring_probe* probe = __real_io_uring_get_probe_ring(ring);
  const std::lock_guard lock(process().mutex);
  if (probe == nullptr || process().schedule == nullptr) return probe;
  for (unsigned i = 0; i < probe->ops_len; ++i) {
    if (!process().schedule->knows(probe->ops[i].op)) probe->ops[i].flags = 0;
  }
  return probe;
}

int __wrap_io_uring_submit(io_uring* ring) {
  return enter(ring, [&] { return __real_io_uring_submit(ring); });
}

int __wrap_io_uring_submit_and_wait(io_uring* ring, unsigned wait_nr) {
  return enter(ring, [&] { return __real_io_uring_submit_and_wait(ring, wait_nr); });
}

int __wrap_io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** cqe, unsigned wait_nr,
                                            __kernel_timespec* time, sigset_t* mask) {
  return enter(ring, [&] {
    return __real_io_uring_submit_and_wait_timeout(ring, cqe, wait_nr, time, mask);
  });
}

int __wrap_io_uring_submit_and_get_events(io_uring* ring) {
  return enter(ring, [&] { return __real_io_uring_submit_and_get_events(ring); });
}

// Asked for a completion when none is there: the kernel may have some that found no room.
int __wrap___io_uring_get_cqe(io_uring* ring, io_uring_cqe** cqe, unsigned submit,
                              unsigned wait_nr, sigset_t* mask) {
  const int result = __real___io_uring_get_cqe(ring, cqe, submit, wait_nr, mask);
  const std::lock_guard lock(process().mutex);
  process().ring(ring).look(process().schedule);
  return result;
}

}  // extern "C"
