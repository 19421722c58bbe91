// Standard input and output of a process of its own, which copies the one to the other: a file, a
// pipe, a terminal, a socket, nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "tests/files.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

// The child's exit code when all went well; else the errno value of the first error.
constexpr int kFine = 0;
constexpr int kHung = 200;

class StdStreamsTest : public BackendTest {
 protected:
  void TearDown() override {
    for (const int fd : fds_) close(fd);
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }

  int keep(int fd) {
    EXPECT_GE(fd, 0);
    fds_.push_back(fd);
    return fd;
  }
  void close_now(int fd) {
    std::erase(fds_, fd);
    close(fd);
  }
  // Reading end, writing end.
  std::pair<int, int> make_pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    return {keep(ends[0]), keep(ends[1])};
  }

  // -1 is a closed one. The parent's copies of both are closed.
  void start(int in, int out, const std::function<void(Reactor&)>& also = [](Reactor&) {}) {
    child_ = fork();
    if (child_ == 0) {
      signal(SIGPIPE, SIG_DFL);
      in < 0 ? close(0) : dup2(in, 0);
      out < 0 ? close(1) : dup2(out, 1);
      for (const int fd : fds_) {
        if (fd != kept_for_child_) close(fd);
      }
      _exit(copy(also));
    }
    if (in >= 0) close_now(in);
    if (out >= 0 && out != in) close_now(out);
  }

  static int copy(const std::function<void(Reactor&)>& also) {
    int code = kFine;
    {
      Reactor reactor(make_backend());
      net::InputStream input = net::stdin_stream(reactor);
      net::OutputStream output = net::stdout_stream(reactor);
      const auto note = [&](auto&, const Error& error) {
        if (code == kFine) code = -error.number();
        input.destroy();
      };
      input.on_error([&](net::InputStream& stream, const Error& error) { note(stream, error); });
      output.on_error([&](net::OutputStream& stream, const Error& error) { note(stream, error); });
      net::pipe(input, output);
      also(reactor);
      Timer guard = reactor.after(kPatience, [] { _exit(kHung); });
      guard.unref();
      reactor.run();
    }
    return code;
  }

  int exit_code() {
    int status = 0;
    EXPECT_GT(waitpid(std::exchange(child_, -1), &status, 0), 0);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    return WEXITSTATUS(status);
  }
  static std::string read_all(int fd) {
    std::string all;
    char room[10'000];
    for (;;) {
      const ssize_t size = read(fd, room, sizeof room);
      if (size <= 0) return all;
      all.append(room, static_cast<std::size_t>(size));
    }
  }
  static std::string read_bytes(int fd, std::size_t wanted) {
    std::string all(wanted, '\0');
    std::size_t have = 0;
    while (have < wanted) {
      const ssize_t size = read(fd, all.data() + have, wanted - have);
      if (size <= 0) break;
      have += static_cast<std::size_t>(size);
    }
    all.resize(have);
    return all;
  }
  static void feed(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = write(fd, bytes.data(), bytes.size());
      ASSERT_GT(size, 0);
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
  }
  int temporary(std::string_view content) {
    char name[] = "/tmp/weir-std-XXXXXX";
    const int fd = keep(mkostemp(name, O_CLOEXEC));
    unlink(name);
    feed(fd, content);
    EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
    return fd;
  }

  int kept_for_child_ = -1;
  pid_t child_ = -1;

 private:
  std::vector<int> fds_;
};

TEST_P(StdStreamsTest, FromAFile) {
  const std::string content = pattern(1'000'000, 1);
  const auto [out, into] = make_pipe();
  start(temporary(content), into);
  EXPECT_EQ(read_all(out), content);
  EXPECT_EQ(exit_code(), kFine);
}

TEST_P(StdStreamsTest, FromAFileToAFile) {
  const std::string content = pattern(1'000'000, 2);
  const int copy = temporary("");
  const int seen = keep(fcntl(copy, F_DUPFD_CLOEXEC, 3));
  start(temporary(content), copy);
  EXPECT_EQ(exit_code(), kFine);
  EXPECT_EQ(lseek(seen, 0, SEEK_SET), 0);
  EXPECT_EQ(read_all(seen), content);
}

TEST_P(StdStreamsTest, FromAPipe) {
  const auto [in, typed] = make_pipe();
  const auto [out, into] = make_pipe();
  const int in_flags = fcntl(in, F_GETFL);
  const int same = keep(fcntl(in, F_DUPFD_CLOEXEC, 3));
  start(in, into);
  feed(typed, "first");
  EXPECT_EQ(read_bytes(out, 5), "first");
  EXPECT_EQ(fcntl(same, F_GETFL), in_flags);
  EXPECT_EQ(fcntl(out, F_GETFL) & O_NONBLOCK, 0);
  feed(typed, "second");
  close_now(typed);
  EXPECT_EQ(read_all(out), "second");
  EXPECT_EQ(exit_code(), kFine);
}

TEST_P(StdStreamsTest, FromATerminalToATerminal) {
  const int user = keep(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(grantpt(user), 0);
  ASSERT_EQ(unlockpt(user), 0);
  const int terminal = keep(open(ptsname(user), O_RDWR | O_NOCTTY | O_CLOEXEC));
  const int same = keep(fcntl(terminal, F_DUPFD_CLOEXEC, 3));
  termios settings{};
  ASSERT_EQ(tcgetattr(terminal, &settings), 0);
  settings.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  ASSERT_EQ(tcsetattr(terminal, TCSANOW, &settings), 0);
  start(terminal, terminal);
  feed(user, "one\n");
  EXPECT_EQ(read_bytes(user, 5), "one\r\n");
  feed(user, "two\n");
  EXPECT_EQ(read_bytes(user, 5), "two\r\n");
  EXPECT_EQ(fcntl(same, F_GETFL) & O_NONBLOCK, 0);
  feed(user, "\x04");
  EXPECT_EQ(exit_code(), kFine);
}

TEST_P(StdStreamsTest, FromASocketToTheSame) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const int ours = keep(ends[0]);
  const int theirs = keep(ends[1]);
  start(theirs, theirs);
  feed(ours, "bytes");
  EXPECT_EQ(read_bytes(ours, 5), "bytes");
  EXPECT_EQ(shutdown(ours, SHUT_WR), 0);
  EXPECT_EQ(read_all(ours), "");
  EXPECT_EQ(exit_code(), kFine);
}

TEST_P(StdStreamsTest, FromNowhere) {
  const auto [out, into] = make_pipe();
  start(keep(open("/dev/null", O_RDONLY | O_CLOEXEC)), into);
  EXPECT_EQ(read_all(out), "");
  EXPECT_EQ(exit_code(), kFine);
}

TEST_P(StdStreamsTest, ClosedInputIsAnErrorAndNobodyElsesDescriptor) {
  const auto [out, into] = make_pipe();
  start(-1, into);
  EXPECT_EQ(read_all(out), "");
  EXPECT_EQ(exit_code(), EBADF);
}

TEST_P(StdStreamsTest, ClosedOutputIsAnErrorAndNobodyElsesDescriptor) {
  start(temporary("bytes"), -1);
  EXPECT_EQ(exit_code(), EBADF);
}

TEST_P(StdStreamsTest, AFullPipeWhoseReaderWaitsHoldsNobodyUp) {
  const std::string content = pattern(2'000'000, 3);
  const auto [out, into] = make_pipe();
  const auto [alive, sign] = make_pipe();
  kept_for_child_ = sign;
  // Rounds of the reactor with all of it stuck.
  int rounds = 0;
  std::function<void(Reactor&)> beat;
  Timer timer;
  beat = [&, sign = sign](Reactor& reactor) {
    timer = reactor.after(std::chrono::milliseconds(1), [&] {
      if (++rounds < 20) return beat(reactor);
      feed(sign, "!");
    });
  };
  start(temporary(content), into, beat);
  EXPECT_EQ(read_bytes(alive, 1), "!");
  EXPECT_EQ(read_all(out), content);
  EXPECT_EQ(exit_code(), kFine);
}

TEST_P(StdStreamsTest, AReaderThatHasGoneIsAnErrorAndNoSignal) {
  const auto [out, into] = make_pipe();
  start(temporary(pattern(1'000'000, 4)), into);
  EXPECT_EQ(read_bytes(out, 1).size(), 1U);
  close_now(out);
  EXPECT_EQ(exit_code(), EPIPE);
}

WEIR_ON_KERNEL_BACKENDS(StdStreamsTest);
WEIR_ON_FILE_THREADS(StdStreamsTest);

}  // namespace
}  // namespace weir::test
