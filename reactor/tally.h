// A number that one thread keeps and any thread may read.
#pragma once

#include <atomic>
#include <cstdint>

namespace weir::inline v1 {

// One writer: changing it is a plain load and store, without a locked instruction. Any thread reads
// it, and sees some value that it had not long ago; two of them may be of different moments. A copy
// is a number of its own.
class Tally {
 public:
  Tally(std::uint64_t value = 0) noexcept : value_(value) {}
  Tally(const Tally& other) noexcept : value_(other.value()) {}
  Tally& operator=(const Tally& other) noexcept { return set(other.value()); }

  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }
  operator std::uint64_t() const noexcept { return value(); }

  // The writer's thread.
  Tally& operator=(std::uint64_t value) noexcept { return set(value); }
  Tally& operator+=(std::uint64_t more) noexcept { return set(value() + more); }
  Tally& operator-=(std::uint64_t less) noexcept { return set(value() - less); }
  Tally& operator++() noexcept { return set(value() + 1); }
  Tally& operator--() noexcept { return set(value() - 1); }

 private:
  Tally& set(std::uint64_t value) noexcept {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }

  std::atomic<std::uint64_t> value_;
};

}  // namespace weir::inline v1
