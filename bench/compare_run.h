#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/compare_report.h"
#include "bench/compare_servers.h"
#include "bench/compare_workloads.h"

// The rounds of a comparison.
namespace weir::bench {

struct CompareRounds {
  // What complaints begin with.
  std::string program;
  // For the servers' Unix sockets.
  std::string directory;
  // The servers' core; negative: any.
  int cpu = -1;
  int rounds = 1;
};

// The servers take turns in each round, each sample in a fresh process that is asked to leave in
// order. No value: one failed, which was said on stderr.
std::optional<CompareTable> run_rounds(const CompareWorkload& workload,
                                       const std::vector<const Contender*>& servers,
                                       const CompareRounds& how);

}  // namespace weir::bench
