// What clients that stop reading, idle ones and half-closed ones cost the echo server: memory and
// time.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/process_test.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class EchoCost : public ProcessTest {
 protected:
  void SetUp() override {
    start(command("echo_server"));
    if (!server_) return;
    ASSERT_TRUE(connect().echoes("warm"));
    before_ = resident_bytes(pid());
  }
  std::size_t growth() const {
    const std::size_t now = resident_bytes(pid());
    return now > before_ ? now - before_ : 0;
  }

  std::size_t before_ = 0;
};

// Sends of `bytes`, over and over, until the kernel takes no more for now. Returns how many.
std::size_t send_what_goes(RawClient& client, std::string_view bytes, std::size_t sent) {
  for (;;) {
    const std::size_t offset = sent % bytes.size();
    const ssize_t now = send(client.fd(), bytes.data() + offset, bytes.size() - offset,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (now <= 0) return sent;
    sent += static_cast<std::size_t>(now);
  }
}

TEST_P(EchoCost, AReaderThatStallsOnAHundredMegabytes) {
  constexpr std::size_t kSize = 100'000'000;
  for_seeds(1, [&](Random& random) {
    const std::string bytes = random_bytes(1 << 20, random);
    RawClient client = connect();
    std::thread sender([&] {
      for (std::size_t left = kSize; left > 0;) {
        const std::size_t size = std::min(left, bytes.size());
        if (!client.send_all(std::string_view(bytes).substr(0, size))) return;
        left -= size;
      }
      client.end();
    });
    EXPECT_TRUE(until_it_waits(pid()));
    report("growth for one reader that stalls", mib(growth()), "MiB");
    if (!kSanitized) {
      EXPECT_LT(growth(), 32 * kMiB);
    }
    EXPECT_TRUE(connect().echoes("others are served"));
    bool right = true;
    for (std::size_t left = kSize; left > 0 && right;) {
      const std::size_t size = std::min(left, bytes.size());
      right = client.receive(size) == std::string_view(bytes).substr(0, size);
      left -= size;
    }
    EXPECT_TRUE(right && client.at_end());
    // A sender that waits for room is not to wait for ever.
    shutdown(client.fd(), SHUT_RDWR);
    sender.join();
    report("growth behind it", mib(growth()), "MiB");
  });
}

TEST_P(EchoCost, FiveHundredIdleConnectionsTakeNoTime) {
  std::vector<RawClient> clients = connect_all(500);
  for (RawClient& client : clients) ASSERT_TRUE(client.echoes("here"));
  ASSERT_TRUE(until_it_waits(pid()));
  const double share = cpu_share(pid(), 1500ms);
  report("CPU with 500 idle connections", share * 100, "%");
  EXPECT_LT(share, 0.01);
  EXPECT_TRUE(clients.back().echoes("still here"));
}

// Each has ended its side and reads nothing: the server has the FIN and cannot finish.
TEST_P(EchoCost, FiftyThatAreStuckHalfClosedTakeNoTime) {
  const std::string bytes(64 << 10, 'x');
  // Some come to their end all the same: on a busy machine one in three.
  std::vector<RawClient> clients =
      connect_all(120, {.segment = 1460, .receive_buffer = 64 << 10, .send_buffer = 64 << 10});
  std::vector<std::size_t> sent(clients.size());
  ASSERT_TRUE(eventually([&] {
    std::size_t now = 0;
    std::size_t stuck = 0;
    for (std::size_t i = 0; i < clients.size(); ++i) {
      now = send_what_goes(clients[i], bytes, sent[i]);
      stuck += std::exchange(sent[i], now) == now ? 1U : 0U;
    }
    return stuck == clients.size();
  }));
  for (RawClient& client : clients) client.end();
  // Room for the FIN comes with the first part of the echo that is read.
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const std::string part(64 << 10, 'x');
    while (!clients[i].end_has_arrived()) {
      ASSERT_GT(sent[i], 8 * part.size()) << "nothing is stuck any more";
      ASSERT_TRUE(clients[i].receive(part.size()) == part);
      sent[i] -= part.size();
      poll(nullptr, 0, 1);
    }
  }
  ASSERT_TRUE(until_it_waits(pid()));
  EXPECT_GE(open_fds(pid()), fds_ + 50);
  const double share = cpu_share(pid(), 1500ms);
  report("CPU with 50 stuck half-closed connections", share * 100, "%");
  EXPECT_LT(share, 0.05);
  // A FIN behind unsent bytes takes none of them away.
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const std::string back = clients[i].receive(sent[i]);
    ASSERT_TRUE(back == std::string(sent[i], 'x')) << back.size() << " of " << sent[i];
    EXPECT_TRUE(clients[i].at_end());
  }
}

TEST_P(EchoCost, AnIdleConnectionTakesLittleMemory) {
  constexpr std::size_t kClients = 1000;
  if (kSanitized) GTEST_SKIP() << "memory is what is measured";
  const auto measure = [&](const std::vector<RawClient>& clients, const char* what) {
    const double each = static_cast<double>(growth()) / static_cast<double>(clients.size());
    report(what, each, "bytes");
    return each;
  };
  std::vector<RawClient> clients = connect_all(kClients);
  ASSERT_TRUE(eventually([&] { return open_fds(pid()) == fds_ + kClients; }));
  EXPECT_LT(measure(clients, "memory of a silent connection"), 1024);
  for (RawClient& client : clients) ASSERT_TRUE(client.echoes("here"));
  EXPECT_LT(measure(clients, "memory of an idle connection"), 1024);
}

WEIR_ON_PROCESS_BACKENDS(EchoCost);

}  // namespace
}  // namespace weir::test
