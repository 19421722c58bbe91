// The example that users start from: a replicated service is right for a simulated year, and a race
// that is planted in it is found, with a command that has it again.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "net/examples/kv_trial.h"
#include "tests/leaks.h"

namespace weir::test {
namespace {

using example::kv::Bug;
using example::kv::NodeReport;
using example::kv::Report;
using example::kv::Trial;

// A month stands for the year here; kv_year_test has the whole one, optimised.
constexpr int kMonth = 30;

constexpr std::uint64_t kSeeds = 3;
constexpr int kDaysOfASeed = 10;
constexpr std::uint64_t kBeatsADay = 24 * 60;
// A seed of 60 days finds the race more often than not.
constexpr std::uint64_t kSeedsToFindTheRace = 20;
constexpr int kDaysToFindTheRace = 60;

std::string kv_simulation;

// ---- The service is right ----

TEST(KvSimulation, EveryHeartbeatOfACalmMonthIsSent) {
  constexpr std::uint64_t kHeartbeats = kMonth * kBeatsADay;
  const Report report = Trial({.days = kMonth, .troubles = false}).run();
  EXPECT_EQ(report.wrong, "");
  EXPECT_GT(report.answers, 0U);
  for (const NodeReport& node : report.nodes) {
    SCOPED_TRACE(node.name);
    EXPECT_EQ(node.beats_due, kHeartbeats);
    EXPECT_EQ(node.heartbeats.size(), node.name == "n1" ? 2U : 1U);
    for (const auto& [peer, beats] : node.heartbeats) {
      EXPECT_EQ(beats.sent, kHeartbeats) << "to " << peer;
      EXPECT_EQ(beats.missed, 0U) << "to " << peer;
    }
  }
}

// A trouble has at most 8 actions, at most 20 s apart: so long a node is down or frozen, and each
// crash costs a part of a minute. A link is down for that long, for 4 minutes of a frozen peer, for
// 210 s until its silence is noticed, and for 40 s until it stands again.
TEST(KvSimulation, AMonthWithTroublesIsGoodAndMissesFewHeartbeats) {
  constexpr std::uint64_t kHeartbeats = kMonth * kBeatsADay;
  constexpr std::uint64_t kDownPerTrouble = 3;
  constexpr std::uint64_t kMissedPerTrouble = 11;
  const Report report = Trial({.days = kMonth}).run();
  EXPECT_EQ(report.wrong, "");
  EXPECT_GE(report.time, std::chrono::days(kMonth));
  EXPECT_GT(report.troubles, 0U);
  EXPECT_GT(report.crashes, 0U);
  EXPECT_GT(report.disks_lost, 0U);
  EXPECT_GT(report.partitions, 0U);
  for (const NodeReport& node : report.nodes) {
    SCOPED_TRACE(node.name);
    EXPECT_LE(node.beats_due, kHeartbeats);
    EXPECT_GE(node.beats_due + kDownPerTrouble * report.troubles + report.crashes, kHeartbeats);
    for (const auto& [peer, beats] : node.heartbeats) {
      EXPECT_EQ(beats.sent + beats.missed, node.beats_due) << "to " << peer;
      EXPECT_LE(beats.missed, kMissedPerTrouble * report.troubles) << "to " << peer;
    }
  }
}

TEST(KvSimulation, SeedsAreGood) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    ASSERT_EQ(Trial({.seed = seed, .days = kDaysOfASeed}).run().wrong, "") << "seed " << seed;
  }
}

// ---- A seed decides everything ----

TEST(KvSimulation, TheSameSeedGivesTheSameTraceAndAnotherOneAnother) {
  const Report first = Trial({.seed = 7, .days = kDaysOfASeed}).run();
  std::uint64_t lines = 0;
  const Report traced = Trial({.seed = 7, .days = kDaysOfASeed, .on_trace = [&](std::string_view) {
                                 ++lines;
                               }}).run();
  const Report other = Trial({.seed = 8, .days = kDaysOfASeed}).run();
  EXPECT_EQ(first.trace_hash, traced.trace_hash);
  EXPECT_EQ(first.events, traced.events);
  EXPECT_GE(lines, traced.events);
  EXPECT_NE(first.trace_hash, other.trace_hash);
}

// ---- A planted race ----

struct Outcome {
  int status = -1;
  std::string text;

  // What follows `label` on the last line that begins with it.
  std::string line(const std::string& label) const {
    const std::size_t at = text.rfind('\n' + label);
    if (at == std::string::npos) return "";
    const std::size_t begin = at + 1 + label.size();
    return text.substr(begin, text.find('\n', begin) - begin);
  }
};

Outcome run(const std::string& arguments) {
  Outcome outcome;
  std::FILE* pipe = popen((kv_simulation + ' ' + arguments).c_str(), "r");
  if (pipe == nullptr) return outcome;
  char piece[4096];
  for (std::size_t n; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) {
    outcome.text.append(piece, n);
  }
  outcome.status = WEXITSTATUS(pclose(pipe));
  return outcome;
}

TEST(KvSimulation, APlantedRaceIsFoundAndReplayed) {
  const std::string days = std::to_string(kDaysToFindTheRace);
  const Outcome found = run("--plant-race --days " + days + " --seeds " +
                            std::to_string(kSeedsToFindTheRace));
  ASSERT_EQ(found.status, 1) << found.text;
  EXPECT_NE(found.line("wrong: ").find("acknowledged or read before"), std::string::npos);

  const std::string command = found.line("replay: ");
  const std::string program = "kv_simulation ";
  ASSERT_TRUE(command.starts_with(program)) << found.text;
  EXPECT_EQ(found.text.find("replay: "), found.text.rfind("replay: "));
  const Outcome replayed = run(command.substr(program.size()));
  EXPECT_EQ(replayed.status, 1);
  EXPECT_EQ(replayed.line("replay: "), command);
  EXPECT_EQ(replayed.line("wrong: "), found.line("wrong: "));
  EXPECT_NE(found.line("  events "), "");
  EXPECT_EQ(replayed.line("  events "), found.line("  events "));  // and the hash of all of them
}

TEST(KvSimulation, TheSeedThatFindsTheRaceIsGoodWithoutIt) {
  const std::string days = " --days " + std::to_string(kDaysToFindTheRace);
  const Outcome found =
      run("--plant-race" + days + " --seeds " + std::to_string(kSeedsToFindTheRace));
  ASSERT_EQ(found.status, 1) << found.text;
  const std::string command = found.line("replay: ");
  const std::size_t seed = command.find("--seed ");
  ASSERT_NE(seed, std::string::npos) << command;
  const Outcome good = run(command.substr(seed, command.find(' ', seed + 7) - seed) + days);
  EXPECT_EQ(good.status, 0) << good.text;
}

TEST(KvSimulation, BadFlagsAreRefused) {
  EXPECT_EQ(run("--days 0 2>&1").status, 2);
  EXPECT_EQ(run("--trace /nowhere/trace 2>&1").status, 2);
}

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  if (argc != 2) return 2;
  weir::test::kv_simulation = std::filesystem::absolute(argv[1]);
  return RUN_ALL_TESTS();
}
