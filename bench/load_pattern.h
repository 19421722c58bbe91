#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace weir::bench {

// The bytes that every connection sends and expects back: one block of random bytes, repeated
// without end. Each connection starts elsewhere in the block, so position alone says which byte
// must come, sending copies nothing, and checking is a comparison of memory.
//
// The period is a prime, so a loss or doubling of messages, pages or buffers of any usual size
// shifts the stream against the pattern; of whole periods only the number of bytes would tell,
// which is checked as well. Starts of different connections differ by no multiple of a usual
// message size either, so exchanged answers are seen.
class LoadPattern {
 public:
  static constexpr std::uint64_t kPeriod = 65521;
  // Bytes that can be compared or sent at a time.
  static constexpr std::size_t kMaxRun = 256 * 1024;

  LoadPattern() : bytes_(std::make_unique<char[]>(kPeriod + kMaxRun)) {
    std::uint64_t state = 0x9e3779b97f4a7c15;
    for (std::size_t i = 0; i < kPeriod; ++i) {
      // xorshift: the pattern has to be irregular and the same everywhere, no more.
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      bytes_[i] = static_cast<char>(state >> 56);
    }
    for (std::size_t i = kPeriod; i < kPeriod + kMaxRun; ++i) bytes_[i] = bytes_[i - kPeriod];
  }

  static std::uint64_t start_of(std::uint64_t connection) {
    return connection * 7919 % kPeriod;
  }

  // The kMaxRun bytes from `position` on of the stream that begins at `start`.
  const char* at(std::uint64_t start, std::uint64_t position) const {
    return bytes_.get() + (start + position) % kPeriod;
  }

  // How many of the bytes are right before the first wrong one; `size` if all are.
  std::size_t matching(std::uint64_t start, std::uint64_t position, const char* data,
                       std::size_t size) const {
    const char* expected = at(start, position);
    if (std::memcmp(data, expected, size) == 0) return size;
    return static_cast<std::size_t>(std::mismatch(data, data + size, expected).first - data);
  }

 private:
  std::unique_ptr<char[]> bytes_;
};

}  // namespace weir::bench
