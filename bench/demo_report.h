#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "bench/load.h"

// The numbers of the demo: samples, their medians and how they are shown.
namespace weir::bench {

struct DemoWorkload {
  std::string name;
  int connections = 1;
  std::uint64_t size = 64;
  int pipeline = 1;
  int rounds = 1;
  double warmup_seconds = 0;
  double duration_seconds = 0;
};

// One run of one server.
struct DemoSample {
  double messages_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double cpu_us_per_message = 0;
  double cpu_percent = 0;
};

DemoSample to_sample(const LoadResult& result);

// One server's samples under one workload, in the order of the rounds.
struct DemoRow {
  std::string server;
  // The row of the floor with the same backend; none for a floor itself.
  std::optional<std::size_t> floor;
  std::vector<DemoSample> samples;
};

struct DemoTable {
  DemoWorkload workload;
  std::vector<DemoRow> rows;
  // Before each round; empty if the machine has one core.
  std::vector<double> core_round_trips_ns;
};

// Server CPU per message against the floor's: the median of the rounds' ratios.
std::optional<double> ratio_to_floor(const DemoTable& table, const DemoRow& row);

void print_table_head();
void print_table(const DemoTable& table);

// Parts of a file in JSON: a string, and "key":[1,2].
std::string json_string(const std::string& text);
void write_json_numbers(std::FILE* file, const char* key, const std::vector<double>& values);

// False, with a line on stderr, if the file cannot be written.
bool write_json(const std::string& path, const std::vector<std::string>& machine,
                const std::vector<DemoTable>& tables);

}  // namespace weir::bench
