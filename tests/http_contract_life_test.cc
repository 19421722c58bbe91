// The life of a server's connection: kept or closed, pipelined, half-closed, shut down.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http_life.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class KeepAliveTest : public LifeTest {};

TEST_P(KeepAliveTest, AConnectionIsKeptForAnyNumberOfRequests) {
  RULES("4.5.1.1 4.1.7.1");
  NODE_TEST("http-keep-alive http-keepalive-client http-server-keep-alive-max-requests-null");
  start();
  HttpClient& client = dial();
  for (std::size_t i = 0; i < 200; ++i) {
    const std::string target = "/now/" + std::to_string(i);
    client.send(get(target));
    ASSERT_TRUE(run_until_has(client, kept_reply(target)));
    ASSERT_EQ(without_date(client.take()), kept_reply(target));
    ASSERT_EQ(seen_[i].socket, seen_[0].socket);
  }
  EXPECT_EQ(server().connections(), 1U);
  EXPECT_FALSE(client.over());
}

TEST_P(KeepAliveTest, OverAUnixSocketToo) {
  RULES("4.5.1.1");
  NODE_TEST("http-unix-socket http-unix-socket-keep-alive");
  start({}, true);
  HttpClient& client = dial();
  for (int i = 0; i < 2; ++i) {
    client.send(get("/now"));
    ASSERT_TRUE(run_until_has(client, kept_reply("/now")));
    EXPECT_EQ(without_date(client.take()), kept_reply("/now"));
  }
  EXPECT_EQ(seen_[0].socket, seen_[1].socket);
}

TEST_P(KeepAliveTest, TheClientMayAskToClose) {
  RULES("4.5.1.2");
  NODE_TEST("http-keep-alive-close-on-header");
  start();
  EXPECT_EQ(answer(get("/now/1") + get("/now/2", "Connection: close\r\n")),
            kept_reply("/now/1") + last_reply("/now/2"));
  EXPECT_EQ(answer(get("/now", "Connection: x, CLOSE\r\n")), last_reply("/now"));
}

TEST_P(KeepAliveTest, TheHandlerMayAskToClose) {
  RULES("4.5.1.3");
  start();
  HttpClient& client = dial();
  client.send(get("/held"));
  ASSERT_TRUE(run_until_seen(1));
  ASSERT_TRUE(response(0).set_header("Connection", "close"));
  answer_held(0);
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()), last_reply("/held"));
}

TEST_P(KeepAliveTest, Http10ClosesUnlessAskedToStay) {
  RULES("4.5.1.1 4.5.1.4 4.1.10.2");
  NODE_TEST("http-1.0 http-1.0-keep-alive http-wget");
  start();
  EXPECT_EQ(answer("GET /now HTTP/1.0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n/now");
  HttpClient& client = dial();
  for (int i = 0; i < 2; ++i) {
    client.send("GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ASSERT_TRUE(run_until_has(client, kept_reply("/now")));
    EXPECT_EQ(without_date(client.take()), kept_reply("/now"));
  }
  EXPECT_FALSE(client.over());
}

TEST_P(KeepAliveTest, ABodyThatTheCloseEndsIsTheLastOne) {
  RULES("4.5.1.4");
  start();
  HttpClient& client = dial();
  client.send(get("/held") + get("/now"));
  ASSERT_TRUE(run_until_seen(1));
  ASSERT_TRUE(response(0).remove_header("Transfer-Encoding"));
  response(0).write("one ");
  response(0).write("two");
  response(0).end();
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none two");
}

TEST_P(KeepAliveTest, ItIsKeptBehindAResponseWithoutABody) {
  RULES("4.5.1.1");
  NODE_TEST("http-allow-req-after-204-res");
  start();
  HttpClient& client = dial();
  client.send(get("/held"));
  ASSERT_TRUE(run_until_seen(1));
  ASSERT_TRUE(response(0).set_status(204));
  response(0).end();
  client.send(get("/now"));
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n/now"));
  EXPECT_EQ(without_date(client.received()),
            "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n" +
                kept_reply("/now"));
}

TEST_P(KeepAliveTest, ABodyThatNobodyReadsIsDropped) {
  RULES("4.5.1.5");
  NODE_TEST("http-dump-req-when-res-ends");
  reads_bodies_ = false;
  start();
  HttpClient& client = dial();
  client.send(post("/now/1", 1 << 20));
  client.send(std::string(1 << 20, 'b'));
  client.send(get("/now/2"));
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n/now/2"));
  EXPECT_EQ(without_date(client.received()), kept_reply("/now/1") + kept_reply("/now/2"));
  EXPECT_FALSE(client.over());
}

TEST_P(KeepAliveTest, ABodyThatNobodyReadsMayBeTooLong) {
  RULES("4.5.1.5 4.5.1.10");
  reads_bodies_ = false;
  start();
  HttpClient& sized = dial();
  sized.send(post("/now", 8 << 20));
  sized.send(std::string(8 << 20, 'b'));
  sized.send(get("/never"));
  ASSERT_TRUE(run_until_over(sized));
  EXPECT_EQ(without_date(sized.received()), last_reply("/now"));
  HttpClient& chunked = dial();
  chunked.send("POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 8; ++i) chunked.send("100000\r\n" + std::string(1 << 20, 'b') + "\r\n");
  chunked.send("0\r\n\r\n" + get("/never"));
  ASSERT_TRUE(run_until_over(chunked));
  EXPECT_EQ(without_date(chunked.received()), kept_reply("/now"));
  ASSERT_TRUE(run_until_gone());
  EXPECT_EQ(seen_.size(), 2U);
}

WEIR_ON_ALL_BACKENDS(KeepAliveTest);

class LingerTest : public LifeTest {};

TEST_P(LingerTest, ItsSideIsShutAtOnceAndTheClientsAwaited) {
  RULES("4.5.1.6 4.5.1.8 4.5.7.13");
  start();
  HttpClient& client = dial();
  client.send(get("/now", "Connection: close\r\n"));
  ASSERT_TRUE(run_until([&] { return client.ended(); }));
  EXPECT_FALSE(client.closed());
  EXPECT_EQ(server().connections(), 1U);
  client.end();
  ASSERT_TRUE(run_until([&] { return client.closed() && server().connections() == 0; }));
  EXPECT_FALSE(client.error());
}

TEST_P(LingerTest, AClientThatIsStillSendingGetsTheWholeResponse) {
  RULES("4.5.1.7 4.5.1.2");
  start();
  const std::string body(512 * 1024, 'r');
  for (int i = 0; i < 10; ++i) {
    seen_.clear();
    HttpClient& client = dial();
    client.send(get("/held", "Connection: close\r\n"));
    client.send(std::string(256 * 1024, 'x'));
    ASSERT_TRUE(run_until_seen(1));
    response(0).end(body);
    ASSERT_TRUE(run_until_over(client));
    ASSERT_TRUE(client.ended()) << client.error().message();
    ASSERT_EQ(count_of(client.received(), "HTTP/1.1 "), 1U);
    ASSERT_TRUE(without_date(client.received()) == last_reply(body));
    client.end();
    ASSERT_TRUE(run_until([&] { return client.closed() && server().connections() == 0; }));
    ASSERT_FALSE(client.error());
  }
}

TEST_P(LingerTest, NothingIsAnsweredBehindTheLastResponse) {
  RULES("4.5.1.2 4.5.1.3");
  NODE_TEST("http-keep-alive-close-on-header");
  start();
  for (const char* rest : {"rubbish\r\n\r\n", "GET /held HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    seen_.clear();
    HttpClient& client = dial();
    client.send(get("/held") + rest);
    ASSERT_TRUE(run_until_seen(1));
    round_trip();
    ASSERT_TRUE(response(0).set_header("Connection", "close"));
    answer_held(0);
    ASSERT_TRUE(run_until_over(client));
    EXPECT_EQ(without_date(client.received()), last_reply("/held")) << rest;
    client.end();
    ASSERT_TRUE(run_until_gone());
  }
}

WEIR_ON_ALL_BACKENDS(LingerTest);

class PipelineTest : public LifeTest {
 protected:
  static std::string requests(std::size_t count, std::string_view prefix) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) all += get(std::string(prefix) + std::to_string(i));
    return all;
  }
  static std::string replies(std::size_t count, std::string_view prefix) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) {
      all += kept_reply(std::string(prefix) + std::to_string(i));
    }
    return all;
  }
};

TEST_P(PipelineTest, RequestsAreDispatchedAtOnceAndAnsweredInOrder) {
  RULES("4.5.2.1 4.5.2.2");
  NODE_TEST("http-server");
  start();
  HttpClient& client = dial();
  client.send(requests(5, "/held/"));
  ASSERT_TRUE(run_until_seen(5));
  for (std::size_t i = 4; i > 0; --i) answer_held(i);
  round_trip();
  EXPECT_EQ(client.received(), "");
  answer_held(0);
  const std::string expected = replies(5, "/held/");
  ASSERT_TRUE(run_until_has(client, expected));
  EXPECT_EQ(without_date(client.received()), expected);
  for (const Seen& seen : seen_) {
    EXPECT_EQ(seen.events, "end close ");
    EXPECT_EQ(seen.response_events, "finish close ");
  }
}

TEST_P(PipelineTest, ResponsesInPiecesDoNotMix) {
  RULES("4.5.2.2 4.5.2.5");
  NODE_TEST("http-pipeline-assertionerror-finish");
  start();
  HttpClient& client = dial();
  client.send(requests(3, "/held/"));
  ASSERT_TRUE(run_until_seen(3));
  for (const char* piece : {"a", "b", "c"}) {
    for (std::size_t i = 3; i > 0; --i) response(i - 1).write(piece + std::to_string(i - 1));
    round_trip();
  }
  for (std::size_t i = 3; i > 0; --i) response(i - 1).end();
  ASSERT_TRUE(run_until([&] { return count_of(client.received(), "\r\n0\r\n\r\n") == 3; }));
  std::string expected;
  for (const std::string i : {"0", "1", "2"}) {
    expected +=
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n2\r\na" +
        i + "\r\n2\r\nb" + i + "\r\n2\r\nc" + i + "\r\n0\r\n\r\n";
  }
  EXPECT_EQ(without_date(client.received()), expected);
}

TEST_P(PipelineTest, AtMost32AreDispatchedAndNotAnswered) {
  RULES("4.5.2.3");
  start();
  HttpClient& client = dial();
  client.send(requests(40, "/held/"));
  ASSERT_TRUE(run_until_seen(32));
  round_trip();
  ASSERT_EQ(seen_.size(), 32U);
  answer_held(1);  // waits for the one before
  round_trip();
  EXPECT_EQ(seen_.size(), 32U);
  answer_held(0);
  ASSERT_TRUE(run_until_seen(34));
  round_trip();
  EXPECT_EQ(seen_.size(), 34U);
  for (std::size_t i = 2; i < 40; ++i) {
    ASSERT_TRUE(run_until_seen(i + 1));
    answer_held(i);
  }
  const std::string expected = replies(40, "/held/");
  ASSERT_TRUE(run_until_has(client, expected));
  EXPECT_EQ(without_date(client.received()), expected);
}

TEST_P(PipelineTest, PipelinedMaxSetsTheNumber) {
  RULES("4.5.2.4 4.1.15.5");
  start({.pipelined_max = 1});
  EXPECT_EQ(server().options().pipelined_max, 1U);
  HttpClient& client = dial();
  client.send(requests(3, "/held/"));
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(run_until_seen(i + 1));
    round_trip();
    ASSERT_EQ(seen_.size(), i + 1);
    answer_held(i);
  }
  const std::string expected = replies(3, "/held/");
  ASSERT_TRUE(run_until_has(client, expected));
  EXPECT_EQ(without_date(client.received()), expected);
}

TEST_P(PipelineTest, OutputThatWaitsStopsTheParsing) {
  RULES("4.5.2.6 4.5.2.5");
  NODE_TEST("http-highwatermark");
  start();
  HttpClient& client = dial();
  client.send(requests(4, "/held/"));
  ASSERT_TRUE(run_until_seen(4));
  client.send(requests(1, "/held/more"));
  EXPECT_EQ(response(1).write("small"), Write::ok);
  ASSERT_TRUE(run_until_seen(5));
  EXPECT_EQ(response(2).write(std::string(64 * 1024, 'x')), Write::full);
  EXPECT_GE(response(2).writable_length(), 64U * 1024);
  client.send(requests(1, "/held/late"));
  round_trip();
  EXPECT_EQ(seen_.size(), 5U);
  bool drained = false;
  response(2).on_drain([&](Response&) { drained = true; });
  answer_held(0);
  response(1).end();
  ASSERT_TRUE(run_until([&] { return drained; }));
  ASSERT_TRUE(run_until_seen(6));
  EXPECT_EQ(seen_[5].target, "/held/late0");
}

TEST_P(PipelineTest, AClientThatDoesNotReadIsNotRead) {
  RULES("4.5.2.7 4.5.2.6");
  NODE_TEST("http-pipeline-flood");
  constexpr std::size_t kRequests = 300;
  const std::string body(128 * 1024, 'r');
  std::size_t dispatched = 0;
  serve(
      [&](Request& request, Response& response) {
        ++dispatched;
        response.end(request.target() == "/small" ? std::string_view("small") : body);
      },
      {.send_date = false});
  HttpClient& client = dial(false);
  for (std::size_t i = 0; i < kRequests; ++i) client.send(get("/"));
  ASSERT_TRUE(run_until([&] { return reactor().counters().queue_bytes > 64 * 1024; }));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(ask(get("/small", "Connection: close\r\n")).ends_with("\r\n\r\nsmall"));
    --dispatched;
  }
  EXPECT_LT(dispatched, kRequests);
  EXPECT_LE(reactor().counters().queue_bytes, 64 * 1024 + 2 * body.size());
  client.read();
  ASSERT_TRUE(run_until([&] {
    return client.received().size() > kRequests * body.size() && dispatched == kRequests;
  }));
  client.send(get("/small", "Connection: close\r\n"));
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(count_of(client.received(), "HTTP/1.1 200 OK\r\n"), kRequests + 1);
  const std::string once = kept_reply(body);
  std::string expected;
  for (std::size_t i = 0; i < kRequests; ++i) expected += once;
  EXPECT_TRUE(client.received() == expected + last_reply("small"));
}

TEST_P(PipelineTest, AThousandInOneWriteAreAnsweredInOrder) {
  RULES("4.5.2.8 4.5.2.2");
  NODE_TEST("http-many-ended-pipelines");
  start();
  HttpClient& client = dial();
  client.send(requests(1000, "/now/"));
  const std::string expected = replies(1000, "/now/");
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n/now/999"));
  EXPECT_TRUE(without_date(client.received()) == expected);
  client.end();
  EXPECT_TRUE(run_until_gone());
}

TEST_P(PipelineTest, AConnectionThatEndsTellsAllOfThem) {
  RULES("4.5.2.9");
  NODE_TEST("http-aborted http-abort-client http-server-stale-close");
  start();
  HttpClient& client = dial();
  client.send(requests(3, "/held/") + post("/held/body", 100) + "part");
  ASSERT_TRUE(run_until([&] { return seen_.size() == 4 && seen_[3].body == "part"; }));
  response(0).write("begun");
  ASSERT_TRUE(run_until_received(client, "begun"));
  ASSERT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until_gone());
  for (const Seen& seen : seen_) {
    EXPECT_NE(seen.events.find("aborted "), std::string::npos) << seen.target;
    EXPECT_TRUE(seen.events.ends_with(" close ")) << seen.target << ": " << seen.events;
    EXPECT_EQ(count_of(seen.events, "close "), 1U) << seen.target;
    EXPECT_EQ(seen.response_events, "close ") << seen.target;
    EXPECT_EQ(seen.response.get(), nullptr);
    EXPECT_EQ(seen.request.get(), nullptr);
  }
  EXPECT_EQ(seen_[3].events, "aborted ECONNRESET close ");
}

TEST_P(PipelineTest, DestroyingOneEndsTheConnectionForAll) {
  RULES("4.5.2.10 4.5.2.9");
  NODE_TEST("http-incoming-pipelined-socket-destroy http-pipeline-requests-connection-leak");
  start();
  for (const bool by_request : {false, true}) {
    seen_.clear();
    HttpClient& client = dial();
    client.send(requests(3, "/held/"));
    ASSERT_TRUE(run_until_seen(3));
    if (by_request) {
      seen_[1].request.get()->destroy();
    } else {
      response(1).destroy();
    }
    EXPECT_EQ(seen_[1].events + seen_[1].response_events, "end ") << "not inside the call";
    ASSERT_TRUE(run_until([&] { return client.over() && server().connections() == 0; }));
    EXPECT_EQ(client.received(), "");
    for (const Seen& seen : seen_) {
      EXPECT_EQ(seen.response_events, "close ") << seen.target;
      EXPECT_TRUE(seen.events.ends_with(" close ")) << seen.target << ": " << seen.events;
    }
    client.end();
  }
}

WEIR_ON_ALL_BACKENDS(PipelineTest);

class FinTest : public LifeTest {};

TEST_P(FinTest, ResponsesInWorkAreFinished) {
  RULES("4.5.5.1 4.5.5.2");
  http::ServerOptions options;
  options.net.socket.allow_half_open = false;
  start(options);
  HttpClient& client = dial();
  client.send(get("/held/0") + get("/held/1") + get("/held/2"));
  client.end();
  ASSERT_TRUE(run_until_seen(3));
  round_trip();
  EXPECT_FALSE(client.over());
  answer_held(2);
  answer_held(0);
  round_trip();
  EXPECT_FALSE(client.over());
  answer_held(1);
  ASSERT_TRUE(run_until([&] { return client.closed() && server().connections() == 0; }));
  EXPECT_FALSE(client.error());
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(count_of(client.received(), "HTTP/1.1 200 OK\r\n"), 3U);
  std::size_t at = 0;
  for (const char* body : {"\r\n\r\n/held/0", "\r\n\r\n/held/1", "\r\n\r\n/held/2"}) {
    at = client.received().find(body, at);
    ASSERT_NE(at, std::string::npos) << body;
  }
  for (const Seen& seen : seen_) EXPECT_EQ(seen.response_events, "finish close ");
}

TEST_P(FinTest, ALongResponseIsFinished) {
  RULES("4.5.5.1");
  start();
  HttpClient& client = dial();
  client.send(get("/held"));
  client.end();
  ASSERT_TRUE(run_until_seen(1));
  round_trip();
  const std::string piece(256 * 1024, 'p');
  for (int i = 0; i < 8; ++i) response(0).write(piece);
  round_trip();
  response(0).end("last");
  ASSERT_TRUE(run_until([&] { return client.closed() && server().connections() == 0; }));
  EXPECT_FALSE(client.error());
  EXPECT_TRUE(client.received().ends_with("4\r\nlast\r\n0\r\n\r\n"));
  EXPECT_EQ(count_of(client.received(), "40000\r\n" + piece + "\r\n"), 8U);
}

TEST_P(FinTest, RequestsThatWaitForThePipelineAreAnswered) {
  RULES("4.5.5.1 4.5.2.3");
  start();
  HttpClient& client = dial();
  for (int i = 0; i < 40; ++i) client.send(get("/held"));
  client.end();
  for (std::size_t i = 0; i < 40; ++i) {
    ASSERT_TRUE(run_until_seen(i + 1));
    answer_held(i);
  }
  ASSERT_TRUE(run_until([&] { return client.closed() && server().connections() == 0; }));
  EXPECT_FALSE(client.error());
  EXPECT_EQ(count_of(client.received(), "\r\n\r\n/held"), 40U);
}

TEST_P(FinTest, ACompleteRequestWhoseBodyNobodyReadsIsAnswered) {
  RULES("4.5.5.1 4.5.1.5");
  reads_bodies_ = false;
  start();
  HttpClient& client = dial();
  client.send(post("/held", 4) + "body");
  client.end();
  ASSERT_TRUE(run_until_seen(1));
  round_trip();
  answer_held(0);
  ASSERT_TRUE(run_until([&] { return client.closed() && server().connections() == 0; }));
  EXPECT_FALSE(client.error());
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 200 OK\r\n")) << client.received();
  EXPECT_TRUE(client.received().ends_with("\r\n\r\n/held"));
}

TEST_P(FinTest, AFinBetweenRequestsClosesWithoutAnAnswer) {
  RULES("4.5.5.3");
  NODE_TEST("http-eof-on-connect http-server-keepalive-end");
  start();
  int errors = 0;
  server().on_client_error([&](const ClientError&, Socket&) { ++errors; });
  HttpClient& silent = dial();
  silent.end();
  ASSERT_TRUE(run_until([&] { return silent.closed(); }));
  EXPECT_EQ(silent.received(), "");
  EXPECT_FALSE(silent.error());
  HttpClient& kept = dial();
  kept.send(get("/now"));
  ASSERT_TRUE(run_until_received(kept, "\r\n\r\n/now"));
  kept.end();
  ASSERT_TRUE(run_until([&] { return kept.closed(); }));
  EXPECT_EQ(without_date(kept.received()), kept_reply("/now"));
  EXPECT_FALSE(kept.error());
  EXPECT_TRUE(run_until_gone());
  EXPECT_EQ(errors, 0);
}

WEIR_ON_ALL_BACKENDS(FinTest);

class MaxRequestsTest : public LifeTest {};

TEST_P(MaxRequestsTest, TheLastOneSaysClose) {
  RULES("4.5.6.1 4.5.6.2 4.5.6.5");
  NODE_TEST("http-keep-alive-max-requests");
  start({.requests_per_socket_max = 3});
  for (int connection = 0; connection < 2; ++connection) {
    HttpClient& client = dial();
    for (const std::string& expected :
         {kept_reply("/now", "timeout=5, max=2"), kept_reply("/now", "timeout=5, max=1"),
          last_reply("/now")}) {
      client.send(get("/now"));
      ASSERT_TRUE(run_until_received(client, "\r\n\r\n/now"));
      EXPECT_EQ(without_date(client.take()), expected);
    }
    EXPECT_TRUE(run_until_over(client));
    EXPECT_EQ(client.received(), "");
  }
}

TEST_P(MaxRequestsTest, OnesBeyondAreDropped) {
  RULES("4.5.6.1 4.5.6.3 4.5.6.4");
  NODE_TEST("http-keep-alive-pipeline-max-requests http-keep-alive-drop-requests");
  start({.requests_per_socket_max = 2});
  std::string dropped;
  int errors = 0;
  server().on_drop_request([&](Request& request) { dropped += request.target(); });
  server().on_client_error([&](const ClientError&, Socket&) { ++errors; });
  HttpClient& client = dial();
  client.send(get("/held/0") + get("/held/1") + get("/no/2") + get("/no/3"));
  ASSERT_TRUE(run_until_seen(2));
  answer_held(1);
  round_trip();
  EXPECT_EQ(client.received(), "");
  answer_held(0);
  ASSERT_TRUE(run_until_over(client));
  const std::string expected = kept_reply("/held/0", "timeout=5, max=1") + last_reply("/held/1");
  const std::string received = without_date(client.received());
  EXPECT_TRUE(received.starts_with(expected + "HTTP/1.1 503 Service Unavailable\r\n")) << received;
  EXPECT_EQ(count_of(received, "HTTP/1.1 "), 4U) << received;
  EXPECT_EQ(count_of(received, "HTTP/1.1 503 Service Unavailable\r\n"), 2U) << received;
  EXPECT_EQ(dropped, "/no/2/no/3");
  EXPECT_EQ(errors, 0);
  EXPECT_EQ(seen_.size(), 2U);
}

WEIR_ON_ALL_BACKENDS(MaxRequestsTest);

}  // namespace
}  // namespace weir::test
