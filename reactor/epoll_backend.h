// The epoll backend: readiness turned into completions.
#pragma once

#include <memory>

#include "weir/reactor/backend.h"

namespace weir::inline v1 {

Expected<std::unique_ptr<Backend>> make_epoll_backend(const BackendOptions& options);

}  // namespace weir::inline v1
