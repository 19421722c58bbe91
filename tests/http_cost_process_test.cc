// What clients that do not read, never come to an end, or do nothing at all cost the demo server:
// memory, time, and the others' patience.
#include <gtest/gtest.h>

#include <vector>

#include "tests/http_process.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class HttpCost : public HttpProcessTest {
 protected:
  // A sanitizer keeps what was freed.
  static void expect_below(std::size_t bytes, std::size_t bytes_max) {
    EXPECT_LT(bytes, kSanitized ? 4 * bytes_max : bytes_max);
  }
};

// ---- Readers that do not read ----

TEST_P(HttpCost, AClientThatDoesNotReadThreeGibibytes) {
  start_server();
  FileClient client = dial();
  const std::string gibibyte = get(chunked_target(16384, 65536));
  ASSERT_TRUE(client.raw().send_all(gibibyte + gibibyte + gibibyte));
  ASSERT_TRUE(until_it_waits(pid()));
  report("growth for a client that does not read 3 GiB", mib(growth()), "MiB");
  expect_below(growth(), 32 * kMiB);
  const double wait = longest_wait();
  report("the longest wait of others", wait * 1e3, "ms");
  EXPECT_LT(wait, 1);
}

TEST_P(HttpCost, AHundredThatDoNotReadAHundredMebibytes) {
  start_server();
  std::vector<FileClient> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(dial(kNarrow));
    ASSERT_TRUE(clients.back().ask("GET", chunked_target(1600, 65536)));
  }
  ASSERT_TRUE(until_it_waits(pid()));
  report("growth for 100 that do not read 100 MiB each", mib(growth()), "MiB");
  expect_below(growth(), 128 * kMiB);
  EXPECT_LT(longest_wait(), 1);
  EXPECT_TRUE(read_chunked(clients[50], 1600, 65536)) << "something is lost";
}

TEST_P(HttpCost, PipelinedRequestsWithUnreadAnswers) {
  start_server();
  FileClient client = dial({.segment = 1460, .receive_buffer = 64 << 10, .send_buffer = 64 << 10});
  const std::string request = get(chunked_target(2, 1000));
  const std::size_t sent = send_until_stuck(client.raw(), request, pid());
  report("requests that went before the server stopped reading",
         static_cast<double>(sent) / static_cast<double>(request.size()), "");
  report("growth for them", mib(growth()), "MiB");
  expect_below(growth(), 32 * kMiB);
  EXPECT_LT(sent, 32 * kMiB);
  EXPECT_LT(longest_wait(), 1);
  for (std::size_t i = 0; i < sent / request.size(); ++i) {
    ASSERT_TRUE(read_chunked(client, 2, 1000)) << i;
  }
}

// ---- Bodies ----

TEST_P(HttpCost, ABodyOfATebibyteReservesNothing) {
  start_server();
  const std::size_t address_space = memory_of(pid(), "VmSize");
  std::vector<RawClient> clients = connect_all(20);
  const std::string piece(16 << 10, 'x');
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const std::string chunked =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000\r\n";
    const std::string sized = post("/echo", std::size_t{1} << 40);
    ASSERT_TRUE(clients[i].send_all((i % 2 == 0 ? sized : chunked) + piece));
    ASSERT_EQ(clients[i].receive(9), "HTTP/1.1 ") << "its body comes back as it goes";
  }
  ASSERT_TRUE(until_it_waits(pid()));
  const std::size_t reserved = memory_of(pid(), "VmSize") - address_space;
  report("growth for 20 bodies of 1 TiB", mib(growth()), "MiB");
  report("address space reserved for them", mib(reserved), "MiB");
  expect_below(growth(), 8 * kMiB);
  expect_below(reserved, 64 * kMiB);
}

TEST_P(HttpCost, OneByteBeyondTheLimitOfABodyIs413) {
  start_server({"--max-body-bytes", "1000"});
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::size_t size : {1000, 1001}) {
    const std::string status = size == 1000 ? "HTTP/1.1 200 " : "HTTP/1.1 413 ";
    for (const std::string& request : {post("/", size) + std::string(size, 'x'),
                                       head + chunk(500) + chunk(size - 500) + "0\r\n\r\n"}) {
      RawClient client = connect();
      ASSERT_TRUE(client.send_all(request));
      client.end();
      EXPECT_TRUE(read_to_end(client).starts_with(status)) << request;
    }
  }
}

// ---- Clients that do nothing ----

TEST_P(HttpCost, FiveHundredIdleConnectionsTakeNoTime) {
  start_server({"--keep-alive-timeout", "600"});
  std::vector<FileClient> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(dial());
    ASSERT_TRUE(clients.back().answers_on("/hello"));
  }
  ASSERT_TRUE(until_it_waits(pid()));
  const double share = cpu_share(pid(), 1500ms);
  report("CPU with 500 idle connections", share * 100, "%");
  EXPECT_LT(share, 0.01);
  EXPECT_TRUE(clients.back().answers_on("/hello"));
}

TEST_P(HttpCost, FiftyThatAreStuckHalfClosedTakeNoTime) {
  start_server();
  std::vector<FileClient> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(dial(kNarrow));
    ASSERT_TRUE(clients.back().ask("GET", chunked_target(160, 65536)));
    clients.back().raw().end();
  }
  ASSERT_TRUE(until_it_waits(pid()));
  for (FileClient& client : clients) EXPECT_TRUE(client.raw().end_has_arrived());
  const double share = cpu_share(pid(), 1500ms);
  report("CPU with 50 stuck half-closed connections", share * 100, "%");
  EXPECT_LT(share, 0.05);
  for (FileClient& client : clients) {
    ASSERT_TRUE(read_chunked(client, 160, 65536));
    EXPECT_TRUE(client.raw().at_end());
  }
}

TEST_P(HttpCost, AnIdleConnectionTakesLittleMemory) {
  constexpr std::size_t kClients = 1000;
  if (kSanitized) GTEST_SKIP() << "memory is what is measured";
  start_server({"--keep-alive-timeout", "600"});
  std::vector<FileClient> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(dial());
    ASSERT_TRUE(clients.back().answers_on("/hello"));
  }
  const double each = static_cast<double>(growth()) / static_cast<double>(kClients);
  report("memory of an idle connection", each, "bytes");
  EXPECT_LT(each, 2048);
}

// Half of them are slow with their head, the others with their body.
TEST_P(HttpCost, FiveHundredSlowClientsHoldNobodyUp) {
  start_server();
  std::vector<RawClient> clients = connect_all(500);
  for (std::size_t i = 0; i < clients.size(); ++i) {
    ASSERT_TRUE(clients[i].send_all(i % 2 == 0 ? "GET / HTTP/1.1\r\nHost" : post("/", 100) + "x"));
  }
  const double wait = longest_wait();
  report("the longest wait behind 500 slow clients", wait * 1e3, "ms");
  EXPECT_LT(wait, 1);
  EXPECT_GE(open_fds(pid()), fds_ + clients.size());
}

// ---- Twice the same ----

TEST_P(HttpCost, TheSameLoadAgainTakesNoMoreMemory) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer keeps what was freed";
  start_server();
  std::size_t after[2] = {};
  for (std::size_t& resident : after) {
    for_seeds(1, [&](Random& random) {
      for (int round = 0; round < 3; ++round) {
        std::vector<FileClient> clients;
        for (int i = 0; i < 200; ++i) {
          const std::size_t size = 1 + random.below(200'000);
          clients.push_back(dial());
          const std::string body(size, 'b');
          ASSERT_TRUE(clients.back().ask("GET", chunked_target(3, size)));
          ASSERT_TRUE(clients.back().raw().send_all(get("/headers", "X-Y: Z\r\n")));
          if (random.once_in(4)) clients.back().raw().reset();
        }
        for (FileClient& client : clients) {
          if (client.fd() < 0) continue;
          const Answer answer = client.read_head();
          ASSERT_EQ(answer.status, 200);
        }
      }
    });
    ASSERT_TRUE(eventually([&] { return open_fds(pid()) <= fds_; }));
    resident = resident_bytes(pid());
  }
  const double slope = mib(after[1]) - mib(after[0]);
  report("memory after a load, above that before", mib(after[0]) - mib(before_), "MiB");
  report("after the same load again", slope, "MiB more");
  EXPECT_LT(slope, 8);
  EXPECT_LT(mib(after[1]) - mib(before_), 64);
}

WEIR_ON_PROCESS_BACKENDS(HttpCost);

}  // namespace
}  // namespace weir::test
