// What a comparison of latencies says of samples that are known.
#include "bench/latency_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace weir::bench {
namespace {

constexpr std::uint64_t kMany = 1'000'000;

// A sample with this p50, twice it as p90, thrice it as p99 and so on.
LatencySample sample(double p50, double cpu = 1) {
  LatencySample one{.messages = kMany, .answered_per_second = 1000, .cpu_us = cpu};
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    one.latency_us[i] = p50 * static_cast<double>(i + 1);
  }
  return one;
}

class LatencyReportTest : public testing::Test {
 protected:
  LatencyReportTest() {
    table_.rate = 1000;
    table_.capacity = 2000;
  }

  LatencyRow& add(std::string name, Contender::Kind kind, std::vector<LatencySample> samples,
                  std::string floor = {}) {
    return table_.rows.emplace_back(
        LatencyRow{std::move(name), kind, std::move(floor), std::move(samples)});
  }

  bool says(const std::string& part) const {
    return to_markdown(table_).find(part) != std::string::npos;
  }

  LatencyTable table_;
};

// Ten of 100 000 took 60 us, ninety 50 us, and so on: each percentile is the last of its share.
TEST(LatencySampleTest, HasEachPercentileInItsPlace) {
  const auto result = std::make_unique<OpenLoadResult>();
  const std::array<int, 6> counts = {50'000, 40'000, 9'000, 900, 90, 10};
  std::uint64_t microseconds = 0;
  for (const int count : counts) {
    microseconds += 10;
    for (int i = 0; i < count; ++i) {
      result->latency.record(microseconds * 1000);
      result->lateness.record(microseconds * 100);
    }
  }
  const LatencySample one = to_latency_sample(*result);
  EXPECT_EQ(one.messages, 100'000U);
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    const double right = 10.0 * static_cast<double>(i + 1);
    EXPECT_NEAR(one.latency_us[i], right, right / 100) << kPercents[i];
    EXPECT_NEAR(one.lateness_us[i], right / 10, right / 1000) << kPercents[i];
  }
}

TEST(LatencySampleTest, APercentileNeedsMessagesBeyondIt) {
  EXPECT_TRUE(is_shown(99.99, 100'000));
  EXPECT_FALSE(is_shown(99.99, 90'000));
  EXPECT_TRUE(is_shown(99, 1000));
  EXPECT_FALSE(is_shown(99, 900));
  EXPECT_TRUE(is_shown(50, 20));
  EXPECT_FALSE(is_shown(50, 18));
}

TEST_F(LatencyReportTest, ShowsMediansOfTheRounds) {
  add("weir epoll", Contender::Kind::weir, {sample(10, 3), sample(90, 2), sample(20, 7)});
  EXPECT_TRUE(says("| weir epoll | 20.0 | 40.0 | 60.0 | 80.0 | 100.0 | 3.00 | 0 % |  |\n"))
      << to_markdown(table_);
}

TEST_F(LatencyReportTest, LeavesOutWhatTooFewMessagesWouldSay) {
  LatencySample short_one = sample(10);
  short_one.messages = 5000;
  add("weir epoll", Contender::Kind::weir, {sample(10), short_one});
  EXPECT_TRUE(says("| weir epoll | 10.0 | 20.0 | 30.0 | | | 1.00 |")) << to_markdown(table_);
  EXPECT_TRUE(says("Not shown: p99.9, p99.99, beyond which a sample has fewer than 10 messages"));
  EXPECT_TRUE(says("at least 5000 messages each"));
}

TEST_F(LatencyReportTest, SaysNothingOfWhatIsNotMissing) {
  add("weir epoll", Contender::Kind::weir, {sample(10)});
  EXPECT_FALSE(says("Not shown"));
}

TEST_F(LatencyReportTest, ComparesNeighboursInTime) {
  add("weir epoll", Contender::Kind::weir, {sample(20), sample(30), sample(400)}, "bare epoll");
  add("bare epoll", Contender::Kind::floor, {sample(10), sample(10), sample(100)});
  EXPECT_TRUE(says("| weir epoll / bare epoll | 3.00 (2.00..4.00) |")) << to_markdown(table_);
}

TEST_F(LatencyReportTest, ComparesWithThePeerOfTheSmallestP99) {
  add("weir epoll", Contender::Kind::weir, {sample(10)}, "bare epoll");
  add("slow", Contender::Kind::peer, {sample(30)});
  LatencySample quick = sample(40);
  quick.latency_us[2] = 15;
  add("quick", Contender::Kind::peer, {quick});
  EXPECT_EQ(quickest_peer(table_)->server, "quick");
  EXPECT_TRUE(says("| weir epoll / quick | 0.25 (0.25..0.25) |"));
  EXPECT_FALSE(says("weir epoll / slow"));
}

TEST_F(LatencyReportTest, SaysWhatTwoEqualServersDifferBy) {
  add("weir epoll", Contender::Kind::weir, {sample(10)});
  add("weir epoll again", Contender::Kind::weir, {sample(11)});
  EXPECT_TRUE(says("| weir epoll again / weir epoll | 1.10 (1.10..1.10) |"))
      << to_markdown(table_);
}

TEST_F(LatencyReportTest, NamesAServerThatDoesNotKeepUp) {
  LatencySample one = sample(10);
  one.answered_per_second = 890;
  EXPECT_EQ(remark_on(table_, add("a", Contender::Kind::peer, {one})), "does not keep up");
  one.answered_per_second = 910;
  EXPECT_EQ(remark_on(table_, add("b", Contender::Kind::peer, {one})), "");
}

TEST_F(LatencyReportTest, NamesALoadThatWasALargePartOfTheLatency) {
  LatencySample one = sample(10);
  one.lateness_us[2] = 16;
  EXPECT_EQ(remark_on(table_, add("a", Contender::Kind::peer, {one})), "the load is late");
  one.answered_per_second = 1;
  EXPECT_EQ(remark_on(table_, add("slow", Contender::Kind::peer, {one})), "the load is late")
      << "a server cannot answer what it was not sent";
  one.answered_per_second = 1000;
  one.lateness_us[2] = 14;
  EXPECT_EQ(remark_on(table_, add("b", Contender::Kind::peer, {one})), "");
}

TEST_F(LatencyReportTest, JsonHasAllSamples) {
  add("weir \"epoll\"", Contender::Kind::weir, {sample(10, 3), sample(20, 4)});
  const std::string json = to_json(table_, {"kernel 1", "CPUs 2"});
  for (const char* const part :
       {"{\"machine\":[\"kernel 1\",\"CPUs 2\"],", "\"rate\":1000.0000,", "\"capacity\":2000.0000,",
        "{\"server\":\"weir \\\"epoll\\\"\",", "\"p50_us\":[10.0000,20.0000],",
        "\"p99.99_us\":[50.0000,100.0000],", "\"late_p99_us\":[0.0000,0.0000],",
        "\"server_cpu_us_per_message\":[3.0000,4.0000],"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
  EXPECT_EQ(std::ranges::count(json, '{'), std::ranges::count(json, '}'));
  EXPECT_EQ(std::ranges::count(json, '['), std::ranges::count(json, ']'));
}

}  // namespace
}  // namespace weir::bench
