// The io_uring backend: multishot operations on one ring for each reactor.
#pragma once

#include <memory>
#include <string>

#include "weir/reactor/backend.h"

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
