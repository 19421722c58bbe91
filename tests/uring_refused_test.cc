// Seccomp profiles that forbid io_uring, or parts of it: epoll within 100 ms, or without that part,
// and one line that says why. Each case has a process of its own, as filters stay.
#include <gtest/gtest.h>
#include <linux/io_uring.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "tests/backends.h"
#include "tests/deny.h"
#include "tests/uring_scripts.h"

namespace weir::test {
namespace {

using script::Datagrams, script::Files, script::Outcome, script::Passed, script::Play,
    script::Sockets, script::play;

// Names that <linux/io_uring.h> of Debian 12 may lack.
constexpr unsigned kProbe = 8;
constexpr unsigned kEnableRings = 12;
constexpr unsigned kRegisterRingFds = 20;
constexpr unsigned kBufferRing = 22;

// Of a child: what is wrong goes to stderr.
[[noreturn]] void leave(const std::string& wrong) {
  std::fputs(wrong.c_str(), stderr);
  std::_Exit(wrong.empty() && !testing::Test::HasFailure() ? 0 : 1);
}

std::string play_all(Reactor& reactor) {
  reactor.on_unhandled_error([](const Error&) {});
  std::string wrong;
  for (const Play one : {play<Sockets>, play<Passed>, play<Datagrams>, play<Files>}) {
    const Outcome outcome = one(reactor);
    if (!outcome.over || !outcome.whole) wrong += "a script is not as it should be\n";
    wrong += outcome.wrong;
  }
  return wrong;
}

// The shortest of several tries: a busy machine may take long for any of them.
Duration time_of_choice() {
  Duration shortest = Duration::max();
  for (int i = 0; i < 5; ++i) {
    const auto before = std::chrono::steady_clock::now();
    if (!choose_backend({})) return Duration::max();
    shortest = std::min<Duration>(shortest, std::chrono::steady_clock::now() - before);
  }
  return shortest;
}

[[noreturn]] void expect_epoll(const std::string& why) {
  if (time_of_choice() > std::chrono::milliseconds(100)) leave("it takes more than 100 ms\n");
  const auto refused = choose_backend({.kind = BackendKind::io_uring});
  if (refused) leave("io_uring is had by name\n");
  const std::string said = refused.error().message();
  if (said.find(why) != 0) leave("it says '" + said + "', and not '" + why + "'\n");
  std::vector<std::string> lines;
  Reactor reactor({.log = [&](std::string_view line) { lines.emplace_back(line); }});
  if (reactor.counters().backend != BackendKind::epoll) leave("it is not epoll\n");
  if (lines.size() != 1 || lines[0].find(why) == std::string::npos) leave("no line says why\n");
  leave(play_all(reactor));
}

[[noreturn]] void expect_uring() {
  Reactor reactor(ReactorOptions{});
  if (reactor.counters().backend != BackendKind::io_uring) {
    leave("it is not io_uring: " + reactor.counters().reason + "\n");
  }
  leave(play_all(reactor));
}

class RefusedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!uring_works()) GTEST_SKIP() << "io_uring is not available here";
    GTEST_FLAG_SET(death_test_style, "fast");
  }
};

constexpr int kRefusals[] = {EPERM, ENOSYS, EACCES};

void expect_epoll_without(long call, const std::string& name) {
  for (const int error : kRefusals) {
    const std::string why = name + " " + std::string(name_of(errno_code(error)));
    SCOPED_TRACE(why);
    EXPECT_EXIT(
        {
          if (!deny(call, error)) leave("no filter can be had\n");
          expect_epoll(why);
        },
        testing::ExitedWithCode(0), "");
  }
}

TEST_F(RefusedTest, SetupForbiddenMeansEpoll) {
  expect_epoll_without(SYS_io_uring_setup, "io_uring_setup");
}

TEST_F(RefusedTest, EnterForbiddenMeansEpoll) {
  expect_epoll_without(SYS_io_uring_enter, "io_uring_enter");
}

TEST_F(RefusedTest, RegisterForbiddenMeansEpoll) {
  expect_epoll_without(SYS_io_uring_register, "io_uring_register");
}

TEST_F(RefusedTest, EnablingForbiddenMeansEpoll) {
  EXPECT_EXIT(
      {
        if (!deny(SYS_io_uring_register, EPERM, kEnableRings)) leave("no filter can be had\n");
        expect_epoll("io_uring_register EPERM");
      },
      testing::ExitedWithCode(0), "");
}

// The other registrations are conveniences.
TEST_F(RefusedTest, OneRegistrationForbiddenIsDoneWithout) {
  for (const unsigned one : {kProbe, kRegisterRingFds, kBufferRing}) {
    for (const int error : kRefusals) {
      SCOPED_TRACE(std::to_string(one) + " " + std::string(name_of(errno_code(error))));
      EXPECT_EXIT(
          {
            if (!deny(SYS_io_uring_register, error, one)) leave("no filter can be had\n");
            expect_uring();
          },
          testing::ExitedWithCode(0), "");
    }
  }
}

// A filter that comes when the reactor is running already takes its kernel away: the process ends,
// and says why, in the place of spinning.
TEST_F(RefusedTest, EnterForbiddenLaterEndsTheProcess) {
  for (const int error : kRefusals) {
    const std::string why = "io_uring_enter " + std::string(name_of(errno_code(error)));
    SCOPED_TRACE(why);
    EXPECT_EXIT(
        {
          Reactor reactor(ReactorOptions{});
          reactor.run_once(Duration::zero());
          if (!deny(SYS_io_uring_enter, error)) leave("no filter can be had\n");
          Timer never = reactor.after(std::chrono::hours(1), [] {});
          reactor.run();
          leave("it goes on\n");
        },
        testing::KilledBySignal(SIGABRT), why);
  }
}

TEST_F(RefusedTest, RegisterForbiddenBeforeTheFirstTurnEndsTheProcess) {
  EXPECT_EXIT(
      {
        Reactor reactor(ReactorOptions{});
        if (!deny(SYS_io_uring_register, EPERM)) leave("no filter can be had\n");
        reactor.run_once(Duration::zero());
        leave("it goes on\n");
      },
      testing::KilledBySignal(SIGABRT), "io_uring_register EPERM");
}

// Once the ring is enabled, nothing else needs to be registered.
TEST_F(RefusedTest, RegisterForbiddenLaterIsNotNoticed) {
  EXPECT_EXIT(
      {
        Reactor reactor(ReactorOptions{});
        reactor.run_once(Duration::zero());
        if (!deny(SYS_io_uring_register, EPERM)) leave("no filter can be had\n");
        leave(play_all(reactor));
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace weir::test
