// The echo server with fewer descriptors than clients: it rests, serves those it has, and takes new
// ones as soon as it can.
#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "tests/process_test.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kDescriptors = 64;

class FewDescriptors : public ProcessTest {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "the sanitizer's runtime needs descriptors of its own";
    std::vector<std::string> confined = {program("confined"), "--nofile",
                                         std::to_string(kDescriptors), "--"};
    const std::vector<std::string> server = command("echo_server");
    confined.insert(confined.end(), server.begin(), server.end());
    start(confined);
  }
  // The server has taken as many as it can. It may have been born with one beyond the limit.
  bool is_full() {
    return eventually([&] { return open_fds(pid()) >= kDescriptors; });
  }
};

TEST_P(FewDescriptors, TwoHundredClientsBeyondThemCostNothing) {
  std::vector<RawClient> old = connect_all(50);
  for (RawClient& client : old) ASSERT_TRUE(client.echoes("before"));
  std::vector<RawClient> more = connect_all(kDescriptors + 200 - old.size());
  ASSERT_TRUE(is_full());
  // Old connections are served meanwhile, and that is in the figure.
  const double before = cpu_seconds(pid());
  const Stopwatch flood;
  while (flood.seconds() < 1) {
    for (RawClient& client : old) ASSERT_TRUE(client.echoes("still"));
    poll(nullptr, 0, 100);
  }
  const double share = (cpu_seconds(pid()) - before) / flood.seconds();
  report("CPU with 200 connects over the limit", share * 100, "%");
  EXPECT_LT(share, 0.05);
  const Stopwatch after;
  for (std::size_t i = 0; i < more.size(); ++i) {
    if (i + 1 < more.size()) more[i].reset();
  }
  EXPECT_TRUE(connect().echoes("a new one"));
  report("new one served behind the flood", after.seconds(), "s");
  EXPECT_LT(after.seconds(), 1.5);
  EXPECT_TRUE(more.back().echoes("one that waited"));
  for (RawClient& client : old) EXPECT_TRUE(client.echoes("after"));
}

TEST_P(FewDescriptors, TwentyTimesInAndOut) {
  double longest = 0;
  for (int i = 0; i < 20; ++i) {
    std::vector<RawClient> clients = connect_all(2 * kDescriptors);
    ASSERT_TRUE(is_full());
    ASSERT_TRUE(clients.front().echoes("served at the limit"));
    if (i % 2 == 0) {
      for (RawClient& client : clients) client.reset();
    }
    clients.clear();
    const Stopwatch after;
    ASSERT_TRUE(connect().echoes("served again")) << i;
    longest = std::max(longest, after.seconds());
  }
  report("served again behind the limit, the longest of 20", longest, "s");
  EXPECT_LT(longest, 3);
}

WEIR_ON_PROCESS_BACKENDS(FewDescriptors);

}  // namespace
}  // namespace weir::test
