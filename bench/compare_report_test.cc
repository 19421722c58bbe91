// What a comparison says of samples that are known.
#include "bench/compare_report.h"

#include <gtest/gtest.h>

#include <deque>

namespace weir::bench {
namespace {

class CompareReportTest : public testing::Test {
 protected:
  CompareReportTest() {
    workload_.name = "64 B x 100";
    workload_.unit = "message";
    table_.workload = &workload_;
  }

  // A server with these samples' CPU; a hundredth of it a rate, and tenfold a p99.
  void add(std::string name, Contender::Kind kind, std::vector<double> cpu,
           std::string floor = {}) {
    Contender& one = contenders_.emplace_back();
    one.name = std::move(name);
    one.kind = kind;
    one.floor = std::move(floor);
    CompareRow row{&one, {}};
    for (const double us : cpu) {
      row.samples.push_back({.per_second = 1e6 / us,
                             .cpu_us = us,
                             .p50_us = 5 * us,
                             .p99_us = 10 * us,
                             .cpu_percent = 100});
    }
    table_.rows.push_back(std::move(row));
  }

  bool says(const std::string& part) const {
    return to_markdown(table_).find(part) != std::string::npos;
  }

  std::deque<Contender> contenders_;
  CompareWorkload workload_;
  CompareTable table_;
};

TEST_F(CompareReportTest, ComparesNeighboursInTime) {
  add("weir epoll", Contender::Kind::weir, {4, 8, 12}, "bare epoll");
  add("bare epoll", Contender::Kind::floor, {2, 4, 6});
  EXPECT_DOUBLE_EQ(cpu_ratio(table_.rows[0], table_.rows[1]).median, 2);
  EXPECT_TRUE(says("| weir epoll | 125000 | 8.000 | 2.000 | 40.0 | 80.0 | 100 % | |"))
      << to_markdown(table_);
  EXPECT_TRUE(says("2.000 x the CPU and 0.500 x the rate of bare epoll;"));
  EXPECT_TRUE(says("no peer to compare with"));
}

TEST_F(CompareReportTest, TheBestPeerIsTheOneWithTheLeastCpu) {
  add("weir epoll", Contender::Kind::weir, {3, 3, 3});
  add("bare epoll", Contender::Kind::floor, {1, 1, 1});
  add("slow", Contender::Kind::peer, {6, 6, 6});
  add("quick", Contender::Kind::peer, {4, 4, 4});
  ASSERT_NE(best_peer(table_), nullptr);
  EXPECT_EQ(best_peer(table_)->server->name, "quick");
  EXPECT_TRUE(says("0.750 x the CPU of quick, the best peer"));
  EXPECT_FALSE(says("a tie"));
}

TEST_F(CompareReportTest, WhatTwoEqualServersDifferByIsATie) {
  add("weir epoll", Contender::Kind::weir, {4, 4, 4, 4});
  add(std::string(kAgain), Contender::Kind::weir, {4.2, 4.2, 3.8, 3.8});
  add("near", Contender::Kind::peer, {3.9, 3.9, 3.9, 3.9});
  EXPECT_TRUE(says(", a tie")) << to_markdown(table_);
  EXPECT_TRUE(says("two equal servers differ by up to 5.0 %"));
}

TEST_F(CompareReportTest, APeerThatIsNotWhatItWasIsMarked) {
  add("bare epoll", Contender::Kind::floor, {4, 4, 4});
  add("libuv", Contender::Kind::peer, {4.1, 4.1, 4.1});  // 1.01 is known
  add("Go", Contender::Kind::peer, {8, 8, 8});           // 1.28 is
  add("another", Contender::Kind::peer, {40, 40, 40});
  EXPECT_EQ(doubt(table_, table_.rows[1]), std::nullopt);
  EXPECT_EQ(doubt(table_, table_.rows[2]),
            "check this peer: 2.00 x the bare loop, 1.28 expected");
  EXPECT_EQ(doubt(table_, table_.rows[3]), std::nullopt);
  workload_.name = "something else";
  EXPECT_EQ(doubt(table_, table_.rows[2]), std::nullopt);
}

}  // namespace
}  // namespace weir::bench
