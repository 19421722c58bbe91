// The checks for leaks can fail: a test that leaves something open fails, and says what it is.
#include "tests/leaks.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/sanitized.h"

namespace weir::test {
namespace {

int listening_socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(fd, 1), 0);
  return fd;
}

// What leaks, for the tests below, which run these in processes of their own.
class DISABLED_Leaky : public testing::Test {
 protected:
  void SetUp() override { set_leak_patience({}); }
};

TEST_F(DISABLED_Leaky, Listener) { ASSERT_GE(listening_socket(), 0); }

TEST_F(DISABLED_Leaky, Epoll) { ASSERT_GE(epoll_create1(EPOLL_CLOEXEC), 0); }

TEST_F(DISABLED_Leaky, Replaced) {
  // As many as before, but not the same ones: 0 is something else now.
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  ASSERT_EQ(dup2(fd, 0), 0);
  close(fd);
}

TEST_F(DISABLED_Leaky, Nothing) { close(listening_socket()); }

class DISABLED_LeakySuite : public DISABLED_Leaky {
 public:
  static void SetUpTestSuite() { listening_socket(); }
};

TEST_F(DISABLED_LeakySuite, Itself) {}

TEST(DISABLED_LateLeak, IsWaitedFor) {
  // Goes by itself, while the check waits.
  const int fd = listening_socket();
  std::thread([fd] {
    timeval rest{.tv_sec = 0, .tv_usec = 200'000};
    select(0, nullptr, nullptr, nullptr, &rest);
    close(fd);
  }).detach();
}

struct Outcome {
  int exit_code = -1;
  std::string output;
};

// This program again, with these tests alone.
Outcome run(const std::string& tests) {
  char self[4096];
  const ssize_t size = readlink("/proc/self/exe", self, sizeof self);
  const std::string command = '\'' + std::string(self, static_cast<std::size_t>(size)) +
                              "' --gtest_also_run_disabled_tests --gtest_filter='" + tests +
                              "' 2>&1 </dev/null";
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  char text[4096];
  while (fgets(text, sizeof text, pipe) != nullptr) outcome.output += text;
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

void expect_failure(const std::string& tests, const std::string& message) {
  const Outcome outcome = run(tests);
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_NE(outcome.output.find(message), std::string::npos) << outcome.output;
}

TEST(LeakCheck, NamesASocketThatIsLeftOpen) {
  expect_failure("DISABLED_Leaky.Listener", "this test leaves open:\nfd ");
  expect_failure("DISABLED_Leaky.Listener", ", tcp 127.0.0.1:");
  expect_failure("DISABLED_Leaky.Listener", ", listening\n");
  expect_failure("DISABLED_Leaky.Listener", "[  FAILED  ] DISABLED_Leaky.Listener");
}

TEST(LeakCheck, NamesWhatIsNoSocket) {
  expect_failure("DISABLED_Leaky.Epoll", "anon_inode:[eventpoll]");
}

TEST(LeakCheck, FindsWhatTookThePlaceOfAnother) {
  expect_failure("DISABLED_Leaky.Replaced", "fd 0, anon_inode:[eventpoll]");
}

TEST(LeakCheck, BlamesTheSuiteForWhatTheSuiteOpened) {
  expect_failure("DISABLED_LeakySuite.*", "this test suite leaves open:");
  EXPECT_NE(run("DISABLED_LeakySuite.*").output.find("[       OK ] DISABLED_LeakySuite.Itself"),
            std::string::npos);
}

TEST(LeakCheck, SaysItOnceAndGoesOn) {
  const Outcome outcome = run("DISABLED_Leaky.Listener:DISABLED_Leaky.Nothing");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.output.find("OK ] DISABLED_Leaky.Nothing"), std::string::npos)
      << outcome.output;
  EXPECT_EQ(outcome.output.find("this program leaves open"), std::string::npos) << outcome.output;
}

TEST(LeakCheck, WaitsForWhatIsStillBeingClosed) {
  const Outcome outcome = run("DISABLED_LateLeak.*");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
}

TEST(LeakCheck, OfMemoryIsOnInTheSanitizersBuild) {
  if (!kSanitized) GTEST_SKIP() << "LeakSanitizer comes with AddressSanitizer (--config=asan)";
  const auto leak = [] {
    const std::string* last = nullptr;  // nobody knows the ones before
    for (int i = 0; i < 100; ++i) last = new std::string(1000, 'x');
    EXPECT_EQ(last->size(), 1000U);
    std::exit(0);
  };
  EXPECT_EXIT(leak(), testing::ExitedWithCode(1), "LeakSanitizer: detected memory leaks");
}

}  // namespace
}  // namespace weir::test
