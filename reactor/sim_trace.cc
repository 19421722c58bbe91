#include "reactor/sim_trace.h"

#include <cstdio>

namespace weir::inline v1::sim {
namespace {

std::string seconds_text(Instant at) {
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  const std::int64_t time = at.time_since_epoch().count();
  char text[40];
  std::snprintf(text, sizeof text, "%lld.%09lld", static_cast<long long>(time / kPerSecond),
                static_cast<long long>(time % kPerSecond));
  return text;
}

}  // namespace

void Trace::mix(std::string_view text) noexcept {
  std::uint64_t word = text.size();
  for (const char byte : text) word = word * 0x100000001b3U + static_cast<unsigned char>(byte);
  mix(word);
}

void Trace::note(Instant at, std::uint32_t machine, const std::string& host, int fd,
                 std::string_view what, std::int64_t result) {
  ++events_;
  mix(static_cast<std::uint64_t>(at.time_since_epoch().count()));
  mix(std::uint64_t{machine} << 32 | static_cast<std::uint32_t>(fd));
  mix(what);
  mix(static_cast<std::uint64_t>(result));
  if (!sink_) return;
  sink_(seconds_text(at) + " " + host + " fd " + std::to_string(fd) + " " + std::string(what) +
        " " + std::to_string(result));
}

void Trace::note(Instant at, std::string_view line) {
  ++events_;
  mix(static_cast<std::uint64_t>(at.time_since_epoch().count()));
  mix(line);
  if (sink_) sink_(seconds_text(at) + " " + std::string(line));
}

}  // namespace weir::inline v1::sim
