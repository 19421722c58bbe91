// A server answers again and again what it has answered before, and allocates nothing.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/count_allocations.h"
#include "tests/reactor_world.h"
#include "weir/http/limits.h"
#include "weir/http/server.h"
#include "weir/net/socket.h"

namespace weir::test {
namespace {

using http::Request;
using http::Response;

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: weir\r\n\r\n";
constexpr std::string_view kSizedPost =
    "POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: 5\r\n\r\nhello";
constexpr std::string_view kChunkedPost =
    "POST / HTTP/1.1\r\nHost: weir\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
constexpr int kWarmUp = 1000;
constexpr int kCounted = 2000;
// A ring of io_uring gets each buffer when it is first needed, and a request that the end of one
// has cut is held, in memory that its connection keeps. Each answer's own would be kCounted.
constexpr std::uint64_t kOnce = 10;
constexpr std::string_view kLastChunk = "0\r\n\r\n";

class HttpAllocationTest : public ReactorTest {
 protected:
  void serve(Function<void(Request&, Response&)> handler) {
    server_ = std::make_unique<http::Server>(reactor());
    server_->on_request(std::move(handler));
    const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    to_ = {.host = "127.0.0.1", .port = bound->port()};
  }

  // Asks a warm server again and again; `last` is what its answer ends with, and only there.
  AllocationCounts count_answers(std::string_view request, std::string_view last) {
    net::Socket client(reactor());
    std::string answer;
    answer.reserve(64 << 10);
    int answers = 0;
    client.on_connect([&](net::Socket& socket) { socket.write(Buffer::literal(request)); });
    client.on_data([&](net::Socket& socket, Buffer bytes) {
      answer += bytes.view();
      if (!answer.ends_with(last)) return;
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n"));
      answer.clear();
      ++answers;
      socket.write(Buffer::literal(request));
    });
    EXPECT_TRUE(client.connect(to_).has_value());
    EXPECT_TRUE(run_until([&] { return answers >= kWarmUp; }));
    start_counting();
    EXPECT_TRUE(run_until([&] { return answers >= kWarmUp + kCounted; }));
    return stop_counting();
  }

  AllocationCounts count_answers(std::string_view request, std::string_view last,
                                 Function<void(Request&, Response&)> handler) {
    serve(std::move(handler));
    return count_answers(request, last);
  }

  static void expect_none(const AllocationCounts& counts) {
    EXPECT_LE(counts.allocations, kOnce);
    EXPECT_EQ(counts.frees, 0U);
    if (counts.allocations > kOnce) print_stacks();
  }

  static void echo(Request& request, Response& response) {
    request.on_data([&response](Request&, Buffer bytes) { response.write(std::move(bytes)); });
    request.on_end([&response](Request&) { response.end(); });
  }

  std::unique_ptr<http::Server> server_;
  net::ConnectOptions to_;
};

TEST_P(HttpAllocationTest, AnAnswerWithAField) {
  expect_none(count_answers(kGet, "hello!", [](Request&, Response& response) {
    response.set_header("Content-Type", "text/plain");
    response.end("hello!");
  }));
}

TEST_P(HttpAllocationTest, AHeadThatIsGivenAsAWhole) {
  expect_none(count_answers(kGet, kLastChunk, [](Request&, Response& response) {
    response.write_head(200, {{"Content-Type", "text/plain"}, {"Vary", "Accept"}});
    for (int i = 0; i < 4; ++i) response.write("hello");
    response.end();
  }));
}

TEST_P(HttpAllocationTest, ABodyThatComesBack) {
  expect_none(count_answers(kSizedPost, kLastChunk, echo));
  expect_none(count_answers(kChunkedPost, kLastChunk, echo));
}

TEST_P(HttpAllocationTest, SomebodyLearnsThatItHasGone) {
  int closed = 0;
  expect_none(count_answers(kGet, "hello!", [&](Request& request, Response& response) {
    request.on_close([&](Request&) { ++closed; });
    response.on_finish([&](Response&) { ++closed; });
    response.end("hello!");
  }));
  EXPECT_GE(closed, 2 * (kWarmUp + kCounted - 1));
}

// More requests in work at the same time than keep their memory.
TEST_P(HttpAllocationTest, AfterACrowdTooNothingIsAllocated) {
  constexpr std::size_t kCrowd = 3 * http::limits::kSpareExchangesMax;
  std::vector<http::ResponseRef> held;
  bool holds = true;
  serve([&](Request&, Response& response) {
    response.set_header("Content-Type", "text/plain");
    if (!holds) return static_cast<void>(response.end("hello!"));
    held.push_back(response.weak());
  });
  std::vector<std::unique_ptr<net::Socket>> crowd;
  for (std::size_t i = 0; i < kCrowd; ++i) {
    net::Socket& one = *crowd.emplace_back(std::make_unique<net::Socket>(reactor()));
    one.on_connect([](net::Socket& socket) { socket.write(Buffer::literal(kGet)); });
    ASSERT_TRUE(one.connect(to_).has_value());
  }
  ASSERT_TRUE(run_until([&] { return held.size() == kCrowd; }));
  for (const http::ResponseRef& one : held) one.get()->end("hello!");
  crowd.clear();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  holds = false;
  expect_none(count_answers(kGet, "hello!"));
}

INSTANTIATE_TEST_SUITE_P(Backends, HttpAllocationTest, testing::ValuesIn(main_backends()),
                         case_name);

}  // namespace
}  // namespace weir::test
