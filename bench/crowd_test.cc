// Crowds at servers that keep their word, and at such that do not.
#include "bench/crowd.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "bench/server_process.h"

namespace weir::bench {
namespace {

std::string lying_server;

// More than come at a time.
constexpr std::size_t kConnections = 150;

class CrowdTest : public testing::Test {
 protected:
  void start(const std::string& lie) {
    auto server = ServerProcess::start({lying_server, lie}, -1);
    ASSERT_TRUE(server.has_value()) << server.error();
    server_.emplace(std::move(*server));
    auto crowd = Crowd::start("127.0.0.1", server_->port(), kConnections, -1);
    ASSERT_TRUE(crowd.has_value()) << crowd.error();
    crowd_.emplace(std::move(*crowd));
  }

  std::string finish() {
    const auto finished = crowd_->finish();
    return finished ? "" : finished.error();
  }

  std::optional<ServerProcess> server_;
  std::optional<Crowd> crowd_;
};

TEST_F(CrowdTest, IsContentWithAGoodServer) {
  start("none");
  crowd_->begin_warm_up();
  EXPECT_EQ(finish(), "");
  crowd_->begin_hold();
  EXPECT_EQ(finish(), "");
  crowd_->begin_check();
  EXPECT_EQ(finish(), "");
}

TEST_F(CrowdTest, SeesAWrongByte) {
  for (const char* lie : {"flip", "double"}) {
    start(lie);
    crowd_->begin_warm_up();
    EXPECT_NE(finish().find("not those that were sent"), std::string::npos) << lie;
  }
}

TEST_F(CrowdTest, SeesAConnectionThatEndsEarly) {
  start("close");
  crowd_->begin_warm_up();
  EXPECT_NE(finish(), "");
}

TEST_F(CrowdTest, SeesThatIdleConnectionsWereLost) {
  start("none");
  crowd_->begin_hold();
  ASSERT_EQ(finish(), "");
  server_.reset();
  crowd_->begin_check();
  EXPECT_NE(finish(), "");
}

TEST_F(CrowdTest, SeesThatNobodyListens) {
  start("none");
  server_.reset();
  crowd_->begin_hold();
  EXPECT_NE(finish().find("connection 0: connect"), std::string::npos);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2) return 2;
  weir::bench::lying_server = argv[1];
  return RUN_ALL_TESTS();
}
