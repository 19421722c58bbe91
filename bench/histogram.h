#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace weir::bench {

// A log-linear histogram of non-negative integers (here: nanoseconds) in constant memory.
//
// Values below 256 have a bucket each. Every power of two above is cut into 128 buckets of equal
// width, so a bucket is never wider than 1/128 of the smallest value in it. A percentile reports
// the largest value of its bucket: it is at least the true one and at most 1/128 (0.8 %) above
// it. Minimum, maximum and mean are exact. Values from 2^40 (18 minutes) up share the last bucket.
//
// A recording is an increment and a few shifts; nothing allocates. Not thread safe: give each
// thread its own histogram and merge them.
class Histogram {
 public:
  void record(std::uint64_t value) {
    ++counts_[index_of(std::min(value, kLargest))];
    ++count_;
    sum_ += value;
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    min_ = std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t min() const { return count_ == 0 ? 0 : min_; }
  std::uint64_t max() const { return max_; }
  double mean() const {
    return count_ == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }

  // The smallest recorded value that at least `percent` of all values do not exceed, to the
  // precision above; 0 if nothing was recorded. `percent` is clamped to 0..100.
  std::uint64_t percentile(double percent) const {
    if (count_ == 0) return 0;
    const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
    // No double is 99.9, and what it is above it must not raise the rank.
    const double exact = share * static_cast<double>(count_) - kRounding;
    const auto wanted = static_cast<std::uint64_t>(std::ceil(std::max(exact, 0.0)));
    const std::uint64_t rank = std::clamp<std::uint64_t>(wanted, 1, count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= rank) {
        // The last bucket also holds what is too large to have its own: only max knows it.
        return i + 1 == counts_.size() ? max_ : std::clamp(largest_in(i), min_, max_);
      }
    }
    return max_;
  }

 private:
  static constexpr unsigned kExactBits = 8;
  static constexpr unsigned kValueBits = 40;
  // Of a rank; enough up to 10^9 values.
  static constexpr double kRounding = 1e-6;
  static constexpr std::uint64_t kLargest = (std::uint64_t{1} << kValueBits) - 1;
  static constexpr std::size_t kHalf = std::size_t{1} << (kExactBits - 1);
  static constexpr std::size_t kBuckets = (kValueBits - kExactBits) * kHalf + 2 * kHalf;

  // The shift that leaves the top kExactBits bits of a value; 0 for values that fit into them.
  static unsigned shift_of(std::uint64_t value) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    return width > kExactBits ? width - kExactBits : 0;
  }

  static std::size_t index_of(std::uint64_t value) {
    const unsigned shift = shift_of(value);
    return shift * kHalf + static_cast<std::size_t>(value >> shift);
  }

  static std::uint64_t largest_in(std::size_t index) {
    if (index < 2 * kHalf) return index;
    const std::size_t shift = index / kHalf - 1;
    const std::uint64_t top = index - shift * kHalf;
    return ((top + 1) << shift) - 1;
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t min_ = UINT64_MAX;
  std::uint64_t max_ = 0;
};

}  // namespace weir::bench
