// Swarm tests of the HTTP server under the simulator. WEIR_SEED=n runs one seed, with WEIR_TRACE=1
// it prints all that happens; WEIR_SEEDS=n chooses how many.
#include "tests/http_swarm.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

namespace weir::test {
namespace {

constexpr std::uint64_t kSeedsDefault = 500;
constexpr std::uint64_t kSeedsForCoverage = 300;

std::optional<std::uint64_t> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return {};
  return std::strtoull(text, nullptr, 10);
}

// What runs a seed again, also when it has aborted the process.
char replay_line[160];

void say_how_to_replay(int signal) {
  static_cast<void>(!write(STDERR_FILENO, replay_line, std::strlen(replay_line)));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void prepare_replay_line(std::uint64_t seed) {
  std::snprintf(replay_line, sizeof replay_line,
                "replay: WEIR_SEED=%llu bazel test //tests:http_swarm_test --test_env=WEIR_SEED\n",
                static_cast<unsigned long long>(seed));
  for (const int signal : {SIGABRT, SIGSEGV}) std::signal(signal, say_how_to_replay);
}

HttpSwarmResult run(std::uint64_t seed) {
  prepare_replay_line(seed);
  SwarmOptions options;
  if (std::getenv("WEIR_TRACE") != nullptr) {
    options.on_trace = [](std::string_view line) {
      std::printf("    %.*s\n", static_cast<int>(line.size()), line.data());
    };
    options.on_log = [](std::string_view line) {
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    };
  }
  return run_http_swarm(seed, options);
}

void add(SwarmCounts& all, const SwarmCounts& more) {
  for (const auto& [name, count] : more) all[name] += count;
}

// How often each thing must have happened, at least, in kSeedsForCoverage seeds.
struct Floor {
  const char* name;
  std::uint64_t least;
};

constexpr Floor kFloors[] = {
    {"connection", 700},          {"request", 1800},          {"response", 1500},
    {"response of http", 50},     {"error answer", 70},       {"pipelined", 300},
    {"answered alone", 300},      {"aborted", 200},           {"drain", 2000},
    {"callback", 5000},           {"write refused", 200},     {"echo paused", 200},
    {"pause", 10},                {"cork", 90},               {"slip", 15},
    {"handed over", 15},          {"tunnel", 15},             {"client_error", 60},
    {"drop_request", 10},         {"handler breaks off", 15}, {"waits for 100", 100},
    {"interim 100", 60},          {"interim 102", 150},       {"interim 103", 70},
    {"status 204", 25},           {"status 205", 25},         {"status 304", 25},
    {"status 400", 20},           {"status 408", 15},         {"status 413", 12},
    {"status 417", 15},           {"status 500", 40},         {"status 503", 15},
    {"server close", 200},        {"server act close", 25},   {"server act drain", 10},
    {"server act close all", 10}, {"server act destroy", 8},  {"server act close idle", 25},
    {"crash", 20},                {"partition", 70},          {"freeze", 15},
    {"client pauses", 140},       {"line judged", 400},       {"error ECONNRESET", 80},
    {"excuse the client breaks off", 90},
};

TEST(HttpSwarmTest, EverySeedIsClean) {
  const auto chosen = number_in("WEIR_SEED");
  const std::uint64_t first = chosen.value_or(number_in("WEIR_FIRST_SEED").value_or(1));
  const std::uint64_t last =
      chosen ? *chosen : first + number_in("WEIR_SEEDS").value_or(kSeedsDefault) - 1;
  SwarmCounts counts;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const HttpSwarmResult result = run(seed);
    add(counts, result.counts);
    counts["steps"] += result.steps;
    if (result.ok) continue;
    ADD_FAILURE() << result.what;
    std::fputs(replay_line, stderr);
    if (std::getenv("WEIR_KEEP_GOING") == nullptr) break;
  }
  if (std::getenv("WEIR_COUNTS") == nullptr) return;
  for (const auto& [name, count] : counts) {
    std::printf("%10llu %s\n", static_cast<unsigned long long>(count), name.c_str());
  }
}

TEST(HttpSwarmTest, TheSameSeedGivesTheSameTrace) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    HttpSwarmResult results[2];
    std::string traces[2];
    for (int i = 0; i < 2; ++i) {
      SwarmOptions options;
      options.on_trace = [&](std::string_view line) { (traces[i] += line) += '\n'; };
      results[i] = run_http_swarm(seed, options);
    }
    EXPECT_EQ(results[0].trace_hash, results[1].trace_hash) << "seed " << seed;
    EXPECT_EQ(results[0].events, results[1].events) << "seed " << seed;
    EXPECT_TRUE(traces[0] == traces[1]) << "seed " << seed << ": the traces differ";
    EXPECT_FALSE(traces[0].empty());
  }
}

TEST(HttpSwarmTest, TheSeedsReachWhatTheyShould) {
  SwarmCounts counts;
  for (std::uint64_t seed = 1; seed <= kSeedsForCoverage; ++seed) add(counts, run(seed).counts);
  for (const Floor& floor : kFloors) {
    EXPECT_GE(counts[floor.name], floor.least) << floor.name;
  }
}

}  // namespace
}  // namespace weir::test
