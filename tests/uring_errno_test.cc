// Each operation that weir asks io_uring for fails at each of its uses, with each error that its
// manual page names: what comes of it is told, everything ends, nothing is left, and the reactor
// goes on.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "tests/uring_chance.h"
#include "tests/uring_scripts.h"
#include "tests/uring_world.h"

namespace weir::test {
namespace {

using script::Outcome, script::Play, script::play;
using script::Datagrams, script::Files, script::Passed, script::Sockets;

struct Operation {
  const char* name;
  unsigned opcode;
  Play play;
  std::vector<int> errors;  // named in section 2 of the manual
  const char* backend = "io_uring";
  bool rests = false;  // for a tenth of a second, after most errors
};

// What a ring may say to any operation (io_uring_enter(2), CQE ERRORS), and that it was cancelled.
constexpr int kErrorsOfAll[] = {EACCES, EBADF, EFAULT, EINVAL, EOPNOTSUPP, ENOMEM, ECANCELED};

const std::vector<int> kAcceptErrors = {EAGAIN,  ECONNABORTED, EINTR, EMFILE, ENFILE,
                                        ENOBUFS, ENOTSOCK,     EPERM, EPROTO, ENETDOWN};
const std::vector<int> kSendErrors = {EAGAIN,   EALREADY, ECONNRESET, EDESTADDRREQ,
                                      EINTR,    EISCONN,  EMSGSIZE,   ENOBUFS,
                                      ENOTCONN, ENOTSOCK, EPIPE};

const Operation kOperations[] = {
    {"Accept", IORING_OP_ACCEPT, play<Sockets>, kAcceptErrors},
    {"AcceptOnce", IORING_OP_ACCEPT, play<Sockets>, kAcceptErrors, "io_uring_oneshot_accept", true},
    {"Connect", IORING_OP_CONNECT, play<Sockets>,
     {EPERM, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY, ECONNREFUSED, EINPROGRESS,
      EINTR, EISCONN, ENETUNREACH, ENOTSOCK, EPROTOTYPE, ETIMEDOUT, EHOSTUNREACH}},
    {"Recv", IORING_OP_RECV, play<Sockets>,
     {EAGAIN, ECONNREFUSED, EINTR, ENOTCONN, ENOTSOCK, ECONNRESET, ETIMEDOUT, ENOBUFS}},
    {"Send", IORING_OP_SEND, play<Sockets>, kSendErrors},
    {"Sendmsg", IORING_OP_SENDMSG, play<Sockets>, kSendErrors},
    {"SendmsgWithDescriptor", IORING_OP_SENDMSG, play<Passed>, kSendErrors},
    {"PollAdd", IORING_OP_POLL_ADD, play<Sockets>, {EINTR, EAGAIN}},
    {"PollAddOfReceives", IORING_OP_POLL_ADD, play<Sockets>, {EINTR, EAGAIN}, "io_uring_no_ring"},
    {"PollAddOfMessages", IORING_OP_POLL_ADD, play<Passed>, {EINTR, EAGAIN}},
    {"AsyncCancel", IORING_OP_ASYNC_CANCEL, play<Sockets>, {ENOENT, EALREADY}},
    {"Recvmsg", IORING_OP_RECVMSG, play<Datagrams>,
     {EAGAIN, ECONNREFUSED, EINTR, ENOTCONN, ENOTSOCK, ENOBUFS}},
    {"Read", IORING_OP_READ, play<Files>, {EAGAIN, EINTR, EIO, EISDIR}},
    {"Writev", IORING_OP_WRITEV, play<Files>,
     {EAGAIN, EDESTADDRREQ, EDQUOT, EFBIG, EINTR, EIO, ENOSPC, EPERM, EPIPE}},
};

void PrintTo(const Operation& operation, std::ostream* out) { *out << operation.name; }

class ErrnoTest : public testing::TestWithParam<Operation> {
 protected:
  void SetUp() override { skip_without_faults(); }

  // The script with that use failing, then without faults. Returns how many uses there were.
  static std::uint64_t run(std::uint64_t nth, int error) {
    SCOPED_TRACE(std::string(name_of(errno_code(error))) + " at use " + std::to_string(nth));
    const std::ptrdiff_t descriptors = open_descriptors();
    OneFails schedule(GetParam().opcode, nth, error);
    {
      auto chosen = choose_backend(uring_backend(GetParam().backend).options);
      EXPECT_TRUE(chosen.has_value());
      if (!chosen) return 0;
      Reactor reactor(std::move(chosen->backend));
      reactor.on_unhandled_error([](const Error&) {});
      {
        const UringFaults faults(schedule);
        check(GetParam().play(reactor), nth, error);
      }
      const Outcome again = GetParam().play(reactor);
      EXPECT_TRUE(again.over && again.whole) << "the reactor does not go on\n" << again.wrong;
    }
    EXPECT_EQ(open_descriptors(), descriptors);
    return schedule.uses();
  }

  static bool is_cancel() { return GetParam().opcode == IORING_OP_ASYNC_CANCEL; }

  static void check(const Outcome& outcome, std::uint64_t nth, int error) {
    EXPECT_TRUE(outcome.over) << "something is waited for in vain";
    EXPECT_EQ(outcome.wrong, "");
    const std::vector<int>& passing = passing_errors(GetParam().opcode);
    const bool passes = is_cancel() || std::ranges::find(passing, error) != passing.end();
    const bool may_be_told = nth != 0 && !passes;
    if (!may_be_told) {
      EXPECT_TRUE(outcome.whole) << "what passes is told";
    } else {
      EXPECT_TRUE(outcome.whole || outcome.told.contains(errno_code(error))) << "it is not told";
    }
  }

  static std::vector<int> errors() {
    std::vector<int> errors = GetParam().errors;
    // A kernel that has cancels says nothing else to one (io_uring_prep_cancel(3)).
    if (is_cancel()) return errors;
    errors.insert(errors.end(), std::begin(kErrorsOfAll), std::end(kErrorsOfAll));
    return errors;
  }
};

TEST_P(ErrnoTest, IsToldAndEverythingEnds) {
  const std::uint64_t uses = run(0, 0);
  ASSERT_GT(uses, 0U) << "the script does not use it";
  // Those in between are like these.
  std::set<std::uint64_t> chosen = {1, uses};
  if (!GetParam().rests) chosen.insert({2, 3, uses / 2, uses / 2 + 1, uses - 1});
  for (const std::uint64_t nth : chosen) {
    if (nth == 0 || nth > uses) continue;
    for (const int error : errors()) run(nth, error);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, ErrnoTest, testing::ValuesIn(kOperations),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace weir::test
