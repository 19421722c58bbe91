// InputStream and OutputStream over files, pipes and terminals, and pipe() among all kinds of ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "tests/files.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using net::InputStream;
using net::OutputStream;
using net::pipe;

// ---- Regular files, also in the simulator ----

class AnyFilesTest : public FilesTest {};

TEST_P(AnyFilesTest, AFileIsReadToItsEndAndClosed) {
  const std::string content = pattern(300'000, 1);
  InputStream input = net::open_file(reactor(), make_file(content));
  FileRecord record;
  watch(input, record);
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.order(), "data end close");
  EXPECT_EQ(record.bytes, content);
  EXPECT_EQ(input.bytes_read(), content.size());
  EXPECT_EQ(input.native_handle(), -1);
}

TEST_P(AnyFilesTest, AFileIsWrittenInOrder) {
  const std::string path = socket_path();
  const std::string content = pattern(1'000'000, 2);
  OutputStream output = net::create_file(reactor(), path);
  FileRecord record;
  watch(output, record);
  std::string_view left = content;
  while (!left.empty()) {
    const std::size_t size = std::min<std::size_t>(left.size(), 12'345);
    EXPECT_NE(output.write(left.substr(0, size)), Write::closed);
    left.remove_prefix(size);
  }
  output.end();
  output.end();
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.order(), "finish close");
  EXPECT_EQ(content_of(path), content);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(AnyFilesTest, AppendingKeepsWhatIsThereAndElseItIsCut) {
  const std::string path = make_file("one\n");
  std::optional<OutputStream> output;
  for (const bool append : {true, false}) {
    output.emplace(reactor(), path, net::OutputOptions{.append = append});
    output->write("two\n");
    output->end();
    ASSERT_TRUE(run_returns());
    EXPECT_EQ(content_of(path), append ? "one\ntwo\n" : "two\n");
  }
}

TEST_P(AnyFilesTest, WhatCannotBeOpenedIsAnErrorThatNamesIt) {
  InputStream input = net::open_file(reactor(), "/nowhere/at/all");
  OutputStream output = net::create_file(reactor(), "/nowhere/either");
  FileRecord in;
  FileRecord out;
  watch(input, in);
  watch(output, out);
  output.write("lost");
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(in.order(), "error close");
  EXPECT_EQ(in.error.message(), "open ENOENT: /nowhere/at/all");
  EXPECT_EQ(in.closed_with, errno_code(ENOENT));
  EXPECT_EQ(out.order(), "error close");
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(AnyFilesTest, ADescriptorThatIsNotOpenIsAnError) {
  for (const int fd : {-1, 1000}) {
    InputStream input(reactor(), fd);
    OutputStream output(reactor(), fd);
    FileRecord in;
    FileRecord out;
    watch(input, in);
    watch(output, out);
    output.write("lost");
    ASSERT_TRUE(run_returns());
    EXPECT_EQ(in.error.message(), "read EBADF: descriptor " + std::to_string(fd) +
                                      " is not open for reading");
    EXPECT_EQ(out.error.code, errno_code(EBADF));
  }
}

TEST_P(AnyFilesTest, AnErrorWithoutAListenerGoesToTheReactor) {
  InputStream input = net::open_file(reactor(), "/nowhere/at/all");
  input.resume();
  ASSERT_TRUE(run_returns());
  ASSERT_EQ(unhandled_.size(), 1U);
  EXPECT_EQ(unhandled_[0].code, errno_code(ENOENT));
}

TEST_P(AnyFilesTest, NothingIsReadBeforeSomebodyListensOrWhilePaused) {
  InputStream input(reactor(), lend(make_file(pattern(200'000, 3))), {.read_bytes = 1000});
  FileRecord record;
  turns();
  EXPECT_EQ(input.bytes_read(), 0U);
  watch(input, record);
  input.pause();
  turns();
  EXPECT_EQ(record.bytes, "");
  input.on_data([&](InputStream& stream, Buffer) { stream.pause(); }, net::Times::once);
  input.resume();
  ASSERT_TRUE(run_until([&] { return !record.bytes.empty(); }));
  turns();
  EXPECT_EQ(record.bytes.size(), 1000U);
  EXPECT_LE(input.bytes_read(), 2000U);
  input.resume();
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.bytes, pattern(200'000, 3));
}

TEST_P(AnyFilesTest, AStreamMayGoInEachOfItsHandlers) {
  const std::string path = make_file("some bytes");
  for (const std::string event : {"data", "end", "close", "error"}) {
    std::optional<InputStream> input;
    input.emplace(reactor(), event == "error" ? "/nowhere" : path);
    int later = 0;
    const auto go = [&](const char* name) {
      EXPECT_TRUE(input.has_value()) << name << " after the end";
      if (event == name) input.reset();
    };
    input->on_data([&](InputStream&, Buffer) { go("data"); });
    input->on_data([&](InputStream&, Buffer) { later += event == "data" ? 1 : 0; });
    input->on_end([&](InputStream&) { go("end"); });
    input->on_error([&](InputStream&, const Error&) { go("error"); });
    input->on_close([&](InputStream&, std::error_code) { go("close"); });
    ASSERT_TRUE(run_returns());
    EXPECT_FALSE(input.has_value()) << event;
    EXPECT_EQ(later, 0);
  }
}

TEST_P(AnyFilesTest, AnOutputMayGoInEachOfItsHandlers) {
  for (const std::string event : {"drain", "finish", "close", "error"}) {
    std::optional<OutputStream> output;
    output.emplace(reactor(), event == "error" ? "/nowhere/file" : socket_path(),
                   net::OutputOptions{.queue = {.high_water = 1}});
    const auto go = [&](const char* name) {
      EXPECT_TRUE(output.has_value()) << name << " after the end";
      if (event == name) return output.reset();
      if (name == std::string("drain")) output->end();
    };
    output->on_drain([&](OutputStream&) { go("drain"); });
    output->on_finish([&](OutputStream&) { go("finish"); });
    output->on_error([&](OutputStream&, const Error&) { go("error"); });
    output->on_close([&](OutputStream&, std::error_code) { go("close"); });
    EXPECT_EQ(output->write("bytes"), Write::full);
    ASSERT_TRUE(run_returns());
    EXPECT_FALSE(output.has_value()) << event;
    EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  }
}

TEST_P(AnyFilesTest, WritingAfterTheEndIsAMistake) {
  OutputStream output = net::create_file(reactor(), socket_path());
  FileRecord record;
  watch(output, record);
  output.end();
  EXPECT_EQ(output.write("late"), Write::closed);
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.order(), "error close");
  EXPECT_EQ(record.error.code, Mistake::write_after_end);
  EXPECT_EQ(output.write("later"), Write::closed);
}

TEST_P(AnyFilesTest, TheQueueHasALimitAndDrains) {
  OutputStream output(reactor(), socket_path(),
                      {.queue = {.high_water = 10, .low_water = 0, .bytes_max = 100}});
  FileRecord record;
  watch(output, record);
  EXPECT_EQ(output.write("123"), Write::ok);
  EXPECT_EQ(output.write("4567890"), Write::full);
  EXPECT_TRUE(output.writable_needs_drain());
  EXPECT_EQ(output.write(std::string(91, 'x')), Write::refused);
  EXPECT_EQ(output.writable_length(), 10U);
  ASSERT_TRUE(run_until([&] { return record.has("drain"); }));
  EXPECT_EQ(output.writable_length(), 0U);
  turns();
  EXPECT_EQ(record.order(), "drain");
}

TEST_P(AnyFilesTest, FileToFile) {
  const std::string content = pattern(3'000'000, 4);
  const std::string copy = socket_path();
  InputStream input = net::open_file(reactor(), make_file(content));
  OutputStream output(reactor(), copy, {.queue = {.high_water = 10'000, .bytes_max = 50'000}});
  FileRecord record;
  watch(output, record);
  pipe(input, output);
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(content_of(copy), content);
  EXPECT_EQ(record.events.back(), "close");
  EXPECT_EQ(record.count("finish"), 1);
}

TEST_P(AnyFilesTest, FileToSocketToFile) {
  const std::string content = pattern(2'000'000, 5);
  const std::string copy = socket_path();
  join({.peer_reads = false});
  InputStream input = net::open_file(reactor(), make_file(content));
  OutputStream output = net::create_file(reactor(), copy);
  pipe(peer(), output);
  pipe(input, client());
  FileRecord record;
  watch(output, record);
  ASSERT_TRUE(run_until([&] { return record.has("close"); }));
  EXPECT_EQ(content_of(copy), content);
  EXPECT_TRUE(record.has("finish"));
}

TEST_P(AnyFilesTest, ASocketThatDoesNotReadStopsTheFile) {
  const std::string content = pattern(40 << 20, 6);
  join({.peer_reads = false});
  InputStream input = net::open_file(reactor(), make_file(content));
  pipe(input, client());
  turns(2000);
  const std::uint64_t stopped_at = input.bytes_read();
  EXPECT_LT(stopped_at, content.size());
  EXPECT_LE(client().writable_length(), 3 * net::limits::kFileReadBytesDefault);
  std::size_t received = 0;
  bool same = true;
  peer().on_data([&](Socket&, Buffer bytes) {
    same = same && bytes.view() == std::string_view(content).substr(received, bytes.size());
    received += bytes.size();
  });
  ASSERT_TRUE(run_until([&] { return received == content.size(); }));
  EXPECT_TRUE(same);
}

TEST_P(AnyFilesTest, AnUnpipedFileStopsAndEndsNothing) {
  join();
  InputStream input(reactor(), lend(make_file(pattern(500'000, 7))), {.read_bytes = 100});
  pipe(input, client());
  ASSERT_TRUE(run_until([&] { return input.bytes_read() != 0; }));
  unpipe(input, client());
  turns();
  EXPECT_LE(input.bytes_read(), 1000U);
  EXPECT_FALSE(client().writable_ended());
}

TEST_P(AnyFilesTest, AnUnpipedOutputGetsNoMore) {
  join({.peer_reads = false});
  InputStream input(reactor(), lend(make_file(pattern(500'000, 9))), {.read_bytes = 100});
  const std::string path = socket_path();
  OutputStream output = net::create_file(reactor(), path);
  pipe(input, output);
  pipe(peer(), output);
  client().write("from the socket");
  ASSERT_TRUE(run_until([&] { return input.bytes_read() != 0 && peer().bytes_read() != 0; }));
  unpipe(input, output);
  unpipe(peer(), output);
  const std::uint64_t before = output.bytes_written();
  client().write("more");
  turns();
  EXPECT_EQ(output.bytes_written(), before);
  EXPECT_LE(input.bytes_read(), before + 1000);
  FileRecord record;
  watch(output, record);
  output.end();
  ASSERT_TRUE(run_until([&] { return record.has("close"); }));
  EXPECT_EQ(content_of(path).size(), before);
}

// Each event happens, and is told to those that are not off.
TEST_P(AnyFilesTest, AListenerThatIsOffIsNotCalled) {
  for (const bool good : {true, false}) {
    std::string called;
    const auto note = [&](const char* event) {
      return [&called, event](auto&&...) { called += event; };
    };
    InputStream input = net::open_file(reactor(), good ? make_file("bytes") : "/nowhere/at/all");
    OutputStream output(reactor(), good ? socket_path() : "/nowhere/either",
                        {.queue = {.high_water = 1}});
    FileRecord in;
    FileRecord out;
    watch(input, in);
    watch(output, out);
    input.off(input.on_data(note("data ")));
    input.off(input.on_end(note("end ")));
    input.off(input.on_error(note("input's error ")));
    input.off(input.on_close(note("input's close ")));
    output.off(output.on_drain(note("drain ")));
    output.off(output.on_finish(note("finish ")));
    output.off(output.on_error(note("output's error ")));
    output.off(output.on_close(note("output's close ")));
    EXPECT_EQ(output.write("bytes"), Write::full);
    if (good) {
      ASSERT_TRUE(run_until([&] { return out.has("drain"); }));
      output.end();
    }
    ASSERT_TRUE(run_returns());
    EXPECT_EQ(in.order(), good ? "data end close" : "error close");
    EXPECT_EQ(out.order(), good ? "drain finish close" : "error close");
    EXPECT_EQ(called, "");
  }
}

TEST_P(AnyFilesTest, ADestroyedSourceDoesNotEndItsDestination) {
  join();
  InputStream input(reactor(), lend(make_file(pattern(500'000, 8))));
  pipe(input, client());
  ASSERT_TRUE(run_until([&] { return input.bytes_read() != 0; }));
  input.destroy(errno_code(EIO));
  ASSERT_TRUE(run_until([&] { return !unhandled_.empty(); }));
  turns();
  EXPECT_FALSE(client().writable_ended());
}

TEST_P(AnyFilesTest, AStreamDestroyedBeforeItIsOpenLeavesNothing) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    InputStream input = net::open_file(reactor(), make_file("x"));
    OutputStream output = net::create_file(reactor(), socket_path());
    output.write("bytes");
    if (i % 2 == 0) turns(1);
  }
  ASSERT_TRUE(run_until([&] {
    return open_descriptors() <= before && reactor().counters().queue_bytes == 0;
  }));
}

// ---- Pipes and terminals ----

class PipesTest : public FilesTest {};

TEST_P(PipesTest, BytesComeWhenTheyAreWritten) {
  const auto [in, out] = make_pipe();
  InputStream input(reactor(), in);
  FileRecord record;
  watch(input, record);
  turns();
  feed(out, "first");
  ASSERT_TRUE(run_until([&] { return record.bytes == "first"; }));
  feed(out, " second");
  close_now(out);
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.bytes, "first second");
  EXPECT_EQ(record.order(), "data end close");
}

TEST_P(PipesTest, AFullPipeHoldsNobodyUpAndLosesNothing) {
  const auto [in, out] = make_pipe();
  const std::string content = pattern(1'000'000, 9);
  OutputStream output(reactor(), out);
  FileRecord record;
  watch(output, record);
  output.write(content);
  output.end();
  // The reactor goes on while the pipe's reader waits.
  bool fired = false;
  const Timer timer = reactor().after(std::chrono::milliseconds(1), [&] { fired = true; });
  ASSERT_TRUE(run_until([&] { return fired; }));
  EXPECT_FALSE(record.has("finish"));
  std::string received;
  char room[3000];
  while (received.size() < content.size()) {
    ASSERT_TRUE(run_until([&] { return readable(in); }));
    const ssize_t size = ::read(in, room, sizeof room);
    ASSERT_GT(size, 0);
    received.append(room, static_cast<std::size_t>(size));
  }
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(received, content);
  EXPECT_EQ(record.order(), "finish close");
  close_now(in);
}

TEST_P(PipesTest, AReaderThatHasGoneIsAnErrorAndNoSignal) {
  struct sigaction fatal{};
  fatal.sa_handler = SIG_DFL;
  struct sigaction before{};
  ASSERT_EQ(sigaction(SIGPIPE, &fatal, &before), 0);
  const auto [in, out] = make_pipe();
  OutputStream output(reactor(), out);
  FileRecord record;
  watch(output, record);
  output.write(std::string(500'000, 'x'));
  turns();
  close_now(in);
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.order(), "error close");
  EXPECT_EQ(record.error.message(), "write EPIPE");
  sigaction(SIGPIPE, &before, nullptr);
}

// Nor is one left for whoever has blocked it, and one that waited before waits on.
TEST_P(PipesTest, AReaderThatHasGoneLeavesABlockedSignalAsItWas) {
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigset_t before;
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &pipe_signal, &before), 0);
  const auto waits = [] {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
  };
  for (const bool waited : {false, true}) {
    if (waited) pthread_kill(pthread_self(), SIGPIPE);
    const auto [in, out] = make_pipe();
    close_now(in);
    OutputStream output(reactor(), out);
    FileRecord record;
    watch(output, record);
    output.write("nobody reads it");
    ASSERT_TRUE(run_returns());
    EXPECT_EQ(record.error.message(), "write EPIPE");
    EXPECT_EQ(waits(), waited);
  }
  const timespec at_once{};
  EXPECT_EQ(sigtimedwait(&pipe_signal, nullptr, &at_once), SIGPIPE);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_P(PipesTest, ALentDescriptorStaysOpenAndAsItWas) {
  const auto [in, out] = make_pipe();
  const int flags = fcntl(in, F_GETFL);
  FileRecord record;
  {
    InputStream input(reactor(), in, {.lent = true});
    OutputStream output(reactor(), out, {.lent = true});
    watch(input, record);
    output.write("bytes");
    output.end();
    ASSERT_TRUE(run_until([&] { return record.bytes == "bytes"; }));
  }
  turns();
  EXPECT_EQ(fcntl(in, F_GETFL), flags);
  feed(out, "still open");
  InputStream again(reactor(), in);
  watch(again, record);
  close_now(out);
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.bytes, "bytesstill open");
}

TEST_P(PipesTest, TheStandardDescriptorsStayOpen) {
  InputStream input(reactor(), STDIN_FILENO);
  OutputStream output(reactor(), STDOUT_FILENO);
  OutputStream errors(reactor(), STDERR_FILENO);
  FileRecord ends[3];
  watch_ends(input, ends[0]);
  watch_ends(output, ends[1]);
  watch_ends(errors, ends[2]);
  input.destroy();
  output.end();
  errors.end();
  for (const FileRecord& end : ends) ASSERT_TRUE(run_until([&] { return end.has("close"); }));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    EXPECT_NE(fcntl(fd, F_GETFD), -1) << fd;
  }
}

TEST_P(PipesTest, SocketToPipeToSocketWithBackpressureBothWays) {
  const auto [in, out] = make_pipe();
  const std::string content = pattern(3'000'000, 10);
  join({.server = {.socket = {.allow_half_open = true}},
        .client = {.allow_half_open = true},
        .client_reads = false,
        .peer_reads = false});
  OutputStream into(reactor(), out);
  InputStream from(reactor(), in);
  // client -> peer -> pipe -> peer -> client
  pipe(peer(), into);
  pipe(from, peer(), {.end = false});
  std::string received;
  client().write(content);
  client().end();
  turns(50);
  client().on_data([&](Socket&, Buffer bytes) { received += bytes.view(); });
  ASSERT_TRUE(run_until([&] { return received.size() >= content.size(); }));
  EXPECT_EQ(received, content);
}

TEST_P(PipesTest, AnUnreferencedInputDoesNotHoldTheReactor) {
  const auto [in, out] = make_pipe();
  InputStream input(reactor(), in);
  FileRecord record;
  watch(input, record);
  input.unref();
  ASSERT_TRUE(run_returns());
  input.ref();
  close_now(out);
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.order(), "end close");
}

TEST_P(PipesTest, AnIdleOutputDoesNotHoldTheReactor) {
  const auto [in, out] = make_pipe();
  OutputStream output(reactor(), out);
  ASSERT_TRUE(run_returns());
  output.write("bytes");
  ASSERT_TRUE(run_returns());
  EXPECT_TRUE(readable(in));
  EXPECT_EQ(output.writable_length(), 0U);
  close_now(in);
}

TEST_P(PipesTest, TheReactorGoesWhileATerminalIsSilentAndAPipeIsFull) {
  const auto [user, terminal] = make_terminal();
  const auto [in, out] = make_pipe();
  auto other = std::make_unique<Reactor>(make_backend());
  auto input = std::make_unique<InputStream>(*other, terminal, net::InputOptions{.lent = true});
  auto output = std::make_unique<OutputStream>(*other, out, net::OutputOptions{.lent = true});
  input->on_data([](InputStream&, Buffer) {});
  output->write(std::string(500'000, 'x'));
  for (int i = 0; i < 5; ++i) other->run_once(std::chrono::milliseconds(1));
  input.reset();
  output.reset();
  other.reset();
  for (const int fd : {user, terminal, in, out}) close_now(fd);
}

TEST_P(PipesTest, LinesOfATerminal) {
  const auto [user, terminal] = make_terminal();
  InputStream input(reactor(), terminal, {.lent = true});
  OutputStream output(reactor(), terminal, {.lent = true});
  FileRecord record;
  watch(input, record);
  pipe(input, output);
  feed(user, "one\n");
  ASSERT_TRUE(run_until([&] { return record.bytes == "one\n"; }));
  feed(user, "two\n\x04");
  ASSERT_TRUE(run_returns());
  EXPECT_EQ(record.bytes, "one\ntwo\n");
  EXPECT_EQ(record.order(), "data end close");
  const std::string_view expected = "one\r\ntwo\r\n";
  std::string seen;
  char room[100];
  while (seen.size() < expected.size()) {
    const ssize_t size = ::read(user, room, sizeof room);
    ASSERT_GT(size, 0);
    seen.append(room, static_cast<std::size_t>(size));
  }
  EXPECT_EQ(seen, expected);
  close_now(user);
  close_now(terminal);
}

WEIR_ON_ALL_BACKENDS(AnyFilesTest);
WEIR_ON_KERNEL_BACKENDS(PipesTest);
WEIR_ON_FILE_THREADS(AnyFilesTest);
WEIR_ON_FILE_THREADS(PipesTest);

}  // namespace
}  // namespace weir::test
