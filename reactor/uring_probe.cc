#include "reactor/uring_probe.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "weir/reactor/assert.h"

namespace weir::inline v1 {
namespace {

std::string advice_for(int error, const char* call) {
  switch (error) {
    case EPERM:
    case EACCES:
      return "io_uring is forbidden here, by a seccomp profile or by the sysctl "
             "kernel.io_uring_disabled";
    case ENOSYS: return std::string(call) + "(2) is missing, or hidden by a seccomp profile";
    case ENOMEM: return "the limit on locked memory (ulimit -l) is too low for a ring";
    case EINVAL:
    case EOPNOTSUPP: return "this kernel lacks what weir needs of io_uring; Linux 6.1 has it";
    case EMFILE: return "the limit on open files (ulimit -n) is reached";
    default: return "io_uring does not work here";
  }
}

Error refusal(int error, const char* call = "io_uring_setup") {
  return {.code = errno_code(error),
          .syscall = call,
          .address = {},
          .detail = advice_for(error, call)};
}

[[noreturn]] void end_process(int error, const char* call) noexcept {
  detail::assertion_failed(refusal(error, call).message().c_str(), __FILE__, __LINE__);
}

bool is_forbidden(int error) noexcept {
  return error == EPERM || error == EACCES || error == ENOSYS;
}

unsigned setup_flags(const UringOptions& options) noexcept {
  const unsigned task_run =
      options.defer_taskrun ? IORING_SETUP_DEFER_TASKRUN : IORING_SETUP_COOP_TASKRUN;
  return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG |
         task_run;
}

// The call that failed, and the errno value that it gave; 0 when all went well.
struct Trial {
  const char* call;
  int error;
};

// Sets up, enables, submits and completes. A seccomp profile may allow some of the calls only.
Trial try_round_trip(const UringOptions& options) noexcept {
  io_uring ring{};
  io_uring_params params{};
  params.flags = setup_flags(options) | IORING_SETUP_R_DISABLED;
  const int made = io_uring_queue_init_params(8, &ring, &params);
  if (made < 0) return {.call = "io_uring_setup", .error = -made};
  Trial trial{.call = "io_uring_register", .error = -enable_ring(ring)};
  if (trial.error == 0) {
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    int result = io_uring_submit_and_wait(&ring, 1);
    io_uring_cqe* cqe = nullptr;
    if (result >= 0) result = io_uring_peek_cqe(&ring, &cqe);
    if (result == 0) result = cqe->res;
    trial = {.call = "io_uring_enter", .error = result < 0 ? -result : 0};
  }
  io_uring_queue_exit(&ring);
  return trial;
}

int set_up(io_uring& ring, const UringOptions& options, unsigned entries, unsigned completions) {
  io_uring_params params{};
  params.flags = setup_flags(options) | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;
  params.cq_entries = completions;
  return -io_uring_queue_init_params(entries, &ring, &params);
}

// An operation that weir cannot do without and the kernel has not, by its name; else null. Where
// the kernel has no multishot recvmsg, the datagrams find out. `zero_copy`: whether it can send
// without a copy.
const char* missing_operation(io_uring& ring, bool& zero_copy) noexcept {
  struct Needed {
    int operation;
    const char* name;
  };
  static constexpr Needed kNeeded[] = {
      {IORING_OP_ACCEPT, "IORING_OP_ACCEPT"},     {IORING_OP_CONNECT, "IORING_OP_CONNECT"},
      {IORING_OP_RECV, "IORING_OP_RECV"},         {IORING_OP_SEND, "IORING_OP_SEND"},
      {IORING_OP_SENDMSG, "IORING_OP_SENDMSG"},   {IORING_OP_POLL_ADD, "IORING_OP_POLL_ADD"},
      {IORING_OP_READ, "IORING_OP_READ"},         {IORING_OP_WRITEV, "IORING_OP_WRITEV"},
      {IORING_OP_ASYNC_CANCEL, "IORING_OP_ASYNC_CANCEL"},
  };
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  // It needs no privilege, but a seccomp profile may forbid it: then the operations show what they
  // can do when they are used.
  if (probe == nullptr) return nullptr;
  const char* missing = nullptr;
  for (const Needed& one : kNeeded) {
    if (io_uring_opcode_supported(probe, one.operation) == 0) missing = one.name;
  }
  zero_copy = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) != 0 &&
              io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC) != 0;
  io_uring_free_probe(probe);
  return missing;
}

// Receive memory in the best form that the kernel takes.
bool add_buffers(UringRing& made, const BackendOptions& options) {
  const auto try_ring = [&](std::size_t chunk_bytes, unsigned chunks, bool incremental) {
    made.pool.reset(BufferPool::create(chunk_bytes, options.receive_memory_max));
    if (made.pool == nullptr) return false;
    auto buffers = BufferRing::create(*made.ring, *made.pool, chunks, incremental);
    if (buffers) made.buffers = std::move(*buffers);
    return buffers.has_value();
  };
  // At most half of the receive memory stands in the ring, so that there is some for slices that
  // are still in use.
  const auto at_most = [&](unsigned wanted, std::size_t chunk_bytes) {
    const std::size_t half = options.receive_memory_max / chunk_bytes / 2;
    return static_cast<unsigned>(std::bit_floor(std::clamp<std::size_t>(half, 1, wanted)));
  };
  const unsigned chunks = std::bit_ceil(std::max(options.uring.ring_chunks, 2U));
  if (options.uring.buffer_ring && options.uring.incremental &&
      try_ring(limits::kReceiveChunkBytes, at_most(chunks, limits::kReceiveChunkBytes), true)) {
    made.techniques = "multishot receive, incremental buffer ring";
    return true;
  }
  // As many bytes as the incremental ring would have, in smaller pieces.
  const unsigned plain = at_most(chunks * (limits::kPlainRingBuffers / limits::kRingChunks),
                                 limits::kPlainRingBufferBytes);
  if (options.uring.buffer_ring && try_ring(limits::kPlainRingBufferBytes, plain, false)) {
    made.techniques = "multishot receive, plain buffer ring";
    return true;
  }
  made.techniques = "multishot poll, plain receives";
  made.pool.reset(BufferPool::create(limits::kReceiveChunkBytes, options.receive_memory_max));
  return made.pool != nullptr;
}

}  // namespace

int enable_ring(io_uring& ring) noexcept {
  const long result = ::syscall(__NR_io_uring_register, ring.ring_fd,
                                IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  return result == 0 ? 0 : -errno;
}

void enable_probed_ring(io_uring& ring) noexcept {
  const int result = enable_ring(ring);
  if (is_forbidden(-result)) end_process(-result, "io_uring_register");
  WEIR_ASSERT(result == 0);
}

void entry_failed(int result) noexcept {
  if (is_forbidden(-result)) end_process(-result, "io_uring_enter");
}

Expected<UringRing> make_uring_ring(const BackendOptions& options) {
  if (const auto [call, error] = try_round_trip(options.uring); error != 0) {
    return failure(refusal(error, call));
  }
  auto ring = std::make_unique<io_uring>();
  const unsigned entries = options.uring.entries;
  int error = set_up(*ring, options.uring, entries,
                     std::max(limits::kRingCompletionsMin, 2 * entries));
  if (error == ENOMEM) error = set_up(*ring, options.uring, 64, 128);
  if (error != 0) return failure(refusal(error));
  UringRing made;
  made.ring.reset(ring.release());
  if (const char* missing = missing_operation(*made.ring, made.zero_copy)) {
    Error error = refusal(EOPNOTSUPP);
    error.detail = std::string(missing) + " is missing, or forbidden; Linux 6.1 has it";
    return failure(std::move(error));
  }
  if (!add_buffers(made, options)) return failure(refusal(ENOMEM));
  const bool deferred = (made.ring->flags & IORING_SETUP_DEFER_TASKRUN) != 0;
  made.techniques += deferred ? ", DEFER_TASKRUN" : ", COOP_TASKRUN";
  return made;
}

}  // namespace weir::inline v1
