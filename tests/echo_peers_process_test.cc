// What TCP lets the peers of the echo server do: come in crowds, leave before they are accepted or
// with bytes unread, send out of band, through tiny buffers, or while the server is stopped.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "tests/echo_traffic.h"
#include "tests/process_test.h"

namespace weir::test {
namespace {

class EchoPeers : public ProcessTest {
 protected:
  void SetUp() override { start(command("echo_server")); }
  void TearDown() override {
    // A test that has failed may have left it stopped.
    if (server_) go_on();
    ProcessTest::TearDown();
  }
  void stop() const { ASSERT_EQ(kill(pid(), SIGSTOP), 0); }
  void go_on() const { ASSERT_EQ(kill(pid(), SIGCONT), 0); }
};

// ---- Coming and leaving ----

TEST_P(EchoPeers, ABurstOfAThousandConnectsIsNotRefused) {
  constexpr std::size_t kClients = 1000;
  const Stopwatch watch;
  std::vector<RawClient> clients = connect_all(kClients, {.nonblocking = true});
  for (std::size_t i = 0; i < kClients; ++i) {
    pollfd one = {.fd = clients[i].fd(), .events = POLLOUT, .revents = 0};
    ASSERT_EQ(poll(&one, 1, 20'000), 1) << i;
    int error = 0;
    socklen_t size = sizeof error;
    ASSERT_EQ(getsockopt(one.fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    ASSERT_EQ(error, 0) << i;
    fcntl(one.fd, F_SETFL, 0);
  }
  for (RawClient& client : clients) ASSERT_TRUE(client.echoes("here"));
  report("a burst of 1000 connects, until each is served", watch.seconds(), "s");
}

// The client's kernel answers what still comes with resets.
TEST_P(EchoPeers, ThreeHundredThatCloseWithBytesUnread) {
  for_seeds(1, [&](Random& random) {
    const std::string bytes = random_bytes(100'000, random);
    for (int i = 0; i < 300; ++i) {
      RawClient client = connect();
      const std::size_t size = 1 + random.below(bytes.size());
      ASSERT_TRUE(client.send_all(std::string_view(bytes).substr(0, size))) << i;
      // Its echo is on the way, and is not read.
      char byte = 0;
      ASSERT_EQ(recv(client.fd(), &byte, 1, MSG_PEEK), 1) << i;
    }
  });
  EXPECT_TRUE(connect().echoes("on"));
}

TEST_P(EchoPeers, FiveHundredThatResetBeforeTheyAreAccepted) {
  for (int i = 0; i < 5; ++i) {
    stop();
    for (RawClient& client : connect_all(100)) client.reset();
    RawClient last = connect();
    go_on();
    ASSERT_TRUE(last.echoes("accepted behind them")) << i;
  }
  EXPECT_TRUE(connect().echoes("on"));
}

// ---- On the way ----

// The urgent byte is not part of the stream (tcp(7)); a later one puts an earlier one back.
TEST_P(EchoPeers, UrgentDataLeavesTheStreamWhole) {
  for (int i = 0; i < 50; ++i) {
    RawClient client = connect();
    std::string sent;
    for (int part = 0; part < 20; ++part) {
      const std::string text = "part " + std::to_string(part) + ";";
      ASSERT_TRUE(client.send_all(text));
      ASSERT_EQ(send(client.fd(), "!", 1, MSG_NOSIGNAL | MSG_OOB), 1);
      sent += text;
    }
    client.end();
    std::string back;
    for (std::string piece; !(piece = client.receive(4096)).empty();) back += piece;
    std::erase(back, '!');
    ASSERT_EQ(back, sent);
    EXPECT_TRUE(client.at_end()) << "it hangs";
  }
}

TEST_P(EchoPeers, BuffersOfTwoKilobytesLoseNothing) {
  for_seeds(1, [&](Random& random) {
    for (const int size : {2048, 3000, 4096}) {
      const std::string bytes = random_bytes(256 << 10, random);
      RawClient client = connect({.segment = 536, .receive_buffer = size, .send_buffer = size});
      std::thread sender([&] {
        EXPECT_TRUE(client.send_all(bytes));
        client.end();
      });
      const std::string back = client.receive(bytes.size());
      EXPECT_TRUE(back == bytes) << back.size() << " bytes through buffers of " << size;
      EXPECT_TRUE(client.at_end());
      sender.join();
    }
  });
}

// The server is to have bytes that it could not send, and the FIN behind them.
TEST_P(EchoPeers, AFinBehindBytesThatWaitTakesNoneAway) {
  for_seeds(1, [&](Random& random) {
    const std::string bytes = random_bytes(1 << 20, random);
    RawClient client = connect(kNarrow);
    std::size_t sent = 0;
    ASSERT_TRUE(eventually([&] {
      const std::size_t before = sent;
      for (ssize_t now = 1; now > 0;) {
        const std::size_t at = sent % bytes.size();
        now = send(client.fd(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (now > 0) sent += static_cast<std::size_t>(now);
      }
      return sent == before && until_it_waits(pid());
    }));
    client.end();
    ASSERT_TRUE(until_it_waits(pid()));
    report("bytes in front of the FIN", mib(sent), "MiB");
    const std::string back = client.receive(sent);
    ASSERT_EQ(back.size(), sent);
    for (std::size_t at = 0; at < sent; at += bytes.size()) {
      const std::size_t size = std::min(bytes.size(), sent - at);
      ASSERT_EQ(back.compare(at, size, bytes, 0, size), 0) << at;
    }
    EXPECT_TRUE(client.at_end());
  });
}

// One small write behind another: where either side waits for more, or for an acknowledgement, it
// takes 40 ms.
TEST_P(EchoPeers, TwoWritesAndAReadDoNotWaitForAcknowledgements) {
  RawClient client = connect();
  std::vector<double> times;
  for (int i = 0; i < 100; ++i) {
    const Stopwatch watch;
    ASSERT_TRUE(client.send_all("head"));
    ASSERT_TRUE(client.send_all("body"));
    ASSERT_EQ(client.receive(8), "headbody");
    times.push_back(watch.seconds());
  }
  std::ranges::sort(times);
  report("write-write-read, p75", times[75] * 1e3, "ms");
  EXPECT_LT(times[75], 0.030);
}

// ---- Stopped ----

TEST_P(EchoPeers, AHundredStopsUnderLoadLoseNothing) {
  for_seeds(1, [&](Random& random) {
    EchoTraffic traffic(server_->port(), {.connections = 50, .resets = false}, random);
    std::atomic<bool> over = false;
    std::thread load([&] { EXPECT_TRUE(traffic.run([&] { return over.load(); })); });
    Random pauses = random;
    for (int i = 0; i < 100; ++i) {
      stop();
      poll(nullptr, 0, static_cast<int>(pauses.below(8)));
      const std::uint64_t before = traffic.bytes();
      go_on();
      // Until something has moved; but the clients, not only what was in flight, have to go on.
      EXPECT_TRUE(eventually([&] { return traffic.bytes() > before + 4096; })) << i;
    }
    over = true;
    load.join();
    report("bytes around 100 stops, none of them wrong", mib(traffic.bytes()), "MiB");
  });
}

TEST_P(EchoPeers, AHundredThatComeWhileItIsStoppedAreServed) {
  RawClient old = connect();
  ASSERT_TRUE(old.echoes("before"));
  stop();
  const Stopwatch watch;
  std::vector<RawClient> clients = connect_all(100);
  for (RawClient& client : clients) ASSERT_TRUE(client.send_all("are you there?"));
  ASSERT_TRUE(old.send_all("and you?"));
  poll(nullptr, 0, static_cast<int>(2500 - watch.seconds() * 1000));
  const Stopwatch again;
  go_on();
  for (RawClient& client : clients) ASSERT_EQ(client.receive(14), "are you there?");
  EXPECT_EQ(old.receive(8), "and you?");
  report("100 served behind a stop of 2.5 s, in", again.seconds() * 1e3, "ms");
}

WEIR_ON_PROCESS_BACKENDS(EchoPeers);

}  // namespace
}  // namespace weir::test
