#include "bench/compare_report.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "bench/format.h"

namespace weir::bench {
namespace {

// CPU against a bare epoll loop's on the kind of machine that README.md describes, by which a peer
// that was built or started wrongly is found.
struct Known {
  const char* workload;
  const char* peer;
  double quotient;
};

constexpr std::array kKnown = {
    Known{"64 B x 1", "libuv", 24.6 / 22.6},
    Known{"64 B x 1", "asio", 23.0 / 22.6},
    Known{"64 B x 1", "asio io_uring", 25.5 / 22.6},
    Known{"64 B x 1", "libevent", 26.2 / 22.6},
    Known{"64 B x 1", "Go", 30.3 / 22.6},
    Known{"64 B x 1", "Node", 27.6 / 22.6},
    Known{"64 B x 100", "libuv", 4.79 / 4.73},
    Known{"64 B x 100", "asio", 4.79 / 4.73},
    Known{"64 B x 100", "asio io_uring", 4.88 / 4.73},
    Known{"64 B x 100", "libevent", 6.39 / 4.73},
    Known{"64 B x 100", "Go", 6.06 / 4.73},
    Known{"64 B x 100", "Node", 7.51 / 4.73},
    Known{"64 B x 1000", "libuv", 5.51 / 4.97},
    Known{"64 B x 1000", "asio", 5.03 / 4.97},
    Known{"64 B x 1000", "asio io_uring", 5.29 / 4.97},
    Known{"64 B x 1000", "libevent", 7.76 / 4.97},
    Known{"64 B x 1000", "Go", 8.05 / 4.97},
    Known{"64 B x 1000", "Node", 8.06 / 4.97},
    Known{"64 B x 100, pipeline 16", "libuv", 0.31 / 0.31},
    Known{"64 B x 100, pipeline 16", "asio", 0.32 / 0.31},
    Known{"64 B x 100, pipeline 16", "asio io_uring", 0.38 / 0.31},
    Known{"64 B x 100, pipeline 16", "libevent", 0.40 / 0.31},
    Known{"64 B x 100, pipeline 16", "Go", 0.37 / 0.31},
    Known{"64 B x 100, pipeline 16", "Node", 0.46 / 0.31},
    Known{"16 KiB x 100", "libuv", 5.88 / 5.72},
    Known{"16 KiB x 100", "asio", 6.03 / 5.72},
    Known{"16 KiB x 100", "asio io_uring", 6.17 / 5.72},
    Known{"16 KiB x 100", "Go", 10.3 / 5.72},
    Known{"16 KiB x 100", "Node", 11.2 / 5.72},
    Known{"hello x 100", "Go", 10.9 / 5.35},
    Known{"hello x 100", "Node", 12.0 / 5.35},
    Known{"hello x 100", "nginx", 6.15 / 5.35},
    Known{"hello x 1000", "Go", 11.8 / 5.70},
    Known{"hello x 1000", "Node", 13.3 / 5.70},
    Known{"hello x 1000", "nginx", 6.47 / 5.70},
};
constexpr double kKnownWithin = 0.10;

std::string row_text(const CompareTable& table, const CompareRow& row) {
  const auto median_value = [&](double CompareSample::*value) {
    return median_of(row.samples, value);
  };
  std::string text = format("| %s | %.0f | %.3f |", row.server->name.c_str(),
                            median_value(&CompareSample::per_second),
                            median_value(&CompareSample::cpu_us));
  const CompareRow* const bare = table.find("bare epoll");
  const CompareRow* const own = table.find(row.server->floor);
  const CompareRow* const floor = own != nullptr ? own : bare;
  text += floor == nullptr || floor == &row
              ? " |"
              : format(" %.3f |", cpu_ratio(row, *floor).median);
  if (median_value(&CompareSample::p99_us) > 0) {
    text += format(" %.1f | %.1f |", median_value(&CompareSample::p50_us),
                   median_value(&CompareSample::p99_us));
  } else {
    text += " | |";
  }
  text += format(" %.0f %% |", median_value(&CompareSample::cpu_percent));
  if (const auto why = doubt(table, row)) text += " " + *why;
  return text + " |\n";
}

// A half of A/A's rounds differs by no more.
double tie_within(const CompareTable& table) {
  const CompareRow* const first = table.find("weir epoll");
  const CompareRow* const again = table.find(kAgain);
  if (first == nullptr || again == nullptr) return 0;
  const Middle ratio = cpu_ratio(*again, *first);
  return std::max({std::abs(ratio.median - 1), std::abs(ratio.low - 1), std::abs(ratio.high - 1)});
}

std::string verdict_on(const CompareTable& table, const CompareRow& row) {
  std::string text = "* " + row.server->name + ":";
  if (const CompareRow* const floor = table.find(row.server->floor); floor != nullptr) {
    const double speed =
        median(ratios_of(row.samples, floor->samples, &CompareSample::per_second));
    text += format(" %.3f x the CPU and %.3f x the rate of %s;", cpu_ratio(row, *floor).median,
                   speed, floor->server->name.c_str());
  }
  const CompareRow* const peer = best_peer(table);
  if (peer == nullptr) return text + " no peer to compare with\n";
  const Middle ratio = cpu_ratio(row, *peer);
  text += format(" %.3f x the CPU of %s, the best peer (half of the rounds: %.3f..%.3f)%s",
                 ratio.median, peer->server->name.c_str(), ratio.low, ratio.high,
                 std::abs(ratio.median - 1) <= tie_within(table) ? ", a tie" : "");
  if (median_of(row.samples, &CompareSample::p99_us) > 0) {
    text += format("; %.2f x its p99",
                   median(ratios_of(row.samples, peer->samples, &CompareSample::p99_us)));
  }
  return text + "\n";
}

}  // namespace

const CompareRow* CompareTable::find(std::string_view name) const {
  const auto at = std::ranges::find_if(
      rows, [name](const CompareRow& row) { return row.server->name == name; });
  return at == rows.end() ? nullptr : &*at;
}

Middle cpu_ratio(const CompareRow& row, const CompareRow& to) {
  return middle_of(ratios_of(row.samples, to.samples, &CompareSample::cpu_us));
}

const CompareRow* best_peer(const CompareTable& table) {
  const CompareRow* best = nullptr;
  for (const CompareRow& row : table.rows) {
    if (row.server->kind != Contender::Kind::peer) continue;
    if (best == nullptr || median_of(row.samples, &CompareSample::cpu_us) <
                               median_of(best->samples, &CompareSample::cpu_us)) {
      best = &row;
    }
  }
  return best;
}

std::optional<std::string> doubt(const CompareTable& table, const CompareRow& row) {
  const CompareRow* const bare = table.find("bare epoll");
  if (bare == nullptr) return std::nullopt;
  for (const Known& known : kKnown) {
    if (known.workload != table.workload->name || known.peer != row.server->name) continue;
    const double now = cpu_ratio(row, *bare).median;
    if (std::abs(now / known.quotient - 1) <= kKnownWithin) return std::nullopt;
    return format("check this peer: %.2f x the bare loop, %.2f expected", now, known.quotient);
  }
  return std::nullopt;
}

std::string to_markdown(const CompareTable& table) {
  std::string text = "### " + table.workload->name + "\n\n";
  const std::string& unit = table.workload->unit;
  text += "| | " + unit + "s/s | CPU us/" + unit + " | x bare | p50 us | p99 us | core | |\n";
  text += "|---|---|---|---|---|---|---|---|\n";
  for (const CompareRow& row : table.rows) text += row_text(table, row);
  text += "\n";
  for (const CompareRow& row : table.rows) {
    const bool is_weir = row.server->kind == Contender::Kind::weir && row.server->name != kAgain;
    if (is_weir) text += verdict_on(table, row);
  }
  return text + format("* two equal servers differ by up to %.1f %%\n\n", tie_within(table) * 100);
}

}  // namespace weir::bench
