#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/compare_servers.h"
#include "bench/compare_workloads.h"
#include "bench/samples.h"

// What the samples of a comparison say.
namespace weir::bench {

// One server's samples under one workload, in the order of the rounds.
struct CompareRow {
  const Contender* server = nullptr;
  std::vector<CompareSample> samples;
};

struct CompareTable {
  const CompareWorkload* workload = nullptr;
  std::vector<CompareRow> rows;

  const CompareRow* find(std::string_view name) const;
};

// CPU of one against another's: of the rounds' ratios.
Middle cpu_ratio(const CompareRow& row, const CompareRow& to);

// The peer with the least CPU; null: there is none.
const CompareRow* best_peer(const CompareTable& table);

// Why a peer's figure is not believed: its CPU against the bare epoll loop's is not what it was
// measured at for the same work on another day. No value: it is, or nothing is known.
std::optional<std::string> doubt(const CompareTable& table, const CompareRow& row);

// A table in Markdown, and below it what it says of weir.
std::string to_markdown(const CompareTable& table);

}  // namespace weir::bench
