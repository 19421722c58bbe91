// Tests the key-value service of kv_service.h in a simulated world, for a year by default.
//
//     bazel run -c opt //net/examples:kv_simulation -- --seed 1
//     bazel run -c opt //net/examples:kv_simulation -- --seeds 100 --days 30 --plant-race
//
// A seed decides everything that happens. When a client has got an answer that cannot be, it prints
// what was wrong and the command that does the same again, and leaves with 1.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "net/examples/kv_trial.h"

namespace {

using weir::example::kv::Bug;
using weir::example::kv::Report;
using weir::example::kv::Trial;
using weir::example::kv::TrialOptions;

constexpr int kYear = 365;

struct Flags {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  int days = kYear;
  bool plant_race = false;
  std::string trace;
};

void describe(CLI::App& app, Flags& flags) {
  app.add_option("--seed", flags.seed, "decides everything");
  app.add_option("--seeds", flags.seeds, "so many, one after the other, up to the first failure");
  app.add_option("--days", flags.days, "virtual time")->check(CLI::Range(1, 3650));
  app.add_flag("--plant-race", flags.plant_race, "a service with a race, to see that it is found");
  app.add_option("--trace", flags.trace, "file for a line of each event; '-': standard output");
}

// 12 03:04:05.678901234, days first.
std::string text_of(weir::Duration time) {
  const std::chrono::hh_mm_ss clock(time % std::chrono::days(1));
  char text[64];
  std::snprintf(text, sizeof text, "%lld %02lld:%02lld:%02lld.%09lld",
                static_cast<long long>(time / std::chrono::days(1)),
                static_cast<long long>(clock.hours().count()),
                static_cast<long long>(clock.minutes().count()),
                static_cast<long long>(clock.seconds().count()),
                static_cast<long long>(clock.subseconds().count()));
  return text;
}

void print(const Report& report, std::uint64_t seed, double seconds) {
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("seed %llu: %s\n", number(seed), report.wrong.empty() ? "good" : "WRONG");
  std::printf("  virtual time  %s\n", text_of(report.time).c_str());
  std::printf("  real time     %.2f s, %.0f events/s\n", seconds,
              static_cast<double>(report.events) / seconds);
  std::printf("  events        %llu, trace hash %016llx\n", number(report.events),
              number(report.trace_hash));
  std::printf("  clients       %llu answers, %zu log entries\n", number(report.answers),
              report.log_entries);
  std::printf("  troubles      %llu: %llu crashes, %llu disks lost, %llu partitions\n",
              number(report.troubles), number(report.crashes), number(report.disks_lost),
              number(report.partitions));
  for (const auto& node : report.nodes) {
    std::printf("  heartbeats    %s: due %llu", node.name.c_str(), number(node.beats_due));
    for (const auto& [peer, beats] : node.heartbeats) {
      std::printf(";  to %s %llu, missed %llu", peer.c_str(), number(beats.sent),
                  number(beats.missed));
    }
    std::printf("\n");
  }
}

void print_failure(const Report& report, const Flags& flags, std::uint64_t seed) {
  std::string days;
  if (flags.days != kYear) days = " --days " + std::to_string(flags.days);
  std::printf("wrong: %s, at %s\n", report.wrong.c_str(), text_of(report.time).c_str());
  std::printf("replay: kv_simulation --seed %llu%s%s\n", static_cast<unsigned long long>(seed),
              days.c_str(), flags.plant_race ? " --plant-race" : "");
}

// Returns whether all was good.
bool try_seed(std::uint64_t seed, const Flags& flags, std::FILE* trace) {
  TrialOptions options = {.seed = seed,
                          .days = flags.days,
                          .bug = flags.plant_race ? Bug::first_follower_is_enough : Bug::none};
  if (trace != nullptr) {
    options.on_trace = [trace](std::string_view line) {
      std::fprintf(trace, "%.*s\n", static_cast<int>(line.size()), line.data());
    };
  }
  const auto begin = std::chrono::steady_clock::now();
  const Report report = Trial(std::move(options)).run();
  const std::chrono::duration<double> real = std::chrono::steady_clock::now() - begin;
  print(report, seed, real.count());
  if (report.wrong.empty()) return true;
  print_failure(report, flags, seed);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Tests a replicated key-value service in a simulated world.");
  try {
    describe(app, flags);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "error: %s; see --help\n", error.what());
    return 2;
  }
  std::FILE* trace = nullptr;
  if (!flags.trace.empty()) {
    trace = flags.trace == "-" ? stdout : std::fopen(flags.trace.c_str(), "w");
    if (trace == nullptr) {
      std::fprintf(stderr, "error: --trace %s cannot be written\n", flags.trace.c_str());
      return 2;
    }
  }
  bool good = true;
  for (std::uint64_t i = 0; good && i < flags.seeds; ++i) {
    good = try_seed(flags.seed + i, flags, trace);
  }
  if (trace != nullptr && trace != stdout) std::fclose(trace);
  return good ? 0 : 1;
}
