// The open-loop load against honest, lying, slow and stalling servers: nothing that was due is left
// out, and each latency begins when its message was due.
#include "bench/open_load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "bench/server_process.h"

namespace weir::bench {
namespace {

// Set by main from the command line.
std::string floor_epoll;
std::string lying_server;

constexpr std::uint64_t kMillisecond = 1'000'000;

std::expected<OpenLoadResult, std::string> load(const ServerProcess& server,
                                                OpenLoadOptions options) {
  options.port = server.port();
  options.server_pid = server.pid();
  return run_open_load(options);
}

// How many messages of the schedule are due in its measuring window, which begins 15 ms behind the
// warm-up and is followed by as much.
std::size_t due_in_window(const OpenLoadOptions& options) {
  const double begin = options.warmup_seconds + 0.015;
  const double end = begin + options.duration_seconds;
  const auto schedule = make_schedule(options.rate, end + 0.015, options.seed);
  return static_cast<std::size_t>(std::ranges::count_if(schedule, [&](std::int64_t moment) {
    return moment >= static_cast<std::int64_t>(begin * 1e9) &&
           moment < static_cast<std::int64_t>(end * 1e9);
  }));
}

// ---- The schedule ----

TEST(Schedule, FollowsFromItsSeedAlone) {
  const auto first = make_schedule(10'000, 1, 7);
  EXPECT_EQ(first, make_schedule(10'000, 1, 7));
  EXPECT_NE(first, make_schedule(10'000, 1, 8));
}

TEST(Schedule, IsInOrderAndEndsInTime) {
  const auto schedule = make_schedule(100'000, 0.5, 1);
  EXPECT_TRUE(std::ranges::is_sorted(schedule));
  EXPECT_GE(schedule.front(), 0);
  EXPECT_LT(schedule.back(), std::int64_t{500'000'000});
}

// Of 100 000 messages the standard deviation is 316.
TEST(Schedule, HasTheRateThatWasAskedFor) {
  const auto schedule = make_schedule(100'000, 1, 1);
  EXPECT_NEAR(static_cast<double>(schedule.size()), 100'000, 1600);
}

// Clients that know nothing of each other: of the gaps a share of 1 / e is longer than the mean,
// and of e^-3 longer than three of them.
TEST(Schedule, HasGapsThatAreDistributedExponentially) {
  const auto schedule = make_schedule(100'000, 1, 1);
  double longer = 0;
  double far_longer = 0;
  for (std::size_t i = 1; i < schedule.size(); ++i) {
    const std::int64_t gap = schedule[i] - schedule[i - 1];
    longer += gap > 10'000 ? 1 : 0;
    far_longer += gap > 30'000 ? 1 : 0;
  }
  const auto count = static_cast<double>(schedule.size());
  EXPECT_NEAR(longer / count, 0.368, 0.01);
  EXPECT_NEAR(far_longer / count, 0.0498, 0.005);
}

// ---- Honest servers ----

struct Shape {
  int connections;
  std::uint64_t size;
  double rate;
};

class Shapes : public testing::TestWithParam<Shape> {};

TEST_P(Shapes, EveryMessageThatWasDueIsCounted) {
  auto server = ServerProcess::start({floor_epoll}, -1);
  ASSERT_TRUE(server) << server.error();
  const OpenLoadOptions options{.connections = GetParam().connections,
                                .size = GetParam().size,
                                .rate = GetParam().rate,
                                .warmup_seconds = 0.05,
                                .duration_seconds = 0.3};
  const auto result = load(*server, options);
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->latency.count(), due_in_window(options));
  EXPECT_EQ(result->lateness.count(), due_in_window(options));
  // No answer comes before its message went, which is not before it was due.
  EXPECT_GE(result->latency.min(), result->lateness.min());
  EXPECT_GE(result->latency.max(), result->lateness.max());
  EXPECT_GE(result->latency.percentile(50), result->lateness.percentile(50));
  EXPECT_GT(result->server_cpu_us_per_message, 0);
  EXPECT_TRUE(server->stop());
}

INSTANTIATE_TEST_SUITE_P(Of, Shapes,
                         testing::Values(Shape{1, 64, 1000}, Shape{1, 1, 5000},
                                         Shape{100, 64, 10'000}, Shape{3, 16 << 10, 500},
                                         Shape{2, (1 << 20) + 1, 20}),
                         [](const auto& info) {
                           return std::to_string(info.param.connections) + "_x_" +
                                  std::to_string(info.param.size);
                         });

TEST(OpenLoad, WithoutAProcessToLookAtThereIsNoCpu) {
  auto server = ServerProcess::start({floor_epoll}, -1);
  ASSERT_TRUE(server) << server.error();
  const auto result = run_open_load({.port = server->port(), .duration_seconds = 0.1});
  ASSERT_TRUE(result) << result.error();
  EXPECT_LT(result->server_cpu_us_per_message, 0);
  EXPECT_TRUE(server->stop());
}

// ---- Slow ones ----

TEST(OpenLoad, AServerThatPausesIsSlowByItsPause) {
  auto server = ServerProcess::start({lying_server, "slow"}, -1);
  ASSERT_TRUE(server) << server.error();
  const auto result = load(*server, {.connections = 20, .rate = 200, .duration_seconds = 0.5});
  ASSERT_TRUE(result) << result.error();
  EXPECT_GE(result->latency.min(), 20 * kMillisecond);
  EXPECT_GE(result->latency.percentile(50), 20 * kMillisecond);
  EXPECT_TRUE(server->stop());
}

// Every tenth connection has its answers 200 ms late, and the connections take turns: a tenth of
// the messages, whatever waits behind them, and no others.
TEST(OpenLoad, AShareThatIsLateShowsInItsPercentiles) {
  auto server = ServerProcess::start({lying_server, "tenth"}, -1);
  ASSERT_TRUE(server) << server.error();
  const auto result = load(*server, {.connections = 20, .rate = 1000, .duration_seconds = 1});
  ASSERT_TRUE(result) << result.error();
  EXPECT_LT(result->latency.percentile(85), 200 * kMillisecond);
  for (const double percent : {91.0, 99.0, 99.9, 99.99}) {
    EXPECT_GE(result->latency.percentile(percent), 200 * kMillisecond) << percent;
  }
  EXPECT_TRUE(server->stop());
}

// It stalls once, for 300 ms. A closed loop would have had one message under way and seen one that
// was late; here a fifth of those of a second were due in the first 200 ms of it.
TEST(OpenLoad, WhatWasDueDuringAStallIsLate) {
  auto server = ServerProcess::start({lying_server, "stall"}, -1);
  ASSERT_TRUE(server) << server.error();
  const auto result =
      load(*server, {.rate = 1000, .warmup_seconds = 0, .duration_seconds = 1});
  ASSERT_TRUE(result) << result.error();
  EXPECT_GE(result->latency.max(), 290 * kMillisecond);
  EXPECT_GE(result->latency.percentile(85), 100 * kMillisecond);
  EXPECT_TRUE(server->stop());
}

// No machine sends so many: the load is late, says so, and counts it.
TEST(OpenLoad, ItsOwnLatenessIsCountedAndTold) {
  auto server = ServerProcess::start({floor_epoll}, -1);
  ASSERT_TRUE(server) << server.error();
  const OpenLoadOptions options{.connections = 10,
                                .rate = 5'000'000,
                                .warmup_seconds = 0,
                                .duration_seconds = 0.005,
                                .drain_seconds = 60};
  const auto result = load(*server, options);
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->latency.count(), due_in_window(options));
  EXPECT_GE(result->lateness.percentile(50), 10 * kMillisecond);
  EXPECT_GE(result->latency.percentile(50), result->lateness.percentile(50));
  EXPECT_LT(result->answered_per_second, options.rate / 2);
  EXPECT_TRUE(server->stop());
}

// ---- Those that lie ----

using LieSaid = std::pair<const char*, const char*>;

class OpenLoadLie : public testing::TestWithParam<LieSaid> {};

INSTANTIATE_TEST_SUITE_P(
    Kinds, OpenLoadLie,
    testing::Values(LieSaid("flip", "wrong byte at position 1000"),
                    LieSaid("drop", "wrong byte at position 1000"),
                    LieSaid("double", "wrong byte at position 1001"),
                    LieSaid("close", "the server closed it"),
                    LieSaid("extra", "more bytes came back"),
                    LieSaid("hang", "bytes did not come back within 1 s"),
                    LieSaid("stay", "the server did not close it within 1 s")),
    [](const auto& info) { return std::string(info.param.first); });

TEST_P(OpenLoadLie, IsSeen) {
  auto server = ServerProcess::start({lying_server, GetParam().first}, -1);
  ASSERT_TRUE(server) << server.error();
  const auto result = load(*server, {.rate = 1000,
                                     .warmup_seconds = 0.05,
                                     .duration_seconds = 0.1,
                                     .drain_seconds = 1});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().find(GetParam().second), std::string::npos) << result.error();
  EXPECT_TRUE(server->stop());
}

TEST(OpenLoad, WhereNobodyListensItSaysSo) {
  std::uint16_t port = 0;
  {
    auto server = ServerProcess::start({floor_epoll}, -1);
    ASSERT_TRUE(server) << server.error();
    port = server->port();
    EXPECT_TRUE(server->stop());
  }
  const auto result = run_open_load({.port = port});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().find("connection 0: connect: "), std::string::npos) << result.error();
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string path = std::filesystem::absolute(argv[i]);
    (path.ends_with("lying_server") ? weir::bench::lying_server : weir::bench::floor_epoll) = path;
  }
  return RUN_ALL_TESTS();
}
