// The kernel may end a request that repeats or waits, with any error or with a good result that is
// the last: the operation goes on by itself, or tells the error and can be submitted again. Nothing
// that came meanwhile is lost.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/door.h"
#include "tests/uring_chance.h"
#include "tests/uring_world.h"

namespace weir::test {
namespace {

// Ends one request, when it is told to.
class Ending final : public UringSchedule {
 public:
  static constexpr int kWell = 0;

  // The request of the operation on the fd: before the kernel is entered the next time, or with its
  // next good result.
  void end(int fd, unsigned opcode, int how) {
    fd_ = fd;
    opcode_ = opcode;
    how_ = how;
    due_ = true;
  }
  bool done() const { return !due_; }

  int on_waiting(const UringRequest& request) override {
    if (!is_due(request) || how_ == kWell) return 0;
    due_ = false;
    return how_;
  }
  bool on_result(const UringRequest& request) override {
    if (!is_due(request) || how_ != kWell) return false;
    due_ = false;
    return true;
  }

 private:
  bool is_due(const UringRequest& request) const {
    return due_ && request.fd == fd_ && request.opcode == opcode_;
  }

  int fd_ = -1;
  unsigned opcode_ = 0;
  int how_ = 0;
  bool due_ = false;
};

constexpr int kErrors[] = {EINTR,  EAGAIN, ECANCELED, ENOBUFS,    ECONNABORTED, ENOMEM,
                           EBADF,  EFAULT, EINVAL,    EACCES,     EOPNOTSUPP,   EIO,
                           EMFILE, ENFILE, ENOTSOCK,  ECONNRESET, ETIMEDOUT,    Ending::kWell};

std::string name_of_end(int error) {
  return error == Ending::kWell ? "a good result" : std::string(name_of(errno_code(error)));
}

class EndTest : public DoorTest {
 protected:
  void SetUp() override {
    skip_without_faults();
    if (!IsSkipped()) DoorTest::SetUp();
  }
  void TearDown() override {
    DoorTest::TearDown();
    EXPECT_EQ(uring_counts().strays, 0U);
  }

  // Of a receive of this backend.
  static unsigned receiving() {
    return GetParam().options.uring.buffer_ring ? IORING_OP_RECV : IORING_OP_POLL_ADD;
  }
  static bool passes(unsigned opcode, int error) {
    const std::vector<int>& passing = passing_errors(opcode);
    return error == Ending::kWell || std::ranges::find(passing, error) != passing.end();
  }

  void end(int fd, unsigned opcode, int how) {
    ending_.end(fd, opcode, how);
    if (how == Ending::kWell) return;
    ASSERT_TRUE(run_until([this] { return ending_.done(); }));
    settle();
  }

  // The operation goes on, or has told the error as its last result and is submitted once more.
  template <class Kind>
  void expect_end(Kind& op, unsigned opcode, int error) {
    if (passes(opcode, error)) {
      EXPECT_FALSE(op.ended);
      return;
    }
    ASSERT_TRUE(run_until([&] { return op.ended; }));
    EXPECT_EQ(op.last(), -error);
    submit(op, op.fd);
  }

  // Without DEFER_TASKRUN a good result may be taken before it can be made the last one.
  void expect_ended() {
    EXPECT_TRUE(ending_.done() || !GetParam().options.uring.defer_taskrun);
  }

  static void send_plainly(int fd, std::string_view bytes) {
    ASSERT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  Ending ending_;
  UringFaults faults_{ending_};
};

TEST_P(EndTest, OfAReceive) {
  for (const int error : kErrors) {
    for (const bool meanwhile : {false, true}) {
      SCOPED_TRACE(name_of_end(error) + (meanwhile ? ", bytes come meanwhile" : ""));
      const Ends ends = connected();
      Receive& received = receive(ends.b);
      send_plainly(ends.a, "one ");
      ASSERT_TRUE(run_until([&] { return received.total == 4; }));
      if (meanwhile) send_plainly(ends.a, "two ");
      end(ends.b, receiving(), error);
      expect_end(received, receiving(), error);
      if (!meanwhile) send_plainly(ends.a, "two ");
      ASSERT_TRUE(run_until([&] { return received.total == 8; }));
      send_plainly(ends.a, "three");
      ASSERT_TRUE(run_until([&] { return received.total == 13; }));
      EXPECT_EQ(received.bytes, "one two three");
      expect_ended();
      close(ends.a);
      ASSERT_TRUE(run_until([&] { return received.ended; }));
      EXPECT_EQ(received.last(), 0);
    }
  }
}

TEST_P(EndTest, OfAnAccept) {
  for (const int error : kErrors) {
    SCOPED_TRACE(name_of_end(error));
    const int listener = listen_tcp();
    Accept& accepting = accept(listener);
    accepting.handle = [this](Completion& completion) {
      if (completion.result >= 0) own(completion.result);
    };
    const Address peer = door().address(listener, End::local);
    std::size_t accepted = 0;
    const auto join = [&] {
      connect(open(peer), peer);
      ++accepted;
      return run_until([&] {
        return static_cast<std::size_t>(std::ranges::count_if(
                   accepting.results, [](int result) { return result >= 0; })) == accepted;
      });
    };
    ASSERT_TRUE(join());
    end(listener, IORING_OP_ACCEPT, error);
    const bool goes_on = passes(IORING_OP_ACCEPT, error);
    expect_end(accepting, IORING_OP_ACCEPT, error);
    if (!goes_on) accepted = 0;
    ASSERT_TRUE(join());
    ASSERT_TRUE(join());
    expect_ended();
    EXPECT_FALSE(accepting.ended);
  }
}

TEST_P(EndTest, OfAWatch) {
  for (const int error : kErrors) {
    SCOPED_TRACE(name_of_end(error));
    const Ends ends = connected();
    Poll& watch = watch_hangup(ends.b);
    settle();
    end(ends.b, IORING_OP_POLL_ADD, error);
    expect_end(watch, IORING_OP_POLL_ADD, error);
    ASSERT_EQ(::shutdown(ends.a, SHUT_WR), 0);
    ASSERT_TRUE(run_until([&] { return !watch.results.empty(); }));
    EXPECT_TRUE(Events{static_cast<std::uint8_t>(watch.last())}.has(Events::peer_closed));
    reset(ends.a);
    const auto told = [&] {
      return Events{static_cast<std::uint8_t>(watch.last())}.has(Events::error);
    };
    EXPECT_TRUE(run_until(told)) << "it watches no longer";
    expect_ended();
    EXPECT_FALSE(watch.ended);
  }
}

TEST_P(EndTest, OfAPoll) {
  for (const int error : kErrors) {
    if (error == Ending::kWell) continue;  // it has one result
    SCOPED_TRACE(name_of_end(error));
    const Ends ends = connected();
    Poll& poll = poll_once(ends.b, Events::readable);
    settle();
    end(ends.b, IORING_OP_POLL_ADD, error);
    expect_end(poll, IORING_OP_POLL_ADD, error);
    send_plainly(ends.a, "x");
    ASSERT_TRUE(run_until([&] { return poll.ended; }));
    EXPECT_EQ(poll.last(), Events::readable);
  }
}

// What wakes the reactor is a poll, too, which nobody else sees.
TEST_P(EndTest, OfTheWakePoll) {
  class OfWake final : public UringSchedule {
   public:
    int on_waiting(const UringRequest& request) override {
      return request.repeats && how != Ending::kWell ? std::exchange(how, Ending::kWell) : 0;
    }
    bool on_result(const UringRequest&) override { return std::exchange(well, false); }
    int how = Ending::kWell;
    bool well = false;
  };
  OfWake schedule;
  const UringFaults faults(schedule);
  for (const int error : kErrors) {
    SCOPED_TRACE(name_of_end(error));
    schedule.well = error == Ending::kWell;
    if (schedule.well) door().wake();
    schedule.how = error;
    // The ring is entered, by which it ends.
    for (int i = 0; i < 3; ++i) turn(door().now());
    settle();
    const Instant soon = door().now() + std::chrono::milliseconds(2);
    turn(soon);
    EXPECT_GE(door().now(), soon) << "it is awake already";
    door().wake();
    const Instant late = door().now() + kPatience;
    turn(late);
    EXPECT_LT(door().now(), late) << "nothing wakes it any more";
  }
}

TEST_P(EndTest, OfTheReceiveOfDatagrams) {
  const unsigned opcode = receiving() == IORING_OP_RECV ? IORING_OP_RECVMSG : IORING_OP_POLL_ADD;
  for (const int error : kErrors) {
    SCOPED_TRACE(name_of_end(error));
    // Without multishot, which EINVAL says, the backend goes on in another way.
    start(GetParam().options);
    const auto fd = door().datagrams().open(Address::loopback_ipv4(0), {});
    ASSERT_TRUE(fd.has_value());
    const IpEndpoint at = door().address(*fd, End::local).ip();
    std::string got;
    const auto send_datagram = [&](std::string_view bytes) {
      const iovec piece{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
      const DatagramOut out{.pieces = {&piece, 1}, .segment = 0, .to = &at};
      EXPECT_EQ(door().datagrams().send(*fd, {&out, 1}), 1);
    };
    Noted<DatagramsOp> told;
    int reported = 0;
    told.handle = [&](Completion& completion) {
      if (completion.result <= 0) return;
      for (;;) {
        const auto received = door().datagrams().receive(*fd, 64, false);
        if (received.error == -EAGAIN) return;
        if (received.error != 0) reported = -received.error;
        for (const Datagram& one : received.entries) got += one.bytes;
      }
    };
    submit(told, *fd);
    send_datagram("one ");
    ASSERT_TRUE(run_until([&] { return got == "one "; }));
    end(*fd, opcode, error);
    if (told.ended) {
      EXPECT_EQ(told.last(), -error);
      submit(told, *fd);
    } else {
      EXPECT_TRUE(passes(opcode, error) || error == EINVAL || reported == error);
    }
    send_datagram("two ");
    ASSERT_TRUE(run_until([&] { return got == "one two "; }));
    send_datagram("three");
    ASSERT_TRUE(run_until([&] { return got == "one two three"; }));
    expect_ended();
    told.handle = nullptr;
    door().cancel(told);
    ASSERT_TRUE(run_until([&] { return told.idle(); }));
    door().close(*fd);
  }
}

// ---- Without memory ----

class ScarceEndTest : public EndTest {
 protected:
  static constexpr std::size_t kMemory = 4 * limits::kReceiveChunkBytes;
  static constexpr std::size_t kBytes = 6 << 20;

  void SetUp() override {
    skip_without_faults();
    if (IsSkipped()) return;
    BackendOptions options = GetParam().options;
    options.receive_memory_max = kMemory;
    start(options);
  }

  // Sends it all, as fast as it is taken.
  Send& pour(int fd, const std::string& bytes) {
    Send& sending = send(fd, bytes);
    sending.handle = [this, fd, &sending, left = std::string_view(bytes)](Completion& one) mutable {
      if (one.result < 0) return;
      left.remove_prefix(static_cast<std::size_t>(one.result));
      if (!left.empty()) resend(sending, fd, left);
    };
    return sending;
  }

  // A receive that has taken all the memory and waits for more.
  Receive& starved(int fd) {
    Receive& received = receive(fd);
    received.keep_bytes = false;
    received.hold = true;
    EXPECT_TRUE(run_until([&] { return received.total >= kMemory; }));
    settle();
    EXPECT_LT(received.total, kBytes) << "nothing is short";
    return received;
  }
};

TEST_P(ScarceEndTest, OfTheWatchOfAStarvedReceive) {
  const std::string bytes = stream_part(0, kBytes);
  for (const int error : {EINTR, ECANCELED, ENOMEM, EBADF, EINVAL, ECONNRESET}) {
    for (const bool is_reset : {false, true}) {
      SCOPED_TRACE(name_of_end(error) + (is_reset ? ", then a reset" : ""));
      const Ends ends = connected();
      Send& sending = pour(ends.a, bytes);
      Receive& received = starved(ends.b);
      end(ends.b, IORING_OP_POLL_ADD, error);
      EXPECT_FALSE(received.ended);
      if (is_reset) {
        sending.handle = nullptr;
        door().cancel(sending);
        ASSERT_TRUE(run_until([&] { return sending.idle(); }));
        reset(ends.a);
        ASSERT_TRUE(run_until([&] { return received.ended; }));
        EXPECT_EQ(received.last(), -ECONNRESET);
        received.held.clear();
        continue;
      }
      std::size_t at = 0;
      EXPECT_TRUE(run_until([&] {
        for (const Buffer& part : received.held) {
          EXPECT_TRUE(is_stream_part(part.view(), at));
          at += part.size();
        }
        received.held.clear();
        return at == kBytes;
      }));
      door().cancel(received);
      EXPECT_TRUE(run_until([&] { return received.ended; }));
    }
  }
}

// ---- Short sends ----

// A send that fell short says nothing of the connection while that stands, nor of its end later.
TEST_P(EndTest, AShortSendIsNoReset) {
  class ShortOnce final : public UringSchedule {
   public:
    void on_entry(UringEntry& entry) override {
      if (entry.request().opcode != IORING_OP_SEND || std::exchange(done, true)) return;
      entry.shorten(1000);
    }
    bool done = false;
  };
  ShortOnce schedule;
  const UringFaults faults(schedule);
  const std::string bytes = stream_part(0, 16 << 20);
  const Ends ends = connected();
  Send& sending = send(ends.a, bytes);
  std::string_view left = bytes;
  sending.handle = [&](Completion& completion) {
    ASSERT_GT(completion.result, 0);
    left.remove_prefix(static_cast<std::size_t>(completion.result));
    if (!left.empty()) resend(sending, ends.a, left);
  };
  settle();
  Receive& received = receive(ends.b);
  received.keep_bytes = false;
  ASSERT_TRUE(run_until([&] { return received.total == bytes.size() && left.empty(); }));
  EXPECT_TRUE(schedule.done);
  Receive& end_of_a = receive(ends.a);
  door().shutdown(ends.a, Direction::write);
  ASSERT_TRUE(run_until([&] { return received.ended; }));
  close(ends.b);
  ASSERT_TRUE(run_until([&] { return end_of_a.ended; }));
  EXPECT_EQ(end_of_a.last(), 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, EndTest,
                         testing::Values(uring_backend("io_uring"),
                                         uring_backend("io_uring_plain_ring"),
                                         uring_backend("io_uring_no_ring"),
                                         uring_backend("io_uring_coop_taskrun")),
                         case_name);

INSTANTIATE_TEST_SUITE_P(Backends, ScarceEndTest,
                         testing::Values(uring_backend("io_uring"),
                                         uring_backend("io_uring_plain_ring"),
                                         uring_backend("io_uring_coop_taskrun")),
                         case_name);

}  // namespace
}  // namespace weir::test
