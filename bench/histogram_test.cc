#include "bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace weir::bench {
namespace {

constexpr double kPrecision = 1.0 / 128;
constexpr double kPercents[] = {0.001, 1, 10, 50, 90, 99, 99.9, 99.99, 100};

std::uint64_t exact_percentile(const std::vector<std::uint64_t>& sorted, double percent) {
  // In whole numbers: no double is 99.9.
  const auto thousandths = static_cast<std::size_t>(std::llround(percent * 1000));
  const std::size_t wanted = (thousandths * sorted.size() + 99'999) / 100'000;
  return sorted[std::max<std::size_t>(wanted, 1) - 1];
}

void expect_precise(const Histogram& histogram, std::vector<std::uint64_t> values) {
  std::sort(values.begin(), values.end());
  for (const double percent : kPercents) {
    const auto exact = static_cast<double>(exact_percentile(values, percent));
    const auto reported = static_cast<double>(histogram.percentile(percent));
    EXPECT_GE(reported, exact) << percent;
    EXPECT_LE(reported, exact * (1 + kPrecision)) << percent;
  }
}

TEST(Histogram, EmptyReportsZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_EQ(histogram.max(), 0u);
  EXPECT_EQ(histogram.mean(), 0.0);
  EXPECT_EQ(histogram.percentile(50), 0u);
  EXPECT_EQ(histogram.percentile(100), 0u);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 200; ++value) histogram.record(value);
  EXPECT_EQ(histogram.percentile(50), 100u);
  EXPECT_EQ(histogram.percentile(99), 198u);
  EXPECT_EQ(histogram.percentile(100), 200u);
  EXPECT_DOUBLE_EQ(histogram.mean(), 100.5);
}

// 99.9 % of 100 000 are 99 900, though 99.9 as a double is a little more.
TEST(Histogram, ARankIsNotRaisedByRounding) {
  Histogram histogram;
  for (int i = 0; i < 99'900; ++i) histogram.record(1);
  for (int i = 0; i < 100; ++i) histogram.record(2);
  EXPECT_EQ(histogram.percentile(99.9), 1u);
  EXPECT_EQ(histogram.percentile(99.91), 2u);
}

TEST(Histogram, OneValueIsEveryPercentileExactly) {
  for (const std::uint64_t value : {0ull, 255ull, 256ull, 257ull, 65'535ull, 123'456'789ull}) {
    Histogram histogram;
    histogram.record(value);
    for (const double percent : kPercents) EXPECT_EQ(histogram.percentile(percent), value);
    EXPECT_EQ(histogram.min(), value);
    EXPECT_EQ(histogram.max(), value);
  }
}

// Both sides of every power of two: where one bucket width ends and the next begins.
TEST(Histogram, BucketEdgesKeepThePrecision) {
  for (unsigned bits = 1; bits < 40; ++bits) {
    const std::uint64_t power = std::uint64_t{1} << bits;
    for (const std::uint64_t value : {power - 1, power, power + 1}) {
      Histogram histogram;
      histogram.record(value);
      // A larger value keeps the exact maximum from helping.
      histogram.record(std::uint64_t{1} << 39);
      const auto reported = static_cast<double>(histogram.percentile(50));
      EXPECT_GE(reported, static_cast<double>(value));
      EXPECT_LE(reported, static_cast<double>(value) * (1 + kPrecision));
    }
  }
}

TEST(Histogram, PercentilesOfRandomValuesKeepThePrecision) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latencies(11, 2);
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<std::uint64_t>(latencies(random)));
    histogram.record(values.back());
  }
  EXPECT_EQ(histogram.max(), *std::max_element(values.begin(), values.end()));
  EXPECT_EQ(histogram.min(), *std::min_element(values.begin(), values.end()));
  expect_precise(histogram, values);
}

TEST(Histogram, MergeIsTheHistogramOfAll) {
  std::mt19937_64 random(11);
  Histogram left;
  Histogram right;
  Histogram all;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t value = random() >> (random() % 40 + 24);
    (i % 3 == 0 ? left : right).record(value);
    all.record(value);
  }
  left.merge(right);
  left.merge(Histogram{});
  EXPECT_EQ(left.count(), all.count());
  EXPECT_EQ(left.min(), all.min());
  EXPECT_EQ(left.max(), all.max());
  EXPECT_DOUBLE_EQ(left.mean(), all.mean());
  for (const double percent : kPercents) {
    EXPECT_EQ(left.percentile(percent), all.percentile(percent));
  }
}

TEST(Histogram, ValuesBeyondTheRangeAreCountedAndShowAsTheMaximum) {
  Histogram histogram;
  histogram.record(10);
  histogram.record(std::uint64_t{1} << 50);
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_EQ(histogram.max(), std::uint64_t{1} << 50);
  EXPECT_EQ(histogram.percentile(100), std::uint64_t{1} << 50);
  EXPECT_EQ(histogram.percentile(50), 10u);
}

TEST(Histogram, PercentIsClamped) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 10; ++value) histogram.record(value);
  EXPECT_EQ(histogram.percentile(-1), 1u);
  EXPECT_EQ(histogram.percentile(1000), 10u);
}

}  // namespace
}  // namespace weir::bench
