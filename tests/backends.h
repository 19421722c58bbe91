// The backends that every behavioural test runs on: both kernel ones, each fallback forced, and the
// simulator.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "weir/reactor/reactor.h"
#include "weir/reactor/sim_backend.h"

namespace weir::test {

// The longest that a test waits for an event that must come: `usual`, or so many seconds as
// WEIR_PATIENCE says, when it is known that the event does not come (planted/).
inline Duration patience(Duration usual) {
  const char* seconds = std::getenv("WEIR_PATIENCE");
  return seconds == nullptr ? usual : std::chrono::seconds(std::atoi(seconds));
}

struct BackendCase {
  std::string name;
  BackendOptions options;
};

inline void PrintTo(const BackendCase& backend, std::ostream* out) { *out << backend.name; }

inline BackendCase uring_case(std::string name, void (*change)(BackendOptions&)) {
  BackendCase made{.name = std::move(name), .options = {.kind = BackendKind::io_uring}};
  change(made.options);
  return made;
}

// True when this machine lets us use io_uring; where it does not, those cases are skipped.
inline bool uring_works() {
  static const bool works = choose_backend({.kind = BackendKind::io_uring}).has_value();
  return works;
}

inline std::vector<BackendCase> kernel_backends() {
  return {
      {.name = "epoll", .options = {.kind = BackendKind::epoll}},
      uring_case("io_uring", [](BackendOptions&) {}),
      uring_case("io_uring_plain_ring",
                 [](BackendOptions& options) { options.uring.incremental = false; }),
      uring_case("io_uring_no_ring",
                 [](BackendOptions& options) { options.uring.buffer_ring = false; }),
      uring_case("io_uring_oneshot_accept",
                 [](BackendOptions& options) { options.uring.multishot_accept = false; }),
      uring_case("io_uring_coop_taskrun",
                 [](BackendOptions& options) { options.uring.defer_taskrun = false; }),
      uring_case("io_uring_unregistered_fd",
                 [](BackendOptions& options) { options.uring.register_ring_fd = false; }),
      uring_case("io_uring_tiny_ring",
                 [](BackendOptions& options) {
                   options.uring.entries = 8;
                   options.uring.ring_chunks = 2;
                 }),
  };
}

// Where the kernel cannot read and write files, pipes and terminals without waiting.
inline std::vector<BackendCase> file_thread_backends() {
  return {
      {.name = "epoll_threads", .options = {.kind = BackendKind::epoll, .file_nowait = false}},
      uring_case("io_uring_threads", [](BackendOptions& options) { options.file_nowait = false; }),
  };
}

inline std::vector<BackendCase> simulator() {
  return {{.name = "sim", .options = {.kind = BackendKind::sim}}};
}

inline std::vector<BackendCase> all_backends() {
  std::vector<BackendCase> cases = kernel_backends();
  cases.push_back(simulator().front());
  return cases;
}

// One of each kind.
inline std::vector<BackendCase> main_backends() {
  std::vector<BackendCase> cases = all_backends();
  std::erase_if(cases, [](const BackendCase& backend) {
    return backend.name != "epoll" && backend.name != "io_uring" && backend.name != "sim";
  });
  return cases;
}

inline std::string case_name(const testing::TestParamInfo<BackendCase>& info) {
  return info.param.name;
}

// A test that runs once on each backend; `backend()` makes a fresh one.
class BackendTest : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    if (GetParam().options.kind == BackendKind::io_uring && !uring_works()) {
      GTEST_SKIP() << "io_uring is not available here";
    }
  }

  // The kernel gives the locked memory of closed rings back some time later: for unprivileged users
  // it may have to be waited for.
  static Expected<ChosenBackend> choose_patiently(const BackendOptions& options) {
    auto chosen = choose_backend(options);
    for (int i = 0; i < 500 && !chosen && chosen.error().code == errno_code(ENOMEM); ++i) {
      ::poll(nullptr, 0, 20);
      chosen = choose_backend(options);
    }
    return chosen;
  }

  static std::unique_ptr<Backend> make_backend() {
    auto chosen = choose_patiently(GetParam().options);
    EXPECT_TRUE(chosen.has_value()) << (chosen ? "" : chosen.error().message());
    return chosen ? std::move(chosen->backend) : nullptr;
  }

  static bool simulated() { return GetParam().options.kind == BackendKind::sim; }
};

#define WEIR_ON_ALL_BACKENDS(Suite)                                                          \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::ValuesIn(weir::test::all_backends()),   \
                           weir::test::case_name)
#define WEIR_ON_FILE_THREADS(Suite)                                                             \
  INSTANTIATE_TEST_SUITE_P(Threads, Suite, testing::ValuesIn(weir::test::file_thread_backends()), \
                           weir::test::case_name)
#define WEIR_ON_KERNEL_BACKENDS(Suite)                                                        \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::ValuesIn(weir::test::kernel_backends()), \
                           weir::test::case_name)
// What times exactly: on a machine that is busy with others a kernel's clock goes on meanwhile.
#define WEIR_ON_SIM(Suite)                                                               \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::ValuesIn(weir::test::simulator()), \
                           weir::test::case_name)

}  // namespace weir::test
