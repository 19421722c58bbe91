// What a soak has seen of each server, and what that is worth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/soak_crowd.h"
#include "bench/soak_slice.h"

namespace weir::bench {

// A slice, and the idle moment behind it: all connections are gone, and nothing is to be done.
struct SoakPoint {
  double per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double core = 0;  // share of it
  double cpu_us = 0;  // of the server for one answer
  double shed = 0;    // share of the arrivals that was not sent
  std::size_t resident = 0;
};

struct SoakRecord {
  std::string name;
  bool judged = true;   // otherwise only for others to be compared with
  double capacity = 0;  // answers a second when as many as possible are asked for
  double rate = 0;      // arrivals a second
  std::size_t descriptors_begin = 0;     // before the first connection
  std::vector<std::size_t> descriptors;  // at each idle moment, those of the warm-up too
  std::string descriptors_more;          // what those lead to that were not there at the start
  std::vector<SoakPoint> points;         // behind the warm-up, one a round
  SoakTally tally;                    // of all slices
  std::uint64_t shed = 0;
  std::size_t resident_max = 0;
  // Between its slices.
  double idle_seconds = 0;
  double idle_cpu_seconds = 0;
  std::string held;     // what it still held at an idle moment, by its own account
  std::string trouble;  // it did not start, or is no server of this kind
  std::string left;     // how it left, if not with 0
  std::vector<std::string> said;  // on stderr: the first lines
  std::size_t lines_said = 0;
};

struct SoakLimits {
  double memory_drift = 0.05;
  double p99_drift = 0.20;
  double idle_core = 0.01;
  // Where the middle half of the reference's own p99 lies, as a share of its median: beyond, the
  // machine does more to p99 than what is looked for.
  double reference_spread = 0.5;
  // Fewer points say nothing about a drift of p99.
  std::size_t points_for_p99 = 8;
  bool judges_memory = true;
};

enum class SoakOutcome : std::uint8_t { pass, fail, not_judged };

struct SoakVerdict {
  std::string server;
  std::string criterion;
  SoakOutcome outcome = SoakOutcome::pass;
  std::string text;
};

// From the first quarter of the values to the last one, by their medians.
struct SoakDrift {
  double first = 0;
  double last = 0;
  double share() const { return last / first - 1; }
};
SoakDrift drift_of(const std::vector<double>& values);

// `reference` may be null: there is nothing to compare with.
std::vector<SoakVerdict> judge(const SoakRecord& record, const SoakRecord* reference,
                               const SoakLimits& limits);

}  // namespace weir::bench
