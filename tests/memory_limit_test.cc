// Servers as processes whose address space is limited (RLIMIT_AS), and clients that make them want
// more: nobody can end them so, and when the clients have gone they serve as before.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "bench/server_process.h"
#include "tests/leaks.h"
#include "tests/raw_client.h"

namespace weir::test {
namespace {

using bench::ServerProcess;
using Clock = std::chrono::steady_clock;

std::string echo_server;
std::string demo_server;

constexpr int kClients = 1500;
constexpr auto kRecovery = std::chrono::seconds(3);

std::size_t address_space(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::size_t pages = 0;
  file >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

const std::string kHello = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

// What each of many clients sends, and then leaves as it is.
struct Load {
  const char* name;
  bool http;
  std::string bytes;
};

std::vector<Load> loads() {
  return {
      {"stalled_echoes", false, std::string(100'000, 'x')},
      {"unfinished_requests", true,
       kHello + kHello + "POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc"},
      {"unfinished_heads", true, "GET /hello HTTP/1.1\r\nHost: a\r\nX: " + std::string(8000, 'y')},
      {"unread_answers", true, "GET /bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n" + kHello},
  };
}

struct Case {
  std::string backend;
  Load load;
};

class MemoryLimit : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < kClients + 100) GTEST_SKIP() << "too few descriptors are allowed";
    const std::string& program = GetParam().load.http ? demo_server : echo_server;
    auto started = ServerProcess::start(
        {program, "--host", "127.0.0.1", "--port", "0", "--backend", GetParam().backend}, -1);
    if (!started && GetParam().backend == "io_uring") GTEST_SKIP() << started.error();
    ASSERT_TRUE(started.has_value()) << started.error();
    server_.emplace(std::move(*started));
  }

  // From now on it gets so many bytes more.
  void limit(std::size_t more) {
    ASSERT_TRUE(serves());  // what it needs for the first one it has
    const rlim_t most = address_space(server_->pid()) + more;
    const rlimit both{.rlim_cur = most, .rlim_max = most};
    ASSERT_EQ(prlimit(server_->pid(), RLIMIT_AS, &both, nullptr), 0);
  }

  bool serves() const {
    RawClient client(server_->port());
    client.set_receive_timeout(1);
    if (!GetParam().load.http) return client.echoes("hello");
    return client.send_all(kHello) && client.receive(15) == "HTTP/1.1 200 OK";
  }

  std::optional<ServerProcess> server_;
};

TEST_P(MemoryLimit, NobodyEndsTheServerAndItServesAgain) {
  limit(std::size_t{256} << 10);
  {
    std::vector<RawClient> clients;
    for (int i = 0; i < kClients; ++i) {
      RawClient& client = clients.emplace_back(server_->port());
      ASSERT_TRUE(client.connected()) << "client " << i;
      fcntl(client.fd(), F_SETFL, O_NONBLOCK);
      send(client.fd(), GetParam().load.bytes.data(), GetParam().load.bytes.size(), MSG_NOSIGNAL);
    }
    // Until it has done what it can with them: the last one has an answer, or its end.
    pollfd last{.fd = clients.back().fd(), .events = POLLIN, .revents = 0};
    poll(&last, 1, 1000);
    int closed = 0;
    for (const RawClient& client : clients) {
      char byte = 0;
      const ssize_t got = recv(client.fd(), &byte, 1, MSG_PEEK);
      if (got == 0 || (got < 0 && errno != EAGAIN)) ++closed;
    }
    RecordProperty("closed", closed);
    EXPECT_GT(closed, 0) << "the limit was not reached";
  }
  const auto begin = Clock::now();
  bool again = false;
  while (!again && Clock::now() - begin < kRecovery) again = serves();
  EXPECT_TRUE(again) << "it does not serve any more";
  RecordProperty("recovery_ms", static_cast<int>((Clock::now() - begin) /
                                                 std::chrono::milliseconds(1)));
  const auto stopped = server_->stop();
  EXPECT_TRUE(stopped.has_value()) << stopped.error();
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Load& load : loads()) {
    for (const char* backend : {"epoll", "io_uring"}) all.push_back({backend, load});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Loads, MemoryLimit, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.backend + '_' + info.param.load.name;
});

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  if (argc != 3) return 2;
  weir::test::echo_server = std::filesystem::absolute(argv[1]);
  weir::test::demo_server = std::filesystem::absolute(argv[2]);
  return RUN_ALL_TESTS();
}
