// How long things took, in a histogram of bounded size.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "weir/reactor/tally.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::http {

// The buckets: 64 of a nanosecond each, then 32 of equal width for every power of two, up to
// 2^36 ns (68 s), and one for what is longer. A bucket holds the values above the largest of the
// one before, up to and with its own; it is never wider than 1/32 of them.
struct LatencyScale {
  static constexpr unsigned kExactBits = 6;
  static constexpr unsigned kValueBits = 36;
  static constexpr std::size_t kHalf = std::size_t{1} << (kExactBits - 1);
  static constexpr std::size_t kBuckets = (kValueBits - kExactBits) * kHalf + 2 * kHalf + 1;

  static constexpr std::size_t bucket_of(std::uint64_t nanoseconds) noexcept {
    const std::uint64_t value = nanoseconds - (nanoseconds == 0 ? 0 : 1);
    if ((value >> kValueBits) != 0) return kBuckets - 1;
    const auto width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kExactBits ? width - kExactBits : 0;
    return shift * kHalf + static_cast<std::size_t>(value >> shift);
  }
  // In nanoseconds; of the last bucket the smallest: it has no end.
  static constexpr std::uint64_t largest_in(std::size_t bucket) noexcept {
    if (bucket < 2 * kHalf) return bucket + 1;
    if (bucket + 1 >= kBuckets) return std::uint64_t{1} << kValueBits;
    const std::size_t shift = bucket / kHalf - 1;
    return static_cast<std::uint64_t>(bucket - shift * kHalf + 1) << shift;
  }
};

// A histogram that was read.
struct LatencyCounts {
  std::array<std::uint64_t, LatencyScale::kBuckets> buckets = {};
  std::uint64_t sum_nanoseconds = 0;

  std::uint64_t count() const noexcept;
  // How many were at most so long. Exact for powers of two from 1 ns to 2^36 ns.
  std::uint64_t count_up_to(std::uint64_t nanoseconds) const noexcept;
  // The largest value of the bucket in which so much of all values, 0 to 1, is reached: not below
  // the true one, and at most 1/32 above it; what took longer than 68 s says 68 s. Zero of none.
  Duration quantile(double share) const noexcept;
  void add(const LatencyCounts& more) noexcept;
  // What has come since `before`, an earlier reading of the same histograms.
  LatencyCounts since(const LatencyCounts& before) const noexcept;
};

// Written by one thread, read by any.
class Latencies {
 public:
  void record(Duration time) noexcept {
    const auto nanoseconds =
        static_cast<std::uint64_t>(std::max(time, Duration::zero()).count());
    ++buckets_[LatencyScale::bucket_of(nanoseconds)];
    sum_nanoseconds_ += nanoseconds;
  }
  LatencyCounts counts() const noexcept;

 private:
  std::array<Tally, LatencyScale::kBuckets> buckets_;
  Tally sum_nanoseconds_;
};

}  // namespace weir::inline v1::http
