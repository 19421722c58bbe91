// What an http::Server is told when it is made: defaults, limits, and mistakes.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <limits>
#include <string>
#include <string_view>

#include "tests/http_life.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kTooLargeHead =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n";
constexpr std::string_view kBadRequest = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

class OptionsTest : public LifeTest {
 protected:
  // A GET whose head, with its empty line, has so many bytes.
  static std::string get_of_size(std::size_t size) {
    const std::string frame = get("/now", "Connection: close\r\nFill: \r\n");
    return get("/now",
               "Connection: close\r\nFill: " + std::string(size - frame.size(), 'f') + "\r\n");
  }
  // A GET with so many field lines.
  static std::string get_of_fields(std::size_t count) {
    std::string fields = "Connection: close\r\n";
    for (std::size_t i = 2; i < count; ++i) fields += "A: b\r\n";
    return get("/now", fields);
  }
  static std::string chunked(std::string_view fields = {}) {
    return "POST /held HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" +
           std::string(fields) + "\r\n";
  }
};

TEST_P(OptionsTest, Defaults) {
  RULES("4.1.1.1 4.1.2.1 4.1.3.1 4.1.4.1 4.1.7.1 4.1.15.3");
  NODE_TEST("http-server-keep-alive-defaults");
  start();
  const http::ServerOptions& options = server().options();
  EXPECT_EQ(options.headers_timeout, 60s);
  EXPECT_EQ(options.request_timeout, 300s);
  EXPECT_EQ(options.keep_alive_timeout, 5s);
  EXPECT_EQ(options.net.socket.timeout, 0s);
  EXPECT_EQ(options.parser.head_bytes_max, 16384U);
  EXPECT_EQ(options.parser.fields_max, 1000U);
  EXPECT_EQ(options.requests_per_socket_max, 0U);
  EXPECT_EQ(options.pipelined_max, 32U);
  EXPECT_EQ(options.body_rate_min, 240U);
  EXPECT_EQ(options.body_rate_grace, 5s);
  EXPECT_FALSE(options.body_bytes_max);
  EXPECT_EQ(answer(get("/now") + get("/now", "Connection: close\r\n")),
            kept_reply("/now", "timeout=5") + last_reply("/now"));
}

TEST_P(OptionsTest, AHeadOf16KiB) {
  RULES("4.1.5.1");
  NODE_TEST("http-max-header-size http-header-overflow");
  start();
  ASSERT_EQ(get_of_size(16384).size(), 16384U);
  EXPECT_EQ(answer(get_of_size(16384)), last_reply("/now"));
  EXPECT_EQ(answer(get_of_size(16385)), kTooLargeHead);
  EXPECT_EQ(answer(get_of_size(200000)), kTooLargeHead);
}

TEST_P(OptionsTest, AHeadOfAnotherSize) {
  RULES("4.1.5.2 4.1.15.5");
  NODE_TEST("http-max-header-size-per-stream");
  start({.parser = {.head_bytes_max = 1000}});
  EXPECT_EQ(server().options().parser.head_bytes_max, 1000U);
  EXPECT_EQ(answer(get_of_size(1000)), last_reply("/now"));
  EXPECT_EQ(answer(get_of_size(1001)), kTooLargeHead);
  server_.reset();
  start({.parser = {.head_bytes_max = 100000}});
  EXPECT_EQ(answer(get_of_size(100000)), last_reply("/now"));
}

TEST_P(OptionsTest, AThousandFields) {
  RULES("4.1.6.1");
  NODE_TEST("http-max-headers-count");
  std::size_t fields = 0;
  serve([&](Request& request, Response& response) {
    fields = request.fields().size();
    response.end(request.target());
  });
  EXPECT_EQ(answer(get_of_fields(1000)), last_reply("/now"));
  EXPECT_EQ(fields, 1000U);
  EXPECT_EQ(answer(get_of_fields(1001)), kTooLargeHead);
}

TEST_P(OptionsTest, AnotherNumberOfFields) {
  RULES("4.1.6.2");
  NODE_TEST("http-max-headers-count");
  start({.parser = {.fields_max = 3}});
  EXPECT_EQ(answer(get_of_fields(3)), last_reply("/now"));
  EXPECT_EQ(answer(get_of_fields(4)), kTooLargeHead);
}

TEST_P(OptionsTest, Host) {
  RULES("4.1.10.1 4.1.10.2");
  NODE_TEST("http-request-host-header");
  start();
  EXPECT_EQ(answer("GET /now HTTP/1.1\r\n\r\n"), kBadRequest);
  EXPECT_EQ(answer("GET /now HTTP/1.0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n/now");
  EXPECT_EQ(answer("GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            last_reply("/now"));
}

TEST_P(OptionsTest, ABodyThatSaysItIsTooLarge) {
  RULES("4.1.15.1");
  start({.body_bytes_max = 1000});
  EXPECT_EQ(answer(post("/held", 1001)),
            "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(seen_.empty());
  HttpClient& client = dial();
  client.send(post("/held", 1000) + std::string(1000, 'b'));
  ASSERT_TRUE(run_until([&] { return !seen_.empty() && seen_[0].events == "end "; }));
  answer_held(0);
  ASSERT_TRUE(run_until_has(client, kept_reply("/held")));
  EXPECT_EQ(without_date(client.received()), kept_reply("/held"));
}

TEST_P(OptionsTest, AChunkedBodyThatBecomesTooLarge) {
  RULES("4.1.15.2");
  start({.body_bytes_max = 1000});
  EXPECT_EQ(answer(chunked() + "1f4\r\n" + std::string(500, 'b') + "\r\n1f5\r\n" +
                   std::string(501, 'b') + "\r\n0\r\n\r\n"),
            "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n");
  clients_.back()->end();
  ASSERT_TRUE(run_until_gone());
  EXPECT_EQ(seen_.at(0).events, "aborted ECONNRESET close ");
  EXPECT_EQ(seen_[0].response_events, "close ");
  HttpClient& client = dial();
  client.send(chunked() + "3e8\r\n" + std::string(1000, 'b') + "\r\n0\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return seen_.size() == 2 && seen_[1].events == "end "; }));
  EXPECT_EQ(seen_[1].body.size(), 1000U);
}

TEST_P(OptionsTest, ABodyMayHaveAnySizeAndReservesNothing) {
  RULES("4.1.15.3");
  start();
  const std::size_t chunks = reactor().counters().receive_chunks;
  HttpClient& client = dial();
  client.send(post("/held", std::size_t{1} << 40) + "begin");
  ASSERT_TRUE(run_until([&] { return !seen_.empty() && seen_[0].body == "begin"; }));
  EXPECT_EQ(seen_[0].request.get()->body_size(), std::uint64_t{1} << 40);
  EXPECT_LE(reactor().counters().receive_chunks, chunks + 2);
  client.send(" more");
  ASSERT_TRUE(run_until([&] { return seen_[0].body == "begin more"; }));
  HttpClient& most = dial();
  most.send(post("/held", std::numeric_limits<std::uint64_t>::max()));
  EXPECT_TRUE(run_until_seen(2));
}

TEST_P(OptionsTest, TheDateCanBeLeftOut) {
  RULES("4.1.15.4");
  NODE_TEST("http-date-header");
  start();
  EXPECT_EQ(count_of(ask(get("/now", "Connection: close\r\n")), "\r\nDate: "), 1U);
  server_.reset();
  start({.send_date = false});
  EXPECT_EQ(ask(get("/now", "Connection: close\r\n")), last_reply("/now"));
}

TEST_P(OptionsTest, OptionsThatContradictOneAnother) {
  RULES("4.1.14.1 4.1.14.2 4.1.1.3");
  NODE_TEST("http-server-timeouts-validation");
  const auto listens = [&](http::ServerOptions options) {
    http::Server server(reactor(), std::move(options));
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    return bound ? std::string("yes") : std::string(name_of(bound.error().code));
  };
  EXPECT_EQ(listens({.headers_timeout = 2001ms, .request_timeout = 2s}), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(listens({.headers_timeout = 301s}), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(listens({.headers_timeout = 2s, .request_timeout = 2s}), "yes");
  EXPECT_EQ(listens({.headers_timeout = 2s, .request_timeout = 0s}), "yes");
  EXPECT_EQ(listens({.headers_timeout = 0s, .request_timeout = 2s}), "yes");
  EXPECT_EQ(listens({.request_timeout = 2s}), "yes") << "2 s for the head, too";
}

TEST_P(OptionsTest, NegativeTimes) {
  RULES("4.1.14.3");
  NODE_TEST("http-server-timeouts-validation");
  for (Duration http::ServerOptions::*const time :
       {&http::ServerOptions::request_timeout, &http::ServerOptions::keep_alive_timeout,
        &http::ServerOptions::body_rate_grace}) {
    http::ServerOptions options;
    options.*time = -1ms;
    http::Server server(reactor(), options);
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_FALSE(bound.has_value());
    EXPECT_EQ(name_of(bound.error().code), "ERR_OUT_OF_RANGE");
  }
  http::Server server(reactor(), {.headers_timeout = -1ms});
  EXPECT_FALSE(server.listen({.port = 0, .host = "127.0.0.1"}).has_value());
}

TEST_P(OptionsTest, APipelineHasRoomForOne) {
  RULES("4.5.2.4");
  http::Server server(reactor(), {.pipelined_max = 0});
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(bound.error().message(), "ERR_OUT_OF_RANGE: pipelined_max must be at least 1");
}

WEIR_ON_ALL_BACKENDS(OptionsTest);

class KernelOptionsTest : public LifeTest {
 protected:
  // TCP_NODELAY of the connection whose request came last.
  int no_delay() {
    HttpClient& client = dial();
    client.send(get("/held"));
    EXPECT_TRUE(run_until_seen(1));
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(
        getsockopt(seen_.at(0).socket->native_handle(), IPPROTO_TCP, TCP_NODELAY, &value, &size),
        0);
    return value;
  }
};

TEST_P(KernelOptionsTest, NoDelayIsTheDefault) {
  RULES("4.1.9.1");
  NODE_TEST("http-nodelay");
  start();
  EXPECT_NE(no_delay(), 0);
}

TEST_P(KernelOptionsTest, NoDelayCanBeSwitchedOff) {
  RULES("4.1.9.2");
  http::ServerOptions options;
  options.net.socket.no_delay = false;
  start(options);
  EXPECT_EQ(no_delay(), 0);
}

WEIR_ON_KERNEL_BACKENDS(KernelOptionsTest);

}  // namespace
}  // namespace weir::test
