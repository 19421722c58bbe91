// The UDP benchmark end to end: every receiver counts what was sent, and those that lie are found
// out.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/udp_report.h"
#include "bench/udp_sample.h"
#include "tests/leaks.h"

namespace weir::bench {
namespace {

// Set by main from the command line.
struct Programs {
  std::string floor;
  std::string weir;
  std::string lying_receiver;
} programs;

constexpr double kSlow = 100'000;

struct Kind {
  std::string name;
  std::vector<std::string> command;
  bool coalesces = false;
};

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const char* loop : {"recvfrom", "recvmmsg", "recvmmsg_epoll", "gro", "multishot"}) {
    all.push_back({loop, {programs.floor, "--loop", loop}, std::string(loop) == "gro"});
  }
  for (const char* backend : {"epoll", "io_uring"}) {
    for (const bool coalesce : {true, false}) {
      all.push_back(
          {backend,
           {programs.weir, "--backend", backend, coalesce ? "--coalesce" : "--no-coalesce"},
           coalesce});
    }
  }
  if (!io_uring_refusal().empty()) {
    std::erase_if(
        all, [](const Kind& kind) { return kind.name == "multishot" || kind.name == "io_uring"; });
  }
  return all;
}

UdpRun run_of(const Kind& kind, const UdpLoad& load) {
  UdpRun run;
  run.command = kind.command;
  run.command.insert(run.command.end(), {"--receive-buffer", "200000"});
  run.kind = kind.name;
  run.load = load;
  run.coalesces = kind.coalesces;
  run.warmup_seconds = 0.01;
  run.duration_seconds = 0.05;
  return run;
}

void expect_all_counted(const UdpRun& run) {
  SCOPED_TRACE(testing::PrintToString(run.command));
  const auto sample = take_udp_sample(run);
  ASSERT_TRUE(sample) << sample.error();
  EXPECT_EQ(sample->received + sample->lost, sample->sent);
  EXPECT_GT(sample->datagrams, 0);
  EXPECT_GT(sample->receives, 0);
  EXPECT_GT(sample->seconds, 0.04);
  EXPECT_GT(sample->cpu_seconds, 0);
  // The two clocks are not read at once.
  EXPECT_LT(sample->cpu_seconds, 1.05 * sample->seconds);
  EXPECT_GE(sample->receive_buffer, 200'000);
}

TEST(Udp, CountsWhatASlowSenderSends) {
  for (const Kind& kind : kinds()) {
    expect_all_counted(run_of(kind, {.size = 64, .rate = kSlow}));
    expect_all_counted(run_of(kind, {.size = 1400, .rate = kSlow}));
  }
}

TEST(Udp, CountsWhatAFastSenderSendsAndTheKernelDrops) {
  for (const Kind& kind : kinds()) expect_all_counted(run_of(kind, {.size = 1400}));
}

TEST(Udp, CountsWhatFillsTheQueueOfAStoppedReceiver) {
  for (const Kind& kind : kinds()) {
    UdpRun run = run_of(kind, {.size = 64});
    run.pace = UdpPace::in_turn;
    expect_all_counted(run);
  }
}

TEST(Udp, CountsEachSegment) {
  if (const std::string refusal = segment_refusal(); !refusal.empty()) GTEST_SKIP() << refusal;
  for (const Kind& kind : kinds()) {
    expect_all_counted(run_of(kind, {.size = 64, .segments = 64, .rate = kSlow}));
    expect_all_counted(run_of(kind, {.size = 1400, .segments = 45}));
  }
}

TEST(Udp, KeepsTheRate) {
  const Kind kind = kinds().front();
  UdpRun run = run_of(kind, {.size = 64, .rate = 20'000});
  run.duration_seconds = 0.3;
  const auto sample = take_udp_sample(run);
  ASSERT_TRUE(sample) << sample.error();
  EXPECT_LT(sample->per_second(), 22'000);
}

TEST(Udp, FindsOutWhoLies) {
  const std::vector<std::pair<std::string, std::string>> lies = {
      {"doubles", "datagrams were sent"}, {"shortens", "other bytes"}, {"deaf", " 0 received"}};
  for (const auto& [lie, error] : lies) {
    const Kind kind{"lying", {programs.lying_receiver, "--lie", lie}, false};
    const auto sample = take_udp_sample(run_of(kind, {.size = 64, .rate = kSlow}));
    ASSERT_FALSE(sample) << lie;
    EXPECT_NE(sample.error().find(error), std::string::npos) << sample.error();
  }
}

TEST(Udp, SaysWhyAReceiverDidNotStart) {
  const auto missing = take_udp_sample(run_of({"x", {"/does/not/exist"}, false}, {}));
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().find("cannot execute"), std::string::npos) << missing.error();
  const auto other = take_udp_sample(run_of({"x", {programs.floor}, false}, {}));
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().find("it printed `backend recvmmsg"), std::string::npos) << other.error();
}

TEST(Udp, TheRatioIsTheMedianOfTheRounds) {
  const auto row = [](std::vector<double> per_cpu_second) {
    UdpRow made;
    for (const double datagrams : per_cpu_second) {
      made.samples.push_back({.cpu_seconds = 1, .datagrams = datagrams});
    }
    return made;
  };
  EXPECT_DOUBLE_EQ(ratio_of(row({100, 300, 50}), row({100, 200, 100})), 1.0);
  EXPECT_DOUBLE_EQ(ratio_of(row({100, 300}), row({100, 200})), 1.25);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  if (argc != 4) return 2;
  weir::bench::programs = {argv[1], argv[2], argv[3]};
  return RUN_ALL_TESTS();
}
