// Random numbers that can be had again: the same seed gives the same ones on every machine and with
// every compiler, which the standard's distributions do not promise.
#pragma once

#include <cstddef>
#include <cstdint>

#include "weir/reactor/time.h"

namespace weir::inline v1::sim {

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
class Random {
 public:
  // The numbers of two seeds have nothing in common, however close the seeds are.
  explicit Random(std::uint64_t seed) noexcept : state_(seed) { state_ = next() ^ seed << 32; }

  std::uint64_t next() noexcept {
    std::uint64_t mixed = (state_ += 0x9e3779b97f4a7c15U);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31);
  }
  // In [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }
  // In [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) noexcept {
    return low + below(high - low + 1);
  }
  // True once in `times`.
  bool once_in(std::uint64_t times) noexcept { return below(times) == 0; }
  // True with this probability, of [0, 1].
  bool chance(double probability) noexcept {
    return probability > 0 && static_cast<double>(next() >> 11) * 0x1p-53 < probability;
  }
  // In [0, longest].
  Duration up_to(Duration longest) noexcept {
    return Duration(static_cast<Duration::rep>(
        below(static_cast<std::uint64_t>(longest.count()) + 1)));
  }

 private:
  std::uint64_t state_;
};

}  // namespace weir::inline v1::sim
