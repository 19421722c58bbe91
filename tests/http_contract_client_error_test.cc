// Errors of a client: 'client_error' and who answers, what happens to the requests before and to
// the one whose body is wrong. What counts as an error: http_contract_strict_test.cc.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"
#include "weir/http/limits.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

using Strings = std::vector<std::string>;

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

constexpr std::string_view kGet = GET "\r\n";
constexpr std::string_view kBad = "nonsense\r\n\r\n";
constexpr std::string_view kBadRequest = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

std::string ok(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// Handlers leave their answers to the test, and write down what they hear of.
class ClientErrorTest : public HttpTest {
 protected:
  void start(http::ServerOptions options = {}) {
    serve([this](Request& request, Response& response) { note_events(request, response); },
          options);
    server().on_connection([this](Socket& socket) { accepted_ = socket.weak(); });
  }

  void note_events(Request& request, Response& response) {
    responses_.push_back(response.weak());
    request.on_data([](Request&, Buffer) {});
    request.on_end([this](Request&) { events_.emplace_back("end"); });
    request.on_aborted([this](Request& aborted) {
      EXPECT_TRUE(aborted.aborted());
      EXPECT_FALSE(aborted.complete());
      events_.emplace_back("aborted");
    });
    request.on_error([this](Request&, const Error& error) {
      events_.push_back("error " + std::string(name_of(error.code)));
    });
    request.on_close([this](Request&) { events_.emplace_back("close"); });
    response.on_finish([this](Response&) { response_events_.emplace_back("finish"); });
    response.on_close([this](Response&) { response_events_.emplace_back("close"); });
  }

  // Runs until the server has read so many bytes of the last connection.
  bool run_until_read(std::uint64_t bytes) {
    return run_until([&] {
      const Socket* socket = accepted_.get();
      return socket != nullptr && socket->bytes_read() >= bytes;
    });
  }
  // A request and its answer on a connection of their own: whatever was due has happened.
  void make_round_trip() {
    const std::size_t before = responses_.size();
    HttpClient& other = dial();
    other.send(kGet);
    ASSERT_TRUE(run_until([&] { return responses_.size() > before; }));
    responses_.back().get()->end("other");
    responses_.pop_back();
    ASSERT_TRUE(run_until_received(other, "\r\n\r\nother"));
  }
  bool run_until_over(HttpClient& client) {
    return run_until([&] { return client.over(); });
  }

  Strings events_;  // of requests
  Strings response_events_;
  std::vector<http::ResponseRef> responses_;
  net::SocketRef accepted_;
};

WEIR_ON_ALL_BACKENDS(ClientErrorTest);

TEST_P(ClientErrorTest, SaysWhatWasGoodAndWhatCame) {
  RULES("4.3.7.1 4.3.7.2 4.3.7.3 4.3.7.4");
  NODE_TEST("http-client-error-rawbytes");
  struct Told {
    std::string_view first;  // received before, in a segment of its own
    std::string_view last;
    std::string_view packet;
    std::uint64_t bytes_parsed;
    std::string_view code;
  };
  constexpr Told kTold[] = {
      {"", kBad, kBad, 0, "HPE_INVALID_METHOD"},
      {"", GET "X : y\r\n\r\n", GET "X : y\r\n\r\n", 25, "HPE_INVALID_HEADER_TOKEN"},
      {GET, "X : y\r\n\r\n", "X : y\r\n\r\n", 25, "HPE_INVALID_HEADER_TOKEN"},
      {GET "A: b\r\nX", " : y\r\n\r\n", " : y\r\n\r\n", 31, "HPE_INVALID_HEADER_TOKEN"},
      {"", "\r\n\r\n" GET "X: \r\n\n", "\r\n\r\n" GET "X: \r\n\n", 34, "HPE_STRICT"},
      {"", CHUNKED "1\r\nxy", CHUNKED "1\r\nxy", 60, "HPE_STRICT"},
      {CHUNKED "1\r\n", "xy", "xy", 60, "HPE_STRICT"},
      {CHUNKED "1\r\nx", "y\r\n" GET, "y\r\n" GET, 60, "HPE_STRICT"}};
  start();
  int calls = 0;
  const Told* expected = nullptr;
  server().on_client_error([&](const ClientError& error, Socket& socket) {
    ++calls;
    EXPECT_EQ(error.code, expected->code);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.bytes_parsed, expected->bytes_parsed);
    EXPECT_EQ(error.packet, expected->packet);
    socket.end("mine");
  });
  for (const Told& told : kTold) {
    SCOPED_TRACE(std::string(told.first).append(told.last));
    expected = &told;
    calls = 0;
    HttpClient& client = dial();
    if (!told.first.empty()) {
      client.send(told.first);
      ASSERT_TRUE(run_until_read(told.first.size()));
    }
    client.send(told.last);
    ASSERT_TRUE(run_until_over(client));
    EXPECT_EQ(client.received(), "mine");
    EXPECT_EQ(calls, 1);
    accepted_ = {};
  }
}

TEST_P(ClientErrorTest, ThePacketBeginsWithTheBadMessage) {
  RULES("4.3.5.2 4.3.6.5 4.3.7.3 4.3.7.4");
  serve([](Request&, Response& response) { response.end("good"); });
  int calls = 0;
  server().on_client_error([&](const ClientError& error, Socket& socket) {
    ++calls;
    EXPECT_EQ(error.bytes_parsed, 25U);
    EXPECT_EQ(error.packet, GET "X : y\r\n\r\n");
    socket.end("mine");
  });
  HttpClient& client = dial();
  client.send(std::string(kGet) + GET "X : y\r\n\r\n");
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()), ok("good") + "mine");
  EXPECT_EQ(calls, 1);
}

// Nothing but its end is left of the request when that is refused.
TEST_P(ClientErrorTest, NorIsThePacketLostWhenTrailersFindNoMemory) {
  RULES("4.3.7.4");
  serve([](Request& request, Response&) {
    request.resume();
    // The parser finds room for them, the request does not.
    memory::set_gate([](std::size_t size) noexcept {
      return size < http::limits::kHeldBytesFirst;
    });
  });
  const std::string request = CHUNKED "1\r\na\r\n0\r\nT: v\r\n\r\n";
  int calls = 0;
  server().on_client_error([&](const ClientError& error, Socket& socket) {
    memory::set_gate(nullptr);
    ++calls;
    EXPECT_EQ(error.status, 503);
    EXPECT_EQ(error.packet, request);
    socket.end("mine");
  });
  EXPECT_EQ(ask(request), "mine");
  EXPECT_EQ(calls, 1);
}

TEST_P(ClientErrorTest, AListenerAnswersInThePlaceOfHttp) {
  RULES("4.3.6.1 4.3.6.2 4.3.6.5");
  NODE_TEST("http-server-client-error");
  start();
  int calls = 0;
  const auto id = server().on_client_error([&](const ClientError&, Socket& socket) {
    ++calls;
    socket.end("HTTP/1.1 418 No\r\nContent-Length: 2\r\n\r\nno");
  });
  HttpClient& client = dial();
  client.send(std::string(kBad).append(kBad).append(kGet));
  ASSERT_TRUE(run_until_over(client));
  client.send(kGet);
  client.end();
  ASSERT_TRUE(run_until([&] { return client.closed(); }));
  EXPECT_EQ(client.received(), "HTTP/1.1 418 No\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(responses_.empty());
  server().off(id);
  EXPECT_EQ(ask(kBad), kBadRequest);
  EXPECT_EQ(calls, 1);
}

TEST_P(ClientErrorTest, AListenerMayDestroyTheSocket) {
  RULES("4.3.6.1 4.3.6.3");
  NODE_TEST("http-server-destroy-socket-on-client-error");
  start();
  server().on_client_error([](const ClientError&, Socket& socket) { socket.destroy(); });
  HttpClient& client = dial();
  client.send(kBad);
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(client.received(), "");
  client.end();
  ASSERT_TRUE(run_until([&] { return server().connections() == 0; }));
  make_round_trip();
}

TEST_P(ClientErrorTest, AListenerThatDoesNothingKeepsTheConnection) {
  RULES("4.3.6.1 4.3.6.4 4.3.6.5");
  start();
  int calls = 0;
  net::SocketRef kept;
  server().on_client_error([&](const ClientError&, Socket& socket) {
    ++calls;
    kept = socket.weak();
  });
  HttpClient& client = dial();
  client.send(kBad);
  ASSERT_TRUE(run_until([&] { return calls == 1; }));
  client.send(kGet);
  client.send(kBad);
  make_round_trip();
  if (simulated()) run_for(1h);
  EXPECT_FALSE(client.over());
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(responses_.empty());
  ASSERT_NE(kept.get(), nullptr);
  kept.get()->end("at last");
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(client.received(), "at last");
}

// ---- In its place ----

TEST_P(ClientErrorTest, TheAnswerWaitsForThoseOfTheRequestsBefore) {
  RULES("4.3.5.2 4.3.5.4");
  start();
  HttpClient& client = dial();
  const std::string bytes = std::string(kGet).append(kGet).append(kGet).append(kBad).append(kGet);
  client.send(bytes);
  ASSERT_TRUE(run_until([&] { return responses_.size() == 3; }));
  ASSERT_TRUE(run_until_read(bytes.size()));
  responses_[2].get()->end("third");
  responses_[1].get()->end("second");
  make_round_trip();
  EXPECT_EQ(client.received(), "");
  responses_[0].get()->end("first");
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()),
            ok("first") + ok("second") + ok("third") + std::string(kBadRequest));
  client.end();
  ASSERT_TRUE(run_until([&] { return client.closed(); }));
  EXPECT_EQ(client.error(), std::error_code());
  EXPECT_EQ(responses_.size(), 3U);
}

TEST_P(ClientErrorTest, AListenerWaitsForTheAnswersBefore) {
  RULES("4.3.5.2 4.3.6.5");
  start();
  int calls = 0;
  server().on_client_error([&](const ClientError& error, Socket& socket) {
    ++calls;
    EXPECT_EQ(error.code, "HPE_INVALID_METHOD");
    socket.end("mine");
  });
  HttpClient& client = dial();
  client.send(std::string(kGet).append(kBad));
  ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
  make_round_trip();
  EXPECT_EQ(calls, 0);
  responses_[0].get()->end("first");
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()), ok("first") + "mine");
  EXPECT_EQ(calls, 1);
}

TEST_P(ClientErrorTest, AnAnswerThatIsUnderWayIsFinishedFirst) {
  RULES("4.3.5.2 4.3.5.4");
  start();
  HttpClient& client = dial();
  client.send(kGet);
  ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
  responses_[0].get()->write("one");
  ASSERT_TRUE(run_until_received(client, "one\r\n"));
  client.send(kBad);
  make_round_trip();
  responses_[0].get()->write("two");
  ASSERT_TRUE(run_until_received(client, "two\r\n"));
  responses_[0].get()->end();
  ASSERT_TRUE(run_until_over(client));
  EXPECT_TRUE(
      client.received().ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" + std::string(kBadRequest)));
  EXPECT_EQ(count_of(client.received(), "HTTP/1.1"), 2U);
}

TEST_P(ClientErrorTest, AnErrorBehindMoreThanThePipelineHoldsIsFound) {
  RULES("4.3.5.2 4.3.5.4");
  serve([](Request& request, Response& response) {
    response.cork();
    response.write("a");
    request.on_end([&response](Request&) { response.end("b"); });
  });
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += kGet;
  const std::string answers = answer(bytes.append(kBad).append(kGet));
  EXPECT_EQ(count_of(answers, "HTTP/1.1 200 OK\r\n"), 100U);
  EXPECT_EQ(count_of(answers, kBadRequest), 1U);
  EXPECT_TRUE(answers.ends_with(kBadRequest));
}

// Queued behind an earlier one, or corked: no byte of it is out.
TEST_P(ClientErrorTest, AnAnswerThatWaitsGivesWayToTheError) {
  RULES("4.3.5.1 4.3.5.2 4.3.8.1 4.3.8.2");
  start();
  HttpClient& queued = dial();
  queued.send(std::string(kGet).append(CHUNKED "5\r\nhello\r\n"));
  ASSERT_TRUE(run_until([&] { return responses_.size() == 2; }));
  responses_[1].get()->end("second");
  make_round_trip();
  queued.send("x\r\n");
  make_round_trip();
  EXPECT_EQ(responses_[1].get(), nullptr);
  responses_[0].get()->end("first");
  ASSERT_TRUE(run_until_over(queued));
  EXPECT_EQ(without_date(queued.received()), ok("first") + std::string(kBadRequest));

  responses_.clear();
  HttpClient& corked = dial();
  corked.send(CHUNKED "5\r\nhello\r\n");
  ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
  responses_[0].get()->cork();
  responses_[0].get()->write("part");
  make_round_trip();
  corked.send("x\r\n");
  ASSERT_TRUE(run_until_over(corked));
  EXPECT_EQ(corked.received(), kBadRequest);
}

TEST_P(ClientErrorTest, AnInterimAnswerIsNoPartOfTheAnswer) {
  RULES("4.3.5.1 4.3.5.3");
  serve([](Request& request, Response&) { request.resume(); });
  EXPECT_EQ(ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                "Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n" + std::string(kBadRequest));
}

TEST_P(ClientErrorTest, AnAnswerThatIsPartlyOutIsCutOff) {
  RULES("4.3.5.3 4.3.5.4 4.3.8.1 4.3.8.2");
  start();
  HttpClient& client = dial();
  client.send(CHUNKED "5\r\nhello\r\n");
  ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
  responses_[0].get()->write("part");
  ASSERT_TRUE(run_until_received(client, "part\r\n"));
  const std::string begun = client.received();
  client.send(std::string("x\r\n").append(kGet));
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(client.received(), begun) << "neither a 400 nor an end of the body";
  client.end();
  ASSERT_TRUE(run_until([&] { return server().connections() == 0; }));
  EXPECT_EQ(events_, (Strings{"aborted", "error ECONNRESET", "close"}));
  EXPECT_EQ(response_events_, Strings{"close"});
  EXPECT_EQ(responses_.size(), 1U);
}

TEST_P(ClientErrorTest, AnAnswerThatIsOutStandsAlone) {
  RULES("4.3.5.3 4.3.5.4");
  start();
  HttpClient& client = dial();
  client.send(CHUNKED "5\r\nhello\r\n");
  ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
  responses_[0].get()->end("early");
  ASSERT_TRUE(run_until_received(client, "early"));
  const std::string answered = client.received();
  client.send(std::string("x\r\n").append(kGet));
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(client.received(), answered);
  EXPECT_EQ(responses_.size(), 1U);
}

TEST_P(ClientErrorTest, NoErrorIsAnsweredBehindALastAnswer) {
  RULES("4.3.5.5");
  start();
  HttpClient& client = dial();
  client.send(std::string(kGet).append(kBad));
  ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
  make_round_trip();
  responses_[0].get()->set_header("Connection", "close").value();
  responses_[0].get()->end("last");
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()),
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast");
}

// ---- A request whose body is wrong ----

TEST_P(ClientErrorTest, ARequestWithAWrongBodyIsAborted) {
  RULES("4.3.2.22 4.3.8.1 4.3.8.2 4.3.5.1");
  for (const bool by_end : {false, true}) {
    SCOPED_TRACE(by_end);
    start();
    events_.clear();
    response_events_.clear();
    responses_.clear();
    HttpClient& client = dial();
    client.send(CHUNKED "5\r\nhello\r\n");
    ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
    if (by_end) {
      client.end();
    } else {
      client.send("x\r\n");
    }
    ASSERT_TRUE(run_until_over(client));
    EXPECT_EQ(client.received(), kBadRequest);
    client.end();
    ASSERT_TRUE(run_until([&] { return server().connections() == 0; }));
    EXPECT_EQ(events_, (Strings{"aborted", "error ECONNRESET", "close"}));
    EXPECT_EQ(response_events_, Strings{"close"});
    EXPECT_EQ(responses_[0].get(), nullptr);
    clients_.clear();
  }
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(ClientErrorTest, WhatAnAbortedRequestIsAnsweredGoesNowhere) {
  RULES("4.3.5.4 4.3.8.1");
  serve([](Request& request, Response& response) {
    request.on_aborted([&response](Request&) { response.end("late"); });
    request.resume();
  });
  EXPECT_EQ(ask(CHUNKED "x\r\n"), kBadRequest);
}

// A body that nobody listens to is still read: its error is found, and is nobody's.
TEST_P(ClientErrorTest, TheErrorOfARequestNeedsNoListener) {
  RULES("4.3.8.1");
  serve([](Request& request, Response&) { request.resume(); });
  EXPECT_EQ(ask(CHUNKED "x\r\n"), kBadRequest);
  EXPECT_TRUE(unhandled_.empty());
}

// What a handler of these events may do to the connection that they come from.
TEST_P(ClientErrorTest, HandlersMayEndEverything) {
  RULES("4.3.6.3 4.3.8.1");
  for (int what = 0; what < 4; ++what) {
    SCOPED_TRACE(what);
    serve([&](Request& request, Response& response) {
      request.resume();
      request.on_aborted([&](Request& aborted) {
        if (what == 0) response.destroy();
        if (what == 1) aborted.destroy();
        if (what == 2) server_.reset();
      });
    });
    server().on_client_error([&](const ClientError&, Socket& socket) {
      if (what == 3) {
        server_.reset();
      } else {
        socket.end();
      }
    });
    HttpClient& client = dial();
    client.send(CHUNKED "x\r\n");
    ASSERT_TRUE(run_until_over(client));
    EXPECT_EQ(client.received(), "");
    client.end();
    ASSERT_TRUE(run_until([&] { return client.closed(); }));
    clients_.clear();
  }
}

// ---- Behind Connection: close ----

TEST_P(ClientErrorTest, NothingIsLookedAtBehindTheLastRequest) {
  RULES("4.3.9.1 4.3.9.2");
  start();
  int errors = 0;
  server().on_client_error([&](const ClientError&, Socket&) { ++errors; });
  for (const std::string_view after : {kBad, kGet, std::string_view("\0\n", 2)}) {
    for (const std::string_view last :
         {GET "Connection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
      SCOPED_TRACE(std::string(last).append(after));
      responses_.clear();
      accepted_ = {};
      HttpClient& client = dial();
      client.send(std::string(last).append(after));
      ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
      make_round_trip();
      EXPECT_FALSE(client.over());
      client.send(after);
      make_round_trip();
      EXPECT_EQ(client.received(), "");
      ASSERT_EQ(responses_.size(), 1U);
      responses_[0].get()->end("good");
      ASSERT_TRUE(run_until_over(client));
      client.send(after);
      client.end();
      ASSERT_TRUE(run_until([&] { return client.closed(); }));
      EXPECT_EQ(client.error(), std::error_code());
      EXPECT_TRUE(client.received().starts_with("HTTP/1.1 200 OK\r\n"));
      EXPECT_TRUE(client.received().ends_with("\r\n\r\ngood"));
      EXPECT_EQ(count_of(client.received(), "HTTP/1.1"), 1U);
      clients_.clear();
    }
  }
  EXPECT_EQ(errors, 0);
}

// ---- Too slow, which is an error like the others ----

class VirtualLateClientTest : public ClientErrorTest {};
WEIR_ON_SIM(VirtualLateClientTest);

TEST_P(VirtualLateClientTest, SlownessIsAnsweredInItsPlace) {
  RULES("4.3.5.1 4.3.5.2 4.3.5.4");
  NODE_TEST("http-server-headers-timeout-pipelining");
  start();
  HttpClient& client = dial();
  client.send(std::string(kGet).append("GET / HTTP/1.1\r\n"));
  run_for(100s);
  EXPECT_EQ(client.received(), "");
  client.send("Host: a\r\n\r\n");
  run_for(1s);
  ASSERT_EQ(responses_.size(), 1U) << "too late";
  responses_[0].get()->end("first");
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()),
            ok("first") + "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
}

TEST_P(VirtualLateClientTest, AListenerIsToldOfSlowness) {
  RULES("4.3.6.2 4.3.7.1 4.3.7.2 4.3.7.4");
  start();
  int calls = 0;
  server().on_client_error([&](const ClientError& error, Socket& socket) {
    ++calls;
    EXPECT_EQ(error.code, "ERR_HTTP_REQUEST_TIMEOUT");
    EXPECT_EQ(error.status, 408);
    EXPECT_EQ(error.parse_error, http::ParseError::none);
    socket.end("mine");
  });
  HttpClient& client = dial();
  client.send("GET / HTTP/1.1\r\n");
  run_for(61s);
  EXPECT_EQ(client.received(), "mine");
  EXPECT_TRUE(client.over());
  EXPECT_EQ(calls, 1);
}

TEST_P(VirtualLateClientTest, AServerMayTakeItsTime) {
  RULES("4.3.5.2");
  start();
  HttpClient& client = dial();
  client.send(std::string(kGet).append(kBad));
  ASSERT_TRUE(run_until([&] { return responses_.size() == 1; }));
  run_for(10h);
  EXPECT_FALSE(client.over());
  responses_[0].get()->end("first");
  ASSERT_TRUE(run_until_over(client));
  EXPECT_EQ(without_date(client.received()), ok("first") + std::string(kBadRequest));
}

}  // namespace
}  // namespace weir::test
