// The echo server under a thousand connections with random pieces, FINs and resets: every byte is
// the right one, and the same load again costs no more memory.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/echo_traffic.h"
#include "tests/process_test.h"

namespace weir::test {
namespace {

class EchoTrafficProcess : public ProcessTest {
 protected:
  void SetUp() override { start(command("echo_server")); }
};

// WEIR_TRAFFIC_SECONDS: so long at least, and a gibibyte.
TEST_P(EchoTrafficProcess, EveryByteOfAThousandConnectionsIsRight) {
  TrafficOptions options = {.bytes = 48 * kMiB};
  double seconds = 0;
  if (const char* text = std::getenv("WEIR_TRAFFIC_SECONDS")) {
    options = {.bytes = 1024 * kMiB, .size_max = 1 << 20, .piece_max = 64 << 10};
    seconds = std::atof(text);
  }
  for_seeds(1, [&](Random& random) {
    EchoTraffic traffic(server_->port(), options, random);
    const Stopwatch watch;
    ASSERT_TRUE(traffic.run([&] { return watch.seconds() >= seconds; }));
    report("bytes that came back, none of them wrong", mib(traffic.bytes()), "MiB");
    report("connections", static_cast<double>(traffic.ended()), "");
    report("of them reset", static_cast<double>(traffic.reset()), "");
    report("duration", watch.seconds(), "s");
  });
}

TEST_P(EchoTrafficProcess, TheSameLoadAgainTakesNoMoreMemory) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer keeps what was freed";
  const std::size_t before = resident_bytes(pid());
  std::size_t after[2] = {};
  for (std::size_t& resident : after) {
    for_seeds(1, [&](Random& random) {
      EchoTraffic traffic(server_->port(), {.connections = 300, .bytes = 16 * kMiB}, random);
      ASSERT_TRUE(traffic.run());
    });
    ASSERT_TRUE(eventually([&] { return open_fds(pid()) <= fds_; }));
    resident = resident_bytes(pid());
  }
  const double slope = mib(after[1]) - mib(after[0]);
  report("memory after a load, above that before", mib(after[0]) - mib(before), "MiB");
  report("after the same load again", slope, "MiB more");
  EXPECT_LT(slope, 8);
  EXPECT_LT(mib(after[1]) - mib(before), 64);
}

WEIR_ON_PROCESS_BACKENDS(EchoTrafficProcess);

}  // namespace
}  // namespace weir::test
