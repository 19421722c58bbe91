// The contract, section 4.4: when responses are sent, what becomes of writes and ends, and how they
// fail.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/gate.h"
#include "tests/http_world.h"

namespace weir::test {
namespace {

using http::ResponseDone;
using http::ResponseRef;

#define KEPT "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK KEPT "Transfer-Encoding: chunked\r\n\r\n"

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kLast = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
constexpr std::string_view kLastAnswer = OK "Connection: close\r\nContent-Length: 4\r\n\r\nlast";
constexpr std::string_view kRefused =
    "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
constexpr std::size_t kHighWater = 8'000;
constexpr std::size_t kBytesMax = 20'000;

// A server behind a Gate. A request for /last gets "last"; the others are the test's, the sends of
// their connection go to `sends_`, what they are told to `story_`.
class HttpWriteTest : public BackendTest {
 protected:
  using Handler = std::function<void(Request&, Response&)>;

  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    auto gate = std::make_unique<Gate>(make_backend());
    gate_ = gate.get();
    reactor_ = std::make_unique<Reactor>(std::move(gate));
    reactor_->on_unhandled_error([this](const Error& error) {
      unhandled_ += name_of(error.code);
    });
    listen({.high_water = kHighWater, .bytes_max = kBytesMax});
  }
  void listen(net::QueueLimits limits) {
    http::ServerOptions options;
    options.net.socket.queue = limits;
    server_ = std::make_unique<http::Server>(*reactor_, options);
    server_->on_request([this](Request& request, Response& response) {
      if (request.target() == "/last") return void(response.end("last"));
      gate_->watch(request.socket().native_handle(), &sends_);
      response_ = &response;
      handler_(request, response);
    });
    const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    to_ = {.host = "127.0.0.1", .port = bound->port()};
  }

  void TearDown() override {
    clients_.clear();
    server_.reset();
    reactor_.reset();
  }

  bool run_until(const std::function<bool()>& done) {
    const Instant end = reactor_->now() + kPatience;
    while (!done() && reactor_->now() < end) reactor_->run_once(end);
    return done();
  }

  HttpClient& dial(bool reads = true) {
    return *clients_.emplace_back(std::make_unique<HttpClient>(*reactor_, to_, reads));
  }
  HttpClient& start(Handler handler, std::string_view bytes = kGet, bool reads = true) {
    handler_ = std::move(handler);
    response_ = nullptr;
    HttpClient& client = dial(reads);
    client.send(bytes);
    EXPECT_TRUE(run_until([&] { return response_ != nullptr; }));
    return client;
  }
  // Whatever was caused is done when another connection has had an answer.
  void let_all_happen() {
    HttpClient& other = dial();
    other.send(kLast);
    EXPECT_TRUE(run_until([&] { return other.over(); }));
  }
  // All that the client has got, without Date, when another request is answered behind it.
  std::string kept(HttpClient& client) {
    client.send(kLast);
    EXPECT_TRUE(run_until([&] { return client.over(); }));
    std::string all = without_date(client.received());
    EXPECT_TRUE(all.ends_with(kLastAnswer)) << all;
    all.resize(all.size() - std::min(all.size(), kLastAnswer.size()));
    return all;
  }
  // The same, where the connection ends behind it.
  std::string last(HttpClient& client) {
    client.send(kLast);
    EXPECT_TRUE(run_until([&] { return client.over(); }));
    EXPECT_FALSE(client.received().ends_with("last")) << client.received();
    return without_date(client.received());
  }
  bool run_until_received(HttpClient& client, std::string_view text) {
    return run_until([&] { return client.received().find(text) != std::string::npos; });
  }
  bool run_until_told(std::string_view event) {
    return run_until([&] { return story_.ends_with(event); });
  }
  void note(std::string_view event) {
    if (!story_.empty()) story_ += ' ';
    story_ += event;
  }
  // A callback that is noted by this name, with its code if it has one.
  ResponseDone done(const char* name) {
    return [this, name](Response&, std::error_code code) {
      note(code ? std::string(name) + ":" + std::string(name_of(code)) : name);
    };
  }
  void record(Response& response) {
    response.on_drain([this](Response&) { note("drain"); });
    response.on_finish([this](Response&) { note("finish"); });
    response.on_error([this](Response&, const Error& error) { note(name_of(error.code)); });
    response.on_close([this](Response&) { note("close"); });
  }

  Gate* gate_ = nullptr;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<http::Server> server_;
  net::ConnectOptions to_;
  std::vector<std::unique_ptr<HttpClient>> clients_;
  Handler handler_;
  Response* response_ = nullptr;
  Sizes sends_;
  std::string story_, unhandled_;
};

// ---- What is sent together ----

TEST_P(HttpWriteTest, OneTurnIsOneSend) {
  RULES("4.4.2.1 4.4.2.2 4.4.6.8");
  NODE_TEST("http-byteswritten");
  HttpClient& client = start([&](Request&, Response& response) {
    response.write("a");
    response.write(Buffer::take(std::string(3'000, 'b')));
    response.end("c");
    EXPECT_EQ(sends_, Sizes());
  });
  ASSERT_TRUE(run_until_received(client, "0\r\n\r\n"));
  EXPECT_EQ(sends_, Sizes{client.received().size()});
  sends_.clear();
  HttpClient& single = start([](Request&, Response& response) { response.end("all"); });
  ASSERT_TRUE(run_until_received(single, "all"));
  EXPECT_EQ(sends_, Sizes{single.received().size()});
  sends_.clear();
  HttpClient& first = start([](Request&, Response& response) { response.write("first"); });
  ASSERT_TRUE(run_until_received(first, "5\r\nfirst\r\n"));
  EXPECT_EQ(sends_, Sizes{first.received().size()});
  EXPECT_EQ(response_->socket().bytes_written(), first.received().size());
  response_->end();
  EXPECT_EQ(kept(first), CHUNKED "5\r\nfirst\r\n0\r\n\r\n");
}

TEST_P(HttpWriteTest, TheHeadLeavesAloneOnlyOnDemand) {
  RULES("4.4.2.3 4.4.2.7");
  NODE_TEST("http-flush-response-headers");
  HttpClient& client = start([](Request&, Response& response) {
    EXPECT_TRUE(response.write_head(200));
  });
  let_all_happen();
  EXPECT_EQ(sends_, Sizes());
  EXPECT_TRUE(response_->flush_headers());
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n"));
  EXPECT_EQ(without_date(client.received()), CHUNKED);
  EXPECT_EQ(sends_, Sizes{client.received().size()});
  EXPECT_TRUE(response_->flush_headers());
  response_->end("x");
  EXPECT_EQ(kept(client), CHUNKED "1\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(sends_.size(), 3U);
}

TEST_P(HttpWriteTest, NothingIsSentWhileCorked) {
  RULES("4.4.6.9 4.4.6.10");
  NODE_TEST("http-response-cork");
  HttpClient& client = start([](Request&, Response& response) {
    response.cork();
    response.cork();
    response.write("one");
  });
  let_all_happen();
  response_->write("two");
  response_->uncork();
  let_all_happen();
  EXPECT_EQ(sends_, Sizes());
  response_->uncork();
  ASSERT_TRUE(run_until_received(client, "two\r\n"));
  EXPECT_EQ(sends_, Sizes{client.received().size()});
  response_->cork();
  response_->write("three");
  response_->end("four");
  EXPECT_EQ(kept(client), CHUNKED "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n4\r\nfour\r\n0\r\n\r\n");
}

// ---- Interim answers ----

TEST_P(HttpWriteTest, InterimAnswersComeBeforeTheHead) {
  RULES("4.4.12.1 4.4.12.2 4.4.12.6");
  NODE_TEST("http-early-hints http-information-processing http-information-headers");
  constexpr std::string_view kInterim =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
      "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX-Y: z\r\n\r\n"
      "HTTP/1.1 102 Processing\r\n\r\n";
  HttpClient& client = start([](Request&, Response& response) {
    EXPECT_TRUE(response.write_continue());
    EXPECT_TRUE(response.write_processing());
    EXPECT_TRUE(response.write_early_hints({{"Link", "</a>; rel=preload"}, {"X-Y", "z"}}));
    EXPECT_TRUE(response.write_processing());
    EXPECT_FALSE(response.headers_sent());
  });
  ASSERT_TRUE(run_until([&] { return client.received().size() >= kInterim.size(); }));
  EXPECT_EQ(client.received(), kInterim);
  response_->set_header("X", "1");
  response_->end("x");
  EXPECT_EQ(kept(client), std::string(kInterim) + OK "X: 1\r\n" KEPT "Content-Length: 1\r\n\r\nx");
}

TEST_P(HttpWriteTest, HintsAreLinks) {
  RULES("4.4.12.3 4.4.12.4");
  NODE_TEST("http-early-hints-invalid-argument");
  HttpClient& client = start([](Request&, Response& response) {
    const auto refused = [&](std::initializer_list<http::Field> fields, Mistake mistake) {
      const auto written = response.write_early_hints(fields);
      ASSERT_FALSE(written);
      EXPECT_EQ(written.error().code, mistake);
    };
    refused({}, Mistake::bad_argument);
    refused({{"X", "1"}}, Mistake::bad_argument);
    refused({{"Link", "</a>"}, {"Content-Length", "1"}}, Mistake::bad_argument);
    refused({{"Link", "</a>\r\nX: y"}}, Mistake::invalid_char);
    response.end();
  });
  EXPECT_EQ(kept(client), OK KEPT "Content-Length: 0\r\n\r\n");
  const auto interim = [](Request&, Response& response) {
    EXPECT_TRUE(response.write_continue());
    EXPECT_TRUE(response.write_processing());
    EXPECT_TRUE(response.write_early_hints({{"Link", "</a>"}}));
    response.end("x");
  };
  EXPECT_EQ(last(start(interim, "GET / HTTP/1.0\r\n\r\n")), OK "Connection: close\r\n\r\nx");
}

TEST_P(HttpWriteTest, InterimAnswersLeaveInTheirPlace) {
  RULES("4.4.12.7");
  Response* first = nullptr;
  HttpClient& client = start(
      [&](Request&, Response& response) {
        if (first == nullptr) {
          first = &response;
        } else {
          EXPECT_TRUE(response.write_processing());
        }
      },
      std::string(kGet).append(kGet));
  ASSERT_TRUE(run_until([&] { return response_ != first; }));
  let_all_happen();
  EXPECT_EQ(client.received(), "");
  Response* second = response_;
  first->end("1");
  ASSERT_TRUE(run_until_received(client, "102"));
  second->end("2");
  EXPECT_EQ(kept(client), OK KEPT "Content-Length: 1\r\n\r\n1"
                          "HTTP/1.1 102 Processing\r\n\r\n"
                          OK KEPT "Content-Length: 1\r\n\r\n2");
}

// ---- Results, drain ----

TEST_P(HttpWriteTest, WritesSayHowFullTheQueueIs) {
  RULES("4.4.9.1 4.4.9.2 4.4.9.3 4.4.9.10 4.4.9.11 4.4.9.15");
  NODE_TEST("http-write-callbacks");
  Buffer too_much = Buffer::take(std::string(kBytesMax, 'l'));
  HttpClient& client = start([&](Request&, Response& response) {
    gate_->hold();
    record(response);
    EXPECT_EQ(response.writable_length(), 0U);
    response.write("", done("a"));
    int full = 0;
    for (int i = 0; i < 12; ++i) {
      const Write result = response.write(std::string(1'000, 'x'));
      EXPECT_GE(response.writable_length(), static_cast<std::size_t>(i + 1) * 1'000);
      EXPECT_EQ(result, response.writable_length() < kHighWater ? Write::ok : Write::full) << i;
      EXPECT_EQ(response.writable_needs_drain(), result == Write::full) << i;
      full += result == Write::full;
    }
    EXPECT_EQ(full, 5) << "the head and the chunks' sizes count";
    EXPECT_EQ(response.write(std::move(too_much)), Write::refused);
    EXPECT_EQ(too_much.size(), kBytesMax);
    response.write("z", done("b"));
  });
  ASSERT_TRUE(run_until([&] { return !sends_.empty(); }));
  EXPECT_GT(response_->writable_length(), 12'000U) << "in flight";
  EXPECT_EQ(story_, "");
  gate_->let_go();
  ASSERT_TRUE(run_until([&] { return story_.size() == std::string_view("drain a b").size(); }));
  EXPECT_EQ(story_, "drain a b");
  EXPECT_EQ(response_->writable_length(), 0U);
  EXPECT_FALSE(response_->writable_needs_drain());
  EXPECT_EQ(response_->write("again"), Write::ok);
  response_->end();
  const std::string all = kept(client);
  EXPECT_TRUE(all.ends_with("1\r\nz\r\n5\r\nagain\r\n0\r\n\r\n"));
  EXPECT_EQ(count_of(all, "3e8\r\n"), 12U);
  EXPECT_EQ(story_, "drain a b finish close");
}

TEST_P(HttpWriteTest, NoDrainFollowsAnEnd) {
  RULES("4.4.9.9 4.4.9.10");
  HttpClient& client = start([&](Request&, Response& response) {
    gate_->hold();
    record(response);
    EXPECT_EQ(response.write(std::string(kHighWater, 'x')), Write::full);
    EXPECT_TRUE(response.writable_needs_drain());
    response.end(done("end"));
    EXPECT_FALSE(response.writable_needs_drain());
  });
  ASSERT_TRUE(run_until([&] { return !sends_.empty(); }));
  gate_->let_go();
  kept(client);
  EXPECT_EQ(story_, "end finish close");
}

TEST_P(HttpWriteTest, WhatWaitsForItsTurnCountsToo) {
  RULES("4.4.9.13 4.4.9.14 4.4.9.2");
  NODE_TEST("http-outgoing-buffer");
  Response* first = nullptr;
  HttpClient& client = start(
      [&](Request&, Response& response) {
        (first == nullptr ? first : response_) = &response;
        if (first != &response) record(response);
      },
      std::string(kGet).append(kGet));
  ASSERT_TRUE(run_until([&] { return response_ != first; }));
  Response* second = response_;
  first->on_finish([&](Response&) { note("first"); });
  EXPECT_EQ(second->write(std::string(kHighWater, 'x'), done("write")), Write::full);
  EXPECT_GE(second->writable_length(), kHighWater);
  EXPECT_TRUE(second->writable_needs_drain());
  let_all_happen();
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(story_, "");
  first->end("1");
  ASSERT_TRUE(run_until([&] {
    return story_.size() == std::string_view("first drain write").size();
  }));
  second->end(done("end"));
  const std::string all = kept(client);
  EXPECT_TRUE(all == OK KEPT "Content-Length: 1\r\n\r\n1" CHUNKED "1f40\r\n" +
                         std::string(kHighWater, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(count_of(story_, "drain"), 1U) << story_;
  EXPECT_LT(story_.find("first"), story_.find("finish"));
  EXPECT_TRUE(story_.ends_with(" end finish close")) << story_;
}

TEST_P(HttpWriteTest, TheFirstInLineIsNotHeldUpByLaterOnes) {
  RULES("4.4.9.17");
  Response* first = nullptr;
  HttpClient& client = start(
      [&](Request&, Response& response) {
        (first == nullptr ? first : response_) = &response;
      },
      std::string(kGet).append(kGet));
  ASSERT_TRUE(run_until([&] { return response_ != first; }));
  Response* second = response_;
  second->set_header("Content-Length", std::to_string(2 * kBytesMax));
  ASSERT_EQ(second->write(Buffer::take(std::string(kBytesMax, 'x'))), Write::full);
  ASSERT_EQ(second->write(Buffer::take(std::string(kBytesMax, 'x'))), Write::refused);
  second->on_drain([](Response& response) {
    response.end(Buffer::take(std::string(kBytesMax, 'x')));
  });
  EXPECT_NE(first->end("1"), Write::refused);
  if (!first->writable_ended()) first->destroy();
  EXPECT_TRUE(kept(client) == OK KEPT "Content-Length: 1\r\n\r\n1"
                                  OK "Content-Length: 40000\r\n" KEPT "\r\n" +
                                  std::string(2 * kBytesMax, 'x'));
}

TEST_P(HttpWriteTest, APieceOfAnySizeIsTakenWhenNothingIsQueued) {
  RULES("4.4.9.18");
  const std::string large(3 * kBytesMax, 'x');
  HttpClient& client = start([&](Request&, Response& response) {
    EXPECT_EQ(response.end(Buffer::copy(large)), Write::full);
  });
  EXPECT_TRUE(kept(client) == OK KEPT "Content-Length: 60000\r\n\r\n" + large);
  HttpClient& chunked = start([&](Request&, Response& response) {
    EXPECT_EQ(response.write(Buffer::copy(large)), Write::full);
    response.on_drain([](Response& drained) { drained.end(); });
  });
  EXPECT_TRUE(kept(chunked) == CHUNKED "ea60\r\n" + large + "\r\n0\r\n\r\n");
}

TEST_P(HttpWriteTest, AtItsLimitTheQueueLosesNothing) {
  RULES("4.4.9.3 4.4.9.19");
  std::size_t large = 0;
  std::size_t small = 0;
  HttpClient& client = start([&](Request&, Response& response) {
    while (large < 100 && response.write(std::string(1'000, 'x')) != Write::refused) ++large;
    while (small < 1'000 && response.write("y") != Write::refused) ++small;
    response.on_drain([](Response& drained) { drained.end(); });
    response.end();
  });
  const std::string all = kept(client);
  EXPECT_LT(large, 20U);
  EXPECT_LT(small, 1'000U);
  EXPECT_EQ(count_of(all, "3e8\r\n"), large);
  EXPECT_EQ(count_of(all, "1\r\ny\r\n"), small);
  EXPECT_TRUE(all.ends_with("\r\n0\r\n\r\n"));
}

TEST_P(HttpWriteTest, ALongBodyIsExact) {
  RULES("4.4.9.2 4.4.6.1");
  NODE_TEST("http-chunk-problem");
  int pieces = 0;
  const auto fill = [&](Response& response) {
    while (pieces < 1'000) {
      const std::string piece(1'024, static_cast<char>('a' + pieces++ % 26));
      if (response.write(piece) != Write::ok) return;
    }
    response.end();
  };
  HttpClient& client = start([&](Request&, Response& response) {
    response.on_drain([&](Response& drained) { fill(drained); });
    fill(response);
  });
  std::string expected = CHUNKED;
  for (int i = 0; i < 1'000; ++i) {
    expected += "400\r\n" + std::string(1'024, static_cast<char>('a' + i % 26)) + "\r\n";
  }
  EXPECT_TRUE(kept(client) == expected + "0\r\n\r\n");
}

// ---- Callbacks, finish, close ----

TEST_P(HttpWriteTest, CallbacksComeInOrderThenFinishThenClose) {
  RULES("4.4.9.4 4.4.9.5 4.4.9.6 4.4.9.12");
  NODE_TEST("http-write-callbacks http-outgoing-finish http-req-res-close http-response-close");
  HttpClient& client = start([&](Request&, Response& response) {
    record(response);
    response.write("a", done("a"));
    response.write(Buffer(), done("nothing"));
    response.write(Buffer::literal("b"), done("b"));
    EXPECT_FALSE(response.writable_ended());
    response.end("c", done("end"));
    EXPECT_TRUE(response.writable_ended());
    EXPECT_FALSE(response.writable_finished());
    response.on_finish([](Response& finished) { EXPECT_TRUE(finished.writable_finished()); });
    EXPECT_EQ(story_, "");
  });
  ASSERT_TRUE(run_until_told("close"));
  EXPECT_EQ(story_, "a nothing b end finish close");
  EXPECT_EQ(kept(client), CHUNKED "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
  EXPECT_EQ(story_, "a nothing b end finish close") << "each once";
}

TEST_P(HttpWriteTest, NothingIsFinishedBeforeTheKernelHasIt) {
  RULES("4.4.9.5");
  HttpClient& client = start([&](Request&, Response& response) {
    gate_->hold();
    record(response);
    response.end("x", done("end"));
  });
  ASSERT_TRUE(run_until([&] { return !sends_.empty(); }));
  let_all_happen();
  EXPECT_EQ(story_, "");
  gate_->let_go();
  ASSERT_TRUE(run_until_told("close"));
  EXPECT_EQ(story_, "end finish close");
  kept(client);
}

TEST_P(HttpWriteTest, AReferenceEndsWithTheResponse) {
  RULES("4.4.2.8 4.2.1.13");
  ResponseRef weak;
  HttpClient& client = start([&](Request&, Response& response) {
    weak = response.weak();
    record(response);
  });
  let_all_happen();
  EXPECT_EQ(weak.get(), response_);
  response_->end();
  ASSERT_TRUE(run_until_told("close"));
  kept(client);
  EXPECT_EQ(weak.get(), nullptr) << "nor another response's";
}

TEST_P(HttpWriteTest, AClientThatGoesLeavesNoCallbackWaiting) {
  RULES("4.4.9.7 4.2.5.3 4.2.5.6");
  NODE_TEST("http-response-close");
  constexpr std::size_t kSize = std::size_t{15} << 20;  // beyond the kernel's buffers
  listen({});
  HttpClient& client = start(
      [&](Request&, Response& response) {
        record(response);
        response.write(Buffer::take(std::string(kSize, 'x')), done("write"));
        response.end(done("end"));
      },
      kGet, false);
  let_all_happen();
  EXPECT_EQ(story_, "");
  EXPECT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until_told("close"));
  EXPECT_EQ(story_, "write:ECONNRESET end:ECONNRESET close");
  EXPECT_EQ(unhandled_, "");
}

TEST_P(HttpWriteTest, DestroyIsTheEnd) {
  RULES("4.4.9.8 4.4.9.7 4.4.9.12 4.4.9.16");
  NODE_TEST("http-outgoing-destroy http-response-close");
  HttpClient& client = start([&](Request&, Response& response) {
    record(response);
    response.write("never sent", done("write"));
    response.destroy();
    EXPECT_TRUE(response.destroyed());
    EXPECT_EQ(response.write("late", done("late")), Write::closed);
    EXPECT_EQ(response.end("late", done("end")), Write::closed);
    response.destroy();
    EXPECT_EQ(story_, "");
  });
  ASSERT_TRUE(run_until([&] { return client.over() && story_.ends_with("close"); }));
  EXPECT_EQ(story_, "write:ERR_STREAM_DESTROYED late:ERR_STREAM_DESTROYED "
                    "end:ERR_STREAM_DESTROYED close");
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(unhandled_, "");
}

// ---- After the end ----

TEST_P(HttpWriteTest, AWriteAfterTheEndIsAnErrorOfItsOwn) {
  RULES("4.4.10.1 4.4.10.2 4.4.10.4");
  NODE_TEST("http-res-write-after-end http-outgoing-end-multiple");
  HttpClient& client = start([&](Request&, Response& response) {
    record(response);
    response.write("This should write.");
    response.end();
    EXPECT_EQ(response.write("This should raise an error.", done("late")), Write::closed);
    EXPECT_EQ(response.end("so should this", done("later")), Write::closed);
    EXPECT_EQ(story_, "");
  });
  ASSERT_TRUE(run_until_told("close"));
  EXPECT_EQ(count_of(story_, "late:ERR_STREAM_WRITE_AFTER_END"), 1U) << story_;
  EXPECT_EQ(count_of(story_, "later:ERR_STREAM_WRITE_AFTER_END"), 1U) << story_;
  EXPECT_EQ(count_of(story_, " ERR_STREAM_WRITE_AFTER_END") + story_.starts_with("ERR"), 2U)
      << story_;
  EXPECT_TRUE(story_.ends_with("finish close")) << story_;
  EXPECT_EQ(kept(client), CHUNKED "12\r\nThis should write.\r\n0\r\n\r\n");
  EXPECT_EQ(unhandled_, "");
}

TEST_P(HttpWriteTest, ASecondEndIsHarmless) {
  RULES("4.4.10.3 4.4.10.5");
  NODE_TEST("http-outgoing-end-multiple");
  HttpClient& client = start([&](Request&, Response& response) {
    record(response);
    response.end("x", done("first"));
    EXPECT_EQ(response.end(), Write::ok);
    EXPECT_EQ(response.end("", done("second")), Write::ok);
    response.on_finish([&](Response& finished) { finished.end(done("third")); });
  });
  ASSERT_TRUE(run_until_told("close"));
  EXPECT_EQ(story_, "first second finish third:ERR_STREAM_ALREADY_FINISHED close");
  EXPECT_EQ(kept(client), OK KEPT "Content-Length: 1\r\n\r\nx");
  EXPECT_EQ(unhandled_, "");
}

TEST_P(HttpWriteTest, AnErrorWithoutAListenerIsTheReactors) {
  RULES("4.4.10.6 4.4.10.2");
  NODE_TEST("http-res-write-after-end");
  HttpClient& client = start([&](Request&, Response& response) {
    response.end("x");
    EXPECT_EQ(response.write("y"), Write::closed);
    EXPECT_EQ(unhandled_, "");
  });
  EXPECT_EQ(kept(client), OK KEPT "Content-Length: 1\r\n\r\nx");
  EXPECT_EQ(unhandled_, "ERR_STREAM_WRITE_AFTER_END");
}

// ---- Content-Length ----

TEST_P(HttpWriteTest, NoByteBeyondContentLengthIsSent) {
  RULES("4.4.8.1 4.4.8.2");
  NODE_TEST("http-content-length-mismatch");
  HttpClient& client = start([&](Request&, Response& response) {
    record(response);
    response.set_header("Content-Length", "5");
    EXPECT_EQ(response.write("hel", done("a")), Write::ok);
    Buffer bytes = Buffer::copy("loo");
    EXPECT_EQ(response.write(std::move(bytes), done("b")), Write::closed);
    EXPECT_EQ(bytes.view(), "loo") << "not taken";
    EXPECT_EQ(story_, "");
    EXPECT_EQ(response.write("lo", done("c")), Write::ok);
    response.end(done("end"));
  });
  ASSERT_TRUE(run_until_told("close"));
  EXPECT_EQ(story_, "ERR_HTTP_CONTENT_LENGTH_MISMATCH a b:ERR_HTTP_CONTENT_LENGTH_MISMATCH c end "
                    "finish close");
  EXPECT_EQ(kept(client), OK "Content-Length: 5\r\n" KEPT "\r\nhello");
}

TEST_P(HttpWriteTest, AShortBodyEndsTheConnection) {
  RULES("4.4.8.3");
  NODE_TEST("http-content-length-mismatch");
  HttpClient& client = start([&](Request&, Response& response) {
    response.set_header("Content-Length", "5");
    response.write("hell");
    response.end();
  });
  EXPECT_EQ(last(client), OK "Content-Length: 5\r\n" KEPT "\r\nhell");
}

TEST_P(HttpWriteTest, AnEndThatIsTooLongIsThe500OfTheServer) {
  RULES("4.4.8.4");
  NODE_TEST("http-content-length-mismatch");
  HttpClient& client = start([&](Request&, Response& response) {
    record(response);
    response.set_header("Content-Length", "5");
    EXPECT_EQ(response.end("hello!", done("end")), Write::closed);
  });
  EXPECT_EQ(last(client), kRefused);
  EXPECT_EQ(count_of(story_, "end:ERR_HTTP_CONTENT_LENGTH_MISMATCH"), 1U) << story_;
  EXPECT_TRUE(story_.starts_with("ERR_HTTP_CONTENT_LENGTH_MISMATCH")) << story_;
  EXPECT_TRUE(story_.ends_with("close")) << story_;
  HttpClient& late = start([&](Request&, Response& response) {
    response.set_header("Content-Length", "5");
    response.write("hel");
    EXPECT_EQ(response.end("loo"), Write::closed);
  });
  EXPECT_EQ(last(late), OK "Content-Length: 5\r\n" KEPT "\r\nhel");
  EXPECT_EQ(unhandled_, "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
}

TEST_P(HttpWriteTest, AFirstPieceThatIsTooLongIsThe500OfTheServer) {
  RULES("4.4.8.5 4.4.8.1");
  NODE_TEST("http-content-length-mismatch");
  HttpClient& client = start([&](Request&, Response& response) {
    record(response);
    response.set_header("Content-Length", "5");
    EXPECT_EQ(response.write("hello!", done("write")), Write::closed);
    response.end();
  });
  EXPECT_EQ(last(client), kRefused);
  EXPECT_TRUE(story_.starts_with("ERR_HTTP_CONTENT_LENGTH_MISMATCH "
                                 "write:ERR_HTTP_CONTENT_LENGTH_MISMATCH"))
      << story_;
}

WEIR_ON_ALL_BACKENDS(HttpWriteTest);

}  // namespace
}  // namespace weir::test
