// Listening where the kernel has its say: backlogs, options, permissions, descriptors of others.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kHere = "127.0.0.1";

// Runs `work` on a thread that has less than this one; what a thread gives up is gone with it.
void on_a_thread_without(bool (*give_up)(), const std::function<void()>& work) {
  std::thread([&] {
    ASSERT_TRUE(give_up());
    work();
  }).join();
}

// socket(AF_INET6, ...) fails as on a kernel without IPv6.
bool give_up_ipv6() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = sizeof filter / sizeof filter[0], .filter = filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// As a user who is not root.
bool give_up_privileges() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

int number_in(const char* file) {
  int number = -1;
  std::ifstream(file) >> number;
  return number;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  getsockopt(fd, level, name, &value, &size);
  return value;
}

// As the kernel has clamped it.
int backlog_of(const Server& server) {
  tcp_info info{};
  socklen_t size = sizeof info;
  getsockopt(server.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size);
  return static_cast<int>(info.tcpi_sacked);  // of a listening socket
}

bool listens(int fd) { return option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1; }

// A socket that is bound to 127.0.0.1 and does not listen yet.
int bound_socket(int type = SOCK_STREAM) {
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  return fd;
}

int bound_socket(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  return fd;
}

class KernelListenTest : public PairTest {
 protected:
  void SetUp() override {
    PairTest::SetUp();
    if (IsSkipped()) return;
    server_ = std::make_unique<Server>(reactor());
    record_data(*server_, peer_record_);
  }

  std::string refusal(const net::ListenAt& at) {
    const auto result = server_->listen(at);
    if (result) return "";
    EXPECT_FALSE(server_->listening());
    EXPECT_STREQ(result.error().syscall, "listen");
    return std::string(name_of(result.error().code));
  }

  // A byte goes from a new client to the server.
  void expect_served(const net::ConnectOptions& to) {
    peer_record_ = {};
    Socket socket(reactor());
    ASSERT_TRUE(socket.connect(to).has_value());
    socket.write("!");
    EXPECT_TRUE(run_until([&] { return peer_record_.bytes == "!"; }));
  }

  // A failed listen() emits nothing, and the server can listen at once.
  void expect_usable() {
    int events = 0;
    server_->on_server_error([&](Server&, const Error&) { ++events; });
    server_->on_server_close([&](Server&) { ++events; });
    ASSERT_TRUE(server_->listen({.port = 0, .host = kHere}).has_value());
    expect_served({.host = kHere, .port = server_->address().port()});
    EXPECT_EQ(events, 0);
  }
};

TEST_P(KernelListenTest, TheBacklogIs511ByDefaultAndForZero) {
  RULES("3.2.1.1 3.2.1.2 3.2.0.1");
  const int most = number_in("/proc/sys/net/core/somaxconn");
  ASSERT_GT(most, 0);
  ASSERT_TRUE(server_->listen({.port = 0, .host = kHere}).has_value());
  EXPECT_EQ(backlog_of(*server_), std::min(511, most));
  Server zero(reactor());
  ASSERT_TRUE(zero.listen({.port = 0, .host = kHere, .backlog = 0}).has_value());
  EXPECT_EQ(backlog_of(zero), std::min(511, most));
  Server five(reactor());
  ASSERT_TRUE(five.listen({.port = 0, .host = kHere, .backlog = 5}).has_value());
  EXPECT_EQ(backlog_of(five), 5);
}

TEST_P(KernelListenTest, TheKernelClampsTheBacklog) {
  RULES("3.2.1.3");
  const int most = number_in("/proc/sys/net/core/somaxconn");
  ASSERT_TRUE(server_->listen({.port = 0, .host = kHere, .backlog = most + 1000}).has_value());
  EXPECT_EQ(backlog_of(*server_), most);
  expect_served({.host = kHere, .port = server_->address().port()});
}

TEST_P(KernelListenTest, ReuseAddrIsAlwaysOnAndReusePortOnRequest) {
  RULES("3.2.4.1 3.2.4.2");
  ASSERT_TRUE(server_->listen({.port = 0, .host = kHere}).has_value());
  EXPECT_EQ(option(server_->native_handle(), SOL_SOCKET, SO_REUSEADDR), 1);
  EXPECT_EQ(option(server_->native_handle(), SOL_SOCKET, SO_REUSEPORT), 0);
  Server shared(reactor());
  ASSERT_TRUE(shared.listen({.port = 0, .host = kHere, .reuse_port = true}).has_value());
  EXPECT_EQ(option(shared.native_handle(), SOL_SOCKET, SO_REUSEADDR), 1);
  EXPECT_EQ(option(shared.native_handle(), SOL_SOCKET, SO_REUSEPORT), 1);
}

TEST_P(KernelListenTest, WithoutIPv6ItListensOnEveryIPv4Address) {
  RULES("3.2.3.2");
  on_a_thread_without(give_up_ipv6, [&] {
    const auto bound = server_->listen({.port = 0});
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    EXPECT_EQ(bound->ip().ip(), "0.0.0.0");
    Server only(reactor());
    EXPECT_FALSE(only.listen({.port = 0, .ipv6_only = true}).has_value());
  });
  ASSERT_TRUE(server_->listening());
  expect_served({.host = kHere, .port = server_->address().port()});
  expect_served({.host = "127.0.0.2", .port = server_->address().port()});
}

TEST_P(KernelListenTest, APortWithoutPermission) {
  RULES("3.2.6.5 3.2.6.1 3.2.6.3 3.2.6.10");
  const int first_free = number_in("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  if (first_free <= 1) GTEST_SKIP() << "every port is free to everybody here";
  on_a_thread_without(give_up_privileges, [&] {
    EXPECT_EQ(refusal({.port = first_free - 1, .host = kHere}), "EACCES");
    EXPECT_EQ(refusal({.port = first_free - 1}), "EACCES") << "no fallback to IPv4";
  });
  expect_usable();
}

TEST_P(KernelListenTest, APathWithoutPermission) {
  RULES("3.2.6.5 3.2.6.1 3.2.6.3 3.2.6.10");
  const std::string directory = socket_path();
  ASSERT_EQ(mkdir(directory.c_str(), 0555), 0);
  on_a_thread_without(give_up_privileges,
                      [&] { EXPECT_EQ(refusal({.path = directory + "/s"}), "EACCES"); });
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  expect_usable();
}

TEST_P(KernelListenTest, AnAddressThatIsNotOurs) {
  RULES("3.2.6.6 3.2.6.1 3.2.6.3 3.2.6.10 3.2.6.11");
  NODE_TEST("listen-error");
  EXPECT_EQ(refusal({.port = 0, .host = "192.0.2.7"}), "EADDRNOTAVAIL");
  expect_usable();
}

TEST_P(KernelListenTest, ADescriptorThatIsNotOpen) {
  RULES("3.2.6.7 3.2.6.1 3.2.6.3");
  NODE_TEST("server-listen-handle");
  // Far above all that are open.
  EXPECT_EQ(refusal({.fd = 1'000'000}), "EINVAL");
  expect_usable();
}

TEST_P(KernelListenTest, ADescriptorThatCannotListenStaysTheCallers) {
  RULES("3.2.6.7 3.2.6.1");
  const int datagrams = bound_socket(SOCK_DGRAM);
  EXPECT_EQ(refusal({.fd = datagrams}), "EINVAL");
  EXPECT_EQ(::close(datagrams), 0);
  expect_usable();
}

TEST_P(KernelListenTest, ADescriptorThatIsNoSocket) {
  RULES("3.2.6.8 3.2.6.1 3.2.6.3 3.2.6.10 3.2.6.11");
  NODE_TEST("server-listen-handle");
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::string refused = refusal({.fd = file});
  EXPECT_TRUE(refused == "ENOTSOCK" || refused == "EINVAL") << refused;
  EXPECT_EQ(::close(file), 0) << "it is still the caller's";
  expect_usable();
}

TEST_P(KernelListenTest, StandardInputIsADescriptorLikeOthers) {
  RULES("3.2.6.8");
  NODE_TEST("listen-fd0");
  const int saved = ::dup(0);
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::dup2(file, 0), 0);
  const std::string refused = refusal({.fd = 0});
  EXPECT_TRUE(refused == "ENOTSOCK" || refused == "EINVAL") << refused;
  EXPECT_EQ(saved >= 0 ? ::dup2(saved, 0) : ::close(0), 0);
  ::close(saved);
  ::close(file);
}

TEST_P(KernelListenTest, ABoundSocketIsMadeToListen) {
  RULES("3.2.0.4 3.2.9.2 3.2.9.3 3.2.1.2");
  NODE_TEST("server-listen-handle");
  const int fd = bound_socket();
  EXPECT_FALSE(listens(fd));
  const auto bound = server_->listen({.fd = fd, .backlog = 9});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_TRUE(listens(fd));
  EXPECT_EQ(backlog_of(*server_), 9);
  EXPECT_EQ(bound->ip().ip(), kHere);
  sockaddr_in at{};
  socklen_t size = sizeof at;
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  EXPECT_EQ(server_->address().port(), ntohs(at.sin_port));
  expect_served({.host = kHere, .port = ntohs(at.sin_port)});
}

TEST_P(KernelListenTest, AListeningSocketIsTakenOverAndClosedByClose) {
  RULES("3.2.9.1 3.2.9.3");
  NODE_TEST("server-listen-handle");
  const int fd = bound_socket();
  ASSERT_EQ(::listen(fd, 9), 0);
  const auto bound = server_->listen({.fd = fd});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_EQ(server_->native_handle(), fd);
  EXPECT_EQ(backlog_of(*server_), 9) << "it listened already";
  expect_served({.host = kHere, .port = bound->port()});
  server_->close_all_connections();
  bool closed = false;
  server_->on_server_close([&](Server&) { closed = true; });
  ASSERT_TRUE(server_->close().has_value());
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_P(KernelListenTest, AUnixSocketIsAdoptedToo) {
  RULES("3.2.9.2 3.2.9.3 3.2.10.2");
  NODE_TEST("server-listen-handle");
  const std::string path = socket_path();
  const int fd = bound_socket(path);
  ASSERT_TRUE(server_->listen({.fd = fd}).has_value());
  EXPECT_TRUE(listens(fd));
  EXPECT_EQ(server_->address().path(), path);
  expect_served({.path = path});
}

WEIR_ON_KERNEL_BACKENDS(KernelListenTest);

}  // namespace
}  // namespace weir::test
