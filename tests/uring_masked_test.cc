// A kernel without one of the operations: its probe says so, and it answers the entry with EINVAL.
// Then weir does without, or says what is missing and takes epoll. Nothing hangs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "tests/uring_scripts.h"
#include "tests/uring_world.h"

namespace weir::test {
namespace {

using script::Datagrams, script::Files, script::Outcome, script::Passed, script::Play,
    script::Sockets, script::play;

class Without final : public UringSchedule {
 public:
  Without(unsigned opcode, bool probe_says_so) noexcept
      : opcode_(opcode), probe_says_so_(probe_says_so) {}
  bool knows(unsigned opcode) override { return opcode != opcode_ || !probe_says_so_; }
  void on_entry(UringEntry& entry) override {
    if (entry.request().opcode == opcode_) entry.mask();
  }

 private:
  unsigned opcode_;
  bool probe_says_so_;
};

struct Masked {
  const char* name;  // of the operation, "IORING_OP_..."
  unsigned opcode;
};

constexpr Masked kNeeded[] = {
    {"ACCEPT", IORING_OP_ACCEPT},     {"CONNECT", IORING_OP_CONNECT},
    {"RECV", IORING_OP_RECV},         {"SEND", IORING_OP_SEND},
    {"SENDMSG", IORING_OP_SENDMSG},   {"POLL_ADD", IORING_OP_POLL_ADD},
    {"READ", IORING_OP_READ},         {"WRITEV", IORING_OP_WRITEV},
    {"ASYNC_CANCEL", IORING_OP_ASYNC_CANCEL},
};

class MaskedTest : public testing::Test {
 protected:
  void SetUp() override { skip_without_faults(); }

  static void expect_all_works(const BackendOptions& options, BackendKind kind) {
    auto chosen = choose_backend(options);
    ASSERT_TRUE(chosen.has_value()) << chosen.error().message();
    EXPECT_EQ(chosen->backend->kind(), kind) << chosen->reason;
    Reactor reactor(std::move(chosen->backend));
    reactor.on_unhandled_error([](const Error&) {});
    for (const Play one : {play<Sockets>, play<Passed>, play<Datagrams>, play<Files>}) {
      const Outcome outcome = one(reactor);
      EXPECT_TRUE(outcome.over && outcome.whole) << outcome.wrong;
    }
  }
};

TEST_F(MaskedTest, WhatIsMissingIsNamedAndNothingIsLeftOpen) {
  for (const Masked& one : kNeeded) {
    SCOPED_TRACE(one.name);
    const std::ptrdiff_t descriptors = open_descriptors();
    Without schedule(one.opcode, true);
    const UringFaults faults(schedule);
    const auto refused = choose_backend({.kind = BackendKind::io_uring});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, errno_code(EOPNOTSUPP));
    const std::string message = refused.error().message();
    const std::string name = std::string("IORING_OP_") + one.name;
    EXPECT_NE(message.find(name + " "), std::string::npos) << message;
    EXPECT_EQ(open_descriptors(), descriptors) << "the ring that was tried is open";
    const auto chosen = choose_backend({});
    ASSERT_TRUE(chosen.has_value());
    EXPECT_NE(chosen->reason.find(name + " "), std::string::npos) << chosen->reason;
  }
}

TEST_F(MaskedTest, WithoutRecvmsgDatagramsArePolledFor) {
  Without schedule(IORING_OP_RECVMSG, true);
  const UringFaults faults(schedule);
  expect_all_works({.kind = BackendKind::io_uring}, BackendKind::io_uring);
  EXPECT_GT(uring_counts().failed, 0U) << "it was not asked for";
}

// The probe was not to be had, or the operation is forbidden later: each use ends with the error.
TEST_F(MaskedTest, WhatFailsAlthoughTheProbeKnowsItIsTold) {
  struct Case {
    unsigned opcode;
    Play play;
  };
  constexpr Case kCases[] = {
      {IORING_OP_CONNECT, play<Sockets>}, {IORING_OP_RECV, play<Sockets>},
      {IORING_OP_SEND, play<Sockets>},    {IORING_OP_SENDMSG, play<Sockets>},
      {IORING_OP_SENDMSG, play<Passed>},  {IORING_OP_READ, play<Files>},
      {IORING_OP_WRITEV, play<Files>},
  };
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.opcode);
    const std::ptrdiff_t descriptors = open_descriptors();
    {
      auto chosen = choose_backend({.kind = BackendKind::io_uring});
      ASSERT_TRUE(chosen.has_value());
      Reactor reactor(std::move(chosen->backend));
      reactor.on_unhandled_error([](const Error&) {});
      Without schedule(one.opcode, false);
      const UringFaults faults(schedule);
      const Outcome outcome = one.play(reactor);
      EXPECT_TRUE(outcome.over) << "something is waited for in vain";
      EXPECT_EQ(outcome.wrong, "");
      EXPECT_TRUE(outcome.told.contains(errno_code(EINVAL)));
    }
    EXPECT_EQ(open_descriptors(), descriptors);
  }
}

// These come last: threads of epoll's file operations close their descriptors a little later.

TEST_F(MaskedTest, EpollDoesItAll) {
  for (const Masked& one : kNeeded) {
    SCOPED_TRACE(one.name);
    Without schedule(one.opcode, true);
    const UringFaults faults(schedule);
    expect_all_works({}, BackendKind::epoll);
  }
}

TEST_F(MaskedTest, WithoutNopsTheProbeFails) {
  Without schedule(IORING_OP_NOP, true);
  const UringFaults faults(schedule);
  const auto refused = choose_backend({.kind = BackendKind::io_uring});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, errno_code(EINVAL));
  expect_all_works({}, BackendKind::epoll);
}

}  // namespace
}  // namespace weir::test
