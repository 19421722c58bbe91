// Runs tests against a library in which a bug is planted, and passes when one of them finds it: by
// an expectation that does not hold, or by the end of the process. They run in a child, which says
// which test begins and ends at the first failure. Arguments are those of GoogleTest; --hangs says
// of a bug that it is found by the bound on time alone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace weir::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBound = std::chrono::seconds(40);

// In the child. Of each line the first byte says what has become of the test.
class Teller final : public testing::EmptyTestEventListener {
 public:
  explicit Teller(int to) noexcept : to_(to) {}

 private:
  void OnTestStart(const testing::TestInfo& test) override {
    name_ = std::string(test.test_suite_name()) + "." + test.name();
    tell('+');
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.skipped()) tell('?');
    if (!result.failed()) return;
    tell('-');
    std::fflush(stdout);
    _exit(1);
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (!test.result()->Skipped()) tell('=');
  }
  void tell(char what) {
    const std::string line = what + name_ + "\n";
    if (write(to_, line.data(), line.size()) < 0) _exit(3);
  }

  int to_;
  std::string name_;
};

struct Told {
  std::string last;  // the test that began last
  bool failed = false;
  bool skipped = false;
  bool passed = false;

  void take(std::string_view line) {
    if (line.empty()) return;
    if (line[0] == '+') last = line.substr(1);
    failed = failed || line[0] == '-';
    skipped = skipped || line[0] == '?';
    passed = passed || line[0] == '=';
  }
};

// Until the child's end of the pipe is closed. False: that takes too long.
bool listen_to(int from, Clock::time_point until, Told& told) {
  std::string text;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    pollfd entry{.fd = from, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&entry, 1, static_cast<int>(left.count())) == 0) return false;
    char room[4096];
    const ssize_t size = read(from, room, sizeof room);
    if (size <= 0) return true;
    text.append(room, static_cast<std::size_t>(size));
    for (std::size_t end; (end = text.find('\n')) != std::string::npos;) {
      told.take(text.substr(0, end));
      text.erase(0, end + 1);
    }
  }
}

// Says how it was found, if it was. As exit codes are: 0 is good.
int judge(const Told& told, int status, bool in_time, long milliseconds) {
  const char* test = told.last.c_str();
  if (!in_time) {
    std::printf("not found: %s does not end\n", test);
    return 1;
  }
  if (told.failed || (WIFSIGNALED(status) && !told.last.empty())) {
    const char* how = told.failed ? "" : strsignal(WTERMSIG(status));
    std::printf("found by %s%s%s in %ld ms\n", test, told.failed ? "" : ": ", how, milliseconds);
    return 0;
  }
  if (told.skipped && !told.passed && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    std::printf("not tried: the tests cannot run here\n");
    return 0;
  }
  std::printf("not found\n");
  return 1;
}

int trial() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return 2;
  std::fflush(stdout);
  const auto begin = Clock::now();
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) {
    close(ends[0]);
    testing::UnitTest::GetInstance()->listeners().Append(new Teller(ends[1]));
    std::exit(RUN_ALL_TESTS());
  }
  close(ends[1]);
  Told told;
  const bool in_time = listen_to(ends[0], begin + kBound, told);
  const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  if (!in_time) kill(child, SIGKILL);
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 2;
  return judge(told, status, in_time, static_cast<long>(taken.count()));
}

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return argc == 1 ? weir::test::trial() : 2;
}
