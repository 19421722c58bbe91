// The backend door: looking names up.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <deque>

#include "tests/door.h"
#include "weir/reactor/limits.h"

namespace weir::test {
namespace {

using Resolve = Noted<ResolveOp>;

class BackendResolveTest : public DoorTest {
 protected:
  // The result; `op.found` and `op.error` tell more.
  int looked_up(Resolve& op, const std::string& host, Family family = Family::none) {
    op.renew();
    op.host = host;
    op.family = family;
    door().submit(op);
    EXPECT_TRUE(run_until([&] { return op.ended; }));
    return op.last();
  }
};

WEIR_ON_ALL_BACKENDS(BackendResolveTest);

TEST_P(BackendResolveTest, ANameHasAddresses) {
  Resolve op;
  EXPECT_EQ(looked_up(op, "localhost", Family::ipv4), 0);
  EXPECT_FALSE(op.error);
  ASSERT_FALSE(op.found.empty());
  for (const IpEndpoint& ip : op.found) EXPECT_EQ(ip.ip(), "127.0.0.1");
  EXPECT_EQ(looked_up(op, "localhost"), 0) << "the same operation again";
  EXPECT_FALSE(op.found.empty());
}

TEST_P(BackendResolveTest, ANameThatIsNoneIsAnError) {
  Resolve op;
  EXPECT_LT(looked_up(op, std::string(2000, 'x')), 0);
  EXPECT_TRUE(op.error);
  EXPECT_TRUE(op.found.empty());
}

TEST_P(BackendResolveTest, NothingComesFromWithinSubmitAndCancelComesOnce) {
  Resolve op;
  op.host = "localhost";
  door().submit(op);
  EXPECT_TRUE(op.results.empty());
  door().cancel(op);
  EXPECT_TRUE(op.results.empty());
  EXPECT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_EQ(op.last(), -ECANCELED);
  // Its answer, which may be under way, is not taken for another one's.
  EXPECT_EQ(looked_up(op, "localhost", Family::ipv4), 0);
}

TEST_P(BackendResolveTest, MoreThanMayWaitAreRefusedAndTheOthersAnswered) {
  std::deque<Resolve> ops(2 * limits::kBlockingJobsMax);
  for (Resolve& op : ops) {
    op.host = "localhost";
    op.family = Family::ipv4;
    door().submit(op);
  }
  EXPECT_TRUE(run_until([&] {
    return std::all_of(ops.begin(), ops.end(), [](const Resolve& op) { return op.ended; });
  }));
  for (const Resolve& op : ops) {
    EXPECT_TRUE(op.last() == 0 || op.error == make_error_code(ResolveError::try_again));
  }
  EXPECT_EQ(ops.front().last(), 0);
}

TEST_P(BackendResolveTest, AForkedChildLooksUpForItself) {
  Resolve op;
  EXPECT_EQ(looked_up(op, "localhost", Family::ipv4), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(30);
    start(GetParam().options);
    _exit(looked_up(op, "localhost", Family::ipv4) == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace weir::test
