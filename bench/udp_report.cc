#include "bench/udp_report.h"

#include <algorithm>
#include <cstdio>

#include "bench/samples.h"

namespace weir::bench {
namespace {

void print_title(const UdpTable& table) {
  std::printf("%s\n  (medians of %zu x %.2f s", table.title.c_str(),
              table.rows.empty() ? 0 : table.rows.front().samples.size(), table.duration_seconds);
  if (const auto& trips = table.core_round_trips_ns; !trips.empty()) {
    const auto [least, most] = std::minmax_element(trips.begin(), trips.end());
    std::printf("; core to core and back %.0f..%.0f ns", *least, *most);
  }
  std::printf(")\n");
}

void print_head(const UdpTable& table) {
  std::printf("  %-16s %10s %5s %6s %7s %10s %6s %7s", "", "received/s", "core", "loss", "CPU ns",
              "/CPU s", "/call", "/sleep");
  for (const std::size_t reference : table.references) {
    std::printf(" %10s", ("x " + table.rows[reference].short_name).c_str());
  }
  std::printf("\n");
}

void print_row(const UdpTable& table, const UdpRow& row) {
  std::printf("  %-16s", row.receiver.c_str());
  if (table.pace == UdpPace::in_turn) {
    // Most of the time it is stopped.
    std::printf(" %10s %5s", "", "");
  } else {
    std::printf(" %10.0f %4.0f%%", median_of(row.samples, &UdpSample::per_second),
                median_of(row.samples, &UdpSample::core_percent));
  }
  std::printf(" %5.2f%% %7.1f %10.0f %6.1f %7.1f",
              median_of(row.samples, &UdpSample::loss_percent),
              median_of(row.samples, &UdpSample::cpu_ns_per_datagram),
              median_of(row.samples, &UdpSample::per_cpu_second),
              median_of(row.samples, &UdpSample::per_receive),
              median_of(row.samples, &UdpSample::per_sleep));
  for (const std::size_t reference : table.references) {
    std::printf(" %10.3f", ratio_of(row, table.rows[reference]));
  }
  std::printf("\n");
}

}  // namespace

double ratio_of(const UdpRow& row, const UdpRow& reference) {
  return median(ratios_of(row.samples, reference.samples, &UdpSample::per_cpu_second));
}

void print_udp_table(const UdpTable& table) {
  print_title(table);
  print_head(table);
  for (const UdpRow& row : table.rows) print_row(table, row);
  std::fflush(stdout);
}

}  // namespace weir::bench
