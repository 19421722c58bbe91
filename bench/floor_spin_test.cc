// That --spin of the bare loops does what it says: who spins never sleeps, who does not takes no
// time when nothing comes.
#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/load_clock.h"
#include "bench/process_facts.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

struct Floor {
  const char* program;
  std::vector<std::string> flags;
};

std::vector<std::string> programs;

std::string path_of(const std::string& name) {
  for (const std::string& path : programs) {
    if (std::filesystem::path(path).filename() == name) return path;
  }
  return {};
}

class FloorSpin : public testing::TestWithParam<Floor> {
 protected:
  // False: the kernel lacks what it needs.
  bool start(bool spin) {
    std::vector<std::string> command = {path_of(GetParam().program)};
    command.insert(command.end(), GetParam().flags.begin(), GetParam().flags.end());
    if (spin) command.push_back("--spin");
    auto started = ServerProcess::start(command, -1);
    if (!started) {
      EXPECT_NE(started.error().find("io_uring"), std::string::npos) << started.error();
      return false;
    }
    server_.emplace(std::move(*started));
    return true;
  }
  void TearDown() override {
    if (!server_) return;
    const auto stopped = server_->stop();
    EXPECT_TRUE(stopped.has_value()) << stopped.error();
  }

  double cpu_seconds() const {
    return static_cast<double>(nanoseconds(*process_cpu_clock(server_->pid()))) / 1e9;
  }
  // Gives up after 20 s.
  template <class Condition>
  static bool eventually(Condition&& condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      poll(nullptr, 0, 10);
    }
    return false;
  }

  std::optional<ServerProcess> server_;
};

TEST_P(FloorSpin, WhoSpinsUsesTheProcessorWithNothingToDo) {
  if (!start(true)) GTEST_SKIP() << "no such loop here";
  const double before = cpu_seconds();
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(threads_at_work(server_->pid()), 1U);
    return cpu_seconds() - before > 0.1;
  }));
}

TEST_P(FloorSpin, WhoDoesNotSleeps) {
  if (!start(false)) GTEST_SKIP() << "no such loop here";
  ASSERT_TRUE(eventually([&] { return threads_at_work(server_->pid()) == 0; }));
  const double before = cpu_seconds();
  poll(nullptr, 0, 300);
  EXPECT_LT(cpu_seconds() - before, 0.02);
  EXPECT_EQ(threads_at_work(server_->pid()), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Loops, FloorSpin,
    testing::Values(Floor{"floor_epoll", {}}, Floor{"floor_uring", {}},
                    Floor{"floor_http", {"--loop", "epoll"}},
                    Floor{"floor_http", {"--loop", "io_uring"}}),
    [](const auto& info) {
      return info.param.flags.empty() ? std::string(info.param.program)
                                      : info.param.program + ("_" + info.param.flags.back());
    });

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    weir::bench::programs.push_back(std::filesystem::absolute(argv[i]));
  }
  return RUN_ALL_TESTS();
}
