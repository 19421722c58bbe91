#include "bench/latency_report.h"

#include <algorithm>
#include <cmath>
#include <ranges>

#include "bench/demo_report.h"
#include "bench/format.h"
#include "bench/samples.h"

namespace weir::bench {
namespace {

// Of the rate; Poisson's own deviation in a second of a thousand messages is 3 %.
constexpr double kKeepsUp = 0.9;
// A load that is late by this share of a latency is a good part of it.
constexpr double kLateShare = 0.5;
constexpr std::size_t kP99 = 2;

double share_beyond(double percent) { return (100 - percent) / 100; }

using Values = Percentiles LatencySample::*;

double median_at(const LatencyRow& row, Values values, std::size_t index) {
  return median_of(row.samples,
                   [=](const LatencySample& sample) { return (sample.*values)[index]; });
}

// Of the sample that has the fewest.
std::uint64_t messages_of(const LatencyRow& row) {
  if (row.samples.empty()) return 0;
  return std::ranges::min(row.samples, {}, &LatencySample::messages).messages;
}

std::uint64_t messages_of(const LatencyTable& table) {
  if (table.rows.empty()) return 0;
  return std::ranges::min(table.rows | std::views::transform([](const LatencyRow& row) {
                            return messages_of(row);
                          }));
}

std::string percent_name(double percent) { return format("p%g", percent); }

std::string percents_head() {
  std::string text;
  for (const double percent : kPercents) text += " " + percent_name(percent) + " |";
  return text;
}

std::string rule(std::size_t columns) {
  std::string text = "|";
  for (std::size_t i = 0; i < columns; ++i) text += "---|";
  return text + "\n";
}

std::string medians_text(const LatencyRow& row, Values values) {
  std::string text;
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    text += is_shown(kPercents[i], messages_of(row)) ? format(" %.1f |", median_at(row, values, i))
                                                     : " |";
  }
  return text;
}

std::string head_text(const LatencyTable& table) {
  std::string text =
      format("### %llu B x %d, open loop, %.0f messages/s\n\n",
             static_cast<unsigned long long>(table.size), table.connections, table.rate);
  text += format("%g %% of the %.0f a second that the bare epoll loop echoes when it is asked "
                 "without a pause.\n",
                 table.share_percent, table.capacity);
  const std::size_t rounds = table.rows.empty() ? 0 : table.rows.front().samples.size();
  text += format("Medians of %zu rounds of %g s, at least %llu messages each", rounds,
                 table.seconds, static_cast<unsigned long long>(messages_of(table)));
  if (const auto& trips = table.core_round_trips_ns; !trips.empty()) {
    const auto [least, most] = std::ranges::minmax(trips);
    text += format("; core to core and back %.0f..%.0f ns", least, most);
  }
  return text + ".\n";
}

// Which percentiles are not shown, and why.
std::string missing_text(const LatencyTable& table) {
  const std::uint64_t messages = messages_of(table);
  std::string names;
  for (const double percent : kPercents) {
    if (!is_shown(percent, messages)) names += (names.empty() ? "" : ", ") + percent_name(percent);
  }
  if (names.empty()) return {};
  return "Not shown: " + names +
         format(", beyond which a sample has fewer than %.0f messages; take more --seconds.\n",
                kBeyondMin);
}

std::string latencies_text(const LatencyTable& table) {
  std::string text =
      "| latency, us |" + percents_head() + " CPU us/message | core | |\n" + rule(9);
  for (const LatencyRow& row : table.rows) {
    text += "| " + row.server + " |" + medians_text(row, &LatencySample::latency_us) +
            format(" %.2f | %.0f %% |", median_of(row.samples, &LatencySample::cpu_us),
                   median_of(row.samples, &LatencySample::cpu_percent)) +
            " " + remark_on(table, row) + " |\n";
  }
  return text;
}

std::string latenesses_text(const LatencyTable& table) {
  std::string text = "| of it the load's own, us |" + percents_head() + "\n" + rule(6);
  for (const LatencyRow& row : table.rows) {
    text += "| " + row.server + " |" + medians_text(row, &LatencySample::lateness_us) + "\n";
  }
  return text;
}

std::string ratio_text(const std::vector<double>& ratios) {
  const Middle middle = middle_of(ratios);
  return format(" %.2f (%.2f..%.2f) |", middle.median, middle.low, middle.high);
}

std::string ratios_text(const LatencyRow& row, const LatencyRow& to) {
  std::string text = "| " + row.server + " / " + to.server + " |";
  const std::uint64_t messages = std::min(messages_of(row), messages_of(to));
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    const auto value = [i](const LatencySample& sample) { return sample.latency_us[i]; };
    text += is_shown(kPercents[i], messages)
                ? ratio_text(ratios_of(row.samples, to.samples, value))
                : " |";
  }
  return text + ratio_text(ratios_of(row.samples, to.samples, &LatencySample::cpu_us)) + "\n";
}

std::string comparisons_text(const LatencyTable& table) {
  std::string text = "| ratio |" + percents_head() + " CPU |\n" + rule(7);
  const auto add = [&](const LatencyRow* row, const LatencyRow* to) {
    if (row != nullptr && to != nullptr) text += ratios_text(*row, *to);
  };
  const LatencyRow* const peer = quickest_peer(table);
  for (const LatencyRow& row : table.rows) {
    if (row.kind != Contender::Kind::weir || row.server == kAgain) continue;
    add(&row, table.find(row.floor));
    add(&row, peer);
  }
  add(table.find(kAgain), table.find("weir epoll"));
  return text;
}

std::string json_numbers(const std::string& key, const std::vector<double>& values) {
  std::string text = "\"" + key + "\":[";
  for (const double value : values) text += (text.back() == '[' ? "" : ",") + format("%.4f", value);
  return text + "]";
}

std::string json_strings(const std::string& key, const std::vector<std::string>& values) {
  std::string text = "\"" + key + "\":[";
  for (const std::string& value : values) {
    text += (text.back() == '[' ? "" : ",") + json_string(value);
  }
  return text + "]";
}

std::string json_row(const LatencyRow& row) {
  std::string text = "{\"server\":" + json_string(row.server);
  const auto add = [&](const std::string& key, auto value) {
    text += "," + json_numbers(key, values_of(row.samples, value));
  };
  add("messages", [](const LatencySample& sample) { return static_cast<double>(sample.messages); });
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    const std::string name = percent_name(kPercents[i]);
    add(name + "_us", [i](const LatencySample& sample) { return sample.latency_us[i]; });
    add("late_" + name + "_us", [i](const LatencySample& sample) { return sample.lateness_us[i]; });
  }
  add("answered_per_second", &LatencySample::answered_per_second);
  add("server_cpu_us_per_message", &LatencySample::cpu_us);
  add("server_cpu_percent", &LatencySample::cpu_percent);
  return text + "}";
}

}  // namespace

bool is_shown(double percent, std::uint64_t messages) {
  // Rounded, for 99.99 is none of a double's values.
  return std::round(share_beyond(percent) * static_cast<double>(messages)) >= kBeyondMin;
}

LatencySample to_latency_sample(const OpenLoadResult& result) {
  LatencySample sample{.messages = result.latency.count(),
                       .answered_per_second = result.answered_per_second,
                       .cpu_us = result.server_cpu_us_per_message,
                       .cpu_percent = result.server_cpu_percent};
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    const double percent = kPercents[i];
    sample.latency_us[i] = static_cast<double>(result.latency.percentile(percent)) / 1e3;
    sample.lateness_us[i] = static_cast<double>(result.lateness.percentile(percent)) / 1e3;
  }
  return sample;
}

const LatencyRow* LatencyTable::find(std::string_view name) const {
  const auto at = std::ranges::find(rows, name, &LatencyRow::server);
  return at == rows.end() ? nullptr : &*at;
}

const LatencyRow* quickest_peer(const LatencyTable& table) {
  const auto p99 = [](const LatencyRow* row) {
    return median_at(*row, &LatencySample::latency_us, kP99);
  };
  const LatencyRow* best = nullptr;
  for (const LatencyRow& row : table.rows) {
    if (row.kind != Contender::Kind::peer) continue;
    if (best == nullptr || p99(&row) < p99(best)) best = &row;
  }
  return best;
}

std::string remark_on(const LatencyTable& table, const LatencyRow& row) {
  const bool late = median_at(row, &LatencySample::lateness_us, kP99) >
                    kLateShare * median_at(row, &LatencySample::latency_us, kP99);
  // Then what did not come back in time was not sent in time.
  if (late) return "the load is late";
  const double answered = median_of(row.samples, &LatencySample::answered_per_second);
  return answered < kKeepsUp * table.rate ? "does not keep up" : "";
}

std::string to_markdown(const LatencyTable& table) {
  return head_text(table) + missing_text(table) + "\n" + latencies_text(table) + "\n" +
         latenesses_text(table) + "\n" + comparisons_text(table) + "\n";
}

std::string to_json(const LatencyTable& table, const std::vector<std::string>& machine) {
  std::string text = "{" + json_strings("machine", machine);
  text += format(",\"connections\":%d,\"size\":%llu,\"rate\":%.4f,\"share_percent\":%g,"
                 "\"capacity\":%.4f,\"seconds\":%g,",
                 table.connections, static_cast<unsigned long long>(table.size), table.rate,
                 table.share_percent, table.capacity, table.seconds);
  text += json_numbers("core_round_trips_ns", table.core_round_trips_ns) + ",\"rows\":[";
  for (const LatencyRow& row : table.rows) text += (text.back() == '[' ? "" : ",") + json_row(row);
  return text + "]}\n";
}

}  // namespace weir::bench
