// What a server counts, exact after scripted traffic.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using http::LatencyCounts;
using http::LatencyScale;
using http::ServerStats;
using http::Upgrade;
using Responses = std::array<std::uint64_t, ServerStats::kClasses>;

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kLast = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

class StatsTest : public HttpTest {
 protected:
  ServerStats stats() { return server().stats(); }
  bool run_until_open(std::size_t count) {
    return run_until([&] { return stats().connections.open == count; });
  }
};

TEST_P(StatsTest, AreZeroAtTheBeginning) {
  serve({});
  const ServerStats now = stats();
  EXPECT_EQ(now.connections.accepted, 0U);
  EXPECT_EQ(now.connections.open_max, std::nullopt);
  EXPECT_EQ(now.requests_begun, 0U);
  EXPECT_EQ(now.responses, Responses{});
  EXPECT_EQ(now.bytes_in + now.bytes_out + now.queue_bytes, 0U);
  EXPECT_FALSE(now.latency.has_value());
}

TEST_P(StatsTest, CountRequestsResponsesAndEachByte) {
  const std::array<int, 4> statuses = {200, 304, 404, 500};
  serve([&, i = std::size_t{0}](Request&, Response& response) mutable {
    ASSERT_TRUE(response.set_status(statuses[i++]));
    response.end();
  });
  const std::string sent = std::string(kGet).append(kGet).append(kGet).append(kLast);
  const std::string received = ask(sent);
  ASSERT_TRUE(run_until_open(0));
  const ServerStats now = stats();
  EXPECT_EQ(now.connections.accepted, 1U);
  EXPECT_EQ(now.requests_begun, 4U);
  EXPECT_EQ(now.requests_answered, 4U);
  EXPECT_EQ(now.requests_in_flight(), 0U);
  EXPECT_EQ(now.responses, (Responses{0, 1, 1, 1, 1, 0}));
  EXPECT_EQ(now.bytes_in, sent.size());
  EXPECT_EQ(now.bytes_out, received.size());
  EXPECT_EQ(now.queue_bytes, 0U);
}

TEST_P(StatsTest, ARequestIsInFlightUntilItsResponseHasEnded) {
  std::vector<Response*> responses;
  serve([&](Request&, Response& response) { responses.push_back(&response); });
  HttpClient& client = dial();
  client.send(std::string(kGet).append(kGet));
  ASSERT_TRUE(run_until([&] { return responses.size() == 2; }));
  EXPECT_EQ(stats().requests_in_flight(), 2U);
  // The second waits for its turn: it is answered, and still in flight.
  responses[1]->end("second");
  reactor().run_once(0ms);
  EXPECT_EQ(stats().requests_in_flight(), 2U);
  responses[0]->end("first");
  ASSERT_TRUE(run_until_received(client, "second"));
  EXPECT_EQ(stats().requests_in_flight(), 0U);
  EXPECT_EQ(stats().requests_answered, 2U);
}

TEST_P(StatsTest, RefusalsAreCountedWithTheirAnswers) {
  serve([](Request&, Response& response) { response.end(); });
  ask("no request\r\n\r\n");
  const ServerStats now = stats();
  EXPECT_EQ(now.refusals, 1U);
  EXPECT_EQ(now.requests_begun, 0U);
  EXPECT_EQ(now.responses, (Responses{0, 0, 0, 1, 0, 0}));
}

// What a listener writes behind the responses before it is not of http.
TEST_P(StatsTest, BytesOfAClientErrorListenerAreNotCounted) {
  bool finished = false;
  std::uint64_t out_at_finish = 0;
  serve([&](Request&, Response& response) {
    response.on_finish([&](Response&) {
      finished = true;
      out_at_finish = stats().bytes_out;
    });
    response.end("first");
  });
  server().on_client_error([](const http::ClientError&, Socket& socket) {
    socket.end(std::string(8U << 20, 'x'));
  });
  HttpClient& client = dial(false);
  client.send(std::string(kGet) + "no request\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return stats().refusals == 1; }));
  run_for(50ms);
  EXPECT_LT(stats().bytes_out, 1000U);
  client.read();
  client.socket().resume();
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  const std::size_t of_http = client.received().size() - (8U << 20);
  EXPECT_TRUE(finished);
  EXPECT_EQ(out_at_finish, of_http) << "finished before its bytes were with the kernel";
  EXPECT_EQ(stats().bytes_out, of_http);
}

TEST_P(StatsTest, ARequestWhoseConnectionEndsIsCutOff) {
  bool asked = false;
  serve([&](Request&, Response&) { asked = true; });
  HttpClient& client = dial();
  client.send(kGet);
  ASSERT_TRUE(run_until([&] { return asked; }));
  client.socket().reset_and_destroy();
  ASSERT_TRUE(run_until_open(0));
  const ServerStats now = stats();
  EXPECT_EQ(now.requests_cut_off, 1U);
  EXPECT_EQ(now.requests_in_flight(), 0U);
  EXPECT_EQ(now.responses, Responses{});
}

TEST_P(StatsTest, ABodyThatIsWrongCutsItsRequestOff) {
  serve([](Request& request, Response&) { request.on_data([](Request&, Buffer) {}); });
  ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nwrong\r\n");
  const ServerStats now = stats();
  EXPECT_EQ(now.requests_begun, 1U);
  EXPECT_EQ(now.requests_cut_off, 1U);
  EXPECT_EQ(now.refusals, 1U);
  EXPECT_EQ(now.responses, (Responses{0, 0, 0, 1, 0, 0}));
}

TEST_P(StatsTest, AnUpgradeIsTakenOver) {
  serve({});
  server().on_upgrade([](Upgrade& upgrade) { upgrade.socket.end("own"); });
  HttpClient& client = dial();
  client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n");
  ASSERT_TRUE(run_until_received(client, "own"));
  const ServerStats now = stats();
  EXPECT_EQ(now.requests_taken_over, 1U);
  EXPECT_EQ(now.requests_cut_off + now.requests_in_flight(), 0U);
  EXPECT_EQ(now.bytes_out, 0U);
}

TEST_P(StatsTest, ConnectionsBeyondTheLimitAreDropped) {
  serve([](Request&, Response& response) { response.end(); }, {.net = {.max_connections = 1}});
  dial();
  ASSERT_TRUE(run_until_open(1));
  HttpClient& second = dial();
  ASSERT_TRUE(run_until([&] { return second.over(); }));
  EXPECT_EQ(stats().connections.accepted, 2U);
  EXPECT_EQ(stats().connections.dropped, 1U);
  EXPECT_EQ(stats().connections.open, 1U);
  EXPECT_EQ(stats().connections.open_max, 1U);
  server().net().set_max_connections({});
  EXPECT_EQ(stats().connections.open_max, std::nullopt);
}

// What the client does not read stays here, and what ends with the connection was never sent.
TEST_P(StatsTest, QueuedBytesAreThoseThatTheKernelHasNotTaken) {
  Response* held = nullptr;
  serve([&](Request&, Response& response) { held = &response; });
  HttpClient& client = dial(false);
  client.send(kGet);
  ASSERT_TRUE(run_until([&] { return held != nullptr; }));
  std::size_t written = 0;
  const std::string piece(64 * 1024, 'x');
  while (written < (8U << 20) && held->write(piece) != Write::refused) written += piece.size();
  ASSERT_TRUE(run_until([&] { return stats().bytes_out != 0; }));
  run_for(50ms);
  const ServerStats now = stats();
  EXPECT_GT(now.queue_bytes, 0U);
  EXPECT_EQ(now.queue_bytes, held->writable_length());
  EXPECT_GT(now.bytes_out + now.queue_bytes, written);
  client.socket().destroy();
  ASSERT_TRUE(run_until_open(0));
  EXPECT_EQ(stats().queue_bytes, 0U);
  EXPECT_EQ(stats().bytes_out, now.bytes_out);
}

TEST_P(StatsTest, LatencyIsFromTheHeadToTheLastByte) {
  std::vector<Response*> responses;
  serve([&](Request&, Response& response) { responses.push_back(&response); },
        {.measure_latency = true});
  HttpClient& client = dial();
  client.send(std::string(kGet).append(kGet));
  ASSERT_TRUE(run_until([&] { return responses.size() == 2; }));
  ASSERT_TRUE(stats().latency.has_value());
  EXPECT_EQ(stats().latency->count(), 0U);
  run_for(20ms);
  responses[0]->end("first");
  ASSERT_TRUE(run_until([&] { return stats().latency->count() == 1; }));
  EXPECT_GE(stats().latency->quantile(1), 20ms);
  // One that says so is not measured, and a later one is.
  responses[1]->set_measured(false);
  responses[1]->end("second");
  ASSERT_TRUE(run_until_received(client, "second"));
  client.send(kGet);
  ASSERT_TRUE(run_until([&] { return responses.size() == 3; }));
  responses[2]->end("third");
  ASSERT_TRUE(run_until_received(client, "third"));
  ASSERT_TRUE(run_until([&] { return stats().latency->count() == 2; }));
  EXPECT_EQ(stats().requests_answered, 3U);
}

// All its bytes may be with the kernel before it ends: nothing is sent then that could tell.
TEST_P(StatsTest, AResponseThatEndsBehindItsLastByteIsMeasuredThen) {
  Response* held = nullptr;
  serve([&](Request&, Response& response) { held = &response; }, {.measure_latency = true});
  HttpClient& client = dial();
  client.send(kGet);
  ASSERT_TRUE(run_until([&] { return held != nullptr; }));
  ASSERT_TRUE(held->set_header("Content-Length", "4"));
  held->write("body");
  ASSERT_TRUE(run_until_received(client, "body"));
  ASSERT_TRUE(run_until([&] { return stats().queue_bytes == 0; }));
  EXPECT_EQ(stats().latency->count(), 0U);
  held->end();
  ASSERT_TRUE(run_until([&] { return stats().requests_answered == 1; }));
  EXPECT_EQ(stats().latency->count(), 1U);
}

TEST_P(StatsTest, AResponseThatIsCutOffHasNoLatency) {
  Response* held = nullptr;
  serve([&](Request&, Response& response) { held = &response; }, {.measure_latency = true});
  HttpClient& client = dial(false);
  client.send(kGet);
  ASSERT_TRUE(run_until([&] { return held != nullptr; }));
  held->end(std::string(8U << 20, 'x'));
  run_for(20ms);
  ASSERT_GT(stats().queue_bytes, 0U);
  client.socket().destroy();
  ASSERT_TRUE(run_until_open(0));
  EXPECT_EQ(stats().requests_answered, 1U);
  EXPECT_EQ(stats().latency->count(), 0U);
}

TEST_P(StatsTest, ClosingIsToldOnceAndLater) {
  int told = 0;
  serve([](Request&, Response& response) { response.end(); });
  server().on_closing([&](http::Server&) { ++told; });
  server().drain(1s);
  EXPECT_EQ(told, 0);
  static_cast<void>(server().close());
  ASSERT_TRUE(run_until([&] { return told == 1; }));
  run_for(5ms);
  EXPECT_EQ(told, 1);
  ASSERT_TRUE(server().listen({.port = 0, .host = "127.0.0.1"}));
  static_cast<void>(server().close());
  ASSERT_TRUE(run_until([&] { return told == 2; }));
}

TEST_P(StatsTest, TheReactorCountsBudgetsToo) {
  serve({});
  const Counters counters = reactor().counters();
  EXPECT_GT(counters.receive_memory_max, 0U);
  EXPECT_EQ(counters.queue_bytes_max, net::limits::kReactorQueueBytesDefault);
  EXPECT_EQ(counters.posted_tasks, 0U);
  int ran = 0;
  ASSERT_TRUE(reactor().post([&] { ++ran; }));
  ASSERT_TRUE(reactor().post([&] { ++ran; }));
  EXPECT_EQ(reactor().counters().posted_tasks, 2U);
  ASSERT_TRUE(run_until([&] { return ran == 2; }));
  EXPECT_EQ(reactor().counters().posted_tasks, 0U);
  EXPECT_EQ(reactor().counters().posted_tasks_max, limits::kPostedTasksDefault);
}

WEIR_ON_ALL_BACKENDS(StatsTest);

// ---- The histogram ----

TEST(LatencyTest, BucketsMeetAndAreNarrow) {
  std::uint64_t before = 0;
  for (std::size_t i = 0; i + 1 < LatencyScale::kBuckets; ++i) {
    const std::uint64_t largest = LatencyScale::largest_in(i);
    ASSERT_EQ(LatencyScale::bucket_of(largest), i);
    ASSERT_EQ(LatencyScale::bucket_of(before + 1), i);
    ASSERT_TRUE(largest - before == 1 || (largest - before) * 32 <= before) << i;
    before = largest;
  }
  EXPECT_EQ(before, std::uint64_t{1} << 36);
  EXPECT_EQ(LatencyScale::bucket_of(before + 1), LatencyScale::kBuckets - 1);
  EXPECT_EQ(LatencyScale::bucket_of(UINT64_MAX), LatencyScale::kBuckets - 1);
  EXPECT_EQ(LatencyScale::bucket_of(0), 0U);
}

TEST(LatencyTest, QuantilesAndCounts) {
  http::Latencies latencies;
  EXPECT_EQ(latencies.counts().quantile(0.5), Duration::zero());
  for (int i = 1; i <= 1000; ++i) latencies.record(std::chrono::microseconds(i));
  latencies.record(-1ns);
  const LatencyCounts counts = latencies.counts();
  EXPECT_EQ(counts.count(), 1001U);
  EXPECT_EQ(counts.sum_nanoseconds, 500'500'000U);
  EXPECT_EQ(counts.count_up_to(std::uint64_t{1} << 16), 1U + 65U);
  for (const double share : {0.01, 0.5, 0.99, 0.999}) {
    const double exact = share * 1e6;
    EXPECT_GE(static_cast<double>(counts.quantile(share).count()), exact * 0.999) << share;
    EXPECT_LE(static_cast<double>(counts.quantile(share).count()), exact * 33 / 32) << share;
  }
  latencies.record(1h);
  EXPECT_EQ(latencies.counts().quantile(1).count(), std::int64_t{1} << 36);
  EXPECT_EQ(latencies.counts().since(counts).count(), 1U);
}

}  // namespace
}  // namespace weir::test
