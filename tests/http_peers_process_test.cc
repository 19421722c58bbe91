// What TCP lets the clients of the demo server do: end their side early, reset at any moment, go
// on sending behind an error, write in two pieces.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/http_process.h"

namespace weir::test {
namespace {

class HttpPeers : public HttpProcessTest {
 protected:
  void SetUp() override { start_server(); }
};

TEST_P(HttpPeers, AHalfClosedClientGetsTheWholeAnswer) {
  constexpr std::size_t kChunks = 1600;
  FileClient client = dial();
  ASSERT_TRUE(client.ask("GET", chunked_target(kChunks, 65536)));
  client.raw().end();
  EXPECT_TRUE(read_chunked(client, kChunks, 65536)) << "of 100 MiB";
  EXPECT_TRUE(client.raw().at_end());
  // The server has closed it, too, although the client has not.
  EXPECT_TRUE(eventually([&] { return open_fds(pid()) <= fds_; }));
}

TEST_P(HttpPeers, ThreeHundredThatCloseWithBytesUnread) {
  for (int i = 0; i < 300; ++i) {
    RawClient client = connect();
    ASSERT_TRUE(client.send_all(get(chunked_target(4, 20'000)) + get("/hello")));
    char byte = 0;
    ASSERT_EQ(recv(client.fd(), &byte, 1, MSG_PEEK), 1) << i;
  }
  EXPECT_TRUE(dial().answers_on("/hello"));
}

TEST_P(HttpPeers, ResetsAtAnyMomentAreSurvived) {
  for_seeds(1, [&](Random& random) {
    const std::string body(20'000, 'b');
    const std::string requests = get(chunked_target(8, 30'000)) + post("/", body.size()) + body +
                                 get("/headers") + post("/echo", body.size()) + body;
    for (int i = 0; i < 1000; ++i) {
      RawClient client = connect();
      ASSERT_TRUE(client.connected());
      fcntl(client.fd(), F_SETFL, O_NONBLOCK);
      send(client.fd(), requests.data(), 1 + random.below(requests.size()), MSG_NOSIGNAL);
      if (random.once_in(4)) client.end();
      if (random.once_in(2)) client.receive(random.below(4096));
      client.reset();
    }
  });
  EXPECT_TRUE(dial().answers_on("/hello"));
}

TEST_P(HttpPeers, AClientThatIsStillSendingGetsTheError) {
  constexpr int kClients = 10;
  const std::string rest(256 << 10, 'x');
  int answered = 0;
  for (int i = 0; i < kClients; ++i) {
    RawClient client = connect();
    client.send_all("nonsense\r\n\r\n");
    for (std::size_t at = 0; at < rest.size(); at += 4096) {
      if (!client.send_all(std::string_view(rest).substr(at, 4096))) break;
    }
    answered += read_to_end(client).starts_with("HTTP/1.1 400 ") ? 1 : 0;
  }
  report("answered with 400, of 10 that sent 256 KiB more", answered, "");
  EXPECT_GE(answered, 9);
}

// Two requests in two writes, whose answers are several writes of the server's.
TEST_P(HttpPeers, TwoWritesAndAReadDoNotWaitForAcknowledgements) {
  FileClient client = dial();
  std::vector<double> times;
  for (int i = 0; i < 100; ++i) {
    const Stopwatch watch;
    ASSERT_TRUE(client.raw().send_all(get("/hello")));
    ASSERT_TRUE(client.raw().send_all(get(chunked_target(3, 300))));
    ASSERT_EQ(client.read_head().status, 200);
    ASSERT_EQ(client.read_text(13), "Hello, World!");
    ASSERT_TRUE(read_chunked(client, 3, 300));
    times.push_back(watch.seconds());
  }
  std::ranges::sort(times);
  report("write-write-read, p75", times[75] * 1e3, "ms");
  EXPECT_LT(times[75], 0.030);
}

WEIR_ON_PROCESS_BACKENDS(HttpPeers);

}  // namespace
}  // namespace weir::test
