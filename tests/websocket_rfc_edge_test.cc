// Where the sections of RFC 6455 and RFC 7692 meet each other, HTTP, and a peer that does not
// behave.
#include <algorithm>

#include "tests/websocket_rfc.h"

namespace weir::test {
namespace {

using websocket::FrameError;

class WebSocketEdgeTest : public WebSocketRfcServerWorld {
 protected:
  static WebSocketServerOptions deflating() {
    WebSocketServerOptions options;
    options.socket.deflate.on = true;
    options.socket.deflate.threshold = 0;
    return options;
  }
  void expect_over(const Line& there) {
    ASSERT_TRUE(run_until([&] { return there.raw.over(); })) << there.record.order();
    there.raw.end();
    ASSERT_TRUE(run_until_over(there.record)) << there.record.order();
  }
};
WEIR_ON_ALL_BACKENDS(WebSocketEdgeTest);

constexpr std::string_view kOffer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
constexpr std::string_view kPlainOffer =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    "client_no_context_takeover\r\n";

// ---- HTTP ----

TEST_P(WebSocketEdgeTest, AHandshakeWithABodyIsAnOrdinaryRequest) {
  RULES("6455.4.2.1.2");
  listen();
  HttpClient& raw = dial();
  raw.send(handshake("Content-Length: 6\r\n") + Frame{.opcode = 9}.bytes());
  ASSERT_TRUE(run_until_received(raw, "\r\n\r\n"));
  EXPECT_TRUE(raw.received().starts_with("HTTP/1.1 404 ")) << raw.received();
  EXPECT_TRUE(peers_.empty());
}

TEST_P(WebSocketEdgeTest, AHandshakeWaitsForTheAnswersBeforeIt) {
  RULES("6455.4.2.2.1");
  listen({}, true);
  http::ResponseRef waiting;
  server().on_request([&](Request&, Response& response) { waiting = response.weak(); });
  HttpClient& raw = dial();
  raw.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n" + handshake() +
           Frame{.payload = "early"}.bytes());
  ASSERT_TRUE(run_until([&] { return waiting.get() != nullptr; }));
  run_for(std::chrono::milliseconds(2));
  EXPECT_EQ(raw.received(), "");
  EXPECT_TRUE(peers_.empty());
  waiting.get()->end("one");
  ASSERT_TRUE(run_until([&] { return raw.received().ends_with("early"); })) << raw.received();
  EXPECT_LT(raw.received().find("\r\n\r\none"), raw.received().find("HTTP/1.1 101 "));
}

// ---- Ends ----

TEST_P(WebSocketEdgeTest, AClientThatEndsBehindItsCloseFrameIsAnswered) {
  RULES("6455.5.5.1.3 6455.7.1.4.1");
  listen();
  const Line there = line();
  there.raw.send(Frame{.payload = "last words"}.bytes() +
                 Frame{.opcode = 8, .payload = close_payload(1000)}.bytes());
  there.raw.end();
  ASSERT_TRUE(run_until_over(there.record));
  ASSERT_TRUE(run_until([&] { return there.raw.over(); }));
  EXPECT_EQ(heard(there.raw), (Trace{"close 1000 "}));
  EXPECT_EQ(there.record.order(), "connection text close");
  EXPECT_EQ(there.record.code, 1000);
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketEdgeTest, HalfACloseFrameIsNone) {
  RULES("6455.7.1.5.1");
  listen();
  const Line there = line();
  const std::string frame = Frame{.opcode = 8, .payload = close_payload(1000, "bye")}.bytes();
  there.raw.send(std::string_view(frame).substr(0, frame.size() - 1));
  there.raw.end();
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(there.record.code, 1006);
  EXPECT_EQ(there.record.reason, "");
}

TEST_P(WebSocketEdgeTest, AResetIsAnErrorAndAbnormal) {
  RULES("6455.7.1.5.1");
  listen();
  const Line there = line();
  there.raw.send(Frame{.payload = "begun", .fin = false}.bytes());
  run_for(std::chrono::milliseconds(2));
  there.raw.socket().reset_and_destroy();
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(there.record.order(), "connection error close");
  EXPECT_EQ(there.record.code, 1006);
  EXPECT_TRUE(is_reset(there.record.closed_with)) << there.record.closed_with.message();
}

TEST_P(WebSocketEdgeTest, NothingIsToldBehindACloseOfOnesOwn) {
  RULES("6455.5.5.1.5 6455.6.1.1");
  listen();
  const Line there = line();
  there.record.socket().on_message([](WebSocket& socket, MessageKind, Buffer) {
    (void)socket.close(4000);
    EXPECT_EQ(socket.send_text("late"), Write::closed);
  });
  there.raw.send(Frame{.payload = "first"}.bytes() + Frame{.payload = "second"}.bytes() +
                 Frame{.opcode = 9}.bytes() +
                 Frame{.opcode = 8, .payload = close_payload(4000)}.bytes());
  expect_over(there);
  EXPECT_EQ(there.record.messages, (std::vector<std::string>{"first"}));
  EXPECT_EQ(there.record.order(), "connection text close");
  EXPECT_EQ(heard(there.raw), (Trace{"close 4000 "}));
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketEdgeTest, NothingIsToldBehindADestroyInAListener) {
  listen();
  const Line there = line();
  there.record.socket().on_message(
      [](WebSocket& socket, MessageKind, Buffer) { socket.destroy(); });
  there.raw.send(Frame{.payload = "first"}.bytes() + Frame{.payload = "second"}.bytes() +
                 Frame{.payload = "x", .rsv = 2}.bytes());
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(there.record.messages, (std::vector<std::string>{"first"}));
  EXPECT_EQ(there.record.order(), "connection text close");
  EXPECT_EQ(there.record.code, 1006);
}

TEST_P(WebSocketEdgeTest, WhatIsWrongBehindGoodMessagesComesBehindThem) {
  RULES("6455.7.1.7.1");
  listen({}, true);
  const Line there = line();
  there.raw.send(Frame{.payload = "one"}.bytes() + Frame{.opcode = 9, .payload = "p"}.bytes() +
                 Frame{.payload = "two"}.bytes() + Frame{.opcode = 4}.bytes() +
                 Frame{.payload = "three"}.bytes());
  expect_over(there);
  const Trace trace = heard(there.raw);
  ASSERT_EQ(trace.size(), 4U);
  EXPECT_EQ(trace[0], "text one");
  EXPECT_EQ(trace[1], "pong p");
  EXPECT_EQ(trace[2], "text two");
  EXPECT_TRUE(trace[3].starts_with("close 1002 "));
  EXPECT_EQ(there.record.order(), "connection text ping text error close");
}

// ---- Waiting ----

TEST_P(WebSocketEdgeTest, APausedOneKeepsWhatHasComeInOrder) {
  RULES("6455.6.2.1");
  listen();
  const Line there = line();
  there.record.socket().on_message([](WebSocket& socket, MessageKind, Buffer) { socket.pause(); });
  std::string bytes;
  std::vector<std::string> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(std::to_string(i));
    bytes += Frame{.payload = all.back()}.bytes();
    if (i % 3 == 0) bytes += Frame{.opcode = 9, .payload = all.back()}.bytes();
  }
  bytes += Frame{.opcode = 8, .payload = close_payload(1000)}.bytes();
  there.raw.send(bytes);
  for (std::size_t told = 1; told <= 20; ++told) {
    ASSERT_TRUE(run_until_messages(there.record, told));
    run_for(std::chrono::microseconds(200));
    ASSERT_EQ(there.record.messages.size(), told);
    EXPECT_FALSE(there.record.over());
    there.record.socket().resume();
  }
  expect_over(there);
  EXPECT_EQ(there.record.messages, all);
  EXPECT_EQ(there.record.pings.size(), 7U);
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketEdgeTest, PingsWithoutEndToOneWhoDoesNotReadCostNoMemory) {
  RULES("6455.5.5.3.3");
  listen();
  const Line there = line();
  there.raw.socket().pause();
  const std::string payload(121, 'p');
  std::size_t most = 0;
  constexpr int kPings = 60000;  // 8 MB, and as much of answers
  for (int i = 0; i < kPings; i += 100) {
    std::string bytes;
    for (int j = i; j < i + 100; ++j) {
      std::string number = std::to_string(j);
      bytes += Frame{.opcode = 9, .payload = payload.substr(number.size()) + number}.bytes();
    }
    there.raw.send(bytes);
    run_for(std::chrono::microseconds(20));
    most = std::max(most, there.record.socket().writable_length());
  }
  ASSERT_TRUE(run_until([&] { return there.record.pings.size() == kPings; }));
  most = std::max(most, there.record.socket().writable_length());
  EXPECT_LE(most, std::size_t{80} * 1024);
  there.raw.socket().resume();
  const std::string last = std::to_string(kPings - 1);
  ASSERT_TRUE(run_until([&] { return there.raw.received().ends_with(last); }));
  const Trace trace = heard(there.raw);
  EXPECT_EQ(trace.back(), "pong " + payload.substr(last.size()) + last);
}

// ---- Compression ----

TEST_P(WebSocketEdgeTest, ABombIsStoppedAtTheLimit) {
  RULES("6455.10.4.2");
  listen(deflating());
  const Line there = line(kOffer);
  there.raw.send(
      Frame{.opcode = 2, .payload = deflated(std::string(17 << 20, '\0')), .rsv = 4}.bytes());
  expect_over(there);
  EXPECT_EQ(there.record.order(), "connection error close");
  EXPECT_EQ(there.record.error.code, make_error_code(FrameError::message_too_big));
  const Trace trace = heard(there.raw);
  ASSERT_EQ(trace.size(), 1U);
  EXPECT_TRUE(trace[0].starts_with("close 1009 "));
}

TEST_P(WebSocketEdgeTest, ALargeTextIsInflatedAndCheckedAcrossAllCuts) {
  RULES("7692.7.2.2.1 6455.8.1.1");
  listen(deflating());
  const Line there = line(kOffer);
  std::string text = "x";
  for (int i = 0; i < 100000; ++i) text += i % 7 == 0 ? "\xf0\x9f\x98\x80" : "\xe2\x82\xac";
  const std::string bytes = deflated(text);
  std::string frames;
  for (std::size_t at = 0; at < bytes.size(); at += 11) {
    const bool fin = at + 11 >= bytes.size();
    frames += Frame{.opcode = at == 0 ? 1U : 0U,
                    .payload = bytes.substr(at, 11),
                    .fin = fin,
                    .rsv = at == 0 ? 4U : 0U}
                  .bytes();
  }
  there.raw.send(frames);
  ASSERT_TRUE(run_until_messages(there.record, 1)) << there.record.error_name();
  EXPECT_EQ(there.record.messages[0], text);
  there.raw.send(Frame{.payload = deflated(text + "\xe2\x82"), .rsv = 4}.bytes());
  expect_over(there);
  EXPECT_EQ(there.record.error.code, make_error_code(FrameError::text_not_utf8));
}

TEST_P(WebSocketEdgeTest, ConnectionsInTheMiddleOfMessagesDoNotTouchEachOther) {
  RULES("7692.7.1.1");
  listen(deflating());
  std::vector<Line> lines;
  for (int i = 0; i < 5; ++i) lines.push_back(line(i % 2 == 0 ? kPlainOffer : kOffer));
  std::vector<std::string> texts;
  std::vector<std::string> bytes;
  for (unsigned i = 0; i < 5; ++i) {
    texts.push_back(std::to_string(i) + pattern(200, i) + std::string(100, 'a'));
    bytes.push_back(deflated(texts.back()));
  }
  for (int round = 0; round < 3; ++round) {
    for (std::size_t at = 0; at < 300; at += 60) {
      for (std::size_t i = 0; i < 5; ++i) {
        lines[i].raw.send(Frame{.opcode = at == 0 ? 2U : 0U,
                                .payload = bytes[i].substr(std::min(at, bytes[i].size()), 60),
                                .fin = at == 240,
                                .rsv = at == 0 ? 4U : 0U}
                              .bytes());
      }
      run_for(std::chrono::microseconds(200));
    }
  }
  for (std::size_t i = 0; i < 5; ++i) {
    ASSERT_LT(bytes[i].size(), 300U);
    ASSERT_TRUE(run_until_messages(lines[i].record, 3)) << lines[i].record.error_name();
    EXPECT_EQ(lines[i].record.messages, std::vector<std::string>(3, texts[i]));
  }
}

TEST_P(WebSocketEdgeTest, PiecesOfACompressedMessageAreItsText) {
  RULES("7692.7.2.2.1");
  listen(deflating());
  const Line there = line(kOffer);
  std::string text;
  int lasts = 0;
  there.record.socket().on_piece([&](WebSocket&, MessageKind kind, Buffer piece, bool is_last) {
    EXPECT_EQ(kind, MessageKind::text);
    text += piece.view();
    lasts += is_last ? 1 : 0;
  });
  const std::string expected(300000, 'y');
  there.raw.send(Frame{.payload = deflated(expected), .rsv = 4}.bytes() +
                 Frame{.payload = deflated(""), .rsv = 4}.bytes() +
                 Frame{.payload = "z"}.bytes());
  ASSERT_TRUE(run_until([&] { return lasts == 3; })) << there.record.error_name();
  EXPECT_EQ(text, expected + "z");
  EXPECT_TRUE(there.record.messages.empty());
}

}  // namespace
}  // namespace weir::test
