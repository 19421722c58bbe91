// Socket activation: what a service manager has left in the environment and in the descriptors.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "tests/pair.h"
#include "weir/net/activation.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// Runs `child` in a process whose descriptors from 3 on are only those that it makes itself;
// returns its exit code.
int in_child(const std::function<int()>& child) {
  const pid_t pid = fork();
  if (pid == 0) {
    for (int fd = 3; fd < 64; ++fd) close(fd);
    _exit(child());
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void pretend(const std::string& pid, const std::string& count, const char* names = nullptr) {
  setenv("LISTEN_PID", pid.c_str(), 1);
  setenv("LISTEN_FDS", count.c_str(), 1);
  if (names != nullptr) setenv("LISTEN_FDNAMES", names, 1);
}

std::string own_pid() { return std::to_string(getpid()); }

TEST(ActivationTest, NothingWasPassed) {
  EXPECT_EQ(in_child([] {
    unsetenv("LISTEN_FDS");
    const auto found = net::inherited_descriptors();
    return found && found->empty() ? 0 : 1;
  }), 0);
}

TEST(ActivationTest, DescriptorsHaveTheirNamesAndAreClosedOnExec) {
  EXPECT_EQ(in_child([] {
    if (open("/dev/null", O_RDONLY) != 3 || open("/dev/null", O_RDONLY) != 4) return 1;
    pretend(own_pid(), "2", "web:admin");
    const auto found = net::inherited_descriptors();
    if (!found || found->size() != 2) return 2;
    if ((*found)[0].fd != 3 || (*found)[0].name != "web") return 3;
    if ((*found)[1].fd != 4 || (*found)[1].name != "admin") return 4;
    if ((fcntl(3, F_GETFD) & FD_CLOEXEC) == 0) return 5;
    if (getenv("LISTEN_FDS") != nullptr || getenv("LISTEN_PID") != nullptr) return 6;
    return net::inherited_descriptors()->empty() ? 0 : 7;
  }), 0);
}

TEST(ActivationTest, WhatIsForAnotherProcessIsLeftAlone) {
  EXPECT_EQ(in_child([] {
    pretend("1", "1");
    const auto found = net::inherited_descriptors();
    return found && found->empty() ? 0 : 1;
  }), 0);
}

TEST(ActivationTest, MistakesAreClear) {
  EXPECT_EQ(in_child([] {
    pretend(own_pid(), "two");
    const auto text = net::inherited_descriptors();
    if (text || text.error().message() != "EINVAL: LISTEN_FDS is \"two\", which is no number") {
      return 1;
    }
    pretend(own_pid(), "1");
    const auto closed = net::inherited_descriptors();
    const std::string wanted = "EINVAL: LISTEN_FDS is 1, but descriptor 3 is not open";
    return !closed && closed.error().message() == wanted ? 0 : 2;
  }), 0);
}

class ActivatedTest : public WorldTest {};
WEIR_ON_KERNEL_BACKENDS(ActivatedTest);

TEST_P(ActivatedTest, AnInheritedListenerServes) {
  Server made_elsewhere(reactor());
  const auto bound = made_elsewhere.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  const int inherited = dup(made_elsewhere.native_handle());
  ASSERT_GE(inherited, 0);
  ASSERT_TRUE(made_elsewhere.close().has_value());
  Server server(reactor());
  std::string greeting;
  server.on_connection([](Socket& socket) { socket.end("hello"); });
  const auto listening = server.listen({.fd = inherited});
  ASSERT_TRUE(listening.has_value()) << listening.error().message();
  EXPECT_EQ(listening->port(), bound->port());
  Socket client(reactor());
  bool closed = false;
  client.on_data([&](Socket&, Buffer bytes) { greeting += bytes.view(); });
  client.on_close([&](Socket&, std::error_code) { closed = true; });
  ASSERT_TRUE(client.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(greeting, "hello");
}

}  // namespace
}  // namespace weir::test
