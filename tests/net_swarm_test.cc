// Swarm tests of net under the simulator. WEIR_SEED=n runs one seed, with WEIR_TRACE=1 it prints
// all that happens; WEIR_SEEDS=n chooses how many.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <csignal>
#include <cstring>
#include <optional>

#include "tests/net_swarm.h"

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
                "replay: WEIR_SEED=%llu bazel test //tests:net_swarm_test --test_env=WEIR_SEED\n",
                static_cast<unsigned long long>(seed));
  for (const int signal : {SIGABRT, SIGSEGV, SIGTERM}) std::signal(signal, say_how_to_replay);
}

SwarmResult run(std::uint64_t seed) {
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
  return run_net_swarm(seed, options);
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
    {"fault late", 60},
    {"fault again", 60},
    {"fault short_read", 60},
    {"fault short_write", 60},
    {"fault ended", 60},
    {"fault late_cancel", 60},
    {"fault spurious", 60},
    {"fault no_buffers", 60},
    {"fault no_memory", 60},
    {"fault no_descriptors", 60},
    {"fault aborted", 60},
    {"fault no_lookup", 60},
    {"fault reset", 60},
    {"fault stall", 60},
    {"fault jump", 60},
    {"no fault", 15},
    {"crash", 30},
    {"restart", 10},
    {"partition", 30},
    {"freeze", 25},
    {"receive memory scarce", 1},
    {"connect", 2000},
    {"event connection", 1000},
    {"event drop", 50},
    {"event timeout", 200},
    {"reconnect", 300},
    {"relay", 100},
    {"pipe to itself", 200},
    {"adopted", 15},
    {"pause", 500},
    {"hoarded", 1000},
    {"bytes", 5000000},
    {"write ok", 50000},
    {"write full", 5000},
    {"write refused", 3000},
    {"policy pause", 1000},
    {"policy drop", 1000},
    {"policy close", 15},
    {"callback", 20000},
    {"callback with error", 2000},
    {"callback of end()", 300},
    {"close gracefully", 1000},
    {"close killed", 300},
    {"close with error", 700},
    {"act end", 20},
    {"act destroy", 200},
    {"act destroy with code", 20},
    {"act destroy_soon", 80},
    {"act detach", 20},
    {"act remove", 12},
    {"act write after end", 20},
    {"act cork", 40},
    {"act pause", 40},
    {"act small things", 150},
    {"reset", 20},
    {"stop token", 10},
    {"end with last bytes", 150},
    {"server close", 25},
    {"server close and listen", 25},
    {"drain", 25},
    {"close_all", 30},
    {"server destroyed", 25},
    {"max changed", 25},
    {"server error EMFILE", 20},
    {"error ABORT_ERR", 10},
    {"error EAI_AGAIN", 1},
    {"error ECONNREFUSED", 200},
    {"error ECONNRESET", 200},
    {"error EMFILE", 40},
    {"error ENOBUFS", 20},
    {"error ENOENT", 10},
    {"error ENOMEM", 30},
    {"error ENOTFOUND", 15},
    {"error EPIPE", 4},
    {"error ETIMEDOUT", 50},
};

TEST(SwarmTest, EverySeedIsClean) {
  const auto chosen = number_in("WEIR_SEED");
  const std::uint64_t first = chosen.value_or(1);
  const std::uint64_t last = chosen ? *chosen : number_in("WEIR_SEEDS").value_or(kSeedsDefault);
  SwarmCounts counts;
  std::uint64_t steps = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const SwarmResult result = run(seed);
    add(counts, result.counts);
    steps += result.steps;
    if (result.ok) continue;
    ADD_FAILURE() << result.what;
    std::fputs(replay_line, stderr);
    if (std::getenv("WEIR_KEEP_GOING") == nullptr) break;
  }
  if (std::getenv("WEIR_COUNTS") == nullptr) return;
  for (const auto& [name, count] : counts) {
    std::printf("%10llu %s\n", static_cast<unsigned long long>(count), name.c_str());
  }
  std::printf("%10llu steps\n", static_cast<unsigned long long>(steps));
}

TEST(SwarmTest, TheSameSeedGivesTheSameTrace) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SwarmResult results[2];
    std::string traces[2];
    for (int i = 0; i < 2; ++i) {
      SwarmOptions options;
      options.on_trace = [&](std::string_view line) { (traces[i] += line) += '\n'; };
      results[i] = run_net_swarm(seed, options);
    }
    EXPECT_EQ(results[0].trace_hash, results[1].trace_hash) << "seed " << seed;
    EXPECT_EQ(results[0].events, results[1].events) << "seed " << seed;
    EXPECT_TRUE(traces[0] == traces[1]) << "seed " << seed << ": the traces differ";
    EXPECT_FALSE(traces[0].empty());
  }
}

TEST(SwarmTest, TheSeedsReachWhatTheyShould) {
  SwarmCounts counts;
  for (std::uint64_t seed = 1; seed <= kSeedsForCoverage; ++seed) add(counts, run(seed).counts);
  for (const Floor& floor : kFloors) {
    EXPECT_GE(counts[floor.name], floor.least) << floor.name;
  }
}

}  // namespace
}  // namespace weir::test
