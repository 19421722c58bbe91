#pragma once

#include <cmath>
#include <cstdint>
#include <random>

namespace weir::bench {

// Everything that a soak or an open-loop load decides by chance: the same seed has the same
// decisions. When those of a soak fall is up to the clock.
class SoakRandom {
 public:
  explicit SoakRandom(std::uint64_t seed) : engine_(seed) {}

  // 0 to limit - 1.
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  std::uint64_t between(std::uint64_t least, std::uint64_t most) {
    return least + below(most - least + 1);
  }
  bool one_in(std::uint64_t many) { return below(many) == 0; }

  // 1 to 2^bits, small ones as often as large ones.
  std::uint64_t size_up_to(unsigned bits) {
    return 1 + below(std::uint64_t{1} << below(bits + 1));
  }

  // Nanoseconds to the next of events that come at any moment, so many a second on average.
  std::int64_t until_next(double per_second) {
    const double share = (static_cast<double>(engine_() >> 11) + 1) * 0x1p-53;
    return static_cast<std::int64_t>(-std::log(share) / per_second * 1e9);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace weir::bench
