// net/examples/stdin_reader.h, on pipes and files in the place of standard input.
#include "net/examples/stdin_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "weir/reactor/reactor.h"

namespace weir::test {
namespace {

using example::StdinReader;

// A thread that is left behind may still be about to read: the read end stays open, so that no
// other descriptor gets its number.
class StdinReaderTest : public testing::Test {
 protected:
  StdinReaderTest() {
    int ends[2] = {};
    if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    input_ = ends[0];
    into_ = ends[1];
  }
  ~StdinReaderTest() override { finish(); }

  void write(std::string_view bytes) {
    ASSERT_EQ(::write(into_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void finish() {
    if (into_ >= 0) close(std::exchange(into_, -1));
  }

  Reactor reactor_{{.posted_tasks_max = 2}};
  std::string received_;
  int input_ = -1;

 private:
  int into_ = -1;
};

TEST_F(StdinReaderTest, TheReactorRunsUntilTheInputHasEnded) {
  StdinReader reader(reactor_, [&](std::string piece) {
    received_ += piece;
    if (received_ == "one") {
      write("two");
      finish();
    }
  }, input_);
  write("one");
  reactor_.run();
  EXPECT_EQ(received_, "onetwo");
}

TEST_F(StdinReaderTest, AFullPostQueueLosesNothing) {
  std::string written;
  StdinReader reader(reactor_, [&](std::string piece) {
    received_ += piece;
    // Full again before the thread is told to go on.
    while (reactor_.post([] {})) {}
    if (written.size() == 1000) return finish();
    const std::string next(10, static_cast<char>('a' + written.size() % 26));
    written += next;
    write(next);
  }, input_);
  while (reactor_.post([] {})) {}
  written = "first";
  written.resize(10, '.');
  write(written);
  reactor_.run();
  EXPECT_EQ(received_, written);
}

TEST_F(StdinReaderTest, NothingComesBetweenPauseAndResume) {
  Timer timer;
  bool paused = false;
  StdinReader* self = nullptr;
  StdinReader reader(reactor_, [&](std::string piece) {
    EXPECT_FALSE(paused);
    received_ += piece;
    self->pause();
    paused = true;
    // The thread may have read on meanwhile.
    timer = reactor_.after(std::chrono::milliseconds(1), [&] {
      paused = false;
      self->resume();
    });
    if (received_.size() == 40) return finish();
    write("again and ");
  }, input_);
  self = &reader;
  write("again and ");
  reactor_.run();
  EXPECT_EQ(received_, "again and again and again and again and ");
}

TEST_F(StdinReaderTest, ClosingItLetsTheReactorGoWhileTheThreadWaitsForInput) {
  std::optional<StdinReader> reader;
  reader.emplace(reactor_, [](std::string) { FAIL() << "nothing was written"; }, input_);
  const Timer timer = reactor_.after(std::chrono::milliseconds(1), [&] { reader.reset(); });
  reactor_.run();
}

TEST_F(StdinReaderTest, WhatIsUnderWayToAClosedReaderIsDropped) {
  std::optional<StdinReader> reader;
  reader.emplace(reactor_, [](std::string) { FAIL() << "it is closed"; }, input_);
  write("too late");
  reader.reset();
  reactor_.run();
}

TEST_F(StdinReaderTest, ANonBlockingInputIsWaitedFor) {
  ASSERT_EQ(fcntl(input_, F_SETFL, O_NONBLOCK), 0);
  StdinReader reader(reactor_, [&](std::string piece) { received_ += piece; }, input_);
  const Timer timer = reactor_.after(std::chrono::milliseconds(1), [&] {
    write("late");
    finish();
  });
  reactor_.run();
  EXPECT_EQ(received_, "late");
}

TEST_F(StdinReaderTest, AFileIsReadToItsEnd) {
  char name[] = "/tmp/weir-test-XXXXXX";
  const int file = mkstemp(name);
  ASSERT_GE(file, 0);
  unlink(name);
  std::string content;
  for (int line = 0; line < 50000; ++line) content += std::to_string(line) + '\n';
  ASSERT_EQ(::write(file, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  ASSERT_EQ(lseek(file, 0, SEEK_SET), 0);
  StdinReader reader(reactor_, [&](std::string piece) { received_ += piece; }, file);
  reactor_.run();
  EXPECT_EQ(received_, content);
}

}  // namespace
}  // namespace weir::test
