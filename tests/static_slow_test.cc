// A thousand clients that each ask for 100 MB and stop reading: what they cost the server, that
// nobody else waits for them, and that nothing is lost when they go on.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdio>

#include "tests/leaks.h"
#include "tests/static_files.h"

namespace weir::test {
namespace {

using bench::ServerProcess;

constexpr std::size_t kClients = 1000;
constexpr std::uint64_t kFileSize = 100'000'000;
constexpr std::uint64_t kFirstPart = 256 * 1024;
constexpr std::uint64_t kSecondPart = 4 << 20;
// All of them together would be 100 GB. So many go on to the end.
constexpr std::size_t kFinishers = 50;

// What a connection that waits in the middle of a file may cost the server in resident memory: its
// own state and the response's. The file's bytes go from the page cache to the socket.
constexpr std::uint64_t kBytesPerClientMax = 8 * 1024;
// For all of them together: pools and tables that grow in steps.
constexpr std::uint64_t kGrowthMax = 2 << 20;

std::string demo_server;

// The highest memory so far is forgotten; proc(5), clear_refs.
void forget_peak(pid_t pid) {
  EXPECT_TRUE(write_text("/proc/" + std::to_string(pid) + "/clear_refs", "5"));
}

class SlowReaders : public testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    // A descriptor each here, and perhaps two in the server, which inherits the limit.
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4 * kClients);
    ASSERT_GE(limit.rlim_cur, 2 * kClients + 100) << "too few descriptors for this test";
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    directory_ = std::make_unique<TemporaryDirectory>();
    file_.resize(kFileSize);
    fill_from(0, file_.data(), file_.size());
    ASSERT_TRUE(write_text(directory_->path() + "/100mb.bin", file_));
  }
  static void TearDownTestSuite() { directory_.reset(); }

  void SetUp() override {
    auto started = ServerProcess::start(
        {demo_server, "--host", "127.0.0.1", "--port", "0", "--backend", GetParam(), "--root",
         directory_->path(), "--keep-alive-timeout", "600"},
        -1);
    if (!started && GetParam() == "io_uring") GTEST_SKIP() << started.error();
    ASSERT_TRUE(started.has_value()) << started.error();
    server_.emplace(std::move(*started));
  }

  // Asks, and reads the head.
  bool begin(FileClient& client) {
    return client.ask("GET", kTarget) && client.read_head().length == kFileSize;
  }
  // The next bytes up to `end`, which must be the file's.
  static bool read_up_to(FileClient& client, std::uint64_t& at, std::uint64_t end) {
    return client.read_same(std::string_view(file_).substr(at, end - at), at);
  }

  static constexpr std::string_view kTarget = "/static/100mb.bin";
  static std::unique_ptr<TemporaryDirectory> directory_;
  static std::string file_;
  std::optional<ServerProcess> server_;
};

std::unique_ptr<TemporaryDirectory> SlowReaders::directory_;
std::string SlowReaders::file_;

TEST_P(SlowReaders, AThousandCostLittleAndLoseNothing) {
  const pid_t pid = server_->pid();
  FileClient good(server_->port());
  std::uint64_t good_at = 0;
  ASSERT_TRUE(begin(good));
  ASSERT_TRUE(read_up_to(good, good_at, kFileSize));
  const std::size_t fds = open_fds_but_pipes(pid);
  const std::uint64_t memory = memory_of(pid, "VmRSS");
  forget_peak(pid);

  struct Slow {
    FileClient client;
    std::uint64_t at = 0;
  };
  std::vector<Slow> all;
  all.reserve(kClients);
  for (std::size_t i = 0; i < kClients; ++i) {
    // The kernel's memory for TCP is bounded for all connections together (tcp_mem in tcp(7)): wide
    // ones would use it up, and crawl.
    Slow& slow = all.emplace_back(FileClient(server_->port(), kNarrow));
    ASSERT_TRUE(begin(slow.client)) << i;
    ASSERT_TRUE(read_up_to(slow.client, slow.at, kFirstPart)) << i;
  }
  ASSERT_TRUE(until_it_waits(pid));
  const std::uint64_t allowed = memory + kGrowthMax + kClients * kBytesPerClientMax;
  const std::uint64_t waiting = memory_of(pid, "VmRSS");
  EXPECT_LE(waiting, allowed);

  // Nobody waits for them.
  good_at = 0;
  ASSERT_TRUE(begin(good));
  ASSERT_TRUE(read_up_to(good, good_at, kFileSize));

  for (Slow& slow : all) {
    ASSERT_TRUE(read_up_to(slow.client, slow.at, kFirstPart + kSecondPart)) << slow.at;
  }
  for (std::size_t i = 0; i < kFinishers; ++i) {
    Slow& slow = all[i * (kClients / kFinishers)];
    ASSERT_TRUE(read_up_to(slow.client, slow.at, kFileSize)) << slow.at;
    EXPECT_TRUE(slow.client.answers_on(kTarget));
  }
  const std::uint64_t peak = memory_of(pid, "VmHWM");
  EXPECT_LE(peak, allowed);
  std::printf("resident: %llu KiB, with %zu that wait %llu KiB (%.1f KiB each), highest %llu KiB\n",
              static_cast<unsigned long long>(memory / 1024), kClients,
              static_cast<unsigned long long>(waiting / 1024),
              static_cast<double>(waiting - memory) / 1024 / static_cast<double>(kClients),
              static_cast<unsigned long long>(peak / 1024));
  all.clear();
  EXPECT_TRUE(eventually([&] { return open_fds_but_pipes(pid) <= fds; }))
      << open_fds_but_pipes(pid) << " of " << fds;
  EXPECT_TRUE(good.answers_on(kTarget));
  EXPECT_TRUE(server_->stop().has_value());
}

INSTANTIATE_TEST_SUITE_P(Backends, SlowReaders, testing::Values("epoll", "io_uring"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  if (argc != 2) return 2;
  weir::test::demo_server = argv[1];
  return RUN_ALL_TESTS();
}
