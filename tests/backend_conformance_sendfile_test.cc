// The door for files that go out on a stream: SendFileOp.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "tests/door.h"
#include "tests/sanitized.h"
#include "weir/reactor/shared_file.h"

namespace weir::test {
namespace {

using SendFile = Noted<SendFileOp>;

class SendFileDoorTest : public DoorTest {
 protected:
  void TearDown() override {
    if (IsSkipped()) return;
    for (SendFile& op : ops_) {
      op.handle = nullptr;
      door().cancel(op);
    }
    EXPECT_TRUE(run_until([&] {
      return std::ranges::all_of(ops_, [](const SendFile& op) { return op.idle(); });
    }));
    DoorTest::TearDown();
  }

  SendFile& send_file(int fd, const SharedFile& file, std::int64_t offset, std::size_t size) {
    SendFile& op = ops_.emplace_back();
    return resend(op, fd, file, offset, size);
  }
  SendFile& resend(SendFile& op, int fd, const SharedFile& file, std::int64_t offset,
                   std::size_t size) {
    op.file = file.fd();
    op.offset = offset;
    op.size = size;
    return submit(op, fd);
  }
  int result_of(const SendFile& op) {
    EXPECT_TRUE(run_until([&] { return op.ended; }));
    return op.last();
  }
  static SharedFile file_with(std::string_view content) {
    char name[] = "/tmp/weir-file-XXXXXX";
    const int fd = mkostemp(name, O_CLOEXEC);
    unlink(name);
    EXPECT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
    return SharedFile::adopt(fd).value_or(SharedFile());
  }
  // A thread brings a file into memory before it is sent.
  static bool reads_first() { return GetParam().name.ends_with("threads"); }
  // Until the kernel takes no more, and the operation waits.
  SendFile& fill(int fd, const SharedFile& file, std::size_t size) {
    SendFile& op = send_file(fd, file, 0, size);
    for (settle(); op.ended; settle()) {
      EXPECT_GT(op.last(), 0);
      if (op.last() <= 0) break;
      sent_ += static_cast<std::size_t>(op.last());
      resend(op, fd, file, 0, size);
    }
    return op;
  }

  std::size_t sent_ = 0;

 private:
  std::deque<SendFile> ops_;
};

TEST_P(SendFileDoorTest, PartByPartAndThenNothing) {
  const std::string content = stream_part(0, 1'000'000);
  const SharedFile file = file_with(content);
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& received = receive(ends.b);
    SendFile& op = send_file(ends.a, file, 10, SIZE_MAX);
    std::size_t sent = 0;
    for (int result = result_of(op); result > 0; result = result_of(op)) {
      EXPECT_LE(static_cast<std::size_t>(result), weir::limits::kSendFileBytesMax);
      sent += static_cast<std::size_t>(result);
      resend(op, ends.a, file, static_cast<std::int64_t>(10 + sent), SIZE_MAX);
    }
    EXPECT_EQ(op.last(), 0);
    EXPECT_EQ(sent, content.size() - 10);
    ASSERT_TRUE(run_until([&] { return received.total >= sent; }));
    EXPECT_TRUE(received.bytes == content.substr(10));
    EXPECT_EQ(result_of(send_file(ends.a, file, 2'000'000, 1)), 0);
  }
}

// Pieces that lie apart, and then the file: cut anywhere, all of it arrives once and in order.
TEST_P(SendFileDoorTest, WhatIsBeforeTheFileGoesWithIt) {
  const std::string head = stream_part(0, 3000);
  const std::string content = stream_part(3000, 4'000'000);
  const SharedFile file = file_with(content);
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& received = receive(ends.b);
    SendFile op;
    std::size_t sent = 0;
    const auto submit_rest = [&] {
      iovec pieces[3];
      std::size_t count = 0;
      std::size_t begin = sent;
      for (const std::size_t end : {100UL, 101UL, head.size()}) {
        if (begin >= end) continue;
        pieces[count++] = {.iov_base = const_cast<char*>(head.data()) + begin,
                           .iov_len = end - begin};
        begin = end;
      }
      const std::size_t of_file = sent - std::min(sent, head.size());
      op.before = {pieces, count};
      resend(op, ends.a, file, static_cast<std::int64_t>(of_file), content.size() - of_file);
      return result_of(op);
    };
    while (sent < head.size() + content.size()) {
      const int result = submit_rest();
      ASSERT_GT(result, 0);
      sent += static_cast<std::size_t>(result);
    }
    ASSERT_TRUE(run_until([&] { return received.total >= sent; }));
    EXPECT_TRUE(received.bytes == head + content);
    // Behind a file's end there is nothing; what is before it is sent all the same.
    iovec last{.iov_base = const_cast<char*>(head.data()), .iov_len = 10};
    op.before = {&last, 1};
    EXPECT_EQ(result_of(resend(op, ends.a, file, 5'000'000, 1)), 10);
    op.before = {};
    EXPECT_EQ(result_of(resend(op, ends.a, file, 5'000'000, 1)), 0);
    // So it is when the file cannot be read, which is told when there is nothing else to tell.
    op.before = {&last, 1};
    EXPECT_EQ(result_of(resend(op, ends.a, SharedFile(), 0, 1)), 10);
    op.before = {};
    EXPECT_EQ(result_of(resend(op, ends.a, SharedFile(), 0, 1)), -EBADF);
    ASSERT_TRUE(run_until([&] { return received.total == sent + 20; }));
  }
}

TEST_P(SendFileDoorTest, WhatASocketDoesNotTakeIsNobodyElses) {
  const SharedFile one = file_with(std::string(1'000'000, 'x'));
  const SharedFile other = file_with(std::string(100'000, 'y'));
  for (const bool local : {false, true}) {
    const Ends slow = connected(local);
    const Ends ends = connected(local);
    fill(slow.a, one, 1'000'000);
    Receive& received = receive(ends.b);
    const int sent = result_of(send_file(ends.a, other, 0, 100'000));
    ASSERT_GT(sent, 0);
    ASSERT_TRUE(run_until([&] { return received.total >= static_cast<std::size_t>(sent); }));
    EXPECT_TRUE(received.bytes == std::string(static_cast<std::size_t>(sent), 'y'));
  }
}

// A kernel backend has a pipe for large files, if there are descriptors for it.
TEST_P(SendFileDoorTest, WithoutDescriptorsLargeFilesAreSentAsWell) {
  if (kSanitized) GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors itself";
  const std::string content = stream_part(0, 1'000'000);
  const SharedFile file = file_with(content);
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  SendFile& op = send_file(ends.a, file, 0, content.size());
  std::size_t sent = 0;
  for (int result = result_of(op); result > 0; result = result_of(op)) {
    sent += static_cast<std::size_t>(result);
    if (sent == content.size()) break;
    resend(op, ends.a, file, static_cast<std::int64_t>(sent), content.size() - sent);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(sent, content.size());
  ASSERT_TRUE(run_until([&] { return received.total >= sent; }));
  EXPECT_TRUE(received.bytes == content);
}

TEST_P(SendFileDoorTest, NothingIsReportedFromInsideTheCalls) {
  const SharedFile file = file_with("some bytes");
  const Ends ends = connected();
  SendFile& op = send_file(ends.a, file, 0, 10);
  EXPECT_FALSE(op.ended);
  door().cancel(op);
  EXPECT_FALSE(op.ended);
  const int result = result_of(op);
  EXPECT_TRUE(result == 10 || result == -ECANCELED);
  Receive& received = receive(ends.b);
  settle();
  EXPECT_EQ(received.bytes, result == 10 ? "some bytes" : "");
}

TEST_P(SendFileDoorTest, CancelledWhileItWaitsItHasSentNothing) {
  const SharedFile file = file_with(std::string(200'000, 'x'));
  for (const bool local : {false, true}) {
    sent_ = 0;
    const Ends ends = connected(local);
    SendFile& op = fill(ends.a, file, 200'000);
    door().cancel(op);
    EXPECT_EQ(result_of(op), -ECANCELED);
    door().cancel(op);
    Receive& received = receive(ends.b);
    ASSERT_TRUE(run_until([&] { return received.total >= sent_; }));
    settle();
    EXPECT_EQ(received.total, sent_);
  }
}

// Their results come together, and the handler of the first has the second cancelled.
TEST_P(SendFileDoorTest, CancelledWithItsResultOnTheWay) {
  const SharedFile file = file_with("some bytes");
  for (const bool local : {false, true}) {
    const Ends one = connected(local);
    const Ends other = connected(local);
    SendFile& first = send_file(one.a, file, 0, 10);
    SendFile& second = send_file(other.a, file, 0, 10);
    first.handle = [&](Completion&) { door().cancel(second); };
    const int result = result_of(second);
    EXPECT_TRUE(result == 10 || result == -ECANCELED) << result;
    Receive& received = receive(other.b);
    settle();
    EXPECT_EQ(received.bytes, result == 10 ? "some bytes" : "");
    if (!simulated() && !reads_first()) {
      EXPECT_EQ(result, 10) << "sent at the end of one turn";
    }
    first.handle = nullptr;
  }
}

// Each part but the first finds a socket that took only a part of the one before.
TEST_P(SendFileDoorTest, CancelledPartByPart) {
  const std::string content = stream_part(0, std::size_t{8} << 20);
  const SharedFile file = file_with(content);
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& received = receive(ends.b);
    SendFile& op = send_file(ends.a, file, 0, content.size());
    std::size_t sent = 0;
    for (int part = 0;; ++part) {
      if (part % 2 == 1) door().cancel(op);
      const int result = result_of(op);
      if (result == -ECANCELED) break;
      ASSERT_GT(result, 0);
      sent += static_cast<std::size_t>(result);
      if (sent == content.size()) break;
      resend(op, ends.a, file, static_cast<std::int64_t>(sent), content.size() - sent);
    }
    ASSERT_TRUE(run_until([&] { return received.total >= sent; }));
    settle();
    EXPECT_EQ(received.total, sent);
    EXPECT_TRUE(received.bytes == content.substr(0, sent));
  }
}

TEST_P(SendFileDoorTest, ItGoesOnWhenThePeerReads) {
  const SharedFile file = file_with(std::string(200'000, 'x'));
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    SendFile& op = fill(ends.a, file, 200'000);
    receive(ends.b);
    EXPECT_GT(result_of(op), 0);
  }
}

TEST_P(SendFileDoorTest, SendingToAPeerThatIsGoneFailsWithoutASignal) {
  static volatile sig_atomic_t signals = 0;
  struct sigaction counting {};
  struct sigaction before {};
  counting.sa_handler = [](int) { signals = signals + 1; };
  ASSERT_EQ(::sigaction(SIGPIPE, &counting, &before), 0);
  const SharedFile file = file_with(std::string(200'000, 'x'));
  for (const bool local : {false, true}) {
    for (const bool waits : {false, true}) {
      const Ends ends = connected(local);
      SendFile& op = waits ? fill(ends.a, file, 200'000) : send_file(ends.a, file, 0, 1);
      if (!waits) {
        EXPECT_EQ(result_of(op), 1);
      }
      if (local) {
        close(ends.b);
      } else {
        reset(ends.b);
      }
      int error = waits ? result_of(op) : 0;
      for (int i = 0; i < 1000 && error >= 0; ++i) {
        error = result_of(resend(op, ends.a, file, 0, 200'000));
      }
      EXPECT_TRUE(error == -EPIPE || error == -ECONNRESET) << error;
      // The error is told once; what receives is not to take it for the peer's end.
      Receive& received = receive(ends.a);
      ASSERT_TRUE(run_until([&] { return received.ended; }));
      if (!local && !simulated()) {
        EXPECT_LT(received.last(), 0);
      }
    }
  }
  EXPECT_EQ(signals, 0);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  ::sigaction(SIGPIPE, &before, nullptr);
}

// One call sends in several parts. The reset that answers the first one fails a later one, which
// the call does not say.
TEST_P(SendFileDoorTest, AFailureInTheMiddleOfASendRaisesNoSignal) {
  static volatile sig_atomic_t signals = 0;
  struct sigaction counting {};
  struct sigaction before {};
  counting.sa_handler = [](int) { signals = signals + 1; };
  ASSERT_EQ(::sigaction(SIGPIPE, &counting, &before), 0);
  const SharedFile file = file_with(std::string(std::size_t{256} << 10, 'x'));
  for (int round = 0; round < 20; ++round) {
    const Ends ends = connected();
    Receive& received = receive(ends.a);
    close(ends.b);
    ASSERT_TRUE(run_until([&] { return received.ended; }));
    SendFile& op = send_file(ends.a, file, 0, std::size_t{256} << 10);
    int result = result_of(op);
    for (int i = 0; i < 1000 && result >= 0; ++i) {
      result = result_of(resend(op, ends.a, file, 0, std::size_t{256} << 10));
    }
    EXPECT_TRUE(result == -EPIPE || result == -ECONNRESET) << result;
  }
  EXPECT_EQ(signals, 0);
  ::sigaction(SIGPIPE, &before, nullptr);
}

// Those of one turn are sent with SIGPIPE blocked once for all of them.
TEST_P(SendFileDoorTest, OneOfATurnFailsAndTheOthersAreSent) {
  static volatile sig_atomic_t signals = 0;
  struct sigaction counting {};
  struct sigaction before {};
  counting.sa_handler = [](int) { signals = signals + 1; };
  ASSERT_EQ(::sigaction(SIGPIPE, &counting, &before), 0);
  const std::string content = stream_part(0, 100'000);
  const SharedFile file = file_with(content);
  for (const bool local : {false, true}) {
    const Ends whole[] = {connected(local), connected(local)};
    const Ends broken = connected(local);
    door().shutdown(broken.a, Direction::write);
    Receive& before_it = receive(whole[0].b);
    Receive& behind_it = receive(whole[1].b);
    SendFile& first = send_file(whole[0].a, file, 0, content.size());
    SendFile& failing = send_file(broken.a, file, 0, content.size());
    SendFile& last = send_file(whole[1].a, file, 0, content.size());
    EXPECT_EQ(result_of(failing), -EPIPE);
    // As much as there is room for at the moment.
    ASSERT_GT(result_of(first), 0);
    ASSERT_GT(result_of(last), 0);
    const auto first_sent = static_cast<std::size_t>(result_of(first));
    const auto last_sent = static_cast<std::size_t>(result_of(last));
    ASSERT_TRUE(run_until([&] {
      return before_it.total == first_sent && behind_it.total == last_sent;
    }));
    EXPECT_TRUE(before_it.bytes == content.substr(0, first_sent));
    EXPECT_TRUE(behind_it.bytes == content.substr(0, last_sent));
    if (!simulated() && !local) {
      int corked = 1;
      socklen_t size = sizeof corked;
      ASSERT_EQ(::getsockopt(whole[0].a, IPPROTO_TCP, TCP_CORK, &corked, &size), 0);
      EXPECT_EQ(corked, 0) << "the next small write would wait";
    }
  }
  EXPECT_EQ(signals, 0);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  ::sigaction(SIGPIPE, &before, nullptr);
}

TEST_P(SendFileDoorTest, WhatCannotBeSentIsAnError) {
  const Ends ends = connected();
  const int directory = ::open("/", O_RDONLY | O_CLOEXEC);
  SendFile& op = send_file(ends.a, SharedFile(), 0, 1);
  EXPECT_EQ(result_of(op), -EBADF);
  op.file = directory;
  submit(op, ends.a);
  EXPECT_LT(result_of(op), 0);
  ::close(directory);
}

WEIR_ON_ALL_BACKENDS(SendFileDoorTest);
WEIR_ON_FILE_THREADS(SendFileDoorTest);

}  // namespace
}  // namespace weir::test
