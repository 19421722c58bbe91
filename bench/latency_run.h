#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "bench/compare_servers.h"
#include "bench/latency_report.h"
#include "bench/machine.h"

// The samples of a comparison of latencies.
namespace weir::bench {

struct LatencyServer {
  std::string name;
  Contender::Kind kind = Contender::Kind::peer;
  // The server that does as little as can be done by the same means; empty: none.
  std::string floor;
  // Complete but for --port.
  std::vector<std::string> command;
};

// All that speak echo, as they are; then those that can spin, spinning; then those that can do so
// where it is likely to pay.
std::vector<LatencyServer> latency_servers(const Contenders& contenders);

struct LatencyPlan {
  int connections = 10;
  std::uint64_t size = 64;
  double share_percent = 50;
  int rounds = 1;
  double warmup_seconds = 0.3;
  double seconds = 3;
  // Of each of the three samples that say what the capacity is.
  double capacity_seconds = 0.5;
};

// What the bare epoll loop, which must be among the servers, exchanges a second in a closed loop.
std::expected<double, std::string> capacity_of(const std::vector<LatencyServer>& servers,
                                               const LatencyPlan& plan, const Cores& cores);

// The servers take turns in each round, each sample in a fresh process, which is asked to leave in
// order. Each round has a schedule of its own, which is the same for all servers.
std::expected<LatencyTable, std::string> run_latency(const std::vector<LatencyServer>& servers,
                                                     const LatencyPlan& plan, double capacity,
                                                     const Cores& cores);

}  // namespace weir::bench
