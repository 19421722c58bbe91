// The benchmark programs end to end: the load generator against honest and lying servers, its
// exit codes, and what the bare servers do with a peer that does not read.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/load_pattern.h"
#include "bench/server_process.h"
#include "tests/leaks.h"

namespace weir::bench {
namespace {

// Set by main from the command line.
struct Programs {
  std::string echo_load;
  std::string floor_epoll;
  std::string floor_uring;
  std::string lying_server;
} programs;

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

std::string contents(int fd) {
  std::string text(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  close(fd);
  return text;
}

Outcome run_program(std::vector<std::string> command) {
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int out = memfd_create("out", MFD_CLOEXEC);
  const int err = memfd_create("err", MFD_CLOEXEC);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents(out), contents(err)};
}

Outcome load(std::vector<std::string> flags) {
  std::vector<std::string> command = {programs.echo_load, "--warmup", "0.05", "--duration", "0.2"};
  command.insert(command.end(), flags.begin(), flags.end());
  return run_program(std::move(command));
}

void expect_one_line(const std::string& text) {
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_TRUE(text.starts_with("echo_load: ")) << text;
}

class Floor : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const bool uring = std::string(GetParam()) == "io_uring";
    auto started = ServerProcess::start({uring ? programs.floor_uring : programs.floor_epoll}, -1);
    if (!started && started.error().find("io_uring refused") != std::string::npos) {
      GTEST_SKIP() << started.error();
    }
    ASSERT_TRUE(started) << started.error();
    server_.emplace(std::move(*started));
    EXPECT_EQ(server_->backend(), std::string("backend ") + GetParam() + ": floor");
  }

  void TearDown() override {
    if (!server_) return;
    const auto stopped = server_->stop();
    EXPECT_TRUE(stopped) << stopped.error();
  }

  std::string port() const { return std::to_string(server_->port()); }

  std::optional<ServerProcess> server_;
};

INSTANTIATE_TEST_SUITE_P(Backends, Floor, testing::Values("epoll", "io_uring"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Floor, EchoesEveryShapeOfLoad) {
  const std::vector<std::vector<std::string>> shapes = {
      {"--connections", "1"},
      {"--connections", "50", "--pipeline", "16"},
      {"--connections", "7", "--size", "1"},
      {"--connections", "20", "--size", "16384"},
      {"--connections", "2", "--size", "1048577", "--pipeline", "3"},
      {"--connections", "5", "--size", "65521", "--threads", "2"},
      {"--connections", "10", "--messages", "1"},
      {"--connections", "7", "--messages", "5", "--pipeline", "2", "--threads", "2"},
      {"--connections", "3", "--messages", "2", "--pipeline", "8", "--size", "300000"},
  };
  for (std::vector<std::string> shape : shapes) {
    shape.insert(shape.end(), {"--port", port()});
    const Outcome outcome = load(shape);
    EXPECT_EQ(outcome.exit_code, 0) << testing::PrintToString(shape) << outcome.err;
    EXPECT_EQ(outcome.err, "");
  }
}

TEST_P(Floor, JsonNamesTheNumbers) {
  const Outcome outcome =
      load({"--port", port(), "--json", "--server-pid", std::to_string(server_->pid())});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(outcome.out.starts_with("{") && outcome.out.ends_with("}\n")) << outcome.out;
  for (const char* key : {"messages", "messages_per_second", "bytes_per_second", "p50", "p90",
                          "p99", "p99.9", "p99.99", "max", "server_cpu_us_per_message"}) {
    EXPECT_NE(outcome.out.find('"' + std::string(key) + "\":"), std::string::npos) << key;
  }
}

int connect_to(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

bool ready(int fd, short events, int timeout_ms) {
  pollfd entry{fd, events, 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

long resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtol(line.c_str() + 6, nullptr, 10);
  }
  return -1;
}

// Sends what fits, until the peer takes nothing for a while or `total` is reached.
void send_until_stuck(int fd, const LoadPattern& pattern, std::uint64_t& sent,
                      std::uint64_t total) {
  while (sent < total && ready(fd, POLLOUT, 200)) {
    const std::size_t size = std::min<std::uint64_t>(total - sent, LoadPattern::kMaxRun);
    const ssize_t taken = send(fd, pattern.at(0, sent), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken > 0) sent += static_cast<std::uint64_t>(taken);
  }
}

// ThreadSanitizer shadows every byte with up to four of its own, resident as soon as it is touched.
#ifdef __SANITIZE_THREAD__
constexpr long kResidentPerByte = 5;
#else
constexpr long kResidentPerByte = 1;
#endif

TEST_P(Floor, HoldsBackAPeerThatDoesNotReadAndLosesNothing) {
  constexpr std::uint64_t kTotal = 256 << 20;
  const LoadPattern pattern;
  const int fd = connect_to(server_->port());
  const long resident_before = resident_kib(server_->pid());
  std::uint64_t sent = 0;
  send_until_stuck(fd, pattern, sent, kTotal);
  EXPECT_LT(sent, kTotal / 2) << "the server goes on reading for a peer that does not read";
  EXPECT_LT(resident_kib(server_->pid()) - resident_before, kResidentPerByte * (32 << 10));

  std::uint64_t received = 0;
  std::vector<char> buffer(LoadPattern::kMaxRun);
  while (received < kTotal && ready(fd, POLLIN, 5000)) {
    const ssize_t size = recv(fd, buffer.data(), buffer.size(), 0);
    ASSERT_GT(size, 0);
    const auto count = static_cast<std::size_t>(size);
    ASSERT_EQ(pattern.matching(0, received, buffer.data(), count), count);
    received += count;
    while (sent < kTotal && ready(fd, POLLOUT, 0)) {
      const ssize_t taken =
          send(fd, pattern.at(0, sent), std::min<std::uint64_t>(kTotal - sent, buffer.size()),
               MSG_DONTWAIT | MSG_NOSIGNAL);
      if (taken <= 0) break;
      sent += static_cast<std::uint64_t>(taken);
    }
    if (sent == kTotal) shutdown(fd, SHUT_WR);
  }
  EXPECT_EQ(received, kTotal);
  EXPECT_TRUE(ready(fd, POLLIN, 5000));
  EXPECT_EQ(recv(fd, buffer.data(), buffer.size(), 0), 0);
  close(fd);
}

TEST_P(Floor, SurvivesPeersThatResetWithOutputPending) {
  const LoadPattern pattern;
  for (int i = 0; i < 5; ++i) {
    const int fd = connect_to(server_->port());
    std::uint64_t sent = 0;
    send_until_stuck(fd, pattern, sent, 64 << 20);
    const linger now{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
  }
  EXPECT_EQ(load({"--port", port(), "--connections", "10"}).exit_code, 0);
}

class Lie : public testing::TestWithParam<std::pair<const char*, const char*>> {};

INSTANTIATE_TEST_SUITE_P(Kinds, Lie,
                         testing::Values(std::pair("flip", "wrong byte at position 1000"),
                                         std::pair("drop", "wrong byte at position 1000"),
                                         std::pair("double", "wrong byte at position 1001"),
                                         std::pair("close", "the server closed it"),
                                         std::pair("extra", "more bytes came back")),
                         [](const auto& info) { return std::string(info.param.first); });

TEST_P(Lie, IsSeen) {
  auto server = ServerProcess::start({programs.lying_server, GetParam().first}, -1);
  ASSERT_TRUE(server) << server.error();
  const Outcome outcome = load({"--port", std::to_string(server->port())});
  EXPECT_EQ(outcome.exit_code, 1);
  expect_one_line(outcome.err);
  EXPECT_NE(outcome.err.find(GetParam().second), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(server->stop());
}

TEST_P(Lie, IsSeenWhenConnectionsAreReplaced) {
  auto server = ServerProcess::start({programs.lying_server, GetParam().first}, -1);
  ASSERT_TRUE(server) << server.error();
  // Together they are long enough for a lie.
  const Outcome outcome =
      load({"--port", std::to_string(server->port()), "--size", "700", "--messages", "2"});
  EXPECT_EQ(outcome.exit_code, 1);
  expect_one_line(outcome.err);
  EXPECT_NE(outcome.err.find(GetParam().second), std::string::npos) << outcome.err;
  EXPECT_TRUE(server->stop());
}

// Whether at the end of the load or when another is to take the connection's place.
TEST(EchoLoad, AConnectionThatTheServerDoesNotCloseIsMissed) {
  for (const char* messages : {"0", "1"}) {
    auto server = ServerProcess::start({programs.lying_server, "stay"}, -1);
    ASSERT_TRUE(server) << server.error();
    const Outcome outcome = load({"--port", std::to_string(server->port()), "--messages", messages,
                                  "--drain", "0.2"});
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_NE(outcome.err.find("the server did not close it"), std::string::npos) << outcome.err;
    EXPECT_TRUE(server->stop());
  }
}

// As many messages as a connection has: no more on it, and the others on new ones.
TEST(EchoLoad, ReplacesConnections) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  std::vector<std::size_t> received;
  std::jthread echo([&] {
    for (int fd; (fd = accept(listener, nullptr, nullptr)) >= 0; close(fd)) {
      std::array<char, 4096> buffer;
      received.push_back(0);
      for (ssize_t size; (size = recv(fd, buffer.data(), buffer.size(), 0)) > 0;) {
        received.back() += static_cast<std::size_t>(size);
        if (send(fd, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) != size) break;
      }
    }
  });
  const Outcome outcome = load({"--port", std::to_string(ntohs(address.sin_port)), "--size", "100",
                                "--messages", "3", "--pipeline", "2"});
  shutdown(listener, SHUT_RDWR);
  echo.join();
  close(listener);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  ASSERT_GT(received.size(), 1U);
  // The last was ended with the load.
  EXPECT_LE(received.back(), 300U);
  received.pop_back();
  EXPECT_EQ(std::count(received.begin(), received.end(), 300U), std::ssize(received));
}

// The lies above are what makes the difference, not the server that tells them.
TEST(EchoLoad, TheSameServerWithoutALieIsFine) {
  auto server = ServerProcess::start({programs.lying_server, "none"}, -1);
  ASSERT_TRUE(server) << server.error();
  EXPECT_EQ(load({"--port", std::to_string(server->port())}).exit_code, 0);
  EXPECT_TRUE(server->stop());
}

// One message of one byte short: nothing wrong arrives, but something is missing.
TEST(EchoLoad, ALostLastByteIsMissedAtTheEnd) {
  auto server = ServerProcess::start({programs.lying_server, "drop"}, -1);
  ASSERT_TRUE(server) << server.error();
  const Outcome outcome = load({"--port", std::to_string(server->port()), "--size", "1001",
                                "--drain", "0.2"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("did not come back"), std::string::npos) << outcome.err;
  EXPECT_TRUE(server->stop());
}

TEST(EchoLoad, NothingListeningIsAnError) {
  // A port that was free a moment ago: bound by us, so nobody else gets it, but not listening.
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const Outcome outcome = load({"--port", std::to_string(ntohs(address.sin_port))});
  EXPECT_EQ(outcome.exit_code, 1);
  expect_one_line(outcome.err);
  EXPECT_NE(outcome.err.find("cannot connect"), std::string::npos) << outcome.err;
  close(fd);
}

TEST(EchoLoad, BadFlagsAreNamed) {
  const std::vector<std::vector<std::string>> bad = {
      {},
      {"--port", "0"},
      {"--port", "65536"},
      {"--port", "1", "--connections", "0"},
      {"--port", "1", "--size", "0"},
      {"--port", "1", "--size", "-1"},
      {"--port", "1", "--pipeline", "x"},
      {"--port", "1", "--duration", "0"},
      {"--port", "1", "--threads", "0"},
      {"--port", "1", "--messages", "-1"},
      {"--port", "1", "--unix", "path"},
      {"--port", "1", "--nonsense"},
  };
  for (std::vector<std::string> flags : bad) {
    flags.insert(flags.begin(), programs.echo_load);
    const Outcome outcome = run_program(flags);
    EXPECT_EQ(outcome.exit_code, 2) << testing::PrintToString(flags);
    expect_one_line(outcome.err);
  }
  EXPECT_EQ(run_program({programs.echo_load, "--help"}).exit_code, 0);
}

TEST(EchoLoad, SpeaksToUnixSockets) {
  // In /tmp: the path of a test's own directory may be longer than the 108 bytes allowed.
  char directory[] = "/tmp/echo_load_XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/socket";
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  std::jthread echo([listener] {
    const int fd = accept(listener, nullptr, nullptr);
    std::array<char, 4096> buffer;
    for (ssize_t size; (size = recv(fd, buffer.data(), buffer.size(), 0)) > 0;) {
      if (send(fd, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) != size) break;
    }
    close(fd);
  });
  const Outcome outcome = load({"--unix", path, "--size", "1000"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  shutdown(listener, SHUT_RDWR);
  echo.join();
  close(listener);
  unlink(path.c_str());
  rmdir(directory);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  if (argc != 5) {
    std::fprintf(stderr, "usage: echo_load_test ECHO_LOAD FLOOR_EPOLL FLOOR_URING LYING_SERVER\n");
    return 2;
  }
  weir::bench::programs = {argv[1], argv[2], argv[3], argv[4]};
  return RUN_ALL_TESTS();
}
