// The contract, section 4.6: how the body of a request is framed, and what writing answers.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_client_world.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kMethods[] = {"GET",    "HEAD",  "DELETE", "OPTIONS", "TRACE",
                                         "CONNECT", "POST", "PUT",    "PATCH",   "OWN"};
constexpr std::string_view kChunked = "Transfer-Encoding: chunked\r\n";

class WriteTest : public ClientTest {
 protected:
  static std::string line_of(std::string_view method) {
    return std::string(method) + (method == "CONNECT" ? " a:1" : " /");
  }
  static RequestOptions options_of(std::string_view method) {
    return {.method = method, .target = method == "CONNECT" ? "a:1" : "/"};
  }
  // Waits for so much at the connection that comes next, and compares.
  void expect_sent(std::string_view text) {
    EXPECT_TRUE(run_until_got(text, seen_)) << text;
    if (peers_.size() <= seen_) return;
    EXPECT_EQ(peer(seen_++).received, text);
  }
  // As many bytes as the high-water mark and more, which a peer that does not read leaves queued.
  static net::SocketOptions small_queue() {
    return {.queue = {.high_water = 32 * 1024, .low_water = 1024, .bytes_max = 64 * 1024},
            .no_delay = true};
  }
  // A request whose peer has stopped reading: the kernel takes nothing of it any more.
  Asked& begin_stuck() {
    agent_options_.socket = small_queue();
    listen();
    Asked& asked = begin({.method = "POST"});
    EXPECT_TRUE(asked.request().flush_headers());
    EXPECT_TRUE(run_until_head());
    peer().socket->pause();
    taken_ = peer().received.size();
    const std::string block(16 * 1024, 'b');
    for (int still = 0; still < 8;) {
      const std::size_t before = asked.request().writable_length();
      while (asked.request().writable_length() < 32 * 1024) asked.request().write(block);
      const std::size_t queued = asked.request().writable_length();
      settle();
      still = asked.request().writable_length() == queued && before <= queued ? still + 1 : 0;
    }
    return asked;
  }

  std::size_t seen_ = 0;
  std::size_t taken_ = 0;
};

// ---- Framing ----

TEST_P(WriteTest, OnePieceHasItsLengthWhateverTheMethod) {
  RULES("4.6.2.1");
  NODE_TEST("http-client-upload-buf http-content-length http-request-method-delete-payload");
  listen();
  for (const std::string_view method : kMethods) {
    ask_with_body(options_of(method), "body");
    expect_sent(head(line_of(method), "", "Content-Length: 4\r\n") + "body");
  }
}

TEST_P(WriteTest, SeveralPiecesAreChunksWhateverTheMethod) {
  RULES("4.6.2.2");
  NODE_TEST("http-client-upload http-chunked");
  listen();
  for (const std::string_view method : kMethods) {
    ClientRequest& request = begin(options_of(method)).request();
    request.write("ab");
    request.write(std::string(17, 'c'));
    request.end("d");
    expect_sent(head(line_of(method), "", kChunked) + "2\r\nab\r\n11\r\n" + std::string(17, 'c') +
                "\r\n1\r\nd\r\n0\r\n\r\n");
  }
}

TEST_P(WriteTest, NoBodyIsNoneOrOfLengthZero) {
  RULES("4.6.2.3 4.6.2.4");
  NODE_TEST("http-client-default-headers-exist http-zero-length-write");
  listen();
  for (const std::string_view method : kMethods) {
    ask_with_body(options_of(method), "");
    const bool says_zero = method == "POST" || method == "PUT" || method == "PATCH" ||
                           method == "OWN";
    expect_sent(head(line_of(method), "", says_zero ? "Content-Length: 0\r\n" : ""));
  }
}

TEST_P(WriteTest, AHeadThatIsFlushedMayHaveABodyToCome) {
  RULES("4.6.2.9");
  NODE_TEST("http-flush-headers");
  listen();
  Asked& asked = begin();
  EXPECT_TRUE(asked.request().flush_headers());
  EXPECT_TRUE(asked.request().flush_headers());
  asked.request().end();
  expect_sent(head("GET /", "", kChunked) + "0\r\n\r\n");
}

TEST_P(WriteTest, EmptyPiecesAreNoChunks) {
  RULES("4.6.2.11");
  NODE_TEST("http-write-empty-string http-zero-length-write http-zerolengthbuffer");
  listen();
  ClientRequest& request = begin({.method = "POST"}).request();
  EXPECT_EQ(request.write(""), Write::ok);
  request.write("a");
  EXPECT_EQ(request.write(Buffer()), Write::ok);
  request.end();
  expect_sent(head("POST /", "", kChunked) + "1\r\na\r\n0\r\n\r\n");
}

TEST_P(WriteTest, TheUsersFramingIsSentAsItIs) {
  RULES("4.6.2.5");
  NODE_TEST("http-content-length http-automatic-headers");
  listen();
  ClientRequest& sized = begin({.method = "POST", .headers = {{"content-length", "3"}}}).request();
  sized.write("a");
  sized.end("bc");
  expect_sent(head("POST /", "content-length: 3\r\n") + "abc");
  ask_with_body({.method = "PUT", .headers = {{"transfer-encoding", "chunked"}}}, "abc");
  expect_sent(head("PUT /", "transfer-encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n");
}

TEST_P(WriteTest, ARemovedFramingFieldLeavesTheOther) {
  RULES("4.6.2.8");
  NODE_TEST("http-remove-header-stays-removed");
  listen();
  ClientRequest& no_length = begin({.method = "POST"}).request();
  EXPECT_TRUE(no_length.remove_header("Content-Length"));
  no_length.end("abc");
  expect_sent(head("POST /", "", kChunked) + "3\r\nabc\r\n0\r\n\r\n");
  ClientRequest& no_chunks = begin({.method = "POST"}).request();
  EXPECT_TRUE(no_chunks.remove_header("Transfer-Encoding"));
  no_chunks.end("abc");
  expect_sent(head("POST /", "", "Content-Length: 3\r\n") + "abc");
}

TEST_P(WriteTest, AHeadThatCannotBeIsAnError) {
  RULES("4.6.2.7");
  NODE_TEST("http-content-length-mismatch");
  listen();
  Asked& both = ask_with_body({.method = "POST",
                               .headers = {{"Content-Length", "1"},
                                           {"Transfer-Encoding", "chunked"}}},
                              "x");
  ASSERT_TRUE(run_until_over(both));
  EXPECT_EQ(name_of(both.error.code), "ERR_INVALID_ARG_VALUE");
  Asked& longer =
      ask_with_body({.method = "POST", .headers = {{"Content-Length", "1"}}}, "xyz");
  ASSERT_TRUE(run_until_over(longer));
  EXPECT_EQ(name_of(longer.error.code), "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
  Asked& trailer = ask_with_body(
      {.method = "POST", .headers = {{"Content-Length", "1"}, {"Trailer", "A"}}}, "x");
  ASSERT_TRUE(run_until_over(trailer));
  EXPECT_EQ(name_of(trailer.error.code), "ERR_HTTP_TRAILER_INVALID");
  settle();
  for (const Peer& each : peers_) EXPECT_EQ(each.received, "");
  for (const Asked& each : asked_) EXPECT_FALSE(each.has("finish")) << each.events;
}

TEST_P(WriteTest, APieceBeyondContentLengthIsNotSent) {
  RULES("4.6.2.6");
  NODE_TEST("http-content-length-mismatch");
  listen();
  Asked& asked = begin({.method = "POST", .headers = {{"Content-Length", "4"}}});
  std::string codes;
  EXPECT_EQ(asked.request().write("ab"), Write::ok);
  EXPECT_EQ(asked.request().write("cde", [&](ClientRequest&, std::error_code code) {
    codes += name_of(code);
  }), Write::closed);
  asked.request().end("cd");
  expect_sent(head("POST /", "Content-Length: 4\r\n") + "abcd");
  EXPECT_EQ(codes, "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
  EXPECT_EQ(name_of(asked.error.code), "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
  say(kEmptyAnswer);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.status, 200);
}

TEST_P(WriteTest, ABodyShorterThanItsContentLengthEndsTheRequest) {
  RULES("4.6.2.6");
  listen();
  Asked& asked = begin({.method = "POST", .headers = {{"Content-Length", "4"}}});
  asked.request().write("ab");
  asked.request().end("c");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(name_of(asked.error.code), "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
  EXPECT_FALSE(asked.has("finish")) << asked.events;
}

TEST_P(WriteTest, TheUsersConnectionIsSentAsItIs) {
  RULES("4.6.2.10");
  NODE_TEST("http-keepalive-override http-keep-alive-close-on-header");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& asked = ask({.headers = {{"Connection", "close"}}});
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(peer().received, "GET / HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1:" +
                                 std::to_string(to_.port) + "\r\n\r\n");
  ASSERT_TRUE(run_until_left());
  EXPECT_EQ(agent().stats().idle, 0u);
}

// ---- Trailers ----

TEST_P(WriteTest, TrailersGoBehindChunks) {
  RULES("4.6.9.6");
  NODE_TEST("http-set-trailers");
  listen();
  ClientRequest& request = begin({.method = "POST", .headers = {{"Trailer", "X-A"}}}).request();
  EXPECT_TRUE(request.set_trailer("X-A", "1"));
  EXPECT_TRUE(request.set_trailer("X-B", "2"));
  EXPECT_EQ(name_of(request.set_trailer("Content-Length", "1").error().code),
            "ERR_HTTP_TRAILER_INVALID");
  request.end("a");
  expect_sent(head("POST /", "Trailer: X-A\r\n", kChunked) +
              "1\r\na\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n");
}

TEST_P(WriteTest, TrailersOfASizedBodyAreDropped) {
  RULES("4.6.9.6");
  listen();
  ClientRequest& request = begin({.method = "POST"}).request();
  EXPECT_TRUE(request.set_trailer("X-A", "1"));
  request.end("a");
  expect_sent(head("POST /", "", "Content-Length: 1\r\n") + "a");
}

// ---- What writing answers ----

TEST_P(WriteTest, CallbacksComeInOrderAndOnce) {
  RULES("4.6.9.2 4.6.9.3");
  NODE_TEST("http-outgoing-message-write-callback http-outgoing-finish http-write-callbacks");
  listen();
  Asked& asked = begin({.method = "POST"});
  const auto told = [&asked](std::string_view name) {
    return [&asked, name](ClientRequest&, std::error_code code) {
      asked.note(code ? "failed" : name);
    };
  };
  ClientRequest& request = asked.request();
  EXPECT_EQ(request.write("a", told("one")), Write::ok);
  EXPECT_EQ(request.write("", told("empty")), Write::ok);
  EXPECT_EQ(request.write(Buffer::take(std::string(5000, 'b')), told("two")), Write::ok);
  EXPECT_EQ(request.end("c", told("ended")), Write::ok);
  EXPECT_EQ(asked.events, "");
  ASSERT_TRUE(run_until_told(asked, "finish"));
  EXPECT_EQ(asked.events, "socket one empty two ended finish");
}

TEST_P(WriteTest, FactsOfARequestThatEnds) {
  RULES("4.6.9.8");
  NODE_TEST("http-outgoing-finished http-outgoing-writableFinished "
            "http-outgoing-finish-writable");
  listen();
  Asked& asked = begin({.method = "POST"});
  ClientRequest& request = asked.request();
  EXPECT_FALSE(request.writable_ended());
  EXPECT_FALSE(request.writable_finished());
  EXPECT_FALSE(request.destroyed());
  EXPECT_EQ(request.writable_length(), 0u);
  request.end("x");
  EXPECT_TRUE(request.writable_ended());
  EXPECT_FALSE(request.writable_finished());
  EXPECT_GT(request.writable_length(), 0u);
  ASSERT_TRUE(run_until_told(asked, "finish"));
  EXPECT_TRUE(request.writable_finished());
  EXPECT_EQ(request.writable_length(), 0u);
  request.destroy();
  ASSERT_TRUE(run_until_over(asked));
}

TEST_P(WriteTest, WritesBeforeTheConnectionAreQueued) {
  RULES("4.6.9.9");
  NODE_TEST("http-outgoing-buffer http-client-race");
  listen();
  std::string expected = head("POST /", "", kChunked);
  ClientRequest& request = begin({.method = "POST"}).request();
  for (int i = 0; i < 100; ++i) {
    request.write(std::string(1, static_cast<char>('a' + i % 26)));
    expected += std::string("1\r\n") + static_cast<char>('a' + i % 26) + "\r\n";
  }
  EXPECT_GE(request.writable_length(), expected.size());
  request.end();
  expect_sent(expected + "0\r\n\r\n");
}

TEST_P(WriteTest, CorkedNothingIsSent) {
  RULES("4.6.9.4");
  NODE_TEST("http-response-cork http-outgoing-end-cork");
  listen();
  ClientRequest& request = begin({.method = "POST"}).request();
  EXPECT_TRUE(request.flush_headers());
  const std::string sent = head("POST /", "", kChunked);
  ASSERT_TRUE(run_until_got(sent));
  request.cork();
  request.cork();
  request.write("a");
  request.uncork();
  request.write("b");
  settle();
  EXPECT_EQ(peer().received, sent);
  request.uncork();
  ASSERT_TRUE(run_until_got(sent + "1\r\na\r\n1\r\nb\r\n"));
  EXPECT_EQ(peer().received, sent + "1\r\na\r\n1\r\nb\r\n");
  request.cork();
  request.end("c");
  expect_sent(sent + "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");
}

TEST_P(WriteTest, WhatMemoryWasRefusedForWasNotSent) {
  RULES("4.6.9.7");
  listen();
  Asked& asked = begin({.method = "POST"});
  ASSERT_TRUE(asked.request().flush_headers());
  ASSERT_TRUE(run_until_head());
  const std::size_t before = peer().received.size();
  std::vector<bool> failed;
  const auto noting = [&](ClientRequest&, std::error_code code) { failed.push_back(bool(code)); };
  asked.request().cork();
  asked.request().write("first", noting);
  memory::set_gate([](std::size_t) noexcept { return false; });
  asked.request().write(std::string(1500, 'x'), noting);
  memory::set_gate(nullptr);
  asked.request().uncork();
  ASSERT_TRUE(run_until([&] { return failed.size() == 2; }));
  EXPECT_EQ(failed, std::vector(2, true));
  EXPECT_EQ(peer().received.size(), before);
}

TEST_P(WriteTest, AfterEndNothingIsTaken) {
  RULES("4.6.9.5");
  NODE_TEST("http-res-write-after-end http-outgoing-end-multiple http-request-end-twice");
  listen();
  Asked& asked = begin({.method = "POST"});
  std::string codes;
  const auto note = [&codes](ClientRequest&, std::error_code code) {
    codes.append(name_of(code)).append(" ");
  };
  asked.request().end("x");
  EXPECT_EQ(asked.request().write("y", note), Write::closed);
  EXPECT_EQ(asked.request().end("z", note), Write::closed);
  EXPECT_EQ(asked.request().end(), Write::ok);
  expect_sent(head("POST /", "", "Content-Length: 1\r\n") + "x");
  EXPECT_EQ(codes, "ERR_STREAM_WRITE_AFTER_END ERR_STREAM_WRITE_AFTER_END ");
  EXPECT_EQ(name_of(asked.error.code), "ERR_STREAM_WRITE_AFTER_END");
  say(kEmptyAnswer);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.status, 200);
  EXPECT_EQ(agent().stats().idle, 1u);
}

TEST_P(WriteTest, AfterDestroyNothingIsTaken) {
  RULES("4.6.7.14");
  NODE_TEST("http-outgoing-destroy http-outgoing-destroyed");
  listen();
  Asked& asked = begin({.method = "POST"});
  asked.request().destroy();
  std::string code;
  EXPECT_TRUE(asked.request().destroyed());
  EXPECT_EQ(asked.request().write("x", [&](ClientRequest&, std::error_code met) {
    code = name_of(met);
  }), Write::closed);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(code, "ERR_STREAM_DESTROYED");
  EXPECT_EQ(name_of(asked.error.code), "ECONNRESET");
}

// ---- Backpressure ----

TEST_P(WriteTest, AServerThatDoesNotReadFillsTheQueueAndNoMore) {
  RULES("4.6.9.1");
  NODE_TEST("http-write-callbacks");
  Asked& asked = begin_stuck();
  ClientRequest& request = asked.request();
  std::size_t drains = 0;
  request.on_drain([&](ClientRequest&) { ++drains; });
  EXPECT_TRUE(request.writable_needs_drain());
  std::size_t taken = 0;
  Write answer = Write::full;
  for (int i = 0; i < 100 && answer == Write::full; ++i) {
    answer = request.write(std::string(4096, 'x'));
    if (answer == Write::full) taken += 4096;
  }
  EXPECT_EQ(answer, Write::refused);
  EXPECT_LE(request.writable_length(), 64u * 1024 + 64);
  EXPECT_LE(taken, 64u * 1024);
  settle();
  EXPECT_EQ(drains, 0u);
  peer().socket->resume();
  ASSERT_TRUE(run_until([&] { return drains != 0; }));
  EXPECT_FALSE(request.writable_needs_drain());
  EXPECT_LE(request.writable_length(), 1024u);
  request.end();
  ASSERT_TRUE(run_until_told(asked, "finish"));
  EXPECT_EQ(drains, 1u);
  ASSERT_TRUE(run_until([&] { return peer().received.ends_with("\r\n0\r\n\r\n"); }));
}

TEST_P(WriteTest, ALargeBodyArrivesWholeThroughASmallQueue) {
  RULES("4.6.9.1");
  NODE_TEST("http-client-pipe-end http-request-large-payload http-client-upload");
  constexpr std::size_t kSize = 4 << 20;
  agent_options_.socket = small_queue();
  std::size_t got = 0;
  bool exact = true;
  serve([&](Request& request, Response& response) {
    request.on_data([&](Request&, Buffer bytes) {
      for (const char c : bytes.view()) exact = exact && c == static_cast<char>(got++ % 251);
    });
    request.on_end([&](Request&) { response.end(std::to_string(got)); });
  });
  Asked& asked = begin({.method = "PUT"});
  ClientRequest& request = asked.request();
  std::size_t made = 0;
  std::size_t most = 0;
  const auto pump = [&] {
    while (made < kSize) {
      std::string piece(8192, '\0');
      for (std::size_t i = 0; i < piece.size(); ++i) {
        piece[i] = static_cast<char>((made + i) % 251);
      }
      const Write answer = request.write(piece);
      if (answer != Write::refused) made += piece.size();
      most = std::max(most, request.writable_length());
      if (answer != Write::ok) return;
    }
    request.end();
  };
  request.on_drain([&](ClientRequest&) { pump(); });
  pump();
  ASSERT_TRUE(run_until_over(asked)) << asked.events << " " << got;
  EXPECT_EQ(asked.body, std::to_string(kSize));
  EXPECT_TRUE(exact);
  EXPECT_LE(most, 64u * 1024 + 64);
}

TEST_P(WriteTest, CallbacksOfALostConnectionFailBeforeClose) {
  RULES("4.6.9.7");
  NODE_TEST("http-destroyed-socket-write2");
  Asked& asked = begin_stuck();
  asked.request().write("x", [&](ClientRequest&, std::error_code code) {
    asked.note(code ? "failed" : "done");
  });
  peer().socket->reset_and_destroy();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket error failed close");
  EXPECT_EQ(name_of(asked.error.code), "ECONNRESET");
}

WEIR_ON_ALL_BACKENDS(WriteTest);

}  // namespace
}  // namespace weir::test
