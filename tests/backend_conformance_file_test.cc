// The door for files, pipes and terminals: ReadOp, WriteOp, OpenOp.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <iterator>

#include "tests/door.h"

namespace weir::test {
namespace {

using Write = Noted<WriteOp>;
using Open = Noted<OpenOp>;

struct Read : Noted<ReadOp> {
  Read() {
    handle = [this](Completion& completion) {
      EXPECT_FALSE(completion.more);
      EXPECT_EQ(completion.buffer.size(),
                static_cast<std::size_t>(std::max(completion.result, 0)));
      bytes += completion.buffer.view();
    };
  }
  std::string bytes;
};

class FileDoorTest : public DoorTest {
 protected:
  void TearDown() override {
    if (IsSkipped()) return;
    const auto each = [this](auto call) {
      for (Read& op : reads_) call(op);
      for (Write& op : writes_) call(op);
      for (Open& op : opens_) call(op);
    };
    each([this](Op& op) { door().cancel(op); });
    EXPECT_TRUE(run_until([&] {
      bool idle = true;
      each([&](Op& op) { idle = idle && op.idle(); });
      return idle;
    }));
    for (const int fd : files_) door().close_file(fd);
    DoorTest::TearDown();
  }

  Read& read(int fd, std::size_t size = 4096, std::int64_t offset = -1) {
    Read& op = reads_.emplace_back();
    op.size = size;
    op.offset = offset;
    return submit(op, fd);
  }
  // The bytes stay the caller's until the result is there.
  Write& write(int fd, std::string_view bytes, std::int64_t offset = -1) {
    Write& op = writes_.emplace_back();
    op.offset = offset;
    piece_.push_back({.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()});
    op.pieces = {&piece_.back(), 1};
    return submit(op, fd);
  }
  Open& open_file(const std::string& path, bool writes = false) {
    Open& op = opens_.emplace_back();
    op.path = path;
    op.writes = writes;
    op.creates = writes;
    return submit(op, -1);
  }

  template <class Kind>
  int result_of(Kind& op) {
    EXPECT_TRUE(run_until([&] { return op.ended; }));
    return op.last();
  }
  std::string read_all(int fd, std::size_t size = 4096) {
    std::string all;
    for (;;) {
      Read& op = read(fd, size);
      const int result = result_of(op);
      EXPECT_GE(result, 0);
      if (result <= 0) return all;
      all += op.bytes;
    }
  }

  int keep(int fd) {
    EXPECT_GE(fd, 0);
    files_.push_back(fd);
    return fd;
  }
  void close_now(int fd) {
    std::erase(files_, fd);
    door().close_file(fd);
  }
  // Reading end, writing end.
  std::pair<int, int> make_pipe(int flags = O_CLOEXEC) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, flags), 0);
    return {keep(ends[0]), keep(ends[1])};
  }
  int temporary(std::string_view content = {}) {
    char name[] = "/tmp/weir-file-XXXXXX";
    const int fd = mkostemp(name, O_CLOEXEC);
    unlink(name);
    EXPECT_EQ(::write(fd, content.data(), content.size()),
              static_cast<ssize_t>(content.size()));
    EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
    return keep(fd);
  }
  static bool readable(int fd) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
  }
  static void feed(int fd, std::string_view bytes) {
    ASSERT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

 private:
  std::deque<Read> reads_;
  std::deque<Write> writes_;
  std::deque<Open> opens_;
  std::deque<iovec> piece_;
  std::vector<int> files_;
};

class AnyFileDoorTest : public FileDoorTest {};

// ---- Regular files, also in the simulator ----

TEST_P(AnyFileDoorTest, AFileIsReadFromItsPositionToItsEnd) {
  const std::string content = noise(300'000, 1);
  const int fd = temporary(content);
  EXPECT_EQ(read_all(fd, limits::kFileBytesMax), content);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), static_cast<off_t>(content.size()));
  EXPECT_EQ(result_of(read(fd)), 0);
}

TEST_P(AnyFileDoorTest, AnOffsetLeavesThePositionAlone) {
  const int fd = temporary("0123456789");
  Read& op = read(fd, 3, 4);
  EXPECT_EQ(result_of(op), 3);
  EXPECT_EQ(op.bytes, "456");
  EXPECT_EQ(result_of(read(fd, 3, 10)), 0);
  EXPECT_EQ(result_of(write(fd, "xy", 1)), 2);
  EXPECT_EQ(read_all(fd), "0xy3456789");
}

TEST_P(AnyFileDoorTest, WritesGoOnWhereTheLastOneEnded) {
  const int fd = temporary();
  const std::string content = noise(2 * limits::kFileBytesMax, 2);
  std::string_view left = content;
  while (!left.empty()) {
    const int result = result_of(write(fd, left.substr(0, limits::kFileBytesMax)));
    ASSERT_GT(result, 0);
    left.remove_prefix(static_cast<std::size_t>(result));
  }
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  EXPECT_EQ(read_all(fd, limits::kFileBytesMax), content);
}

TEST_P(AnyFileDoorTest, OpeningGivesADescriptorThatIsClosedOnExec) {
  const std::string path = socket_path();
  EXPECT_EQ(result_of(open_file(path)), -ENOENT);
  const int out = result_of(open_file(path, true));
  ASSERT_GE(keep(out), 0);
  EXPECT_EQ(fcntl(out, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(result_of(write(out, "hello")), 5);
  const int in = result_of(open_file(path));
  ASSERT_GE(keep(in), 0);
  EXPECT_EQ(read_all(in), "hello");
  EXPECT_EQ(result_of(write(in, "hello")), -EBADF);
}

TEST_P(AnyFileDoorTest, WhatCannotBeReadSaysSo) {
  const int directory = keep(::open("/tmp", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(result_of(read(directory)), -EISDIR);
  EXPECT_EQ(result_of(read(1000)), -EBADF);
  EXPECT_EQ(result_of(write(1000, "x")), -EBADF);
}

// ---- Pipes ----

TEST_P(FileDoorTest, APipeIsWaitedForAndKeepsItsFlags) {
  for (const int flags : {O_CLOEXEC, O_CLOEXEC | O_NONBLOCK}) {
    const auto [in, out] = make_pipe(flags);
    const int before = fcntl(in, F_GETFL);
    Read& op = read(in);
    settle();
    EXPECT_FALSE(op.ended);
    feed(out, "late");
    EXPECT_EQ(result_of(op), 4);
    EXPECT_EQ(op.bytes, "late");
    EXPECT_EQ(result_of(write(out, "more")), 4);
    close_now(out);
    EXPECT_EQ(read_all(in), "more");
    EXPECT_EQ(fcntl(in, F_GETFL), before);
  }
}

TEST_P(FileDoorTest, ACancelledReadLosesNothing) {
  const auto [in, out] = make_pipe();
  const std::string content = noise(20'000, 3);
  std::string received;
  std::size_t written = 0;
  // The cancel meets the bytes before, on and after their way.
  for (int round = 0; written < content.size(); ++round) {
    Read& op = read(in, 100);
    if (round % 3 == 0) turn();
    const std::string_view part = std::string_view(content).substr(written, 40);
    feed(out, part);
    written += part.size();
    if (round % 2 == 0) turn();
    door().cancel(op);
    const int result = result_of(op);
    EXPECT_TRUE(result > 0 || result == -ECANCELED);
    received += op.bytes;
  }
  close_now(out);
  EXPECT_EQ(received + read_all(in), content);
}

TEST_P(FileDoorTest, AFullPipeBlocksNobodyAndLosesNothing) {
  const auto [in, out] = make_pipe();
  const std::string content = noise(400'000, 4);
  std::string_view left = content;
  std::string received;
  while (!left.empty()) {
    Write& op = write(out, left.substr(0, limits::kFileBytesMax));
    settle();
    while (!op.ended) {
      turn(door().now() + std::chrono::milliseconds(1));
      if (!readable(in)) continue;
      Read& taken = read(in, 10'000);
      EXPECT_GT(result_of(taken), 0);
      received += taken.bytes;
    }
    ASSERT_GT(op.last(), 0);
    left.remove_prefix(static_cast<std::size_t>(op.last()));
  }
  close_now(out);
  EXPECT_EQ(received + read_all(in), content);
}

TEST_P(FileDoorTest, AWriteToAFullPipeCanBeCancelled) {
  const auto [in, out] = make_pipe();
  const std::string much = noise(limits::kFileBytesMax, 5);
  const int taken = fcntl(out, F_GETPIPE_SZ);
  ASSERT_GT(taken, 0);
  feed(out, much.substr(0, static_cast<std::size_t>(taken)));
  Write& stuck = write(out, much);
  settle();
  EXPECT_FALSE(stuck.ended);
  door().cancel(stuck);
  EXPECT_EQ(result_of(stuck), -ECANCELED);
  close_now(out);
  EXPECT_EQ(read_all(in).size(), static_cast<std::size_t>(taken));
}

TEST_P(FileDoorTest, WithoutAReaderItIsAnErrorAndNoSignal) {
  struct sigaction fatal{};
  fatal.sa_handler = SIG_DFL;
  struct sigaction before{};
  ASSERT_EQ(sigaction(SIGPIPE, &fatal, &before), 0);
  const auto [in, out] = make_pipe();
  const std::string much = noise(limits::kFileBytesMax, 6);
  feed(out, much.substr(0, static_cast<std::size_t>(fcntl(out, F_GETPIPE_SZ))));
  Write& waiting = write(out, much);
  settle();
  close_now(in);
  EXPECT_EQ(result_of(waiting), -EPIPE);
  EXPECT_EQ(result_of(write(out, "x")), -EPIPE);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_P(FileDoorTest, DevicesAnswerAtOnce) {
  const int null = keep(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(result_of(read(null)), 0);
  EXPECT_EQ(result_of(write(null, "gone")), 4);
  const int zero = keep(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  Read& op = read(zero, 5);
  EXPECT_EQ(result_of(op), 5);
  EXPECT_EQ(op.bytes, std::string(5, '\0'));
}

// ---- Threads ----

// It is open already when it is cancelled, and nobody has been told.
TEST_P(FileDoorTest, ACancelledOpenLeavesNoDescriptor) {
  const std::string path = socket_path();
  const int out = result_of(open_file(path, true));
  ASSERT_GE(keep(out), 0);
  const auto descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  const auto before = descriptors();
  Open& op = open_file(path);
  const Instant end = door().now() + kPatience;
  while (descriptors() == before && door().now() < end) ::poll(nullptr, 0, 1);
  door().cancel(op);
  EXPECT_EQ(result_of(op), -ECANCELED);
  EXPECT_TRUE(run_until([&] { return descriptors() == before; }));
}

// ---- Terminals ----

class TerminalDoorTest : public FileDoorTest {
 protected:
  void SetUp() override {
    FileDoorTest::SetUp();
    if (IsSkipped()) return;
    const Ends ends = make_terminal();
    user_ = ends.a;
    terminal_ = ends.b;
    change([](termios& settings) { settings.c_lflag &= ~static_cast<tcflag_t>(ECHO); });
  }
  template <class Change>
  void change(Change change) {
    termios settings{};
    ASSERT_EQ(tcgetattr(terminal_, &settings), 0);
    change(settings);
    ASSERT_EQ(tcsetattr(terminal_, TCSANOW, &settings), 0);
  }
  // Who types, and the program's end.
  Ends make_terminal() {
    Ends ends{.a = keep(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC))};
    EXPECT_EQ(grantpt(ends.a), 0);
    EXPECT_EQ(unlockpt(ends.a), 0);
    ends.b = keep(::open(ptsname(ends.a), O_RDWR | O_NOCTTY | O_CLOEXEC));
    return ends;
  }
  // It then polls as readable with one byte, and a read(2) waits for five.
  void read_five_at_a_time() {
    change([](termios& settings) {
      settings.c_lflag &= ~static_cast<tcflag_t>(ICANON);
      settings.c_cc[VMIN] = 5;
      settings.c_cc[VTIME] = 200;
    });
  }
  // A thread has taken the first byte, and waits for the others.
  void wait_for_reader(const Read& op) {
    const Instant end = door().now() + kPatience;
    int left = 1;
    while (left != 0 && !op.ended && door().now() < end) {
      turn(door().now() + std::chrono::milliseconds(1));
      ASSERT_EQ(ioctl(terminal_, FIONREAD, &left), 0);
    }
  }
  int user_ = -1;      // who types and looks
  int terminal_ = -1;  // the program's end
};

TEST_P(TerminalDoorTest, LinesComeAsTheyAreTyped) {
  Read& first = read(terminal_);
  settle();
  EXPECT_FALSE(first.ended);
  feed(user_, "one\n");
  EXPECT_EQ(result_of(first), 4);
  EXPECT_EQ(first.bytes, "one\n");
  feed(user_, "two\n\x04");
  Read& second = read(terminal_);
  EXPECT_EQ(result_of(second), 4);
  EXPECT_EQ(result_of(read(terminal_)), 0);  // Ctrl-D
}

TEST_P(TerminalDoorTest, AReadThatNobodyAnswersIsCancelledAtOnce) {
  Read& op = read(terminal_);
  settle();
  door().cancel(op);
  EXPECT_EQ(result_of(op), -ECANCELED);
  feed(user_, "later\n");
  Read& next = read(terminal_);
  EXPECT_EQ(result_of(next), 6);
  EXPECT_EQ(next.bytes, "later\n");
}

TEST_P(TerminalDoorTest, WhatAThreadReadsForACancelledReadIsTheNextOnes) {
  read_five_at_a_time();
  feed(user_, "a");
  Read& op = read(terminal_);
  wait_for_reader(op);
  EXPECT_FALSE(op.ended);
  door().cancel(op);
  const int result = result_of(op);
  EXPECT_TRUE(result > 0 || result == -ECANCELED);
  Read& next = read(terminal_);
  settle();
  feed(user_, result < 0 ? "bcde" : "bcdefg");
  EXPECT_GT(result_of(next), 0);
  EXPECT_EQ((op.bytes + next.bytes).substr(0, 5), "abcde");
}

// The next one goes on with the fd, behind what the thread still reads.
TEST_P(TerminalDoorTest, AReleaseDoesNotTakeWhatTheNextReadWaitsFor) {
  read_five_at_a_time();
  feed(user_, "a");
  Read& op = read(terminal_);
  wait_for_reader(op);
  door().cancel(op);
  const int result = result_of(op);
  EXPECT_TRUE(result > 0 || result == -ECANCELED);
  Read& next = read(terminal_);
  settle();
  door().release(terminal_);
  feed(user_, result < 0 ? "bcde" : "bcdefg");
  EXPECT_GT(result_of(next), 0);
  EXPECT_EQ((op.bytes + next.bytes).substr(0, 5), "abcde");
}

// The number is another terminal's when the thread has read what it waits for.
TEST_P(TerminalDoorTest, WhatAThreadReadsForAReleasedNumberIsNobodys) {
  read_five_at_a_time();
  feed(user_, "a");
  Read& op = read(terminal_);
  wait_for_reader(op);
  door().cancel(op);
  if (result_of(op) > 0) GTEST_SKIP() << "the kernel reads a terminal at once";
  const Ends other = make_terminal();
  door().release(terminal_);
  ASSERT_EQ(::dup3(other.b, terminal_, O_CLOEXEC), terminal_);
  feed(user_, "bcde");
  feed(other.a, "of another\n");
  Read& next = read(terminal_);
  EXPECT_EQ(result_of(next), 11);
  EXPECT_EQ(next.bytes, "of another\n");
}

TEST_P(TerminalDoorTest, AReaderThatWaitsDoesNotBlockAWrite) {
  const std::string content(200'000, 'x');
  std::string_view left = content;
  std::string seen;
  char room[4096];
  while (!left.empty()) {
    Write& op = write(terminal_, left.substr(0, 60'000));
    settle();
    while (!op.ended) {
      turn(door().now() + std::chrono::milliseconds(1));
      if (!readable(user_)) continue;
      const ssize_t size = ::read(user_, room, sizeof room);
      ASSERT_GT(size, 0);
      seen.append(room, static_cast<std::size_t>(size));
    }
    ASSERT_GT(op.last(), 0);
    left.remove_prefix(static_cast<std::size_t>(op.last()));
  }
  while (seen.size() < content.size()) {
    const ssize_t size = ::read(user_, room, sizeof room);
    ASSERT_GT(size, 0);
    seen.append(room, static_cast<std::size_t>(size));
  }
  EXPECT_EQ(seen, content);
}

// TearDown() finds that all of it ends.
TEST_P(TerminalDoorTest, NothingWaitsForATerminalThatIsSilent) {
  read(terminal_);
  settle();
}

WEIR_ON_ALL_BACKENDS(AnyFileDoorTest);
WEIR_ON_KERNEL_BACKENDS(FileDoorTest);
WEIR_ON_KERNEL_BACKENDS(TerminalDoorTest);
WEIR_ON_FILE_THREADS(AnyFileDoorTest);
WEIR_ON_FILE_THREADS(FileDoorTest);

}  // namespace
}  // namespace weir::test
