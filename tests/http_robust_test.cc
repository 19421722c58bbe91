// An HTTP server under clients that are slow, greedy, endless or broken: what it holds stays
// bounded, the others are served, and however the bytes come the answer is the same.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr std::size_t kHighWater = net::limits::kHighWaterDefault;

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kGetLast = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
constexpr std::string_view kGetBig = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kBadRequest = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
constexpr std::string_view kTooSlow = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
constexpr std::string_view kTooLarge =
    "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n";

class RobustTest : public HttpTest {
 protected:
  // /big is answered with so many bytes, as fast as the client takes them; anything else, when it
  // is complete, with its target, body and trailers.
  void start(http::ServerOptions options = {}, std::uint64_t big_bytes = 100 * kMiB) {
    big_bytes_ = big_bytes;
    options.send_date = false;
    serve([this](Request& request, Response& response) { answer(request, response); }, options);
    server().on_connection([this](Socket& socket) {
      accepted_ = socket.weak();
      is_accepted_ = true;
    });
  }

  void answer(Request& request, Response& response) {
    ++requests_;
    if (request.target() == "/big") return answer_big(response);
    auto text = std::make_shared<std::string>(request.target());
    request.on_data([this, text](Request&, Buffer bytes) {
      delivered_ += bytes.size();
      if (text->size() < 4096) *text += bytes.view();
    });
    request.on_end([text, &response](Request& complete) {
      for (const http::Field& trailer : complete.trailers()) {
        text->append(" ").append(trailer.name).append("=").append(trailer.value);
      }
      response.end(*text);
    });
  }

  void answer_big(Response& response) {
    response.set_header("Content-Length", std::to_string(big_bytes_)).value();
    auto left = std::make_shared<std::uint64_t>(big_bytes_);
    response.on_drain([this, left](Response& drained) { go_on(drained, *left); });
    go_on(response, *left);
  }
  void go_on(Response& response, std::uint64_t& left) {
    while (left > 0) {
      const std::size_t size = std::min<std::uint64_t>(left, kPieceBytes);
      const Write write = response.write(piece_.slice(0, size));
      left -= size;
      EXPECT_NE(write, Write::refused);
      if (write != Write::ok) break;
    }
    if (left == 0) response.end();
  }

  // A client of its own gets an answer, several times; whatever was due has happened.
  void make_round_trips() {
    HttpClient& other = dial();
    for (int i = 0; i < 20; ++i) {
      other.send(kGet);
      ASSERT_TRUE(run_until_received(other, "\r\n\r\n/"));
      other.take();
    }
    other.end();
    ASSERT_TRUE(run_until([&] { return other.closed(); }));
    clients_.pop_back();
  }

  HttpClient& dial_and_wait() {
    is_accepted_ = false;
    HttpClient& client = dial();
    EXPECT_TRUE(run_until([&] { return is_accepted_; }));
    return client;
  }
  // The server of the last connection has read so much, or has ended it.
  void wait_until_read(HttpClient& client, std::uint64_t bytes) {
    ASSERT_TRUE(run_until([&] {
      const Socket* socket = accepted_.get();
      return client.over() || socket == nullptr || socket->bytes_read() >= bytes;
    }));
  }

  // Receive memory that is held beyond what the backend's ring has anyway.
  void expect_little_receive_memory() {
    EXPECT_LE(reactor().counters().receive_chunks, ring_chunks_ + 64) << "of up to 256 KiB";
  }
  void learn_ring_chunks() {
    make_round_trips();
    ring_chunks_ = reactor().counters().receive_chunks;
  }

  // Queued bytes of the server's sockets.
  std::size_t queued() {
    std::size_t clients = 0;
    for (const auto& client : clients_) clients += client->socket().writable_length();
    return reactor().counters().queue_bytes - clients;
  }

  const Buffer piece_ = Buffer::take(std::string(kPieceBytes, 'x'));
  std::uint64_t big_bytes_ = 0;
  std::size_t requests_ = 0;
  std::uint64_t delivered_ = 0;
  net::SocketRef accepted_;
  bool is_accepted_ = false;
  std::size_t ring_chunks_ = 0;
};

WEIR_ON_ALL_BACKENDS(RobustTest);

// ---- Readers that do not read ----

TEST_P(RobustTest, AHundredClientsThatDoNotReadHoldLittle) {
  constexpr std::size_t kClients = 100;
  start();
  ASSERT_NO_FATAL_FAILURE(learn_ring_chunks());
  requests_ = 0;
  for (std::size_t i = 0; i < kClients; ++i) dial(false).send(kGetBig);
  ASSERT_TRUE(run_until([&] { return requests_ == kClients; }));
  ASSERT_NO_FATAL_FAILURE(make_round_trips());
  EXPECT_LE(queued(), kClients * (kHighWater + kPieceBytes));
  expect_little_receive_memory();
  // Nothing is lost on one that reads at last.
  std::uint64_t received = 0;
  clients_[0]->socket().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  const std::string_view head =
      "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\nConnection: keep-alive\r\n"
      "Keep-Alive: timeout=5\r\n\r\n";
  ASSERT_TRUE(run_until([&] { return received >= head.size() + big_bytes_; }));
  ASSERT_NO_FATAL_FAILURE(make_round_trips());
  EXPECT_EQ(received, head.size() + big_bytes_);
}

TEST_P(RobustTest, AHandlerThatDoesNotWaitIsRefusedAtTheLimit) {
  http::ServerOptions options;
  options.net.socket.queue.bytes_max = kMiB;
  std::size_t taken = 0;
  std::size_t refused = 0;
  std::size_t longest = 0;
  serve(
      [&](Request&, Response& response) {
        for (int i = 0; i < 1000; ++i) {
          const Write write = response.write(piece_.slice(0, kPieceBytes));
          ++(write == Write::refused ? refused : taken);
          longest = std::max(longest, response.writable_length());
        }
        response.end();
      },
      options);
  HttpClient& client = dial();
  client.send(kGet);
  ASSERT_TRUE(run_until_received(client, "\r\n0\r\n\r\n"));
  EXPECT_LE(longest, kMiB);
  EXPECT_GE(taken, 15U);
  EXPECT_EQ(taken + refused, 1000U);
  EXPECT_EQ(count_of(client.received(), "\r\n10000\r\n"), taken);
  EXPECT_GT(client.received().size(), taken * kPieceBytes);
  EXPECT_LT(client.received().size(), taken * (kPieceBytes + 9) + 300);
}

TEST_P(RobustTest, ReadingStopsWhileAnswersBackUp) {
  NODE_TEST("http-pipeline-flood http-many-ended-pipelines");
  constexpr std::size_t kRequests = 20'000;
  constexpr std::size_t kBody = 1024;
  std::size_t dispatched = 0;
  std::size_t longest = 0;
  const auto body = [](std::size_t number) {
    std::string text = "<" + std::to_string(number) + ">";
    return text.append(kBody - text.size(), '.');
  };
  serve([&](Request& request, Response& response) {
    if (request.target() == "/") return void(response.end("/"));
    longest = std::max(longest, response.writable_length());
    response.end(body(dispatched++));
  });
  ASSERT_NO_FATAL_FAILURE(learn_ring_chunks());
  std::string bytes;
  for (std::size_t i = 0; i < kRequests; ++i) bytes += "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n";
  HttpClient& client = dial(false);
  client.send(bytes);
  ASSERT_TRUE(run_until([&] { return longest >= kHighWater - 2 * kBody; }));
  ASSERT_NO_FATAL_FAILURE(make_round_trips());
  EXPECT_LT(dispatched, kRequests);
  expect_little_receive_memory();
  client.read();
  const std::string last = body(kRequests - 1);
  ASSERT_TRUE(run_until([&] { return client.received().ends_with(last); }));
  EXPECT_LE(longest, kHighWater + 2 * kBody) << "one answer above the mark";
  const std::string& received = client.received();
  std::size_t at = 0;
  for (std::size_t i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(std::string_view(received).substr(at).starts_with("HTTP/1.1 200 OK\r\n")) << i;
    at = received.find("\r\n\r\n", at) + 4;
    ASSERT_EQ(std::string_view(received).substr(at, kBody), body(i));
    at += kBody;
  }
  EXPECT_EQ(at, received.size());
}

TEST_P(RobustTest, AThousandRequestsInOneWriteAreAnsweredInOrder) {
  NODE_TEST("http-full-response");
  constexpr std::size_t kRequests = 1000;
  std::vector<http::ResponseRef> waiting;
  std::size_t served = 0;
  std::size_t most = 0;
  serve([&](Request&, Response& response) {
    waiting.push_back(response.weak());
    ++served;
    most = std::max(most, waiting.size());
  });
  std::string bytes;
  std::string bodies;
  for (std::size_t i = 0; i < kRequests; ++i) {
    const std::string target = "/" + std::to_string(i);
    bytes += "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
    bodies += target + ";";
  }
  HttpClient& client = dial();
  client.send(bytes);
  const auto answer_last_first = [&] {
    for (; !waiting.empty(); waiting.pop_back()) {
      Response* response = waiting.back().get();
      ASSERT_NE(response, nullptr);
      response->end(std::string(response->request().target()) + ";");
    }
  };
  ASSERT_TRUE(run_until([&] {
    answer_last_first();
    return client.received().ends_with("\r\n\r\n/999;");
  }));
  EXPECT_EQ(served, kRequests);
  EXPECT_EQ(most, http::limits::kPipelinedMaxDefault);
  std::string got;
  std::string_view rest = client.received();
  for (std::size_t end; (end = rest.find("\r\n\r\n")) != rest.npos;) {
    rest.remove_prefix(end + 4);
    got += rest.substr(0, rest.find(';') + 1);
  }
  EXPECT_EQ(got, bodies);
  EXPECT_FALSE(client.over());
}

// ---- Too much ----

TEST_P(RobustTest, WhatHasNoEndIsCutOffWithin64KiB) {
  RULES("4.3.2.19 4.3.3.4 4.3.4.1 4.3.4.2 4.3.4.3");
  start();
  struct Flood {
    std::string_view begin;
    char byte;
    std::string_view status;
  };
  for (const Flood& flood : {Flood{"GET /", 'A', "414"},
                             {"GET / HTTP/1.1\r\nX: ", 'A', "431"},
                             {CHUNKED "5;", 'A', "400"},
                             {CHUNKED "0\r\nX: ", 'A', "431"},
                             {CHUNKED, '0', "400"}}) {
    SCOPED_TRACE(flood.begin);
    HttpClient& client = dial_and_wait();
    std::size_t sent = flood.begin.size();
    client.send(flood.begin);
    while (!client.over() && sent < kMiB) {
      client.send(std::string(1024, flood.byte));
      sent += 1024;
      ASSERT_NO_FATAL_FAILURE(wait_until_read(client, sent));
    }
    // What was still under way when the answer came.
    EXPECT_LE(sent, 64 * 1024U);
    ASSERT_TRUE(run_until([&] { return client.over(); }));
    EXPECT_TRUE(client.received().starts_with("HTTP/1.1 " + std::string(flood.status) + " "));
    clients_.clear();
  }
}

TEST_P(RobustTest, AHundredThousandBytesOfHeadersGetTheirAnswer) {
  RULES("4.3.4.1 4.3.5.1 4.3.5.4");
  start();
  for (int i = 0; i < 10; ++i) {
    HttpClient& client = dial();
    std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n";
    while (bytes.size() < 100'000) bytes += "X-Header: 0123456789\r\n";
    client.send(bytes + "\r\n");
    client.end();
    ASSERT_TRUE(run_until([&] { return client.closed(); }));
    EXPECT_EQ(client.received(),
              "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(client.error(), std::error_code());
  }
  EXPECT_EQ(requests_, 0U);
}

TEST_P(RobustTest, ABodyOfATebibyteReservesNothing) {
  start();
  ASSERT_NO_FATAL_FAILURE(learn_ring_chunks());
  for (const std::string_view head :
       {POST "Content-Length: 1099511627776\r\n\r\n", CHUNKED "10000000000\r\n"}) {
    delivered_ = 0;
    HttpClient& client = dial_and_wait();
    client.send(head);
    client.send(std::string(kMiB, 'x'));
    ASSERT_TRUE(run_until([&] { return delivered_ == kMiB; }));
    expect_little_receive_memory();
    client.end();
    ASSERT_TRUE(run_until([&] { return client.closed(); }));
    EXPECT_EQ(client.received(), kBadRequest);
  }
}

TEST_P(RobustTest, OneByteMoreThanTheLimitOfABodyIsTooLarge) {
  start({.body_bytes_max = 1000});
  const auto sized = [](std::size_t size) {
    return POST "Content-Length: " + std::to_string(size) + "\r\n\r\n" + std::string(size, 'x');
  };
  // Two chunks.
  const auto chunked = [](std::size_t size) {
    return CHUNKED "100\r\n" + std::string(256, 'x') +
           (size == 1000 ? "\r\n2e8\r\n" : "\r\n2e9\r\n") + std::string(size - 256, 'x') +
           "\r\n0\r\n\r\n";
  };
  HttpClient& client = dial();
  for (const std::string& request : {sized(1000), chunked(1000)}) {
    client.send(request);
    ASSERT_TRUE(run_until_received(client, "\r\n\r\n/" + std::string(1000, 'x')));
    client.take();
  }
  for (const std::string& request : {sized(1001), chunked(1001)}) {
    delivered_ = 0;
    EXPECT_EQ(ask(request + std::string(kGet)), kTooLarge);
    EXPECT_LE(delivered_, 1000U);
  }
  // Before any of it has come.
  EXPECT_EQ(ask(POST "Content-Length: 1099511627776\r\n\r\n"), kTooLarge);
  EXPECT_FALSE(client.over());
}

// ---- Slow ones, and the others ----

TEST_P(RobustTest, FiveHundredSlowClientsHoldNobodyUp) {
  constexpr std::size_t kClients = 500;
  start();
  ASSERT_NO_FATAL_FAILURE(learn_ring_chunks());
  requests_ = 0;
  std::size_t connections = 0;
  server().on_connection([&](Socket&) { ++connections; });
  for (std::size_t i = 0; i < kClients; ++i) {
    dial().send(i % 2 == 0 ? "GET / HTTP/1.1\r\nHost" : POST "Content-Length: 100\r\n\r\nx");
  }
  ASSERT_TRUE(run_until([&] { return connections == kClients && requests_ == kClients / 2; }));
  const Instant began = reactor().now();
  ASSERT_NO_FATAL_FAILURE(make_round_trips());
  EXPECT_LT(reactor().now() - began, 1s);
  EXPECT_EQ(server().connections(), kClients);
  expect_little_receive_memory();
}

TEST_P(RobustTest, AClientThatIsStillSendingGetsTheAnswer) {
  RULES("4.3.5.1 4.3.5.4");
  start();
  const std::string rest(256 * 1024, 'x');
  for (int i = 0; i < 10; ++i) {
    HttpClient& client = dial();
    client.send("nonsense\r\n\r\n" + rest);
    ASSERT_TRUE(run_until([&] { return client.over(); }));
    EXPECT_EQ(client.received(), kBadRequest);
    client.send(rest);
    client.end();
    ASSERT_TRUE(run_until([&] { return client.closed(); }));
    EXPECT_EQ(client.error(), std::error_code());
    EXPECT_EQ(client.received(), kBadRequest);
  }
  EXPECT_TRUE(run_until([&] { return server().connections() == 0; }));
}

TEST_P(RobustTest, AClientThatNeverStopsSendingIsCutOff) {
  start();
  HttpClient& client = dial();
  client.send("nonsense\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  const std::string piece(kPieceBytes, 'x');
  for (std::size_t sent = 0; sent < 64 * kMiB && server().connections() != 0;) {
    if (client.socket().writable_length() == 0) client.send(piece), sent += piece.size();
    reactor().run_once(reactor().now() + 1ms);
  }
  EXPECT_EQ(server().connections(), 0U);
  EXPECT_EQ(client.received(), kBadRequest);
}

// ---- Any segmentation ----

constexpr std::string_view kConversations[] = {
    // Pipelined requests of all kinds, and an error.
    "\r\nGET /1?a HTTP/1.1\r\nHost: a\r\n\r\n"
    "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    "POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n"
    "3;x=\"y\"\r\nabc\r\n0a\r\n0123456789\r\n0\r\nT: t\r\n\r\n"
    "HEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n"
    "PUT /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    "GET /6 HTTP/1.1\r\nHost : a\r\n\r\n"
    "GET /7 HTTP/1.1\r\nHost: a\r\n\r\n",
    // The last request says so.
    "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    "POST /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    // The second body is wrong.
    "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
};

TEST_P(RobustTest, AnySegmentationGivesTheSameAnswers) {
  start();
  for (const std::string_view conversation : kConversations) {
    SCOPED_TRACE(conversation);
    const std::string whole = ask(conversation);
    EXPECT_GE(count_of(whole, "HTTP/1.1 200 OK\r\n"), 1U);
    for (std::size_t at = 1; at < conversation.size(); ++at) {
      SCOPED_TRACE(at);
      HttpClient& client = dial_and_wait();
      client.send(conversation.substr(0, at));
      ASSERT_NO_FATAL_FAILURE(wait_until_read(client, at));
      client.send(conversation.substr(at));
      ASSERT_TRUE(run_until([&] { return client.over(); }));
      ASSERT_EQ(client.received(), whole);
      clients_.clear();
    }
    HttpClient& client = dial_and_wait();
    for (std::size_t at = 0; at < conversation.size() && !client.over(); ++at) {
      client.send(conversation.substr(at, 1));
      ASSERT_NO_FATAL_FAILURE(wait_until_read(client, at + 1));
    }
    ASSERT_TRUE(run_until([&] { return client.over(); }));
    EXPECT_EQ(client.received(), whole) << "byte by byte";
  }
}

// ---- What a handler may not send ----

TEST_P(RobustTest, NothingThatEndsALineGetsIntoAHead) {
  NODE_TEST("http-response-splitting");
  int refused = 0;
  serve([&](Request&, Response& response) {
    using namespace std::string_view_literals;
    for (const std::string_view bad : {"a\r\nX: y"sv, "a\nX: y"sv, "a\rX: y"sv, "a\0X: y"sv}) {
      refused += !response.set_header(bad, "v").has_value();
      refused += !response.set_header("N", bad).has_value();
      refused += !response.append_header("N", bad).has_value();
      refused += !response.set_trailer("T", bad).has_value();
      refused += !response.write_early_hints({{"Link", bad}}).has_value();
      refused += !response.write_head(200, {{"N", bad}}).has_value();
    }
    response.end("good");
  });
  const std::string answers = without_date(ask(kGetLast));
  EXPECT_EQ(refused, 24);
  EXPECT_EQ(answers, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood");
}

TEST_P(RobustTest, NothingThatEndsALineGetsIntoAReason) {
  NODE_TEST("http-status-reason-invalid-chars");
  using namespace std::string_view_literals;
  for (const std::string_view bad : {"a\r\nX: y"sv, "a\nb"sv, "a\rb"sv, "a\0b"sv}) {
    serve([&](Request&, Response& response) {
      response.on_error(
          [](Response&, const Error& error) { EXPECT_EQ(error.code, Mistake::invalid_char); });
      if (response.set_status(200, bad).has_value()) {
        response.end("good");
      } else {
        response.set_status(500).value();
        response.end();
      }
    });
    const std::string answered = ask(kGetLast);
    EXPECT_TRUE(answered.starts_with("HTTP/1.1 500 Internal Server Error\r\n")) << answered;
    EXPECT_FALSE(answered.contains("X: y"));
  }
}

// ---- Time: the simulator's ----

class VirtualSlowTest : public RobustTest {
 protected:
  // A client whose end is dated.
  HttpClient& dial_and_time() {
    HttpClient& client = dial_and_wait();
    began_ = reactor().now();
    client.socket().on_end([this](Socket&) { ended_ = reactor().now(); });
    return client;
  }
  // One piece each period, until the server has had enough.
  void trickle(HttpClient& client, std::string_view piece, Duration period, int count) {
    for (int i = 0; i < count && !client.over(); ++i) {
      client.send(piece);
      run_for(period);
    }
  }
  void expect_end_after(Duration time, HttpClient& client, std::string_view answer) {
    ASSERT_TRUE(run_until([&] { return client.over(); }));
    EXPECT_EQ(client.received(), answer);
    EXPECT_GE(ended_ - began_, time);
    EXPECT_LE(ended_ - began_, time + 1s);
  }

  Instant began_;
  Instant ended_;
};

WEIR_ON_SIM(VirtualSlowTest);

TEST_P(VirtualSlowTest, AHeadThatTakesAMinuteIsTooSlow) {
  NODE_TEST("http-server-headers-timeout-interrupted-headers");
  start();
  HttpClient& client = dial_and_time();
  client.send("GET / HTTP/1.1\r\nX: ");
  trickle(client, "a", 7s, 100);
  expect_end_after(60s, client, kTooSlow);
}

TEST_P(VirtualSlowTest, SilenceIsTooSlow) {
  NODE_TEST("http-server-headers-timeout-delayed-headers");
  start();
  HttpClient& client = dial_and_time();
  run_for(70s);
  expect_end_after(60s, client, kTooSlow);
  run_for(3s);
  EXPECT_EQ(server().connections(), 0U) << "although the client does not end it";
}

TEST_P(VirtualSlowTest, TheTimeOfALaterHeadBeginsWithItsFirstByte) {
  NODE_TEST("http-server-headers-timeout-keepalive");
  start();
  HttpClient& client = dial_and_time();
  client.send(kGet);
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n/"));
  client.take();
  run_for(4s);
  began_ = reactor().now();
  client.send("G");
  run_for(70s);
  expect_end_after(60s, client, kTooSlow);
}

TEST_P(VirtualSlowTest, AKeptConnectionIsClosedWithoutAWord) {
  NODE_TEST("http-server-keep-alive-timeout");
  start();
  HttpClient& client = dial_and_time();
  client.send(kGet);
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n/"));
  client.take();
  run_for(10s);
  expect_end_after(5s, client, "");
}

TEST_P(VirtualSlowTest, ABodyThatStopsIsTooSlow) {
  NODE_TEST("http-server-request-timeout-delayed-body");
  start();
  HttpClient& client = dial_and_time();
  client.send(POST "Content-Length: 1000\r\n\r\nxxxxxxxxxx");
  run_for(20s);
  expect_end_after(5s, client, kTooSlow);
}

TEST_P(VirtualSlowTest, ABodyAByteASecondIsTooSlow) {
  start();
  HttpClient& client = dial_and_time();
  client.send(POST "Content-Length: 1000\r\n\r\n");
  trickle(client, "x", 1s, 1000);
  expect_end_after(5s, client, kTooSlow);
}

TEST_P(VirtualSlowTest, ABodyThatIsNotTooSlowIsTaken) {
  start();
  HttpClient& client = dial_and_time();
  client.send(POST "Content-Length: 30000\r\n\r\n");
  trickle(client, std::string(300, 'x'), 1s, 100);
  EXPECT_TRUE(run_until_received(client, "HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(delivered_, 30'000U);
}

TEST_P(VirtualSlowTest, ARequestThatTakesFiveMinutesIsTooSlow) {
  start({.body_rate_min = 0});
  HttpClient& client = dial_and_time();
  client.send(POST "Content-Length: 1000\r\n\r\n");
  trickle(client, "x", 7s, 100);
  expect_end_after(300s, client, kTooSlow);
}

// The body is more than the simulator's window, so that the client has to wait.
TEST_P(VirtualSlowTest, TimeThatTheServerTakesIsNotTheClients) {
  std::size_t delivered = 0;
  http::RequestRef paused;
  serve([&](Request& request, Response& response) {
    request.on_data([&](Request&, Buffer bytes) { delivered += bytes.size(); });
    request.on_end([&response](Request&) { response.end("good"); });
    request.pause();
    paused = request.weak();
  });
  HttpClient& client = dial();
  client.send(POST "Content-Length: 1048579\r\n\r\n" + std::string(kMiB, 'x'));
  run_for(10h);
  ASSERT_NE(paused.get(), nullptr);
  EXPECT_EQ(delivered, 0U);
  EXPECT_FALSE(client.over());
  paused.get()->resume();
  run_for(1s);
  client.send("end");
  ASSERT_TRUE(run_until_received(client, "\r\n\r\ngood"));
  EXPECT_EQ(delivered, kMiB + 3);
}

TEST_P(VirtualSlowTest, AClientThatStaysBehindItsErrorIsCutOffAfterTwoSeconds) {
  RULES("4.3.5.4");
  start();
  dial_and_time().send("nonsense\r\n\r\n");
  run_for(1900ms);
  EXPECT_EQ(server().connections(), 1U);
  run_for(200ms);
  EXPECT_EQ(server().connections(), 0U);
}

// The time of the lingering close begins when the last byte is out.
TEST_P(VirtualSlowTest, ALastAnswerIsNotCutShort) {
  start();
  HttpClient& client = dial(false);
  client.send("GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  run_for(1h);
  std::uint64_t received = 0;
  client.socket().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_GT(received, big_bytes_);
  EXPECT_EQ(client.error(), std::error_code());
}

TEST_P(RobustTest, TheTimeOfAHeadIsTheKernelsToo) {
  start({.headers_timeout = 40ms});
  HttpClient& client = dial_and_wait();
  const Instant began = reactor().now();
  client.send("GET / HTTP/1.1\r\n");
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(client.received(), kTooSlow);
  EXPECT_LT(reactor().now() - began, 1s + 40ms);
}

// ---- Memory of the process ----

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Clients and server are in one process, so this is the memory of both.
class ResidentTest : public RobustTest {};
WEIR_ON_KERNEL_BACKENDS(ResidentTest);

TEST_P(ResidentTest, ClientsThatDoNotReadCostLittle) {
  start({}, 3072 * kMiB);
  ASSERT_NO_FATAL_FAILURE(make_round_trips());
  const std::size_t before = resident_bytes();
  dial(false).send(kGetBig);
  ASSERT_TRUE(run_until([&] { return requests_ == 21; }));
  ASSERT_NO_FATAL_FAILURE(make_round_trips());
  EXPECT_LT(resident_bytes(), before + 32 * kMiB) << "one, and 3 GiB";
  for (int i = 0; i < 100; ++i) dial(false).send(kGetBig);
  ASSERT_TRUE(run_until([&] { return requests_ == 141; }));
  ASSERT_NO_FATAL_FAILURE(make_round_trips());
  EXPECT_LT(resident_bytes(), before + 128 * kMiB) << "a hundred";
}

#endif

}  // namespace
}  // namespace weir::test
