#include "bench/demo_report.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "bench/samples.h"

namespace weir::bench {
namespace {

void write_row(std::FILE* file, const DemoTable& table, const DemoRow& row) {
  std::fprintf(file, "{\"server\":%s,", json_string(row.server).c_str());
  if (const auto ratio = ratio_to_floor(table, row)) {
    std::fprintf(file, "\"ratio_to_floor\":%.4f,", *ratio);
  }
  using Field = std::pair<const char*, double DemoSample::*>;
  constexpr std::array kFields = {
      Field{"messages_per_second", &DemoSample::messages_per_second},
      Field{"p50_us", &DemoSample::p50_us},
      Field{"p99_us", &DemoSample::p99_us},
      Field{"p99_9_us", &DemoSample::p999_us},
      Field{"server_cpu_us_per_message", &DemoSample::cpu_us_per_message},
      Field{"server_cpu_percent", &DemoSample::cpu_percent},
  };
  for (const auto& [name, field] : kFields) {
    if (field != kFields.front().second) std::fputc(',', file);
    write_json_numbers(file, name, values_of(row.samples, field));
  }
  std::fputc('}', file);
}

void write_table(std::FILE* file, const DemoTable& table) {
  const DemoWorkload& load = table.workload;
  std::fprintf(file, "{\"workload\":%s,\"connections\":%d,\"size\":%llu,\"pipeline\":%d,",
               json_string(load.name).c_str(), load.connections,
               static_cast<unsigned long long>(load.size), load.pipeline);
  write_json_numbers(file, "core_round_trips_ns", table.core_round_trips_ns);
  std::fprintf(file, ",\"rows\":[");
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    if (i > 0) std::fputc(',', file);
    write_row(file, table, table.rows[i]);
  }
  std::fprintf(file, "]}");
}

}  // namespace

DemoSample to_sample(const LoadResult& result) {
  return {.messages_per_second = result.messages_per_second(),
          .p50_us = static_cast<double>(result.latency.percentile(50)) / 1e3,
          .p99_us = static_cast<double>(result.latency.percentile(99)) / 1e3,
          .p999_us = static_cast<double>(result.latency.percentile(99.9)) / 1e3,
          .cpu_us_per_message = result.server_cpu_us_per_message(),
          .cpu_percent = result.server_cpu_percent()};
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

void write_json_numbers(std::FILE* file, const char* key, const std::vector<double>& values) {
  std::fprintf(file, "\"%s\":[", key);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::fprintf(file, "%s%.4f", i == 0 ? "" : ",", values[i]);
  }
  std::fprintf(file, "]");
}

std::optional<double> ratio_to_floor(const DemoTable& table, const DemoRow& row) {
  if (!row.floor) return std::nullopt;
  const DemoRow& floor = table.rows[*row.floor];
  return median(ratios_of(row.samples, floor.samples, &DemoSample::cpu_us_per_message));
}

void print_table_head() {
  std::printf("%-16s %11s %9s %9s %9s %12s %6s %8s\n", "", "messages/s", "p50 us", "p99 us",
              "p99.9 us", "CPU us/msg", "core", "x floor");
}

void print_table(const DemoTable& table) {
  std::printf("%s  (medians of %d x %.1f s", table.workload.name.c_str(), table.workload.rounds,
              table.workload.duration_seconds);
  if (const auto& trips = table.core_round_trips_ns; !trips.empty()) {
    const auto [least, most] = std::minmax_element(trips.begin(), trips.end());
    std::printf("; core to core and back %.0f..%.0f ns", *least, *most);
  }
  std::printf(")\n");
  for (const DemoRow& row : table.rows) {
    std::printf("  %-14s %11.0f %9.1f %9.1f %9.1f %12.3f %5.0f%%", row.server.c_str(),
                median_of(row.samples, &DemoSample::messages_per_second),
                median_of(row.samples, &DemoSample::p50_us),
                median_of(row.samples, &DemoSample::p99_us),
                median_of(row.samples, &DemoSample::p999_us),
                median_of(row.samples, &DemoSample::cpu_us_per_message),
                median_of(row.samples, &DemoSample::cpu_percent));
    const auto ratio = ratio_to_floor(table, row);
    if (ratio) std::printf(" %8.3f", *ratio);
    std::printf("\n");
  }
  std::fflush(stdout);
}

bool write_json(const std::string& path, const std::vector<std::string>& machine,
                const std::vector<DemoTable>& tables) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    std::fprintf(stderr, "demo: %s: %s\n", path.c_str(), std::strerror(errno));
    return false;
  }
  std::fprintf(file, "{\"machine\":[");
  for (std::size_t i = 0; i < machine.size(); ++i) {
    std::fprintf(file, "%s%s", i == 0 ? "" : ",", json_string(machine[i]).c_str());
  }
  std::fprintf(file, "],\"tables\":[");
  for (std::size_t i = 0; i < tables.size(); ++i) {
    if (i > 0) std::fputc(',', file);
    write_table(file, tables[i]);
  }
  std::fprintf(file, "]}\n");
  const bool written = std::ferror(file) == 0;
  if (std::fclose(file) == 0 && written) return true;
  std::fprintf(stderr, "demo: %s: %s\n", path.c_str(), std::strerror(errno));
  return false;
}

}  // namespace weir::bench
