#include "bench/load_check.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace weir::bench {

std::string wrong_in(const LoadPattern& pattern, const LoadPosition& at, const char* data,
                     std::size_t size) {
  const std::size_t due = std::min<std::uint64_t>(size, at.sent - at.received);
  const std::size_t right = pattern.matching(at.start, at.received, data, due);
  if (right < due) {
    std::array<char, 128> text{};
    std::snprintf(text.data(), text.size(), "wrong byte at position %llu: got 0x%02x, not 0x%02x",
                  static_cast<unsigned long long>(at.received + right),
                  static_cast<unsigned>(static_cast<unsigned char>(data[right])),
                  static_cast<unsigned>(static_cast<unsigned char>(
                      *pattern.at(at.start, at.received + right))));
    return text.data();
  }
  if (due < size) {
    return "more bytes came back than were sent, after byte " + std::to_string(at.sent);
  }
  return {};
}

}  // namespace weir::bench
