// weir's HTTP client as a process, at servers that no client should have: it says so, soon, and
// takes little memory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "tests/process_test.h"

namespace weir::test {
namespace {

// Answers one request with `begin`, and then with `piece` as long as somebody takes it.
class RudeServer {
 public:
  RudeServer(std::string begin, std::string piece)
      : begin_(std::move(begin)), piece_(std::move(piece)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    EXPECT_EQ(bind(fd_, address, size), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    EXPECT_EQ(getsockname(fd_, address, &size), 0);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  RudeServer(const RudeServer&) = delete;
  RudeServer& operator=(const RudeServer&) = delete;
  ~RudeServer() {
    // Wakes accept(2) where nobody has come.
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    close(fd_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }

 private:
  static constexpr std::size_t kSentMax = 256 * kMiB;

  void serve() {
    const int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    char room[4096];
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = recv(client, room, sizeof room, 0);
      if (got <= 0) break;
      request.append(room, static_cast<std::size_t>(got));
    }
    std::string block = begin_;
    for (std::size_t sent = 0; sent < kSentMax && !block.empty(); sent += block.size()) {
      if (send(client, block.data(), block.size(), MSG_NOSIGNAL) <= 0) break;
      block.clear();
      while (!piece_.empty() && block.size() < 16 * 1024) block += piece_;
    }
    // Nothing more comes: what there is must be enough for the client.
    while (recv(client, room, sizeof room, 0) > 0) continue;
    close(client);
  }

  const std::string begin_;
  const std::string piece_;
  const int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::uint16_t port_ = 0;
  std::thread thread_;
};

struct Outcome {
  int exit_code = -1;
  double seconds = 0;
  std::size_t resident = 0;  // the most
};

class RudeServers : public testing::TestWithParam<std::string> {
 protected:
  static Outcome fetch(const RudeServer& server) {
    const std::string url = server.url();
    const std::string path = program("fetch");
    const std::string backend = GetParam();
    const Stopwatch watch;
    const pid_t child = fork();
    if (child == 0) {
      const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
      dup2(nowhere, STDOUT_FILENO);
      dup2(nowhere, STDERR_FILENO);
      execl(path.c_str(), path.c_str(), "--backend", backend.c_str(), url.c_str(), nullptr);
      _exit(127);
    }
    int status = 0;
    rusage used{};
    EXPECT_EQ(wait4(child, &status, 0, &used), child);
    return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            .seconds = watch.seconds(),
            .resident = static_cast<std::size_t>(used.ru_maxrss) * 1024};
  }
};

TEST_P(RudeServers, EndInAnErrorSoonAndCostLittle) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const RudeServer good(ok + "Content-Length: 4\r\nConnection: close\r\n\r\ngood", "");
  const Outcome ordinary = fetch(good);
  if (GetParam() == "io_uring" && ordinary.exit_code != 0) GTEST_SKIP() << "no io_uring here";
  ASSERT_EQ(ordinary.exit_code, 0);
  struct Rude {
    const char* name;
    std::string begin;
    std::string piece;
  };
  double longest = 0;
  std::size_t most = ordinary.resident;
  for (const Rude& rude : {
           Rude{"two lengths", ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", ""},
           Rude{"a length and chunks",
                ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
           Rude{"a chunk beyond 64 bits", chunked + "10000000000000000\r\n", "x"},
           Rude{"more than the chunk", chunked + "3\r\nabcdef\r\n", ""},
           Rude{"interim responses without end", "", "HTTP/1.1 102 Wait\r\n\r\n"},
           Rude{"fields without end", ok, "A: 0123456789\r\n"},
           Rude{"a field without end", ok + "A: ", "x"},
           Rude{"a reason without end", "HTTP/1.1 200 ", "x"},
           Rude{"an extension without end", chunked + "1;a=", "x"},
           Rude{"trailers without end", chunked + "0\r\n", "A: 0123456789\r\n"},
           Rude{"zeros without end", chunked, "0"},
       }) {
    SCOPED_TRACE(rude.name);
    // An empty begin would be the end.
    const RudeServer server(rude.begin.empty() ? rude.piece : rude.begin, rude.piece);
    const Outcome outcome = fetch(server);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_LT(outcome.seconds, 1);
    longest = std::max(longest, outcome.seconds);
    most = std::max(most, outcome.resident);
  }
  report("the longest until the error", longest * 1e3, "ms");
  report("the most memory beyond that for a good answer", mib(most - ordinary.resident), "MiB");
  if (!kSanitized) {
    EXPECT_LT(most - ordinary.resident, 32 * kMiB);
  }
}

WEIR_ON_PROCESS_BACKENDS(RudeServers);

}  // namespace
}  // namespace weir::test
