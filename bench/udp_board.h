#pragma once

#include <array>
#include <atomic>
#include <cstdint>

// What a UDP receiver tells the benchmark, in memory that both have.
namespace weir::bench {

// The receiver at one instant. Its own thread takes it, between two instructions, so its CPU clock
// and what it has counted belong together, and no timer tick has to be waited for.
struct UdpMark {
  std::int64_t time_ns = 0;  // CLOCK_MONOTONIC
  std::int64_t cpu_ns = 0;   // user and system, of the process
  std::uint64_t datagrams = 0;
  std::uint64_t bytes = 0;
  std::uint64_t receives = 0;
  std::uint64_t sleeps = 0;
};

// Zeroed memory is an empty board. Only the receiver writes.
class UdpBoard {
 public:
  // What one receive has brought. Who sees its datagrams sees its bytes, too.
  void add(std::uint64_t datagrams, std::uint64_t bytes) {
    increase(bytes_, bytes);
    increase(receives_, 1);
    increase(datagrams_, datagrams);
  }

  std::uint64_t datagrams() const { return datagrams_.load(std::memory_order_acquire); }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  std::uint64_t receives() const { return receives_.load(std::memory_order_relaxed); }

  // Those that find no room are left out: a driver asks for two.
  void put(const UdpMark& mark) {
    const std::uint32_t count = marks_count_.load(std::memory_order_relaxed);
    if (count == marks_.size()) return;
    marks_[count] = mark;
    marks_count_.store(count + 1, std::memory_order_release);
  }
  std::uint32_t marks() const { return marks_count_.load(std::memory_order_acquire); }
  const UdpMark& mark(std::uint32_t index) const { return marks_[index]; }

 private:
  // There is one writer: no need for the price of an atomic addition.
  static void increase(std::atomic<std::uint64_t>& value, std::uint64_t by) {
    value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_release);
  }

  std::atomic<std::uint64_t> datagrams_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> receives_{0};
  std::atomic<std::uint32_t> marks_count_{0};
  std::array<UdpMark, 2> marks_{};
};

}  // namespace weir::bench
