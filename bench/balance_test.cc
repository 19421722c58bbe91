// The benchmark of the balancer: what it says of spreads that are known, and that it counts right.
#include "bench/balance_spread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/run_program.h"

namespace weir::bench {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// Set by main from the command line.
struct Programs {
  std::string balance;
  std::string echo_server;
} programs;

std::string stats_line(const std::string& connections) {
  return "stats backend=epoll connections=" + connections + " turns=5 queue_bytes=0\n";
}

TEST(Spread, IsReadFromWhatTheServerSays) {
  const auto spread = spread_of_stats("a word\n" + stats_line("90") + stats_line("10"));
  ASSERT_TRUE(spread) << spread.error();
  EXPECT_EQ(spread->given, (std::vector<std::uint64_t>{90, 10}));
  EXPECT_DOUBLE_EQ(spread->largest_share(), 0.9);
  EXPECT_EQ(evenness_of(*spread), Evenness::skewed);
}

TEST(Spread, WithoutCountersIsAnError) {
  EXPECT_FALSE(spread_of_stats(""));
  EXPECT_FALSE(spread_of_stats("listening on 127.0.0.1:1\n"));
  EXPECT_FALSE(spread_of_stats(stats_line("90") + "stats backend=epoll turns=5\n"));
  EXPECT_FALSE(spread_of_stats(stats_line("many")));
}

TEST(Spread, IsEvenByChanceOrSkewed) {
  EXPECT_EQ(evenness_of({{50, 50}}), Evenness::even);
  EXPECT_EQ(evenness_of({{52, 48}}), Evenness::even);
  EXPECT_EQ(evenness_of({{47, 53}}), Evenness::by_chance);
  EXPECT_EQ(evenness_of({{70, 30}}), Evenness::by_chance);
  EXPECT_EQ(evenness_of({{71, 29}}), Evenness::skewed);
  // Of more connections chance takes a smaller share, and of more reactors another.
  EXPECT_EQ(evenness_of({{700, 300}}), Evenness::skewed);
  EXPECT_EQ(evenness_of({{540, 460}}), Evenness::by_chance);
  EXPECT_EQ(evenness_of({{25, 25, 25, 25}}), Evenness::even);
  EXPECT_EQ(evenness_of({{50, 17, 17, 16}}), Evenness::skewed);
}

TEST(Spread, ARowSaysTheMedianAndTheWorst) {
  const std::string row = spread_row("epoll: a coin", {{{50, 50}}, {{40, 60}}, {{54, 46}}});
  EXPECT_EQ(row, "| epoll: a coin | 54.0 % | 50.0..60.0 % | by chance |\n");
  EXPECT_THAT(spread_row("epoll: lopsided", {{{50, 50}}, {{90, 10}}}),
              HasSubstr("50.0..90.0 % | skewed |"));
}

TEST(Balance, CountsAllConnectionsOfABalancerThatIsEven) {
  std::vector<std::string> backends = {"epoll"};
  if (io_uring_refusal().empty()) backends.emplace_back("io_uring");
  for (const std::string& backend : backends) {
    const auto spread =
        take_spread({programs.echo_server, "--host", "127.0.0.1", "--port", "0", "--threads", "2",
                     "--balance", "--stats", "--backend", backend},
                    60);
    ASSERT_TRUE(spread) << spread.error();
    EXPECT_EQ(spread->given.size(), 2U);
    EXPECT_EQ(spread->total(), 60U);
    EXPECT_EQ(evenness_of(*spread), Evenness::even) << spread->largest_share();
  }
}

TEST(Balance, AServerWithoutCountersIsAnError) {
  const auto spread = take_spread(
      {programs.echo_server, "--host", "127.0.0.1", "--port", "0", "--threads", "2"}, 2);
  ASSERT_FALSE(spread);
  EXPECT_THAT(spread.error(), HasSubstr("no counters"));
}

TEST(Balance, WritesARowForEachModeAndLoad) {
  const Ran ran = run_program(
      {programs.balance, "--echo-server", programs.echo_server, "--quick", "--threads", "3"});
  ASSERT_EQ(ran.exit_code, 0) << ran.output;
  const auto has_rows = [&](const std::string& server) {
    const std::string name = "| " + server;
    std::size_t rows = 0;
    for (std::size_t at = 0; (at = ran.output.find(name, at)) != std::string::npos; ++at) {
      const std::string row = ran.output.substr(at, ran.output.find('\n', at) - at);
      constexpr const char* kSpread = "[|][^|]*[|] [0-9.]+ % [|] [0-9.]+ % [|] [a-z ]+ [|]";
      constexpr const char* kCosts =
          "[|][^|]*[|] [0-9]+ [|] [0-9.]+ [|] [0-9.() ]+ [|] [0-9]+ [|] [0-9]+ [|] [0-9.]+ [|]";
      EXPECT_THAT(row, MatchesRegex(rows < 2 ? kSpread : kCosts));
      ++rows;
    }
    EXPECT_EQ(rows, 4U) << server << " in\n" << ran.output;
  };
  EXPECT_THAT(ran.output, HasSubstr("reactors  3"));
  for (const char* mode : {"SO_REUSEPORT", "balancer", "balancer again"}) {
    has_rows("epoll: " + std::string(mode) + " |");
    if (io_uring_refusal().empty()) has_rows("io_uring: " + std::string(mode) + " |");
  }
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: balance_test BALANCE ECHO_SERVER\n");
    return 2;
  }
  weir::bench::programs = {argv[1], argv[2]};
  return RUN_ALL_TESTS();
}
