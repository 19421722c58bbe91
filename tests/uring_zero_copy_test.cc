// A kernel that refuses to take bytes without a copy, or fails at it: they go as ever, or the error
// is told as that of any send.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/door.h"
#include "tests/pair.h"
#include "tests/uring_world.h"

namespace weir::test {
namespace {

constexpr std::size_t kPiece = 256 << 10;

// Says nothing of what the kernel knows, and refuses it.
class Unknown final : public UringSchedule {
 public:
  explicit Unknown(bool probe_says_so) noexcept : probe_says_so_(probe_says_so) {}
  bool knows(unsigned opcode) override { return !probe_says_so_ || !lends(opcode); }
  void on_entry(UringEntry& entry) override {
    if (!lends(entry.request().opcode)) return;
    ++uses_;
    entry.mask();
  }
  int uses() const noexcept { return uses_; }

 private:
  static bool lends(unsigned opcode) {
    return opcode == IORING_OP_SEND_ZC || opcode == IORING_OP_SENDMSG_ZC;
  }
  bool probe_says_so_;
  int uses_ = 0;
};

struct Sent {
  bool whole = false;
  std::size_t part = 0;  // of the stream, in order
  std::error_code error;
  Counters counters;
};

class RefusedLoanTest : public testing::Test {
 protected:
  void SetUp() override { skip_without_faults(); }

  // A client sends pieces one behind the other, `together` at a time.
  static Sent run(UringSchedule& schedule, int together) {
    const std::ptrdiff_t descriptors = open_descriptors();
    Sent sent;
    {
      const UringFaults faults(schedule);
      auto chosen = choose_backend({.kind = BackendKind::io_uring});
      EXPECT_TRUE(chosen.has_value());
      Reactor reactor(std::move(chosen->backend));
      Server server(reactor);
      server.on_data([&](Socket&, Buffer bytes) {
        if (is_stream_part(bytes.view(), sent.part)) sent.part += bytes.size();
      });
      server.on_error([](Socket&, const Error&) {});
      const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
      EXPECT_TRUE(bound.has_value());
      Socket client(reactor, {.queue = {.zero_copy_from = kPiece}});
      feed(client, together);
      bool closed = false;
      client.on_error([&](Socket&, const Error& error) { sent.error = error.code; });
      client.on_close([&](Socket&, std::error_code) { closed = true; });
      EXPECT_TRUE(client.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
      const Instant end = reactor.now() + kPatience;
      // A connection that breaks is closed before its peer has acknowledged what was lent to it.
      const auto over = [&] { return closed && reactor.counters().zero_copy_bytes == 0; };
      while (!over() && reactor.now() < end) reactor.run_once(end);
      EXPECT_TRUE(closed);
      sent.whole = sent.part == kPieces * kPiece;
      sent.counters = reactor.counters();
    }
    EXPECT_EQ(open_descriptors(), descriptors);
    return sent;
  }

  static constexpr std::size_t kPieces = 12;

 private:
  static void feed(Socket& client, int together) {
    const auto write = [together](Socket& socket) {
      for (int i = 0; i < together && socket.bytes_written() < kPieces * kPiece; ++i) {
        socket.write(Buffer::take(stream_part(socket.bytes_written(), kPiece)));
      }
      if (socket.bytes_written() == kPieces * kPiece) socket.end();
    };
    client.on_connect(write);
    client.on_drain(write);
  }
};

// `together`: one piece is IORING_OP_SEND_ZC, several are IORING_OP_SENDMSG_ZC.
constexpr struct {
  unsigned opcode;
  int together;
} kForms[] = {{IORING_OP_SEND_ZC, 1}, {IORING_OP_SENDMSG_ZC, 3}};

TEST_F(RefusedLoanTest, APlainSendTakesOverAndNoneIsTriedAgain) {
  for (const auto& [opcode, together] : kForms) {
    for (const int error : {EINVAL, EOPNOTSUPP, ENOMEM, ENOBUFS}) {
      OneFails schedule(opcode, 1, error);
      const Sent sent = run(schedule, together);
      EXPECT_TRUE(sent.whole) << sent.part << " bytes, " << sent.error.message();
      EXPECT_FALSE(sent.error);
      EXPECT_EQ(schedule.uses(), 1U) << error;
      EXPECT_EQ(sent.counters.zero_copy_copied, 1U);
      EXPECT_EQ(sent.counters.zero_copy_bytes, 0U);
    }
  }
}

TEST_F(RefusedLoanTest, WhatPassesIsNotTold) {
  for (const auto& [opcode, together] : kForms) {
    for (const int error : {EAGAIN, EINTR, ECANCELED}) {
      for (const std::uint64_t nth : {1, 2}) {
        OneFails schedule(opcode, nth, error);
        const Sent sent = run(schedule, together);
        EXPECT_TRUE(sent.whole) << sent.part << " bytes, " << sent.error.message();
        EXPECT_FALSE(sent.error);
        EXPECT_EQ(sent.counters.zero_copy_bytes, 0U);
      }
    }
  }
}

TEST_F(RefusedLoanTest, OtherErrorsAreToldAsThoseOfAnySend) {
  for (const auto& [opcode, together] : kForms) {
    for (const int error : {ECONNRESET, EPIPE, EACCES, EFAULT, ENOTCONN}) {
      OneFails schedule(opcode, 2, error);
      const Sent sent = run(schedule, together);
      ASSERT_GE(schedule.uses(), 2U);
      EXPECT_EQ(sent.error, errno_code(error));
      EXPECT_EQ(sent.counters.zero_copy_bytes, 0U);
      EXPECT_EQ(sent.counters.queue_bytes, 0U);
    }
  }
}

TEST_F(RefusedLoanTest, AKernelWithoutTheOperationIsNotAsked) {
  for (const bool probe_says_so : {true, false}) {
    Unknown schedule(probe_says_so);
    const Sent sent = run(schedule, 1);
    EXPECT_TRUE(sent.whole);
    EXPECT_FALSE(sent.error);
    EXPECT_EQ(schedule.uses(), probe_says_so ? 0 : 1);
  }
}

}  // namespace
}  // namespace weir::test
