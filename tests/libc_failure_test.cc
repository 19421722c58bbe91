// Each call of the C library fails in each way that it may, the first time, the second, and so on
// to the last that a script makes: what it hits ends, once, and nothing else does.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

#include "tests/libc_scene.h"
#include "tests/sanitized.h"

namespace weir::test {
namespace {

// Under a sanitizer all of it takes many minutes: of each call the first, the last, and one in
// between.
constexpr long kTimesMax = kSanitized ? 3 : 1'000'000;

struct FailureCase {
  BackendCase backend;
  LibcFacts facts;
};

void PrintTo(const FailureCase& one, std::ostream* out) {
  *out << one.facts.name << " on " << one.backend.name;
}

std::string failure_name(const testing::TestParamInfo<FailureCase>& info) {
  return info.param.backend.name + "_" + info.param.facts.name;
}

std::string text(const SmallScript& script, const Failure& failure) {
  const bool lookup = failure.call == LibcCall::getaddrinfo;
  return std::string(script.name) + ": number " + std::to_string(failure.nth) + " of " +
         facts_of(failure.call).name + " fails with " +
         (lookup ? std::to_string(failure.error) : strerrorname_np(failure.error));
}

// With threads in the place of calls that do not wait, files are what is different.
std::vector<SmallScript> scripts_for(const BackendCase& backend) {
  if (backend.options.file_nowait) return all_scripts();
  return {file_scripts().begin(), file_scripts().end()};
}

// What each script does when nothing fails.
const std::vector<Outcome>& undisturbed(const BackendCase& backend) {
  static std::map<std::string, std::vector<Outcome>> known;
  auto& outcomes = known[backend.name];
  if (outcomes.empty()) {
    for (const SmallScript& script : scripts_for(backend)) {
      outcomes.push_back(play(script, backend.options));
      EXPECT_EQ(outcomes.back().wrong, "") << script.name << ", where nothing fails";
    }
  }
  return outcomes;
}

// What the kernel has not got is not asked for again by this process.
bool is_learnt_for_good(const Failure& failure) {
  return failure.call == LibcCall::cachestat && failure.error == ENOSYS;
}

// In a process of its own, which has no threads yet.
Outcome play_in_child(const SmallScript& script, const BackendOptions& backend,
                      const Failure& failure) {
  const pid_t child = fork();
  if (child == 0) {
    const Outcome outcome = play(script, backend, failure);
    std::fputs(outcome.wrong.c_str(), stderr);
    _exit(!outcome.wrong.empty() ? 1 : outcome.failed ? 0 : 2);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  return {.wrong = code == 1 ? "see above\n" : "",
          .failed = code == 0,
          .calls = 0,
          .made = {}};
}

// Those that somebody is told of, and those that nobody may notice.
std::vector<int> ways_to_fail(const LibcFacts& facts) {
  std::vector<int> all(facts.failures.begin(), facts.failures.end());
  if (facts.interrupted) all.push_back(EINTR);
  if (facts.spuriously_not) all.push_back(EAGAIN);
  return all;
}

class FailureTest : public testing::TestWithParam<FailureCase> {
 protected:
  void SetUp() override {
    const bool uring = GetParam().backend.options.kind == BackendKind::io_uring;
    if (uring && !uring_works()) GTEST_SKIP() << "io_uring is not available here";
  }

  // Each time that the script makes the call, in each way. How often it has failed.
  static long fail_each(const SmallScript& script, const Outcome& calm) {
    const auto& [backend, facts] = GetParam();
    const long made = calm.made[static_cast<std::size_t>(facts.call)];
    const long times = std::min(made, kTimesMax);
    long failed = 0;
    for (long time = 1; time <= times; ++time) {
      const long nth = time == 1 ? 1 : 1 + (time - 1) * (made - 1) / (times - 1);
      for (const int error : ways_to_fail(facts)) {
        const Failure failure{.call = facts.call, .nth = nth, .error = error};
        const Outcome outcome = is_learnt_for_good(failure)
                                    ? play_in_child(script, backend.options, failure)
                                    : play(script, backend.options, failure, 3 * calm.calls + 200);
        EXPECT_EQ(outcome.wrong, "") << text(script, failure);
        if (HasFailure()) return failed;
        failed += outcome.failed ? 1 : 0;
      }
    }
    return failed;
  }
};

TEST_P(FailureTest, EndsWhatItHitsAndNothingElse) {
  const std::vector<Outcome>& calm = undisturbed(GetParam().backend);
  const std::vector<SmallScript> scripts = scripts_for(GetParam().backend);
  long made = 0;
  long failed = 0;
  for (std::size_t i = 0; i < scripts.size() && !HasFailure(); ++i) {
    made += calm[i].made[static_cast<std::size_t>(GetParam().facts.call)];
    failed += fail_each(scripts[i], calm[i]);
  }
  EXPECT_EQ(failed != 0, made != 0);
}

std::vector<BackendCase> backends() {
  std::vector<BackendCase> all = file_thread_backends();
  for (const BackendCase& one : kernel_backends()) {
    if (one.name == "epoll" || one.name == "io_uring") all.push_back(one);
  }
  return all;
}

std::vector<FailureCase> cases() {
  std::vector<FailureCase> all;
  for (const BackendCase& backend : backends()) {
    for (const LibcFacts& facts : libc_calls()) {
      // Threads have a test of their own.
      if (facts.call != LibcCall::pthread_create) all.push_back({backend, facts});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Calls, FailureTest, testing::ValuesIn(cases()), failure_name);

// A wrap that nothing goes through would let everything pass.
TEST(LibcWrapTest, TheScriptsMakeEachCall) {
  std::vector<long> made(kLibcCalls);
  for (const BackendCase& backend : backends()) {
    if (backend.options.kind != BackendKind::epoll) continue;
    for (const Outcome& outcome : undisturbed(backend)) {
      for (std::size_t i = 0; i < kLibcCalls; ++i) made[i] += outcome.made[i];
    }
  }
  // In this process the threads may have been started before the calls were counted.
  for (const LibcFacts& facts : libc_calls()) {
    if (facts.call == LibcCall::pthread_create) continue;
    EXPECT_GT(made[static_cast<std::size_t>(facts.call)], 0) << facts.name;
  }
}

// A sandbox that does not know the call refuses it every time.
TEST(LibcWrapTest, WithoutEpollPwait2TimersComeAndNobodySpins) {
  for (const int error : facts_of(LibcCall::epoll_pwait2).failures) {
    Reactor reactor({.backend = BackendKind::epoll});
    const Faults faults(Failure{.call = LibcCall::epoll_pwait2, .error = error, .lasting = true});
    int fired = 0;
    for (int i = 0; i < 20; ++i) {
      const Instant due = reactor.now() + std::chrono::microseconds(500);
      const Timer timer = reactor.after(std::chrono::microseconds(500), [&fired] { ++fired; });
      reactor.run();
      EXPECT_GE(reactor.now(), due);
    }
    EXPECT_EQ(fired, 20);
    EXPECT_GT(faults.given(LibcCall::epoll_pwait2), 0);
    EXPECT_LE(faults.made(LibcCall::epoll_pwait2), 100) << strerrorname_np(error);
  }
}

// Threads are started when there is work for them, and one that cannot be costs its lookup.
TEST(LibcWrapTest, ThreadsThatCannotBeStartedAreMissedOnce) {
  for (const SmallScript& script : all_scripts()) {
    const std::string name = script.name;
    if (name != "names" && name != "files") continue;
    for (const int error : facts_of(LibcCall::pthread_create).failures) {
      for (const long nth : {1, 2}) {
        const Failure failure{.call = LibcCall::pthread_create, .nth = nth, .error = error};
        const Outcome outcome =
            play_in_child(script, {.kind = BackendKind::epoll}, failure);
        EXPECT_EQ(outcome.wrong, "") << text(script, failure);
        EXPECT_TRUE(outcome.failed || nth > 1) << text(script, failure);
      }
    }
  }
}

}  // namespace
}  // namespace weir::test
