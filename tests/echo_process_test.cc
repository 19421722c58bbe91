// The echo server as its users run it: a process of its own, on each backend, under plain sockets,
// rude peers and kernels that refuse.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>
#include <vector>

#include "bench/server_process.h"
#include "tests/leaks.h"
#include "tests/process.h"
#include "tests/raw_client.h"

namespace weir::test {
namespace {

using bench::ServerProcess;

std::string echo_server;
std::string confined;

std::vector<std::string> serve_on(const std::string& backend) {
  return {echo_server, "--host", "127.0.0.1", "--port", "0", "--backend", backend};
}

std::vector<std::string> confine(std::vector<std::string> limits,
                                 const std::vector<std::string>& command) {
  limits.insert(limits.begin(), confined);
  limits.push_back("--");
  limits.insert(limits.end(), command.begin(), command.end());
  return limits;
}

std::string random_bytes(std::size_t size, std::mt19937& random) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

class EchoProcess : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto started = ServerProcess::start(serve_on(GetParam()), -1);
    if (!started && GetParam() == "io_uring") GTEST_SKIP() << started.error();
    ASSERT_TRUE(started.has_value()) << started.error();
    server_.emplace(std::move(*started));
  }
  RawClient connect() { return RawClient(server_->port()); }
  // True when the server still works and holds no more descriptors than before.
  bool is_back_to(std::size_t fds) {
    return eventually([&] { return open_fds(server_->pid()) <= fds; }) && connect().echoes("on");
  }

  std::optional<ServerProcess> server_;
};

TEST_P(EchoProcess, TenThousandCyclesLeakNoDescriptor) {
  ASSERT_TRUE(connect().echoes("warm"));
  ASSERT_TRUE(is_back_to(open_fds(server_->pid())));
  const std::size_t before = open_fds(server_->pid());
  for (int i = 0; i < 10000; ++i) {
    RawClient client = connect();
    ASSERT_TRUE(client.connected());
    if (i % 3 == 0) {
      ASSERT_TRUE(client.echoes("x"));
    }
    if (i % 3 == 1) client.end();
  }
  EXPECT_TRUE(is_back_to(before));
}

TEST_P(EchoProcess, ResetsAtAnyMomentAreSurvived) {
  std::mt19937 random(1);
  ASSERT_TRUE(connect().echoes("warm"));
  const std::size_t before = open_fds(server_->pid());
  const std::string bytes = random_bytes(200000, random);
  for (int i = 0; i < 1000; ++i) {
    RawClient client = connect();
    ASSERT_TRUE(client.connected());
    const std::size_t size = random() % 4 == 0 ? bytes.size() : random() % 2000;
    fcntl(client.fd(), F_SETFL, O_NONBLOCK);
    send(client.fd(), bytes.data(), size, MSG_NOSIGNAL);
    if (random() % 2 == 0) client.end();
    if (random() % 2 == 0) client.receive(size / 2);
    client.reset();
  }
  EXPECT_TRUE(is_back_to(before));
}

TEST_P(EchoProcess, AHalfClosedStreamComesBackWhole) {
  std::mt19937 random(2);
  const std::string block = random_bytes(1 << 20, random);
  constexpr int kBlocks = 64;
  RawClient client = connect();
  std::thread sender([&] {
    for (int i = 0; i < kBlocks; ++i) EXPECT_TRUE(client.send_all(block));
    client.end();
  });
  for (int i = 0; i < kBlocks; ++i) ASSERT_TRUE(client.receive(block.size()) == block) << i;
  EXPECT_TRUE(client.at_end());
  sender.join();
}

// One of many connections: what it has still to send, and to get back.
struct Exchange {
  RawClient client;
  std::string bytes;
  std::size_t sent = 0;
  std::size_t received = 0;

  bool done() const { return received == bytes.size(); }
  bool step(short events, std::mt19937& random) {
    if ((events & POLLOUT) != 0 && sent < bytes.size()) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 5000, bytes.size() - sent);
      const ssize_t now = send(client.fd(), bytes.data() + sent, size, MSG_NOSIGNAL);
      if (now > 0) sent += static_cast<std::size_t>(now);
    }
    if ((events & POLLIN) == 0) return (events & (POLLERR | POLLHUP)) == 0;
    char room[8192];
    const ssize_t now = recv(client.fd(), room, 1 + random() % sizeof room, 0);
    if (now <= 0) return now < 0 && errno == EAGAIN;
    const auto size = static_cast<std::size_t>(now);
    const bool right = bytes.compare(received, size, room, size) == 0;
    received += size;
    return right;
  }
};

TEST_P(EchoProcess, AThousandConnectionsWithRandomChunksGetTheirOwnBytes) {
  std::mt19937 random(3);
  std::vector<Exchange> all;
  for (int i = 0; i < 1000; ++i) {
    all.push_back({connect(), random_bytes(20000 + random() % 20000, random)});
    ASSERT_TRUE(all.back().client.connected());
    fcntl(all.back().client.fd(), F_SETFL, O_NONBLOCK);
  }
  std::vector<pollfd> set(all.size());
  const auto unfinished = [&] {
    return std::any_of(all.begin(), all.end(), [](const Exchange& one) { return !one.done(); });
  };
  while (unfinished()) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      short events = all[i].sent < all[i].bytes.size() ? POLLIN | POLLOUT : POLLIN;
      set[i] = {.fd = all[i].done() ? -1 : all[i].client.fd(), .events = events, .revents = 0};
    }
    ASSERT_GT(poll(set.data(), set.size(), 20000), 0) << "nothing moves any more";
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (set[i].revents != 0) {
        ASSERT_TRUE(all[i].step(set[i].revents, random)) << i;
      }
    }
  }
}

TEST_P(EchoProcess, AHundredReadersThatStopAreHeldByTheStatedLimit) {
  constexpr std::size_t kGrowthMax = std::size_t{128} << 20;
  std::mt19937 random(4);
  const std::string bytes = random_bytes(1 << 16, random);
  ASSERT_TRUE(connect().echoes("warm"));
  const std::size_t before = resident_bytes(server_->pid());
  std::vector<RawClient> clients;
  std::vector<std::size_t> sent(100);
  for (int i = 0; i < 100; ++i) {
    clients.push_back(connect());
    fcntl(clients.back().fd(), F_SETFL, O_NONBLOCK);
  }
  // Until no socket has taken anything for a while: all buffers on the way are full.
  for (int quiet = 0; quiet < 20;) {
    bool moved = false;
    for (std::size_t i = 0; i < clients.size(); ++i) {
      const std::size_t offset = sent[i] % bytes.size();
      const ssize_t now = send(clients[i].fd(), bytes.data() + offset, bytes.size() - offset,
                               MSG_NOSIGNAL);
      if (now <= 0) continue;
      sent[i] += static_cast<std::size_t>(now);
      moved = true;
    }
    quiet = moved ? 0 : quiet + 1;
    if (!moved) poll(nullptr, 0, 10);
  }
  // A sanitizer keeps what was freed for a while.
  const std::size_t growth_max = kSanitized ? 4 * kGrowthMax : kGrowthMax;
  EXPECT_LT(resident_bytes(server_->pid()), before + growth_max);
  EXPECT_TRUE(connect().echoes("others are served"));
  // Nothing was lost meanwhile.
  for (std::size_t i = 0; i < clients.size(); i += 10) {
    fcntl(clients[i].fd(), F_SETFL, 0);
    clients[i].end();
    const std::string back = clients[i].receive(sent[i]);
    ASSERT_EQ(back.size(), sent[i]);
    for (std::size_t at = 0; at < back.size(); at += bytes.size()) {
      const std::size_t size = std::min(bytes.size(), back.size() - at);
      ASSERT_EQ(back.compare(at, size, bytes, 0, size), 0) << at;
    }
  }
}

TEST_P(EchoProcess, SigintFinishesWhatIsQueuedAndExitsWithZero) {
  std::mt19937 random(5);
  const std::string bytes = random_bytes(100000, random);
  RawClient client = connect();
  ASSERT_TRUE(client.send_all(bytes));
  ASSERT_TRUE(client.receive(1) == bytes.substr(0, 1));
  kill(server_->pid(), SIGINT);
  std::string back = client.receive(bytes.size() - 1);
  EXPECT_EQ(back, bytes.substr(1, back.size()));
  client.end();
  // Not stopped by a second signal: it goes by itself, and leaves its exit code.
  EXPECT_TRUE(eventually([&] { return has_exited(server_->pid()); }));
  EXPECT_TRUE(server_->stop().has_value());
}

INSTANTIATE_TEST_SUITE_P(Backends, EchoProcess, testing::Values("epoll", "io_uring"),
                         [](const auto& info) { return info.param; });

// ---- Kernels that refuse, and bad input ----

struct Outcome {
  int exit_code = -1;
  std::string errors;
};

Outcome run(const std::vector<std::string>& command) {
  std::string line;
  for (const std::string& word : command) line += "'" + word + "' ";
  Outcome outcome;
  FILE* pipe = popen((line + "2>&1 >/dev/null </dev/null").c_str(), "r");
  char text[4096];
  while (fgets(text, sizeof text, pipe) != nullptr) outcome.errors += text;
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

void expect_one_line(const Outcome& outcome, int exit_code, const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.errors;
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
  EXPECT_NE(outcome.errors.find(part), std::string::npos) << outcome.errors;
}

void expect_fallback(const std::vector<std::string>& limits, const std::string& why,
                     const std::string& call = "io_uring_setup") {
  auto server = ServerProcess::start(confine(limits, serve_on("auto")), -1);
  ASSERT_TRUE(server.has_value()) << server.error();
  EXPECT_EQ(server->backend().find("backend epoll: " + call + " " + why), 0U)
      << server->backend();
  EXPECT_TRUE(RawClient(server->port()).echoes("all the same"));
  EXPECT_TRUE(server->stop().has_value());
  expect_one_line(run(confine(limits, serve_on("io_uring"))), 1, why);
}

TEST(Refusal, BySeccompWithEpermServesOnEpollAndSaysWhy) {
  expect_fallback({"--deny", std::to_string(EPERM)}, "EPERM");
}

TEST(Refusal, BySeccompWithEnosysServesOnEpollAndSaysWhy) {
  expect_fallback({"--deny", std::to_string(ENOSYS)}, "ENOSYS");
}

TEST(Refusal, OfEnteringAndRegisteringServesOnEpollAndSaysWhy) {
  expect_fallback({"--deny-enter", std::to_string(EPERM)}, "EPERM", "io_uring_enter");
  expect_fallback({"--deny-register", std::to_string(EPERM)}, "EPERM", "io_uring_register");
}

// Runs the server as a user without privileges, from a copy: the build's folders may be closed to
// that user.
class Unprivileged : public testing::Test {
 protected:
  void SetUp() override {
    if (getuid() != 0) GTEST_SKIP() << "only root can become an unprivileged user";
    char name[] = "/tmp/weir-test-XXXXXX";
    directory_ = mkdtemp(name);
    chmod(directory_.c_str(), 0755);
    std::filesystem::copy(echo_server, directory_ / "echo_server");
    original_ = std::exchange(echo_server, directory_ / "echo_server");
  }
  void TearDown() override {
    if (original_.empty()) return;
    echo_server = original_;
    std::filesystem::remove_all(directory_);
  }
  std::filesystem::path directory_;
  std::string original_;
};

TEST_F(Unprivileged, WithoutLockedMemoryItServesOnEpollAndSaysWhy) {
  expect_fallback({"--memlock", "0", "--uid", "65534"}, "ENOMEM");
}

TEST_F(Unprivileged, WithoutPermissionItSaysSoAndLeaves) {
  const std::string path = directory_ / "socket";  // in a folder of root's
  const Outcome outcome =
      run(confine({"--uid", "65534"}, {echo_server, "--backend", "epoll", "--unix", path}));
  expect_one_line(outcome, 1, "EACCES");
}

TEST(BadInput, GetsOneClearLineAndAnExitCode) {
  const auto with = [](std::vector<std::string> flags) {
    flags.insert(flags.begin(), echo_server);
    return run(flags);
  };
  expect_one_line(with({"--no-such-flag"}), 2, "--no-such-flag");
  expect_one_line(with({"--port", "70000"}), 2, "--port");
  expect_one_line(with({"--backend", "kqueue"}), 2, "--backend");
  expect_one_line(with({"--without", "sing"}), 2, "--without");
  expect_one_line(with({"--busy-poll", "-1"}), 2, "--busy-poll");
  expect_one_line(with({"--host", "not-an-address"}), 1, "not-an-address");
  expect_one_line(with({"--unix", "/tmp/" + std::string(120, 'x')}), 1, "108");
  expect_one_line(with({"--unix", "/no/such/directory/socket"}), 1, "ENOENT");
  expect_one_line(with({"--unix", "/tmp/x", "--threads", "2"}), 2, "--threads");
  auto server = ServerProcess::start(serve_on("epoll"), -1);
  ASSERT_TRUE(server.has_value());
  const std::string taken = std::to_string(server->port());
  expect_one_line(with({"--host", "127.0.0.1", "--port", taken}), 1, "EADDRINUSE");
}

TEST(Threads, ShareOnePort) {
  for (const char* how : {"--pin", "--balance"}) {
    std::vector<std::string> command = serve_on("auto");
    command.insert(command.end(), {"--threads", "3", how});
    auto server = ServerProcess::start(command, -1);
    ASSERT_TRUE(server.has_value()) << server.error();
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(RawClient(server->port()).echoes("x"));
    EXPECT_TRUE(server->stop().has_value());
  }
}

TEST_F(Unprivileged, ThreadsThatCannotBeHadAreAnError) {
  std::vector<std::string> command = serve_on("epoll");
  command.insert(command.end(), {"--threads", "3"});
  if (kSanitized) GTEST_SKIP() << "LeakSanitizer needs a thread itself";
  expect_one_line(run(confine({"--nproc", "1", "--uid", "65534"}, command)), 1, "pthread_create");
}

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  if (argc != 3) return 2;
  weir::test::echo_server = std::filesystem::absolute(argv[1]);
  weir::test::confined = std::filesystem::absolute(argv[2]);
  return RUN_ALL_TESTS();
}
