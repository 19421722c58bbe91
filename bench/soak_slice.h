#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "bench/histogram.h"
#include "bench/soak_crowd.h"
#include "bench/soak_profile.h"

namespace weir::bench {

// A piece of a soak: connections are made, loaded and disturbed for a while, and all is brought to
// its end.
struct SoakSliceOptions {
  SoakKind kind = SoakKind::echo;
  std::uint16_t port = 0;
  pid_t server_pid = 0;
  std::uint64_t seed = 0;
  // Arrivals a second, at any moment, whether the server keeps up or not. 0: as many as it answers.
  double rate = 0;
  // What disturbs comes so many times as often.
  double haste = 1;
  double warmup_seconds = 0.1;
  double seconds = 1;
  // At the end nothing may come for so long: generous, for only a server that does not answer
  // needs it.
  double drain_seconds = 10;
  // The load has a core of its own.
  bool spins = false;
};

struct SoakSlice {
  double seconds = 0;          // of the window behind the warm-up
  std::uint64_t arrivals = 0;  // in it
  std::uint64_t shed = 0;      // of these, not sent: too much waited
  Histogram latency;           // of what was answered in it
  double server_cpu_seconds = 0;
  SoakTally tally;  // of all of it

  double per_second() const { return static_cast<double>(latency.count()) / seconds; }
  double core() const { return server_cpu_seconds / seconds; }
};

// Ends at once when something is wrong, which the tally tells.
SoakSlice run_soak_slice(const SoakSliceOptions& options);

}  // namespace weir::bench
