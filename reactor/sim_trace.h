// What happens in a simulated world, in order: as a hash always, as lines when somebody wants them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/reactor/function.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::sim {

// One thread. Neither the hash nor a line has anything in it that another build or run of the same
// program would have otherwise: no address, no wall time, no text of the compiler's.
class Trace {
 public:
  explicit Trace(Function<void(std::string_view)> sink) noexcept : sink_(std::move(sink)) {}

  // Something happened to descriptor `fd` of a host: "2.000150000 alpha fd 7 recv 512".
  void note(Instant at, std::uint32_t machine, const std::string& host, int fd,
            std::string_view what, std::int64_t result);
  // A line that is no descriptor's.
  void note(Instant at, std::string_view line);

  std::uint64_t hash() const noexcept { return hash_; }
  std::uint64_t events() const noexcept { return events_; }

 private:
  void mix(std::uint64_t value) noexcept {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15U;
    hash_ ^= hash_ >> 29;
  }
  void mix(std::string_view text) noexcept;

  Function<void(std::string_view)> sink_;
  std::uint64_t hash_ = 0;
  std::uint64_t events_ = 0;
};

}  // namespace weir::inline v1::sim
