// Tests of a server that runs as a process of its own, once on each backend of the kernel.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/server_process.h"
#include "tests/process.h"
#include "tests/random.h"
#include "tests/raw_client.h"

namespace weir::test {

using bench::ServerProcess;

// Of the programs that are named in the test's arguments, the one with this file name;
// process_test.cc has main().
const std::string& program(std::string_view name);

inline std::string random_bytes(std::size_t size, Random& random) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

// What a test has measured, in its log and in its report.
inline void report(const std::string& what, double value, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4g %s", value, unit);
  std::printf("  measured: %s: %s\n", what.c_str(), text);
  testing::Test::RecordProperty(what, text);
}

inline double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// Behind each test: the server still lives, gives every descriptor back, and leaves with 0.
class ProcessTest : public testing::TestWithParam<std::string> {
 protected:
  // A server here, listening at a port that the kernel chooses.
  std::vector<std::string> command(std::string_view name,
                                   const std::vector<std::string>& flags = {}) const {
    std::vector<std::string> all = {program(name), "--host",    "127.0.0.1", "--port",
                                    "0",           "--backend", GetParam()};
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }
  void start(const std::vector<std::string>& command) {
    auto started = ServerProcess::start(command, -1);
    if (!started && GetParam() == "io_uring") GTEST_SKIP() << started.error();
    ASSERT_TRUE(started.has_value()) << started.error();
    server_.emplace(std::move(*started));
    fds_ = open_fds(pid());
  }
  void TearDown() override {
    if (!server_) return;
    const Stopwatch watch;
    EXPECT_TRUE(eventually([&] { return open_fds(pid()) <= fds_; }))
        << open_fds(pid()) << " descriptors of " << fds_;
    EXPECT_LT(watch.seconds(), 10);
    const auto stopped = server_->stop();
    EXPECT_TRUE(stopped.has_value()) << stopped.error();
  }

  pid_t pid() const { return server_->pid(); }
  RawClient connect(const RawOptions& options = {}) const {
    return RawClient(server_->port(), options);
  }
  std::vector<RawClient> connect_all(std::size_t count, const RawOptions& options = {}) const {
    std::vector<RawClient> clients;
    clients.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(connect(options));
      EXPECT_TRUE(clients.back().connected()) << i;
    }
    return clients;
  }

  std::optional<ServerProcess> server_;
  std::size_t fds_ = 0;
};

#define WEIR_ON_PROCESS_BACKENDS(Suite)                                               \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::Values("epoll", "io_uring"),     \
                           [](const auto& info) { return std::string(info.param); })

}  // namespace weir::test
