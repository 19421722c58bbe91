#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/compare_servers.h"
#include "bench/open_load.h"

// What the samples of an open-loop load say of latency.
namespace weir::bench {

// What each of them is taken at, in this order.
inline constexpr std::array kPercents = {50.0, 90.0, 99.0, 99.9, 99.99};
using Percentiles = std::array<double, kPercents.size()>;

// So many of a sample's messages must have taken longer than a percentile for it to be shown.
inline constexpr double kBeyondMin = 10;
// The percentile of so many messages is shown.
bool is_shown(double percent, std::uint64_t messages);

// One run of one server.
struct LatencySample {
  // Due in the measuring window.
  std::uint64_t messages = 0;
  Percentiles latency_us{};
  // How long after a message was due the load came to send it.
  Percentiles lateness_us{};
  double answered_per_second = 0;
  // The server's, user and system.
  double cpu_us = 0;
  double cpu_percent = 0;
};

LatencySample to_latency_sample(const OpenLoadResult& result);

// One server's samples, in the order of the rounds.
struct LatencyRow {
  std::string server;
  Contender::Kind kind = Contender::Kind::peer;
  // The row that does as little as can be done by the same means; empty: none.
  std::string floor;
  std::vector<LatencySample> samples;
};

struct LatencyTable {
  int connections = 1;
  std::uint64_t size = 64;
  // Messages a second that are offered to each server: this share of the capacity, which is what
  // the bare epoll loop exchanges in a closed loop.
  double rate = 0;
  double share_percent = 50;
  double capacity = 0;
  double seconds = 0;
  std::vector<LatencyRow> rows;
  // Before each round; empty if the machine has one core.
  std::vector<double> core_round_trips_ns;

  const LatencyRow* find(std::string_view name) const;
};

// The peer with the smallest p99; null: there is none.
const LatencyRow* quickest_peer(const LatencyTable& table);

// What is to be known of a row before it is believed, or nothing.
std::string remark_on(const LatencyTable& table, const LatencyRow& row);

// Three tables in Markdown: latencies, how late the load itself was, and weir's ratios to the bare
// loops and to a peer.
std::string to_markdown(const LatencyTable& table);

// All samples, as one JSON object. `machine` says what they were taken on.
std::string to_json(const LatencyTable& table, const std::vector<std::string>& machine);

}  // namespace weir::bench
