#include "bench/soak_record.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "bench/samples.h"

namespace weir::bench {
namespace {

constexpr double kMebibyte = 1 << 20;

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

SoakOutcome passes(bool good) { return good ? SoakOutcome::pass : SoakOutcome::fail; }

unsigned long long number(std::uint64_t value) { return value; }

template <class Value>
std::vector<double> values_of(const SoakRecord& record, Value SoakPoint::* field) {
  std::vector<double> values;
  for (const SoakPoint& point : record.points) {
    values.push_back(static_cast<double>(point.*field));
  }
  return values;
}

// Of the middle half, as a share of the median.
double spread_of(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t outside = values.size() / 4;
  return (values[values.size() - 1 - outside] - values[outside]) / median(values);
}

class Judge {
 public:
  Judge(const SoakRecord& record, const SoakRecord* reference, const SoakLimits& limits)
      : record_(record), reference_(reference), limits_(limits) {}

  std::vector<SoakVerdict> run() {
    if (!record_.trouble.empty()) {
      add("start", SoakOutcome::fail, record_.trouble);
      return std::move(verdicts_);
    }
    judge_answers();
    judge_operations();
    if (record_.judged) {
      judge_descriptors();
      judge_memory();
      judge_p99();
      judge_idleness();
    }
    add("exit", passes(record_.left.empty()),
        record_.left.empty() ? "0 after SIGTERM" : record_.left);
    return std::move(verdicts_);
  }

 private:
  void add(const char* criterion, SoakOutcome outcome, const std::string& text) {
    verdicts_.push_back({record_.name, criterion, outcome, text});
  }

  void judge_answers() {
    const SoakTally& tally = record_.tally;
    std::string text = format("%.1f MiB checked, %llu wrong or lost",
                              static_cast<double>(tally.bytes) / kMebibyte, number(tally.wrong));
    if (tally.wrong > 0 && !tally.reports.empty()) text += "; " + tally.reports.front();
    add("bytes", passes(tally.wrong == 0 && tally.bytes > 0), text);
  }

  void judge_operations() {
    const SoakTally& tally = record_.tally;
    const std::string text = format(
        "%llu begun, %llu of them on connections that we ended; %llu unfinished",
        number(tally.begun), number(tally.abandoned), number(tally.unfinished()));
    if (tally.wrong > 0) {
      return add("operations", SoakOutcome::not_judged, text + ", for it was ended early");
    }
    const bool done = tally.unfinished() == 0 && record_.held.empty();
    std::string why;
    if (tally.unfinished() > 0 && !tally.reports.empty()) why = "; " + tally.reports.front();
    if (!record_.held.empty()) why += "; it holds " + record_.held;
    add("operations", passes(done && tally.completed > 0), text + why);
  }

  void judge_descriptors() {
    const std::vector<std::size_t>& all = record_.descriptors;
    if (all.empty()) return add("descriptors", SoakOutcome::not_judged, "no idle moment");
    const auto [least, most] = std::ranges::minmax(all);
    const std::size_t begin = record_.descriptors_begin;
    add("descriptors", passes(least == begin && most == begin),
        format("%zu at the start, %zu to %zu at %zu idle moments", begin, least, most,
               all.size()) + record_.descriptors_more);
  }

  void judge_memory() {
    const SoakDrift drift = drift_of(values_of(record_, &SoakPoint::resident));
    const std::string text =
        format("%.2f MiB, %.2f at the end: %+.1f %% (below %.0f %%); at most %.2f",
               drift.first / kMebibyte, drift.last / kMebibyte, 100 * drift.share(),
               100 * limits_.memory_drift, static_cast<double>(record_.resident_max) / kMebibyte);
    if (record_.points.size() < 2 || !limits_.judges_memory) {
      return add("memory", SoakOutcome::not_judged, text);
    }
    add("memory", passes(drift.share() < limits_.memory_drift), text);
  }

  // What the machine does to p99 it does to the reference, too: each is divided by its neighbour's.
  void judge_p99() {
    const std::vector<double> own = values_of(record_, &SoakPoint::p99_us);
    const SoakDrift plain = drift_of(own);
    if (own.empty()) return add("p99", SoakOutcome::not_judged, "no round");
    const std::string text = format("%.0f us, %.0f at the end: %+.1f %%", plain.first, plain.last,
                                    100 * plain.share());
    if (reference_ == nullptr || reference_->points.size() < own.size()) {
      return add("p99", SoakOutcome::not_judged, text + "; no reference");
    }
    const std::vector<double> other = values_of(*reference_, &SoakPoint::p99_us);
    std::vector<double> ratios;
    for (std::size_t i = 0; i < own.size(); ++i) ratios.push_back(own[i] / other[i]);
    const SoakDrift drift = drift_of(ratios);
    const std::string both =
        text + format("; x floor %.2f, %.2f: %+.1f %% (below %.0f %%)", drift.first, drift.last,
                      100 * drift.share(), 100 * limits_.p99_drift);
    if (own.size() < limits_.points_for_p99) return add("p99", SoakOutcome::not_judged, both);
    const double spread = spread_of(other);
    if (spread > limits_.reference_spread) {
      return add("p99", SoakOutcome::not_judged,
                 both + format("; the floor's own is spread by %.0f %%: too noisy to tell",
                               100 * spread));
    }
    add("p99", passes(drift.share() < limits_.p99_drift), both);
  }

  void judge_idleness() {
    if (record_.idle_seconds <= 0) return add("idle", SoakOutcome::not_judged, "no idle moment");
    const double core = record_.idle_cpu_seconds / record_.idle_seconds;
    add("idle", passes(core < limits_.idle_core),
        format("%.2f %% of a core in %.0f s without a connection (below %.0f %%)", 100 * core,
               record_.idle_seconds, 100 * limits_.idle_core));
  }

  const SoakRecord& record_;
  const SoakRecord* reference_;
  const SoakLimits& limits_;
  std::vector<SoakVerdict> verdicts_;
};

}  // namespace

SoakDrift drift_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto quarter = static_cast<std::ptrdiff_t>(std::max<std::size_t>(values.size() / 4, 1));
  return {median({values.begin(), values.begin() + quarter}),
          median({values.end() - quarter, values.end()})};
}

std::vector<SoakVerdict> judge(const SoakRecord& record, const SoakRecord* reference,
                               const SoakLimits& limits) {
  return Judge(record, reference, limits).run();
}

}  // namespace weir::bench
