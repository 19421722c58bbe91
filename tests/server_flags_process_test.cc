// That the flags of the example servers do what they say: --busy-poll, --busy-poll-adaptive and
// --without, by what the echo server counts and what the kernel says of its process.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/process_facts.h"
#include "tests/process_test.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using bench::threads_at_work;

using Flags = std::vector<std::string>;

class ServerFlags : public ProcessTest {
 protected:
  void start_with(Flags flags) {
    flags.push_back("--stats");
    start(command("echo_server", flags));
  }

  // One message at a time.
  void exchange(int messages) {
    RawClient client = connect();
    for (int i = 0; i < messages; ++i) ASSERT_TRUE(client.echoes("a message")) << i;
  }
  // Likewise, each when the server sleeps.
  void exchange_slowly(int messages) {
    RawClient client = connect();
    for (int i = 0; i < messages; ++i) {
      ASSERT_TRUE(eventually([&] { return threads_at_work(pid()) == 0; })) << i;
      ASSERT_TRUE(client.echoes("a message")) << i;
    }
  }

  // Ends the server, and keeps what it has counted.
  void finish() {
    const auto stopped = server_->stop();
    EXPECT_TRUE(stopped.has_value()) << stopped.error();
    stats_ = server_->take_output();
    server_.reset();
  }
  std::uint64_t counted(const std::string& name) const {
    const std::size_t at = stats_.find(" " + name + "=");
    EXPECT_NE(at, std::string::npos) << name << " is not in: " << stats_;
    return at == std::string::npos ? 0 : std::stoull(stats_.substr(at + name.size() + 2));
  }

  std::string stats_;
};

// ---- Spinning ----

// Longer than any exchange takes, in microseconds, and shorter than any.
constexpr const char* kLong = "1000000";
constexpr const char* kShort = "1";

TEST_P(ServerFlags, WithoutBusyPollTheServerSleepsForEachMessage) {
  start_with({});
  if (!server_) return;
  exchange(200);
  finish();
  EXPECT_EQ(counted("spins"), 0U);
  EXPECT_GE(counted("sleeps"), 200U);
}

// It finds the next message in a spin, or at once where both share a processor.
TEST_P(ServerFlags, WithBusyPollItDoesNot) {
  start_with({"--busy-poll", kLong});
  if (!server_) return;
  exchange(200);
  finish();
  EXPECT_LT(counted("sleeps"), 100U);
}

TEST_P(ServerFlags, WithBusyPollItSpinsBeforeEachSleep) {
  start_with({"--busy-poll", kShort});
  if (!server_) return;
  exchange_slowly(50);
  finish();
  EXPECT_GE(counted("spins"), 50U);
  EXPECT_GE(counted("sleeps"), 50U);
}

TEST_P(ServerFlags, WithBusyPollAdaptiveItDoesNotSleepInMuchTraffic) {
  start_with({"--busy-poll", kLong, "--busy-poll-adaptive"});
  if (!server_) return;
  exchange(200);
  finish();
  EXPECT_LT(counted("sleeps"), 100U);
}

TEST_P(ServerFlags, WithBusyPollAdaptiveItDoesNotSpinInLittle) {
  start_with({"--busy-poll", kShort, "--busy-poll-adaptive"});
  if (!server_) return;
  exchange_slowly(50);
  finish();
  EXPECT_LT(counted("spins"), 10U);
  EXPECT_GE(counted("sleeps"), 50U);
}

TEST_P(ServerFlags, AServerThatHasSpunIsIdleWhenNothingComes) {
  start_with({"--busy-poll", "1000", "--busy-poll-adaptive"});
  if (!server_) return;
  const RawClient idle = connect();
  exchange(200);
  ASSERT_TRUE(eventually([&] { return threads_at_work(pid()) == 0; }));
  const double share = cpu_share(pid(), 500ms);
  report("CPU with an idle connection", share * 100, "%");
  EXPECT_LT(share, 0.02);
}

TEST_P(ServerFlags, AdaptiveWithoutATimeIsRefused) {
  const auto started = ServerProcess::start(command("echo_server", {"--busy-poll-adaptive"}), -1);
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().find("--busy-poll-adaptive requires --busy-poll"), std::string::npos)
      << started.error();
}

WEIR_ON_PROCESS_BACKENDS(ServerFlags);

// ---- Techniques of io_uring ----

class WithoutFlag : public ServerFlags {
 protected:
  // The line in which the server names its backend.
  std::string techniques(const Flags& flags) {
    start_with(flags);
    return server_ ? server_->backend() : std::string();
  }
  bool names(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  }
};

// io_uring_enter(2) by its number, which is the same on all machines but Alpha.
constexpr long kEnterNumber = 426;
constexpr unsigned long kRegisteredRing = 1UL << 4;

// What a sleeping thread has handed to io_uring_enter as flags. No value: none sleeps there, or the
// kernel does not tell.
std::optional<unsigned long> entered_with(pid_t pid) {
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream file(task.path() / "syscall");
    long number = -1;
    std::string fd;
    std::string submitted;
    std::string wanted;
    unsigned long flags = 0;
    if (!(file >> number >> fd >> submitted >> wanted >> std::hex >> flags)) continue;
    if (number == kEnterNumber) return flags;
  }
  return std::nullopt;
}

TEST_P(WithoutFlag, BufferRing) {
  const std::string with = techniques({});
  if (with.empty()) return;
  EXPECT_TRUE(names(with, "multishot receive")) << with;
  exchange(200);
  finish();
  const std::uint64_t calls = counted("system_calls");
  const std::string without = techniques({"--without", "buffer_ring"});
  EXPECT_TRUE(names(without, "multishot poll, plain receives")) << without;
  exchange(200);
  finish();
  EXPECT_GE(counted("system_calls"), calls + 100) << "a receive for each message is a call";
}

TEST_P(WithoutFlag, Incremental) {
  const std::string with = techniques({});
  if (with.empty()) return;
  if (!names(with, "incremental")) GTEST_SKIP() << with;
  finish();
  const std::string without = techniques({"--without", "incremental"});
  EXPECT_TRUE(names(without, "plain buffer ring")) << without;
  EXPECT_FALSE(names(without, "incremental")) << without;
  exchange(50);
  finish();
  EXPECT_GT(counted("multishot_receives"), 0U);
}

TEST_P(WithoutFlag, MultishotAccept) {
  constexpr int kConnections = 50;
  if (techniques({}).empty()) return;
  for (int i = 0; i < kConnections; ++i) exchange(1);
  finish();
  const std::uint64_t rearmed = counted("multishot_rearms");
  EXPECT_LT(rearmed, 25U);
  techniques({"--without", "multishot_accept"});
  for (int i = 0; i < kConnections; ++i) exchange(1);
  finish();
  EXPECT_GE(counted("multishot_rearms"), 50U);
}

TEST_P(WithoutFlag, DeferTaskrun) {
  const std::string with = techniques({});
  if (with.empty()) return;
  EXPECT_TRUE(names(with, "DEFER_TASKRUN")) << with;
  exchange(50);
  finish();
  const std::string without = techniques({"--without", "defer_taskrun"});
  EXPECT_TRUE(names(without, "COOP_TASKRUN")) << without;
  EXPECT_FALSE(names(without, "DEFER_TASKRUN")) << without;
  exchange(50);
  finish();
}

TEST_P(WithoutFlag, RegisterRingFd) {
  if (techniques({}).empty()) return;
  exchange(1);
  std::optional<unsigned long> flags;
  const auto sleeps_there = [&] { return (flags = entered_with(pid())).has_value(); };
  ASSERT_TRUE(eventually([&] { return threads_at_work(pid()) == 0; }));
  if (!sleeps_there()) GTEST_SKIP() << "the kernel does not tell where a process sleeps";
  EXPECT_NE(*flags & kRegisteredRing, 0U);
  finish();
  techniques({"--without", "register_ring_fd"});
  exchange(1);
  ASSERT_TRUE(eventually(sleeps_there));
  EXPECT_EQ(*flags & kRegisteredRing, 0U);
}

TEST_P(WithoutFlag, SeveralAtOnce) {
  const std::string without = techniques({"--without", "defer_taskrun", "buffer_ring"});
  if (without.empty()) return;
  EXPECT_TRUE(names(without, "multishot poll, plain receives, COOP_TASKRUN")) << without;
}

TEST_P(WithoutFlag, WhatIsNoTechniqueIsRefused) {
  const auto started = ServerProcess::start(command("echo_server", {"--without", "sqpoll"}), -1);
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().find("no technique that can be left out"), std::string::npos)
      << started.error();
}

INSTANTIATE_TEST_SUITE_P(Backends, WithoutFlag, testing::Values("io_uring"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace weir::test
