// Adopted descriptors, and what the kernel is told of a socket's options: contract section 2.2.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <tuple>

#include "tests/contract_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::ReadyState;

// ---- 2.2: adopting a descriptor ----

class AdoptTest : public ContractTest {
 protected:
  void TearDown() override {
    outer_.reset();
    adopted_.reset();
    ContractTest::TearDown();
  }

  void pair(int (&fds)[2]) {
    if (simulated()) {
      std::tie(fds[0], fds[1]) = static_cast<SimBackend&>(reactor().backend()).make_pair();
    } else {
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    }
  }

  // Both ends, adopted.
  void adopt_pair(const SocketOptions& options = {}) {
    int fds[2];
    pair(fds);
    outer_ = std::make_unique<Socket>(reactor());
    adopted_ = std::make_unique<Socket>(reactor(), options);
    record(*outer_, outer_record_);
    record(*adopted_, record_);
    record_data(*outer_, outer_record_);
    record_data(*adopted_, record_);
    ASSERT_TRUE(outer_->adopt(fds[0]).has_value());
    ASSERT_TRUE(adopted_->adopt(fds[1]).has_value());
    EXPECT_EQ(adopted_->native_handle(), fds[1]);
  }

  std::unique_ptr<Socket> outer_;
  std::unique_ptr<Socket> adopted_;
  Record outer_record_;
  Record record_;
};

TEST_P(AdoptTest, AConnectedSocketIsTakenOver) {
  RULES("2.2.2.1");
  NODE_TEST("connect-options-fd");
  adopt_pair();
  EXPECT_FALSE(adopted_->connecting());
  EXPECT_FALSE(adopted_->pending());
  EXPECT_EQ(adopted_->ready_state(), ReadyState::open);
  const std::string sent = pattern(2 << 20, 1);
  adopted_->write("hello");
  outer_->write(sent);
  outer_->end();
  ASSERT_TRUE(run_until([&] { return record_.closes != 0 && outer_record_.closes != 0; }));
  EXPECT_TRUE(record_.bytes == sent);
  EXPECT_EQ(outer_record_.bytes, "hello");
  EXPECT_EQ(record_.order(), "data end finish close") << "no 'connect'";
  EXPECT_EQ(adopted_->bytes_read(), sent.size());
  EXPECT_EQ(adopted_->bytes_written(), 5U);
}

TEST_P(AdoptTest, ASocketThatIsInUseAdoptsNothing) {
  RULES("2.2.2.2");
  adopt_pair();
  int fds[2];
  pair(fds);
  const auto second = adopted_->adopt(fds[0]);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(name_of(second.error().code), "ERR_SOCKET_ALREADY_CONNECTED");
  Socket other(reactor());
  ASSERT_TRUE(other.adopt(fds[0]).has_value()) << "it stayed the caller's";
  Socket negative(reactor());
  const auto refused = negative.adopt(-1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(name_of(refused.error().code), "ERR_OUT_OF_RANGE");
  EXPECT_FALSE(negative.destroyed());
  ASSERT_TRUE(negative.adopt(fds[1]).has_value()) << "it may try again";
  other.write("both work");
  std::string received;
  negative.on_data([&](Socket&, Buffer bytes) { received += bytes.view(); });
  ASSERT_TRUE(run_until([&] { return received == "both work"; }));
}

WEIR_ON_ALL_BACKENDS(AdoptTest);

class KernelAdoptTest : public AdoptTest {};

TEST_P(KernelAdoptTest, WhatIsNoConnectedStreamIsAMistake) {
  RULES("2.2.2.2");
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const int datagram = ::socket(AF_INET, SOCK_DGRAM, 0);
  const int file = ::open("/dev/null", O_RDWR);
  Socket socket(reactor());
  for (const int fd : {pipe_ends[0], pipe_ends[1], datagram, file}) {
    const int flags = ::fcntl(fd, F_GETFL);
    const auto result = socket.adopt(fd);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(name_of(result.error().code), "ERR_INVALID_FD_TYPE");
    EXPECT_EQ(::fcntl(fd, F_GETFL), flags) << "it stays the caller's, as it was";
    EXPECT_EQ(::close(fd), 0);
  }
  EXPECT_FALSE(socket.destroyed());
  EXPECT_TRUE(socket.pending());
}

TEST_P(KernelAdoptTest, AStreamSocketThatIsNotConnectedIsAMistake) {
  RULES("2.2.2.1 2.2.2.2");
  const int fresh = ::socket(AF_INET, SOCK_STREAM, 0);
  const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(::listen(listening, 1), 0);
  for (const int fd : {fresh, listening}) {
    Socket socket(reactor());
    const auto result = socket.adopt(fd);
    EXPECT_FALSE(result.has_value());
    if (result) continue;
    EXPECT_EQ(name_of(result.error().code), "ERR_INVALID_FD_TYPE");
    EXPECT_EQ(::close(fd), 0) << "it stays the caller's";
  }
}

TEST_P(KernelAdoptTest, AnAdoptedTcpSocketKnowsItsAddressesAndIsNonBlocking) {
  RULES("2.2.2.1");
  NODE_TEST("connect-options-fd");
  listen();
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(to_.port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  ASSERT_TRUE(client().adopt(fd).has_value());
  EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(client().remote_address().port(), to_.port);
  client().write("adopted");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "adopted"; }));
  EXPECT_EQ(peer().remote_address(), client().local_address());
  peer().end("bye");
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "data end finish close");
}

WEIR_ON_KERNEL_BACKENDS(KernelAdoptTest);

// ---- 2.2: what the kernel was told ----

class KernelOptionsTest : public ContractTest {
 protected:
  static int option(const Socket& socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(socket.native_handle(), level, name, &value, &size), 0)
        << std::strerror(errno);
    return value;
  }
  static int no_delay(const Socket& socket) { return option(socket, IPPROTO_TCP, TCP_NODELAY); }
  static int keep_alive(const Socket& socket) { return option(socket, SOL_SOCKET, SO_KEEPALIVE); }
  static int idle(const Socket& socket) { return option(socket, IPPROTO_TCP, TCP_KEEPIDLE); }

  // The kernel's own default.
  static int default_idle() {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &size), 0);
    ::close(fd);
    return value;
  }

  // What `look` sees inside 'connect' and, at the other end, 'connection'.
  template <class Look>
  void expect_when_connected(const PairOptions& options, Look&& look) {
    client_record_ = {};
    peer_record_ = {};
    listen(options);
    expect_inside(std::forward<Look>(look));
  }
  template <class Look>
  void expect_inside(Look&& look) {
    int looks = 0;
    client().on_connect([&](Socket& socket) {
      look(socket);
      ++looks;
    });
    server_->on_connection([&](Socket& socket) {
      look(socket);
      ++looks;
    });
    ASSERT_TRUE(client().connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return looks == 2; }));
    client().end();
    expect_all_gone();
  }

  static PairOptions both(const SocketOptions& options) {
    PairOptions made;
    made.client = options;
    made.server.socket = options;
    return made;
  }
};

TEST_P(KernelOptionsTest, NoDelayIsOffByDefaultAndSetWhenConnected) {
  RULES("2.2.5.1 2.2.5.2");
  NODE_TEST("connect-nodelay");
  EXPECT_FALSE(SocketOptions().no_delay);
  expect_when_connected({}, [](Socket& socket) { EXPECT_EQ(no_delay(socket), 0); });
  expect_when_connected(both({.no_delay = true}),
                        [](Socket& socket) { EXPECT_EQ(no_delay(socket), 1); });
}

TEST_P(KernelOptionsTest, KeepAliveIsOffByDefaultAndSetWhenConnected) {
  RULES("2.2.6.1 2.2.6.2");
  NODE_TEST("connect-keepalive");
  EXPECT_FALSE(SocketOptions().keep_alive);
  EXPECT_EQ(SocketOptions().keep_alive_delay, Duration::zero());
  const int usual = default_idle();
  expect_when_connected({}, [=](Socket& socket) {
    EXPECT_EQ(keep_alive(socket), 0);
    EXPECT_EQ(idle(socket), usual);
  });
  for (const Duration delay : {Duration::zero(), Duration(999ms)}) {
    expect_when_connected(both({.keep_alive = true, .keep_alive_delay = delay}),
                          [=](Socket& socket) {
                            EXPECT_EQ(keep_alive(socket), 1);
                            EXPECT_EQ(idle(socket), usual) << "the kernel's own";
                          });
  }
  expect_when_connected(both({.keep_alive = true, .keep_alive_delay = 5900ms}), [](Socket& socket) {
    EXPECT_EQ(keep_alive(socket), 1);
    EXPECT_EQ(idle(socket), 5) << "whole seconds";
    EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPINTVL), 1);
    EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPCNT), 10);
  });
}

TEST_P(KernelOptionsTest, WhatIsSetBeforeConnectingIsAppliedLater) {
  RULES("2.2.5.2 2.2.6.2");
  NODE_TEST("persistent-nodelay persistent-keepalive");
  for (const bool while_connecting : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    listen();
    bool seen = false;
    client().on_connect([&](Socket& socket) {
      seen = true;
      EXPECT_EQ(no_delay(socket), 1);
      EXPECT_EQ(keep_alive(socket), 1);
      EXPECT_EQ(idle(socket), 7);
    });
    if (while_connecting) client().connect(to_).value();
    client().set_no_delay();
    client().set_keep_alive(true, 7s);
    if (!while_connecting) client().connect(to_).value();
    ASSERT_TRUE(run_until([&] { return seen; }));
    client().end();
    expect_all_gone();
    // And for the next connection of the same object.
    seen = false;
    client().connect(to_).value();
    ASSERT_TRUE(run_until([&] { return seen && peer_ != nullptr; }));
  }
}

TEST_P(KernelOptionsTest, TheLastCallOfSetNoDelayCounts) {
  RULES("2.2.5.2");
  NODE_TEST("socket-setnodelay");
  join();
  EXPECT_EQ(no_delay(client()), 0);
  const struct {
    bool on;
    int value;
  } kCalls[] = {{true, 1}, {true, 1}, {false, 0}, {false, 0}, {true, 1}};
  for (const auto& call : kCalls) {
    client().set_no_delay(call.on);
    EXPECT_EQ(no_delay(client()), call.value);
  }
  client().set_no_delay(false);
  client().set_no_delay();
  EXPECT_EQ(no_delay(client()), 1);
  client().set_keep_alive(true, 3s);
  EXPECT_EQ(keep_alive(client()), 1);
  EXPECT_EQ(idle(client()), 3);
  client().set_keep_alive(false);
  EXPECT_EQ(keep_alive(client()), 0);
}

TEST_P(KernelOptionsTest, AnAddressThatIsNotOursIsAnErrorOfBind) {
  RULES("2.2.11.3");
  listen();
  to_.local_address = "192.0.2.7";
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_EQ(client_record_.order(), "");
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.order(), "error close");
  EXPECT_STREQ(client_record_.errors[0].syscall, "bind");
  EXPECT_EQ(client_record_.errors[0].message(), "bind EADDRNOTAVAIL 192.0.2.7");
}

TEST_P(KernelOptionsTest, AnEndThatIsTakenIsAnErrorOfBind) {
  RULES("2.2.11.3");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
  const int taken = client().local_address().port();
  Record seen;
  Socket second(reactor());
  record(second, seen);
  ASSERT_TRUE(second
                  .connect({.host = "127.0.0.1",
                            .port = to_.port,
                            .local_address = "127.0.0.1",
                            .local_port = taken})
                  .has_value());
  EXPECT_EQ(seen.order(), "");
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.order(), "error close");
  EXPECT_EQ(seen.error(), "EADDRINUSE");
  EXPECT_STREQ(seen.errors[0].syscall, "bind");
}

WEIR_ON_KERNEL_BACKENDS(KernelOptionsTest);

}  // namespace
}  // namespace weir::test
