// Socket::send_file(): files among writes, in order and with backpressure.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <set>

#include "tests/sendfile.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// ---- Bytes ----

TEST_P(SendFileTest, ExactlyTheBytesOfAnySize) {
  join();
  const std::string content = pattern(1 << 20, 1);
  const SharedFile file = file_with(content);
  std::string expected;
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 262143, 262144,
                                 262145, 1 << 20}) {
    send(client(), file, size, noting(std::to_string(size)));
    expected += content.substr(0, size);
    expect_peer_has(expected);
    EXPECT_TRUE(run_until([&] { return !calls_.empty(); }));
    EXPECT_EQ(std::exchange(calls_, {}), Calls{std::to_string(size)});
  }
  EXPECT_EQ(client().bytes_written(), expected.size());
  EXPECT_EQ(client().writable_length(), 0U);
}

TEST_P(SendFileTest, RangesLeaveTheFilesOwnPositionAlone) {
  join();
  const std::string content = pattern(300'000, 2);
  const SharedFile file = file_with(content);
  ASSERT_EQ(file.size().value_or(0), content.size());
  ASSERT_EQ(lseek(file.fd(), 77, SEEK_SET), 77);
  std::string expected;
  constexpr std::pair<std::size_t, std::size_t> kRanges[] = {
      {0, 1},       {299'999, 1},  {4095, 2},     {4096, 4096},   {100'001, 199'999},
      {300'000, 0}, {400'000, 0},  {65'535, 3},   {0, 300'000},   {1, 131'072}};
  for (const auto& [offset, size] : kRanges) {
    send(client(), {.file = file.share(), .offset = offset, .size = size});
    if (size != 0) expected += content.substr(offset, size);
  }
  expect_peer_has(expected);
  EXPECT_EQ(lseek(file.fd(), 0, SEEK_CUR), 77);
}

TEST_P(SendFileTest, InOrderWithWritesAndOtherFiles) {
  for (const bool over_unix : {false, true}) {
    PairOptions options;
    options.over_unix = over_unix;
    join(options);
    const std::string a = pattern(70'000, 3);
    const std::string b = pattern(5'000, 4);
    const SharedFile file_a = file_with(a);
    const SharedFile file_b = file_with(b);
    std::string expected;
    const auto write = [&](const std::string& text) {
      client().write(text, noting("write"));
      expected += text;
    };
    // So many small pieces that they are gathered, with files in between.
    for (int i = 0; i < 60; ++i) {
      for (int k = 0; k < i % 7; ++k) write(std::to_string(i * k) + ",");
      if (i % 3 == 0) continue;
      send(client(), i % 2 == 0 ? file_a : file_b, 5'000, noting("file"));
      expected += (i % 2 == 0 ? a : b).substr(0, 5'000);
    }
    EXPECT_TRUE(calls_.empty()) << "a callback inside the call";
    expect_peer_has(expected);
    EXPECT_TRUE(run_until([&] { return client().writable_length() == 0; }));
    turns();
    Calls in_order;
    for (int i = 0; i < 60; ++i) {
      in_order.insert(in_order.end(), static_cast<std::size_t>(i % 7), "write");
      if (i % 3 != 0) in_order.emplace_back("file");
    }
    EXPECT_EQ(std::exchange(calls_, {}), in_order);
    start_anew();
  }
}

TEST_P(SendFileTest, TheSameFileOnManySocketsAtTheSameTime) {
  listen();
  const std::string content = pattern(400'000, 5);
  SharedFile file = file_with(content);
  std::map<const Socket*, std::string> received;
  server_->on_data([&](Socket& socket, Buffer bytes) { received[&socket] += bytes.view(); });
  std::deque<Socket> clients;
  std::set<std::string> expected;
  for (std::size_t i = 0; i < 20; ++i) {
    Socket& socket = clients.emplace_back(reactor());
    ASSERT_TRUE(socket.connect(to_).has_value());
    const std::size_t offset = i * 10'007;
    send(socket, {.file = file.share(), .offset = offset, .size = content.size() - offset});
    socket.write("tail");
    expected.insert(content.substr(offset) + "tail");
  }
  file.reset();
  EXPECT_TRUE(is_open(path_)) << "it is still to be sent";
  EXPECT_TRUE(run_until([&] {
    std::set<std::string> seen;
    for (const auto& [socket, bytes] : received) seen.insert(bytes);
    return seen == expected;
  }));
  EXPECT_TRUE(closes(path_)) << "nobody needs it any more";
}

TEST_P(SendFileTest, ThroughSmallBuffersToASlowReader) {
  join();
  EXPECT_FALSE(client().set_buffer_sizes(32 * 1024, 32 * 1024));
  EXPECT_FALSE(peer().set_buffer_sizes(32 * 1024, 32 * 1024));
  const std::string content = pattern(20 << 20, 6);
  peer_record_.bytes.reserve(content.size() + 4);
  const SharedFile file = file_with(content);
  // Now and then it reads nothing for a few turns.
  int pieces = 0;
  Timer later;
  peer().on_data([&](Socket& socket, Buffer) {
    if (++pieces % 16 != 0) return;
    socket.pause();
    later = reactor().after(100us, [this] {
      if (peer_ != nullptr) peer().resume();
    });
  });
  client().write("head");
  send(client(), file, content.size(), noting("file"));
  client().end("tail");
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_TRUE(peer_record_.bytes == "head" + content + "tail") << peer_record_.bytes.size();
  EXPECT_EQ(calls_, Calls{"file"});
  EXPECT_EQ(peer_record_.errors.size() + client_record_.errors.size(), 0U);
}

TEST_P(SendFileTest, WhatTheKernelHasDroppedIsReadAgain) {
  join();
  const std::string content = pattern(3 << 20, 7);
  const SharedFile file = file_with(content);
  std::string expected;
  for (int i = 0; i < 4; ++i) {
    // Dirty pages stay; a file system in memory keeps all of them.
    ASSERT_EQ(fdatasync(file.fd()), 0);
    ASSERT_EQ(posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
    // Some are there again: before, behind and among those that are not.
    char byte = 0;
    for (int k = 0; k < i; ++k) EXPECT_EQ(pread(file.fd(), &byte, 1, (k + 1) * 900'000), 1);
    send(client(), file, content.size());
    client().write("-");
    expected += content + "-";
    expect_peer_has(expected);
  }
}

// ---- Queueing ----

TEST_P(SendFileTest, BeforeTheConnectionStandsItIsQueued) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  const SharedFile file = file_with("file");
  EXPECT_EQ(client().write("head "), Write::ok);
  EXPECT_EQ(send(client(), file, 4), Write::ok);
  EXPECT_EQ(client().writable_length(), 9U);
  client().end(" tail");
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(peer_record_.bytes, "head file tail");
}

TEST_P(SendFileTest, CorkedItWaits) {
  join();
  const SharedFile file = file_with("file");
  client().cork();
  send(client(), file, 4, noting("file"));
  client().write(" tail");
  turns();
  EXPECT_EQ(client().writable_length(), 9U);
  EXPECT_TRUE(calls_.empty());
  EXPECT_FALSE(input_arrived(peer()));
  client().uncork();
  expect_peer_has("file tail");
}

TEST_P(SendFileTest, ItsBytesCountForTheMarksAndNotForTheLimits) {
  PairOptions options = peer_that_does_not_read();
  options.client.queue = {.high_water = 1000, .low_water = 10, .bytes_max = 2000};
  options.client.policy = net::QueuePolicy::drop;
  join(options);
  const SharedFile file = large_file();
  client().cork();
  EXPECT_EQ(send(client(), file, 999), Write::ok);
  EXPECT_FALSE(client().writable_needs_drain());
  EXPECT_EQ(send(client(), file, 1), Write::full);
  EXPECT_EQ(send(client(), file, kMoreThanTheKernelTakes - 1000), Write::full);
  EXPECT_EQ(client().writable_length(), kMoreThanTheKernelTakes);
  EXPECT_EQ(client().bytes_written(), kMoreThanTheKernelTakes);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U) << "it takes no memory";
  EXPECT_EQ(client().write(std::string(2000, 'x')), Write::full);
  EXPECT_EQ(client().write("y"), Write::refused);
  EXPECT_EQ(send(client(), file, 1), Write::full);
  EXPECT_EQ(reactor().counters().queue_bytes, 2000U);
  client().uncork();
  turns();
  EXPECT_EQ(client_record_.count("drain"), 0);
  std::size_t left_at_drain = 1'000'000;
  client().on_drain([&](Socket& socket) { left_at_drain = socket.writable_length(); });
  std::size_t received = 0;
  peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  EXPECT_TRUE(run_until([&] { return received == kMoreThanTheKernelTakes + 2001; }));
  EXPECT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  turns();
  EXPECT_EQ(client_record_.count("drain"), 1);
  EXPECT_LE(left_at_drain, 10U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(SendFileTest, BehindTooManyFilesItIsRefusedWithoutItsCallback) {
  PairOptions options;
  options.client.policy = net::QueuePolicy::drop;
  join(options);
  const SharedFile file = file_with("x");
  for (std::size_t i = 0; i < net::limits::kQueuedFilesMax; ++i) {
    ASSERT_EQ(send(client(), file, 1), Write::ok);
  }
  FileRange refused{.file = file.share(), .size = 1};
  const auto result = client().send_file(std::move(refused), noting("refused"));
  EXPECT_EQ(result.value_or(Write::ok), Write::refused);
  EXPECT_TRUE(refused.file) << "moved from although it was not taken";  // NOLINT
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  EXPECT_EQ(send(client(), std::move(refused), noting("taken")), Write::ok);  // NOLINT
  expect_peer_has(std::string(net::limits::kQueuedFilesMax + 1, 'x'));
  turns();
  EXPECT_EQ(calls_, Calls{"taken"});
  EXPECT_EQ(client_record_.count("drain"), 1);
}

TEST_P(SendFileTest, OneTurnSendsABoundedPart) {
  join();
  const SharedFile file = large_file();
  std::size_t received = 0;
  peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  send(client(), file, kMoreThanTheKernelTakes);
  std::size_t left = client().writable_length();
  ASSERT_TRUE(run_until([&] {
    const std::size_t before = std::exchange(left, client().writable_length());
    EXPECT_LE(before - left, weir::limits::kSendFileBytesMax);
    return received == kMoreThanTheKernelTakes || HasFailure();
  }));
}

TEST_P(SendFileTest, APipeIntoTheSocketKeepsItsOrder) {
  join();
  const std::string piped = pattern(200'000, 8);
  const std::string content = pattern(100'000, 9);
  const SharedFile file = file_with(content);
  auto input = net::open_file(reactor(), make_file(piped), {.read_bytes = 1000});
  pipe(input, client(), {.end = false});
  int pieces = 0;
  input.on_data([&](net::InputStream&, Buffer) {
    if (++pieces % 50 == 10) send(client(), file, content.size());
  });
  ASSERT_TRUE(peer_has(piped.size() + 4 * content.size()));
  std::string seen = peer_record_.bytes;
  for (int i = 0; i < 4; ++i) {
    const std::size_t at = seen.find(content);
    ASSERT_NE(at, std::string::npos) << "the file is not in one piece";
    EXPECT_EQ(at % 1000, 0U);
    seen.erase(at, content.size());
  }
  EXPECT_TRUE(seen == piped);
}

WEIR_ON_ALL_BACKENDS(SendFileTest);
WEIR_ON_FILE_THREADS(SendFileTest);

// ---- Threads ----

// No thread is free to read the file: nothing is sent, and nobody waits for it.
class HeldThreadsTest : public SendFileTest {
 protected:
  // Opening a FIFO waits for its other end.
  void hold_threads() {
    fifo_ = socket_path();
    ASSERT_EQ(mkfifo(fifo_.c_str(), 0600), 0);
    for (std::size_t i = 0; i < weir::limits::kBlockingThreadsMax; ++i) {
      held_.emplace_back(reactor(), fifo_).resume();
    }
  }
  void let_them_go() {
    const int other_end = ::open(fifo_.c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_TRUE(run_until([&] {
      return std::ranges::all_of(held_, [](auto& one) { return one.native_handle() >= 0; });
    }));
    close_now(other_end);
    EXPECT_TRUE(run_until([&] {
      return std::ranges::all_of(held_, [](auto& one) { return one.destroyed(); });
    }));
    held_.clear();
  }

 private:
  std::string fifo_;
  std::deque<net::InputStream> held_;
};

TEST_P(HeldThreadsTest, TheReactorGoesOnWhileTheFileIsReadAndSoDoesClosing) {
  join();
  Socket other(reactor());
  ASSERT_TRUE(other.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return !other.pending(); }));
  hold_threads();
  const std::string content = pattern(100'000, 14);
  SharedFile file = file_with(content);
  send(other, file, content.size(), noting("other"));
  send(client(), file, content.size(), noting("file"));
  file.reset();
  run_for(5ms);
  EXPECT_EQ(peer_record_.bytes, "");
  EXPECT_EQ(other.writable_length(), content.size());
  other.destroy();
  EXPECT_TRUE(run_until([&] { return !calls_.empty(); })) << "it waits for its thread";
  EXPECT_EQ(std::exchange(calls_, {}), Calls{"other ERR_STREAM_DESTROYED"});
  EXPECT_TRUE(is_open(path_));
  let_them_go();
  expect_peer_has(content);
  EXPECT_TRUE(closes(path_));
  EXPECT_EQ(calls_, Calls{"file"});
}

INSTANTIATE_TEST_SUITE_P(Threads, HeldThreadsTest,
                         testing::Values(file_thread_backends().front()), case_name);

// ---- Descriptors ----

TEST(SharedFile, IsClosedWithItsLastHolder) {
  const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  SharedFile first = adopt(fd);
  SharedFile second = first.share();
  EXPECT_EQ(second.fd(), fd);
  SharedFile third = std::move(first);
  EXPECT_FALSE(first);  // NOLINT
  EXPECT_EQ(first.fd(), -1);
  second = std::move(third);
  EXPECT_TRUE(is_open(fd));
  second = second.share();
  EXPECT_TRUE(is_open(fd));
  second = SharedFile();
  EXPECT_FALSE(is_open(fd));
  EXPECT_FALSE(SharedFile().share());
  EXPECT_FALSE(SharedFile().size().has_value());
}

TEST(SharedFile, OnlyARegularFileThatIsOpenForReading) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  char name[] = "/tmp/weir-shared-XXXXXX";
  const int made = mkostemp(name, O_CLOEXEC);
  const auto refused = [](int fd) {
    const bool was_open = is_open(fd);
    const auto file = SharedFile::adopt(fd);
    EXPECT_EQ(is_open(fd), was_open) << "on errors it stays the caller's";
    const std::string code(file ? "" : name_of(file.error().code));
    if (was_open) ::close(fd);
    return code;
  };
  EXPECT_EQ(refused(-1), "EBADF");
  EXPECT_EQ(refused(9999), "EBADF");
  EXPECT_EQ(refused(::open(name, O_WRONLY | O_CLOEXEC)), "EBADF");
  EXPECT_EQ(refused(::open(name, O_PATH | O_CLOEXEC)), "EBADF");
  EXPECT_EQ(refused(ends[0]), "ERR_INVALID_FD_TYPE");
  EXPECT_EQ(refused(ends[1]), "ERR_INVALID_FD_TYPE");
  EXPECT_EQ(refused(::open("/", O_RDONLY | O_CLOEXEC)), "ERR_INVALID_FD_TYPE");
  EXPECT_EQ(refused(::open("/dev/zero", O_RDONLY | O_CLOEXEC)), "ERR_INVALID_FD_TYPE");
  EXPECT_EQ(refused(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), "ERR_INVALID_FD_TYPE");
  EXPECT_TRUE(adopt(made));
  unlink(name);
}

}  // namespace
}  // namespace weir::test
