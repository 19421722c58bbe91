// What an idle accepted connection keeps of the process's memory, by the allocator's own count:
// everything that was asked for on its behalf, with the allocator's overhead and the slack of what
// grows by more than one.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/reactor_world.h"
#include "weir/net/server.h"

namespace weir::test {
namespace {

using net::Server;
using net::ServerOptions;
using net::Socket;

// The promise.
constexpr std::size_t kIdleBytesMax = 256;
// What comes on top: two IPv6 addresses in full length; a timeout and its timer.
constexpr std::size_t kIpv6Bytes = 64;
constexpr std::size_t kTimeoutBytes = 96;

constexpr std::string_view kMessage = "0123456789abcdef0123456789abcdef";

// Connections that are there before anything is measured, and as many at a time echo: what is
// shared, such as memory to receive into and spare write queues, has been made then.
constexpr std::size_t kAtOnce = 100;
// Just beyond a power of two, where what doubles would have the most slack.
constexpr std::size_t kMeasured = 1030;
// The clients' descriptors are above, for what backends note they note by descriptor.
constexpr int kClientFds = kAtOnce + kMeasured + 200;
constexpr rlim_t kFdsWanted = kClientFds + kAtOnce + kMeasured + 20;

// Bytes in use by malloc and its like, its own overhead included.
std::size_t bytes_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

bool have_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  if (limit.rlim_cur >= kFdsWanted) return true;
  if (limit.rlim_max < kFdsWanted) return false;
  limit.rlim_cur = kFdsWanted;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// A blocking client that asks the allocator for nothing.
class Client {
 public:
  Client(const char* host, std::uint16_t port) {
    const bool ipv6 = std::string_view(host).find(':') != std::string_view::npos;
    sockaddr_in6 long_address{};
    sockaddr_in address{};
    long_address.sin6_family = AF_INET6;
    long_address.sin6_port = address.sin_port = htons(port);
    address.sin_family = AF_INET;
    inet_pton(AF_INET6, host, &long_address.sin6_addr);
    inet_pton(AF_INET, host, &address.sin_addr);
    const int made = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fd_ = fcntl(made, F_DUPFD_CLOEXEC, kClientFds);
    close(made);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const int connected =
        ipv6 ? connect(fd_, reinterpret_cast<sockaddr*>(&long_address), sizeof long_address)
             : connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    connected_ = connected == 0;
  }
  Client(Client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  Client& operator=(Client&&) = delete;
  ~Client() {
    if (fd_ >= 0) close(fd_);
  }

  bool connected() const { return connected_; }
  bool send_message() const {
    return send(fd_, kMessage.data(), kMessage.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(kMessage.size());
  }
  bool has_echo() const {
    std::array<char, kMessage.size()> bytes;
    return recv(fd_, bytes.data(), bytes.size(), MSG_WAITALL) ==
               static_cast<ssize_t>(bytes.size()) &&
           std::string_view(bytes.data(), bytes.size()) == kMessage;
  }

 private:
  int fd_ = -1;
  bool connected_ = false;
};

class IdleMemoryTest : public ReactorTest {
 protected:
  void SetUp() override {
    ReactorTest::SetUp();
    if (!have_descriptors()) GTEST_SKIP() << "too few descriptors";
  }
  void TearDown() override {
    clients_.clear();
    server_.reset();
    destroy_reactor();
  }

  // The listeners of an echo server, for all its sockets.
  bool serve(const std::string& host, const ServerOptions& options = {}) {
    clients_.reserve(kAtOnce + kMeasured);  // is not theirs
    server_ = std::make_unique<Server>(reactor(), options);
    server_->on_data([this](Socket& socket, Buffer bytes) {
      received_ += bytes.size();
      if (socket.write(std::move(bytes)) != net::Write::ok) socket.pause();
    });
    server_->on_drain([](Socket& socket) { socket.resume(); });
    server_->on_error([](Socket&, const Error&) {});
    server_->on_close([](Socket&, std::error_code) {});
    const auto bound = server_->listen({.port = 0, .host = host});
    if (bound) port_ = bound->port();
    return bound.has_value();
  }

  // Each has its message back before this returns.
  void connect(const char* host, std::size_t connections) {
    while (connections > 0) {
      const std::size_t now = std::min(connections, kAtOnce);
      const std::size_t first = clients_.size();
      for (std::size_t i = 0; i < now; ++i) {
        clients_.emplace_back(host, port_);
        ASSERT_TRUE(clients_.back().connected());
        ASSERT_TRUE(clients_.back().send_message());
      }
      echo(first);
      connections -= now;
    }
  }

  // Those from `first` on have sent a message.
  void echo(std::size_t first) {
    messages_ += clients_.size() - first;
    ASSERT_TRUE(run_until([&] { return received_ == messages_ * kMessage.size(); }));
    reactor().run_once(Duration::zero());  // what was written has left, and its result is here
    for (std::size_t i = first; i < clients_.size(); ++i) ASSERT_TRUE(clients_[i].has_echo());
  }

  void warm_up(const char* host) {
    connect(host, kAtOnce);
    send_all();
    echo(0);
  }

  void send_all() {
    for (const Client& client : clients_) ASSERT_TRUE(client.send_message());
  }

  // Of each of many more connections.
  double bytes_each(const char* host) {
    warm_up(host);
    const std::size_t before = bytes_in_use();
    connect(host, kMeasured);
    const std::size_t after = bytes_in_use();
    EXPECT_EQ(server_->connections(), kAtOnce + kMeasured);
    return static_cast<double>(after - before) / static_cast<double>(kMeasured);
  }

  void expect_at_most(double bytes, std::size_t bytes_max) {
    std::printf("%s: %.1f bytes a connection\n", GetParam().name.c_str(), bytes);
    EXPECT_LE(bytes, static_cast<double>(bytes_max));
    EXPECT_GE(bytes, 100) << "less than the objects are: this test counts the wrong thing";
  }

  std::unique_ptr<Server> server_;
  std::vector<Client> clients_;
  std::uint16_t port_ = 0;
  std::size_t received_ = 0;
  std::size_t messages_ = 0;
};

TEST_P(IdleMemoryTest, AnIdleConnectionKeepsLittle) {
  ASSERT_TRUE(serve("127.0.0.1"));
  expect_at_most(bytes_each("127.0.0.1"), kIdleBytesMax);
}

TEST_P(IdleMemoryTest, SoDoesOneOfIpv4AtAServerOfBoth) {
  if (!serve("::")) GTEST_SKIP() << "no IPv6";
  expect_at_most(bytes_each("127.0.0.1"), kIdleBytesMax);
}

TEST_P(IdleMemoryTest, OneOfIpv6KeepsItsAddressesToo) {
  if (!serve("::1")) GTEST_SKIP() << "no IPv6";
  expect_at_most(bytes_each("::1"), kIdleBytesMax + kIpv6Bytes);
}

TEST_P(IdleMemoryTest, OneWithATimeoutKeepsItsTimerToo) {
  ASSERT_TRUE(serve("127.0.0.1", {.socket = {.timeout = std::chrono::hours(1)}}));
  expect_at_most(bytes_each("127.0.0.1"), kIdleBytesMax + kTimeoutBytes);
}

// What was received while nobody read needs room, which goes with it.
TEST_P(IdleMemoryTest, WhatWasPausedKeepsNothingOfIt) {
  ASSERT_TRUE(serve("127.0.0.1"));
  std::vector<Socket*> paused;
  paused.reserve(2 * kAtOnce);
  warm_up("127.0.0.1");
  server_->on_data([&](Socket& socket, Buffer) {
    socket.pause();
    paused.push_back(&socket);
  });
  const auto pause_all = [&] {
    paused.clear();
    send_all();
    ASSERT_TRUE(run_until([&] { return paused.size() == kAtOnce; }));
    send_all();
    for (int turn = 0; turn < 3; ++turn) reactor().run_once(Duration::zero());
    for (Socket* socket : std::vector<Socket*>(paused)) socket->resume();
    ASSERT_TRUE(run_until([&] { return paused.size() == 2 * kAtOnce; }));
    for (Socket* socket : paused) socket->resume();
    for (int turn = 0; turn < 3; ++turn) reactor().run_once(Duration::zero());
  };
  pause_all();  // shared tables have grown
  const std::size_t before = bytes_in_use();
  pause_all();
  const std::size_t after = bytes_in_use();
  // The listener, and what shared tables have grown by; 64 bytes each would be more.
  EXPECT_LT(after - std::min(before, after), 4096U);
}

INSTANTIATE_TEST_SUITE_P(Backends, IdleMemoryTest, testing::ValuesIn(kernel_backends()), case_name);

}  // namespace
}  // namespace weir::test
