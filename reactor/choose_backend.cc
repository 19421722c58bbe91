#include "reactor/epoll_backend.h"
#include "reactor/posix_files.h"
#include "weir/reactor/sim_backend.h"
#include "reactor/uring_backend.h"

namespace weir::inline v1 {

const char* name_of(BackendKind kind) noexcept {
  switch (kind) {
    case BackendKind::automatic: return "auto";
    case BackendKind::io_uring: return "io_uring";
    case BackendKind::epoll: return "epoll";
    case BackendKind::sim: return "sim";
  }
  return "unknown";
}

Expected<ChosenBackend> choose_backend(const BackendOptions& options) {
  if (options.kind == BackendKind::sim) {
    return ChosenBackend{.backend = std::make_unique<SimBackend>(
                             SimOptions{.receive_memory_max = options.receive_memory_max}),
                         .code = {},
                         .reason = "asked for"};
  }
  posix::occupy_standard_descriptors();
  ChosenBackend chosen;
  chosen.reason = "asked for";
  if (options.kind != BackendKind::epoll) {
    auto uring = make_uring_backend(options);
    if (uring) {
      const bool asked = options.kind == BackendKind::io_uring;
      chosen.reason = (asked ? "asked for; " : "the probe succeeded; ") + uring->techniques;
      chosen.backend = std::move(uring->backend);
      return chosen;
    }
    if (options.kind == BackendKind::io_uring) return failure(uring.error());
    chosen.code = uring.error().code;
    chosen.reason = uring.error().message();
  }
  auto epoll = make_epoll_backend(options);
  if (!epoll) return failure(epoll.error());
  chosen.backend = std::move(*epoll);
  return chosen;
}

}  // namespace weir::inline v1
