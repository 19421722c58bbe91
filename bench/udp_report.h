#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bench/udp_sample.h"

// The numbers of the UDP benchmark: samples, their medians and how they are shown.
namespace weir::bench {

// One receiver's samples, in the order of the rounds.
struct UdpRow {
  std::string receiver;
  std::string short_name;  // above the column of the ratios to it
  std::vector<UdpSample> samples;
};

struct UdpTable {
  std::string title;
  UdpPace pace = UdpPace::meanwhile;
  double duration_seconds = 0;
  std::vector<UdpRow> rows;
  // The rows that the others are compared with, in the order of the columns.
  std::vector<std::size_t> references;
  // Before each round; empty if the machine has one core.
  std::vector<double> core_round_trips_ns;
};

// Datagrams per CPU second against the other's: the median of the rounds' ratios.
double ratio_of(const UdpRow& row, const UdpRow& reference);

void print_udp_table(const UdpTable& table);

}  // namespace weir::bench
