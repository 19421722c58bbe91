#include "weir/http/latency.h"

#include <cmath>
#include <numeric>

namespace weir::inline v1::http {

std::uint64_t LatencyCounts::count() const noexcept {
  return std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
}

std::uint64_t LatencyCounts::count_up_to(std::uint64_t nanoseconds) const noexcept {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i + 1 < buckets.size(); ++i) {
    if (LatencyScale::largest_in(i) > nanoseconds) break;
    count += buckets[i];
  }
  return count;
}

Duration LatencyCounts::quantile(double share) const noexcept {
  const std::uint64_t all = count();
  if (all == 0) return Duration::zero();
  const double exact = std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(all));
  const std::uint64_t rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(exact), 1, all);
  std::uint64_t seen = 0;
  std::size_t i = 0;
  while ((seen += buckets[i]) < rank) ++i;
  return Duration(static_cast<Duration::rep>(LatencyScale::largest_in(i)));
}

void LatencyCounts::add(const LatencyCounts& more) noexcept {
  for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += more.buckets[i];
  sum_nanoseconds += more.sum_nanoseconds;
}

LatencyCounts LatencyCounts::since(const LatencyCounts& before) const noexcept {
  LatencyCounts difference;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    difference.buckets[i] = buckets[i] - before.buckets[i];
  }
  difference.sum_nanoseconds = sum_nanoseconds - before.sum_nanoseconds;
  return difference;
}

LatencyCounts Latencies::counts() const noexcept {
  LatencyCounts read;
  read.sum_nanoseconds = sum_nanoseconds_;
  for (std::size_t i = 0; i < buckets_.size(); ++i) read.buckets[i] = buckets_[i];
  return read;
}

}  // namespace weir::inline v1::http
