// Servers on several threads, and others that read what they have counted meanwhile.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/http_world.h"
#include "weir/http/status/status_board.h"

namespace weir::test {
namespace {

constexpr int kThreads = 3;
constexpr int kRequests = 400;  // of each

// A server with its client; made and destroyed by the test's thread, run by one of its own.
struct Worker {
  Worker(std::unique_ptr<Backend> backend, http::StatusBoard& board)
      : reactor(std::move(backend)),
        server(
            reactor, [](Request&, Response& response) { response.end("hello"); },
            {.measure_latency = true}),
        seat(board.add(server)),
        port(server.listen({.port = 0, .host = "127.0.0.1"}).value().port()),
        client(reactor, {.host = "127.0.0.1", .port = port}) {}

  void run() {
    for (int i = 0; i < kRequests; ++i) {
      client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      const Instant end = reactor.now() + kPatience;
      while (client.received().find("\r\n\r\nhello") == std::string::npos) {
        ASSERT_LT(reactor.now(), end);
        reactor.run_once(end);
      }
      client.take();
    }
  }

  Reactor reactor;
  http::Server server;
  http::StatusBoard::Seat seat;
  int port;
  HttpClient client;
};

class StatusThreadsTest : public BackendTest {};

TEST_P(StatusThreadsTest, SumsOnlyGrowAndAreExactAtTheEnd) {
  http::StatusBoard board;
  std::atomic<int> running = kThreads;
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < kThreads; ++i) {
    workers.push_back(std::make_unique<Worker>(make_backend(), board));
  }
  std::vector<std::thread> threads;
  for (const auto& worker : workers) {
    threads.emplace_back([&running, &worker] {
      worker->run();
      --running;
    });
  }
  http::ServerStats last;
  while (running != 0) {
    const http::StatusSample sample = board.sample();
    const http::ServerStats& now = sample.servers;
    EXPECT_LE(sample.reactors.size(), static_cast<std::size_t>(kThreads));
    EXPECT_GE(now.requests_begun, last.requests_begun);
    EXPECT_GE(now.requests_answered, last.requests_answered);
    EXPECT_GE(now.bytes_in, last.bytes_in);
    EXPECT_GE(now.bytes_out, last.bytes_out);
    const auto measured = [](const http::ServerStats& stats) {
      return stats.latency ? stats.latency->count() : 0;
    };
    EXPECT_GE(measured(now), measured(last));
    last = now;
  }
  for (std::thread& thread : threads) thread.join();
  workers.clear();
  const http::ServerStats all = board.sample().servers;
  EXPECT_EQ(all.requests_begun, std::uint64_t{kThreads * kRequests});
  EXPECT_EQ(all.requests_answered, std::uint64_t{kThreads * kRequests});
  EXPECT_EQ(all.responses[1], std::uint64_t{kThreads * kRequests});
  EXPECT_EQ(all.connections.accepted, std::uint64_t{kThreads});
  EXPECT_EQ(all.connections.open, 0U);
}

WEIR_ON_KERNEL_BACKENDS(StatusThreadsTest);

}  // namespace
}  // namespace weir::test
