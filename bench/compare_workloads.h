#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "bench/compare_servers.h"

// What the servers of a comparison are asked to do.
namespace weir::bench {

struct CompareSample {
  double per_second = 0;
  // The server's, user and system.
  double cpu_us = 0;
  double p50_us = 0;
  double p99_us = 0;
  // Of the core that the server has.
  double cpu_percent = 0;
};

struct CompareTarget {
  pid_t pid = 0;
  std::uint16_t port = 0;
  // Not empty: instead of the port.
  std::string unix_path;
};

struct CompareWorkload {
  std::string name;
  Speaks speaks = Speaks::echo;
  // What is counted: `message`, `request`, `MiB`.
  std::string unit;
  std::function<std::expected<CompareSample, std::string>(const CompareTarget&)> run;
  // The bare loops do the same work, so that a ratio to them means something.
  bool has_floor = true;
  bool over_unix = false;
  // The servers spin; only those that can take part.
  bool spinning = false;
  // Only those with files take part.
  bool files = false;
  // What nginx cannot do without a program behind it.
  bool dynamic = false;

  bool takes(const Contender& one) const;
};

// Files to serve, below `root`. False when they cannot be written.
bool write_compare_files(const std::string& root);

// `quick` is for seeing that it works.
std::vector<CompareWorkload> compare_workloads(bool quick);

}  // namespace weir::bench
