// The three tests of a swarm. WEIR_SEED=n runs one seed, with WEIR_TRACE=1 it prints what happens;
// WEIR_SEEDS=n chooses how many, WEIR_FIRST_SEED=n from where on; WEIR_KEEP_GOING=1 goes on behind
// a failure; WEIR_COUNTS=1 prints what has happened how often.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include "tests/swarm.h"

namespace weir::test {

using RunSwarm = SwarmResult (*)(std::uint64_t seed, const SwarmOptions& options);

// How often something must have happened, at least, in kSeedsForCoverage seeds.
struct SwarmFloor {
  const char* name;
  std::uint64_t least;
};

class SwarmTester {
 public:
  // `target`: that of the test, for the line that replays a seed.
  SwarmTester(RunSwarm run, const char* target) : run_(run), target_(target) {}

  void expect_clean_seeds() {
    const auto chosen = number_in("WEIR_SEED");
    const std::uint64_t first = chosen.value_or(number_in("WEIR_FIRST_SEED").value_or(1));
    const std::uint64_t count = chosen ? 1 : number_in("WEIR_SEEDS").value_or(kSeedsDefault);
    SwarmCounts counts;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
      const SwarmResult result = run(seed);
      add(counts, result.counts);
      counts["steps"] += result.steps;
      if (result.ok) continue;
      ADD_FAILURE() << result.what;
      std::fputs(replay_line_, stderr);
      if (std::getenv("WEIR_KEEP_GOING") == nullptr) break;
    }
    if (std::getenv("WEIR_COUNTS") == nullptr) return;
    for (const auto& [name, times] : counts) {
      std::printf("%10llu %s\n", static_cast<unsigned long long>(times), name.c_str());
    }
  }

  void expect_same_traces() {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      SwarmResult results[2];
      std::string traces[2];
      for (int i = 0; i < 2; ++i) {
        SwarmOptions options;
        options.on_trace = [&](std::string_view line) { (traces[i] += line) += '\n'; };
        results[i] = run_(seed, options);
      }
      EXPECT_EQ(results[0].trace_hash, results[1].trace_hash) << "seed " << seed;
      EXPECT_EQ(results[0].events, results[1].events) << "seed " << seed;
      EXPECT_TRUE(traces[0] == traces[1]) << "seed " << seed << ": the traces differ";
      EXPECT_FALSE(traces[0].empty());
    }
  }

  // So that a swarm cannot become tame unnoticed.
  void expect_coverage(std::span<const SwarmFloor> floors) {
    SwarmCounts counts;
    for (std::uint64_t seed = 1; seed <= kSeedsForCoverage; ++seed) add(counts, run(seed).counts);
    for (const SwarmFloor& floor : floors) {
      EXPECT_GE(counts[floor.name], floor.least) << floor.name;
    }
  }

 private:
  static constexpr std::uint64_t kSeedsDefault = 500;
  static constexpr std::uint64_t kSeedsForCoverage = 300;

  static std::optional<std::uint64_t> number_in(const char* variable) {
    const char* text = std::getenv(variable);
    if (text == nullptr) return {};
    return std::strtoull(text, nullptr, 10);
  }

  static void add(SwarmCounts& all, const SwarmCounts& more) {
    for (const auto& [name, count] : more) all[name] += count;
  }

  static void say_how_to_replay(int signal) {
    static_cast<void>(!write(STDERR_FILENO, replay_line_, std::strlen(replay_line_)));
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }

  SwarmResult run(std::uint64_t seed) {
    std::snprintf(replay_line_, sizeof replay_line_,
                  "replay: WEIR_SEED=%llu bazel test %s --test_env=WEIR_SEED\n",
                  static_cast<unsigned long long>(seed), target_);
    for (const int signal : {SIGABRT, SIGSEGV, SIGTERM}) std::signal(signal, say_how_to_replay);
    SwarmOptions options;
    if (std::getenv("WEIR_TRACE") != nullptr) {
      options.on_trace = [](std::string_view line) {
        std::printf("    %.*s\n", static_cast<int>(line.size()), line.data());
      };
      options.on_log = [](std::string_view line) {
        std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
      };
    }
    return run_(seed, options);
  }

  RunSwarm run_;
  const char* target_;
  // What runs a seed again, also when it has aborted the process.
  inline static char replay_line_[160];
};

}  // namespace weir::test
