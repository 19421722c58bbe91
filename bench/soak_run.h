// A whole soak: servers that run from its beginning to its end, and take turns at being loaded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/soak_profile.h"
#include "bench/soak_record.h"

namespace weir::bench {

struct SoakServerSpec {
  std::string name;
  SoakKind kind = SoakKind::echo;
  std::vector<std::string> command;
  std::string backend;    // that its second line of output must name; empty: any
  std::string directory;  // of files that it may keep open; empty: none
  bool has_metrics = false;
  bool judged = true;
};

struct SoakRunOptions {
  std::vector<SoakServerSpec> servers;
  double seconds = 60;
  double slice_seconds = 4;
  double calibration_seconds = 1;
  int warmup_rounds = 3;
  int rounds_min = 2;  // behind the warm-up
  // Of what the server answers when as much as possible is asked for.
  double load = 0.7;
  // Not 0: arrivals a second, without a calibration.
  double rate = 0;
  double drain_seconds = 10;
  std::uint64_t seed = 1;
  Cores cores;
  // Called before each slice.
  std::function<void(const std::string& what)> progress;
};

// One for each server. The first thing that is wrong ends it.
std::vector<SoakRecord> run_soak(const SoakRunOptions& options);

}  // namespace weir::bench
