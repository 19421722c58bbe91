// Server-sent events: the format, and streams of them.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "tests/http_world.h"
#include "weir/http/status/event_stream.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using http::EventStream;
using http::EventStreamOptions;
using http::StreamEvent;

std::string event_of(const StreamEvent& event) {
  std::string text;
  EXPECT_TRUE(http::append_event(text, event));
  return text;
}

TEST(StreamEventTest, HasALineForEachLineOfData) {
  EXPECT_EQ(event_of({.data = "one"}), "data: one\n\n");
  EXPECT_EQ(event_of({.data = ""}), "data: \n\n");
  EXPECT_EQ(event_of({.data = "a\nb\r\nc\rd"}), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(event_of({.data = "\n"}), "data: \ndata: \n\n");
  EXPECT_EQ(event_of({.data = " kept"}), "data:  kept\n\n");
  EXPECT_EQ(event_of({.data = "a\n\rb"}), "data: a\ndata: \ndata: b\n\n");
}

TEST(StreamEventTest, HasItsTypeAndId) {
  EXPECT_EQ(event_of({.data = "x", .event = "tick", .id = "7"}),
            "id: 7\nevent: tick\ndata: x\n\n");
  EXPECT_EQ(event_of({.data = "x", .id = ""}), "id: \ndata: x\n\n");
}

TEST(StreamEventTest, RefusesWhatWouldBeAnotherLine) {
  std::string text = "before";
  for (const std::string_view wrong : {"a\nb", "a\rb", "\n"}) {
    EXPECT_FALSE(http::append_event(text, {.data = "x", .event = wrong}));
    EXPECT_FALSE(http::append_event(text, {.data = "x", .id = wrong}));
  }
  EXPECT_FALSE(http::append_event(text, {.data = "x", .id = std::string_view("a\0b", 3)}));
  EXPECT_EQ(text, "before");
}

TEST(StreamEventTest, CommentsAndRetry) {
  std::string text;
  http::append_comment(text, "still\nhere");
  http::append_retry(text, 1500ms);
  EXPECT_EQ(text, ": still\n: here\n\nretry: 1500\n\n");
}

// ---- Streams ----

constexpr std::string_view kGet = "GET /events HTTP/1.1\r\nHost: a\r\n\r\n";

// The body, out of its chunks; "..." at the end of one that is not there yet.
std::string body_of(std::string_view received) {
  const std::size_t head = received.find("\r\n\r\n");
  if (head == std::string_view::npos) return "no head";
  std::string body;
  for (received.remove_prefix(head + 4); !received.empty();) {
    const std::size_t line = received.find("\r\n");
    if (line == std::string_view::npos) return body + "...";
    const std::size_t size = std::stoul(std::string(received.substr(0, line)), nullptr, 16);
    if (size == 0) return body + "(end)";
    received.remove_prefix(line + 2);
    body += received.substr(0, size);
    if (received.size() < size + 2) return body + "...";
    received.remove_prefix(size + 2);
  }
  return body;
}

class EventStreamTest : public HttpTest {
 protected:
  void TearDown() override {
    stream_.reset();
    HttpTest::TearDown();
  }

  EventStream& stream(EventStreamOptions options = {}) {
    serve([this](Request& request, Response& response) { stream_->answer(request, response); });
    stream_ = std::make_unique<EventStream>(server(), options);
    return *stream_;
  }

  HttpClient& listen_to_it(bool reads = true) {
    const std::size_t before = stream_->clients();
    HttpClient& client = dial(reads);
    client.send(kGet);
    EXPECT_TRUE(run_until([&] { return stream_->clients() == before + 1; }));
    return client;
  }

  bool run_until_body(HttpClient& client, const std::string& body) {
    return run_until([&] { return body_of(client.received()) == body; }) ||
           (ADD_FAILURE() << body_of(client.received()), false);
  }

  std::unique_ptr<EventStream> stream_;
};

TEST_P(EventStreamTest, EveryClientGetsEachEvent) {
  stream();
  HttpClient& one = listen_to_it();
  HttpClient& two = listen_to_it();
  ASSERT_TRUE(run_until_body(one, "retry: 2000\n\n"));
  ASSERT_TRUE(run_until_body(two, "retry: 2000\n\n"));
  EXPECT_NE(one.received().find("\r\nContent-Type: text/event-stream\r\n"), std::string::npos);
  EXPECT_NE(one.received().find("\r\nCache-Control: no-store\r\n"), std::string::npos);
  ASSERT_TRUE(stream_->publish({.data = "first"}));
  ASSERT_TRUE(run_until_body(one, "retry: 2000\n\ndata: first\n\n"));
  ASSERT_TRUE(run_until_body(two, "retry: 2000\n\ndata: first\n\n"));
  ASSERT_TRUE(stream_->publish({.data = "second"}));
  ASSERT_TRUE(run_until_body(two, "retry: 2000\n\ndata: first\n\ndata: second\n\n"));
}

TEST_P(EventStreamTest, WhoComesGetsTheLastOneAtOnce) {
  stream({.retry = 1s});
  ASSERT_TRUE(stream_->publish({.data = "old"}));
  ASSERT_TRUE(stream_->publish({.data = "new"}));
  HttpClient& client = listen_to_it();
  ASSERT_TRUE(run_until_body(client, "retry: 1000\n\ndata: new\n\n"));
  // What is wrong is told to nobody, and the last one stays.
  EXPECT_FALSE(stream_->publish({.data = "x", .event = "a\nb"}));
  HttpClient& later = listen_to_it();
  ASSERT_TRUE(run_until_body(later, "retry: 1000\n\ndata: new\n\n"));
  EXPECT_EQ(body_of(client.received()), "retry: 1000\n\ndata: new\n\n");
}

// One who does not read costs one event, however many there are; once it reads it gets the newest.
TEST_P(EventStreamTest, WhoReadsTooSlowlyGetsTheNewest) {
  stream();
  HttpClient& slow = listen_to_it(false);
  HttpClient& quick = listen_to_it();
  const std::string filler(256 * 1024, 'x');
  constexpr int kEvents = 200;
  for (int i = 0; i < kEvents; ++i) {
    quick.take();
    const std::string data = filler + std::to_string(i);
    ASSERT_TRUE(stream_->publish({.data = data}));
    ASSERT_TRUE(run_until_received(quick, "x" + std::to_string(i) + "\n"));
    ASSERT_LE(server().stats().queue_bytes, filler.size() + 100);
  }
  slow.read();
  slow.socket().resume();
  ASSERT_TRUE(run_until_received(slow, "x" + std::to_string(kEvents - 1) + "\n"));
  EXPECT_LT(count_of(slow.received(), "data: "), static_cast<std::size_t>(kEvents));
}

TEST_P(EventStreamTest, SilenceIsBrokenByComments) {
  stream({.heartbeat = 40ms});
  HttpClient& client = listen_to_it();
  ASSERT_TRUE(run_until_body(client, "retry: 2000\n\n: \n\n: \n\n"));
  // Nobody is left: no timer goes on.
  client.socket().reset_and_destroy();
  ASSERT_TRUE(run_until([&] { return stream_->clients() == 0; }));
}

TEST_P(EventStreamTest, NoHeartbeatWhileThereAreEvents) {
  stream({.heartbeat = 60ms});
  HttpClient& client = listen_to_it();
  std::string expected = "retry: 2000\n\n";
  for (int i = 0; i < 8 && simulated(); ++i) {
    run_for(20ms);
    ASSERT_TRUE(stream_->publish({.data = "x"}));
    expected += "data: x\n\n";
  }
  ASSERT_TRUE(run_until_body(client, expected));
}

TEST_P(EventStreamTest, ADrainEndsTheStreams) {
  stream();
  HttpClient& client = listen_to_it();
  ASSERT_TRUE(stream_->publish({.data = "last"}));
  const Instant begin = reactor().now();
  server().drain(15s);
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(body_of(client.received()), "retry: 2000\n\ndata: last\n\n(end)");
  EXPECT_EQ(stream_->clients(), 0U);
  EXPECT_TRUE(!simulated() || reactor().now() - begin < 1s);
}

TEST_P(EventStreamTest, TooManyClientsAreRefused) {
  stream({.clients_max = 1});
  HttpClient& first = listen_to_it();
  HttpClient& second = dial();
  second.send(kGet);
  ASSERT_TRUE(run_until_received(second, "\r\n\r\n"));
  EXPECT_TRUE(second.received().starts_with("HTTP/1.1 503 ")) << second.received();
  // A place becomes free.
  first.socket().reset_and_destroy();
  ASSERT_TRUE(run_until([&] { return stream_->clients() == 0; }));
  listen_to_it();
}

TEST_P(EventStreamTest, HeadHasNoEnd) {
  stream();
  const std::string answer =
      ask("HEAD /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
  EXPECT_EQ(stream_->clients(), 0U);
}

TEST_P(EventStreamTest, OldClientsGetItUntilTheConnectionEnds) {
  stream();
  HttpClient& client = dial();
  client.send("GET /events HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(run_until_received(client, "retry: 2000\n\n"));
  ASSERT_TRUE(stream_->publish({.data = "x"}));
  ASSERT_TRUE(run_until_received(client, "\r\n\r\nretry: 2000\n\ndata: x\n\n"));
  stream_->end();
  ASSERT_TRUE(run_until([&] { return client.over(); }));
}

// Behind a response whose turn has not come, a stream waits, and loses no more than others.
TEST_P(EventStreamTest, AStreamMayWaitForItsTurn) {
  Response* first = nullptr;
  serve([&](Request& request, Response& response) {
    if (request.path() == "/events") return stream_->answer(request, response);
    first = &response;
  });
  stream_ = std::make_unique<EventStream>(server());
  HttpClient& client = dial();
  client.send(std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n").append(kGet));
  ASSERT_TRUE(run_until([&] { return stream_->clients() == 1; }));
  for (const std::string_view data : {"one", "two", "three"}) {
    ASSERT_TRUE(stream_->publish({.data = data}));
    run_for(2ms);
  }
  first->end("before");
  ASSERT_TRUE(run_until_received(client, "data: three\n\n"));
  EXPECT_EQ(count_of(client.received(), "data: "), 1U);
}

TEST_P(EventStreamTest, EndsItsStreamsWhenItGoes) {
  stream();
  HttpClient& client = listen_to_it();
  stream_.reset();
  ASSERT_TRUE(run_until_body(client, "retry: 2000\n\n(end)"));
  // Also with an event on its way, and one client that does not read.
  stream_ = std::make_unique<EventStream>(server());
  listen_to_it();
  listen_to_it(false);
  ASSERT_TRUE(stream_->publish({.data = std::string(1 << 20, 'x')}));
}

WEIR_ON_ALL_BACKENDS(EventStreamTest);

}  // namespace
}  // namespace weir::test
