// The soak end to end, at servers that leak, lie, hang or spin: the verdict says so, and nothing
// else. Timing decides nothing here but how long a server that hangs is waited for.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "bench/process_facts.h"
#include "bench/soak_record.h"
#include "bench/soak_run.h"
#include "tests/sanitized.h"

namespace weir::bench {
namespace {

// Set by main from the command line.
struct Programs {
  std::string floor_epoll;
  std::string lying_server;
} programs;

SoakRunOptions options_for(SoakKind kind, const std::vector<std::string>& command) {
  SoakRunOptions options;
  options.servers.push_back({.name = "server",
                             .kind = kind,
                             .command = command,
                             .backend = {},
                             .directory = {}});
  // While this one has its turn, the other has nothing to do.
  options.servers.push_back({.name = "another",
                             .kind = SoakKind::echo,
                             .command = {programs.floor_epoll},
                             .backend = {},
                             .directory = {},
                             .judged = false});
  options.seconds = 0;
  options.slice_seconds = 0.15;
  options.warmup_rounds = 1;
  options.rate = 2000;
  return options;
}

std::vector<std::string> failures_of(const SoakRunOptions& options) {
  const SoakRecord record = run_soak(options).front();
  // So few rounds show only what is gross.
  const SoakLimits limits{.memory_drift = 0.2, .judges_memory = !test::kSanitized};
  std::vector<std::string> criteria;
  for (const SoakVerdict& verdict : judge(record, nullptr, limits)) {
    if (verdict.outcome != SoakOutcome::fail) continue;
    criteria.push_back(verdict.criterion);
    testing::Test::RecordProperty(verdict.criterion, verdict.text);
  }
  return criteria;
}

using Criteria = std::vector<std::string>;

TEST(Soak, AnHonestServerPasses) {
  EXPECT_EQ(failures_of(options_for(SoakKind::echo, {programs.floor_epoll})), Criteria{});
  EXPECT_EQ(failures_of(options_for(SoakKind::echo, {programs.lying_server, "none"})), Criteria{});
}

struct Lie {
  const char* lie;
  const char* criterion;
  double drain_seconds = 10;
  int rounds = 2;
};

class SoakedLie : public testing::TestWithParam<Lie> {};

INSTANTIATE_TEST_SUITE_P(Lies, SoakedLie,
                         testing::Values(Lie{"flip", "bytes"}, Lie{"drop", "bytes"},
                                         Lie{"double", "bytes"}, Lie{"close", "bytes"},
                                         Lie{"extra", "bytes"}, Lie{"hang", "operations", 0.5},
                                         Lie{"leak-descriptor", "descriptors", 0.5},
                                         Lie{.lie = "leak-memory",
                                             .criterion = "memory",
                                             // However much each of them leaves, the last
                                             // quarter has far more than the first.
                                             .rounds = 12},
                                         Lie{"spin", "idle", 0.5}, Lie{"exit", "exit"}),
                         [](const auto& info) {
                           std::string name = info.param.lie;
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(SoakedLie, IsSeen) {
  const Lie& lie = GetParam();
  if (test::kSanitized && std::string(lie.criterion) == "memory") {
    GTEST_SKIP() << "it is not judged";
  }
  SoakRunOptions options = options_for(SoakKind::echo, {programs.lying_server, lie.lie});
  options.drain_seconds = lie.drain_seconds;
  options.rounds_min = lie.rounds;
  EXPECT_EQ(failures_of(options), Criteria{lie.criterion});
}

TEST(Soak, AThreadAtWorkIsSeen) {
  const pid_t spinning = fork();
  if (spinning == 0) {
    for (std::atomic<unsigned> turns = 0;;) ++turns;
  }
  const pid_t sleeping = fork();
  if (sleeping == 0) {
    for (;;) pause();
  }
  // A child begins at work.
  while (threads_at_work(sleeping) != 0) sched_yield();
  EXPECT_EQ(threads_at_work(spinning), 1U);
  for (const pid_t child : {spinning, sleeping}) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_EQ(threads_at_work(child), 0U);
  }
}

TEST(Soak, WhatIsNoWebServerIsSeen) {
  EXPECT_EQ(failures_of(options_for(SoakKind::web, {programs.floor_epoll})), Criteria{"bytes"});
}

TEST(Soak, AServerThatDoesNotSayWhatItHoldsIsSeen) {
  SoakRunOptions options = options_for(SoakKind::echo, {programs.floor_epoll});
  options.servers.front().has_metrics = true;
  options.drain_seconds = 2;
  EXPECT_EQ(failures_of(options), Criteria{"operations"});
}

TEST(Soak, AServerThatIsNotThereIsSeen) {
  EXPECT_EQ(failures_of(options_for(SoakKind::echo, {"/nowhere"})), Criteria{"start"});
  SoakRunOptions other = options_for(SoakKind::echo, {programs.floor_epoll});
  other.servers.front().backend = "io_uring";
  EXPECT_EQ(failures_of(other), Criteria{"start"});
}

TEST(Soak, TheRateComesFromWhatTheServerCanDo) {
  SoakRunOptions options = options_for(SoakKind::echo, {programs.floor_epoll});
  options.rate = 0;
  options.calibration_seconds = 0.05;
  options.load = 0.5;
  const SoakRecord record = run_soak(options).front();
  EXPECT_GT(record.capacity, 0);
  EXPECT_DOUBLE_EQ(record.rate, 0.5 * record.capacity);
  EXPECT_EQ(record.points.size(), 2U);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: soak_test FLOOR_EPOLL LYING_SERVER\n");
    return 2;
  }
  weir::bench::programs = {argv[1], argv[2]};
  return RUN_ALL_TESTS();
}
