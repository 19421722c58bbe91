// What RFC 6455 asks of a server, section by section, by a peer that speaks bytes. The sides of a
// client are in websocket_rfc_client_test.cc.
#include "tests/websocket_rfc.h"

namespace weir::test {
namespace {

using websocket::FrameError;

class WebSocketRfcTest : public WebSocketRfcServerWorld {
 protected:
  // What an echo says to these bytes, up to the end, which a Close frame makes.
  Trace echo_of(std::string_view bytes) {
    const Line there = line();
    there.raw.send(bytes);
    there.raw.send(Frame{.opcode = 8, .payload = close_payload(1000)}.bytes());
    EXPECT_TRUE(run_until([&] { return there.raw.over(); })) << heard(there.raw).size();
    there.raw.end();
    EXPECT_TRUE(run_until_over(there.record));
    Trace trace = heard(there.raw);
    EXPECT_FALSE(trace.empty());
    if (!trace.empty()) {
      EXPECT_EQ(trace.back(), "close 1000 ");
      trace.pop_back();
    }
    return trace;
  }

  // These bytes fail the connection, and nothing of them is told.
  void expect_failed(std::string_view bytes, FrameError error, std::string_view fields = {}) {
    SCOPED_TRACE(testing::PrintToString(std::string(bytes.substr(0, 40))));
    const Line there = line(fields);
    there.raw.send(bytes);
    ASSERT_TRUE(run_until([&] { return there.raw.over(); })) << there.record.order();
    there.raw.end();
    ASSERT_TRUE(run_until_over(there.record)) << there.record.order();
    const Trace trace = heard(there.raw);
    ASSERT_EQ(trace.size(), 1U);
    const std::string expected =
        "close " + std::to_string(websocket::facts_of(error).close_code) + " ";
    EXPECT_EQ(trace[0].substr(0, expected.size()), expected);
    EXPECT_EQ(there.record.order(), "connection error close");
    EXPECT_EQ(there.record.error.code, make_error_code(error)) << there.record.error_name();
    EXPECT_EQ(there.record.code, 1006);
    EXPECT_FALSE(there.record.was_clean);
  }

  // The answer to a handshake with these lines, up to the end of the connection.
  std::string refusal(std::string_view head) {
    const std::string answer = ask(head);
    EXPECT_TRUE(peers_.empty());
    return answer;
  }
};
WEIR_ON_ALL_BACKENDS(WebSocketRfcTest);

// The handshake of the RFC with one line left out or put in another's place.
std::string with_line(std::string_view name, std::string_view value) {
  std::string head = "GET /chat HTTP/1.1\r\n";
  constexpr std::string_view kLines[][2] = {{"Host", "server.example.com"},
                                            {"Upgrade", "websocket"},
                                            {"Connection", "Upgrade"},
                                            {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                                            {"Sec-WebSocket-Version", "13"}};
  for (const auto& line : kLines) {
    const std::string_view said = line[0] == name ? value : line[1];
    if (!said.empty()) head.append(line[0]).append(": ").append(said).append("\r\n");
  }
  return head + "\r\n";
}

// ---- 4.2 The handshake ----

TEST_P(WebSocketRfcTest, AnswersTheHandshakeOfTheRfc) {
  RULES("6455.1.3.1 6455.4.2.2.1 6455.4.2.2.2");
  listen();
  line();
  EXPECT_TRUE(answer_.starts_with("HTTP/1.1 101 Switching Protocols\r\n")) << answer_;
  EXPECT_EQ(count_of(answer_, "\r\nUpgrade: websocket\r\n"), 1U) << answer_;
  EXPECT_EQ(count_of(answer_, "\r\nConnection: Upgrade\r\n"), 1U) << answer_;
  EXPECT_EQ(count_of(answer_, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), 1U);
  EXPECT_EQ(count_of(answer_, "Sec-WebSocket-Protocol"), 0U) << answer_;
  EXPECT_EQ(count_of(answer_, "Sec-WebSocket-Extensions"), 0U) << answer_;
  EXPECT_EQ(count_of(answer_, "Content-Length"), 0U) << answer_;
  EXPECT_EQ(count_of(answer_, "Transfer-Encoding"), 0U) << answer_;
}

TEST_P(WebSocketRfcTest, TakesAHandshakeHoweverItIsWritten) {
  RULES("6455.4.2.1.2");
  listen({}, true);
  HttpClient& raw = dial();
  const std::string head =
      "GET /chat?x=y HTTP/1.1\r\nhost: a\r\nCONNECTION: keep-alive, uPGRADE\r\n"
      "sec-websocket-version: 13\r\nUPGRADE: h2c, WebSocket\r\nOrigin: http://a\r\n"
      "SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  // The first frame comes with it, and all of it byte by byte.
  for (const char byte : head + Frame{.payload = "early"}.bytes()) raw.send({&byte, 1});
  ASSERT_TRUE(run_until([&] { return raw.received().ends_with("early"); })) << raw.received();
}

TEST_P(WebSocketRfcTest, RefusesAHandshakeThatLacksSomething) {
  RULES("6455.4.2.1.2 6455.4.2.1.3");
  listen();
  EXPECT_TRUE(refusal(with_line("Host", "")).starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(refusal(with_line("Sec-WebSocket-Key", "")).starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(refusal(with_line("Sec-WebSocket-Key", "c2hvcnQ=")).starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(refusal(with_line("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
                  .starts_with("HTTP/1.1 400 "));
  // Without these it is an ordinary request, which here nobody takes.
  for (const char* name : {"Upgrade", "Connection"}) {
    HttpClient& raw = dial();
    raw.send(with_line(name, ""));
    ASSERT_TRUE(run_until_received(raw, "\r\n\r\n"));
    EXPECT_TRUE(raw.received().starts_with("HTTP/1.1 404 ")) << raw.received();
    EXPECT_TRUE(peers_.empty());
  }
}

TEST_P(WebSocketRfcTest, RefusesAHandshakeThatIsNoGetOfHttp11) {
  RULES("6455.4.2.1.1");
  listen();
  std::string head = with_line("", "");
  HttpClient& post = dial();
  post.send("POST" + head.substr(3));
  ASSERT_TRUE(run_until_received(post, "\r\n\r\n"));
  EXPECT_TRUE(post.received().starts_with("HTTP/1.1 4")) << post.received();
  HttpClient& old = dial();
  old.send(head.replace(head.find("1.1"), 3, "1.0"));
  ASSERT_TRUE(run_until_received(old, "\r\n\r\n"));
  EXPECT_FALSE(old.received().starts_with("HTTP/1.1 101")) << old.received();
  EXPECT_TRUE(peers_.empty());
}

TEST_P(WebSocketRfcTest, TellsOurVersionToWhoHasAnother) {
  RULES("6455.4.2.1.4 6455.4.4.1");
  listen();
  for (const std::string_view version : {"", "8", "14", "13, 8", "x"}) {
    const std::string answer = refusal(with_line("Sec-WebSocket-Version", version));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 426 ")) << answer;
    EXPECT_EQ(count_of(answer, "\r\nSec-WebSocket-Version: 13\r\n"), 1U) << answer;
    EXPECT_EQ(count_of(answer, "\r\nUpgrade: websocket\r\n"), 1U) << answer;
  }
}

TEST_P(WebSocketRfcTest, ChoosesASubprotocolOfTheClient) {
  RULES("6455.1.9.1 6455.4.2.2.3");
  listen();
  std::string offered;
  sockets_->on_handshake([&](WebSocketHandshake& handshake) {
    for (const std::string_view name : handshake.protocols()) offered.append(name).append(" ");
    const auto other = handshake.choose("other");
    ASSERT_FALSE(other.has_value());
    EXPECT_EQ(other.error().code, Mistake::bad_argument);
    if (handshake.protocols().empty()) return;
    EXPECT_TRUE(handshake.choose("chat").has_value());
  });
  const Line there =
      line("Sec-WebSocket-Protocol: superchat, chat\r\nSec-WebSocket-Protocol: x\r\n");
  EXPECT_EQ(offered, "superchat chat x ");
  EXPECT_EQ(count_of(answer_, "\r\nSec-WebSocket-Protocol: chat\r\n"), 1U) << answer_;
  EXPECT_EQ(there.record.socket().subprotocol(), "chat");
  line();
  EXPECT_EQ(count_of(answer_, "Sec-WebSocket-Protocol"), 0U) << answer_;
}

TEST_P(WebSocketRfcTest, RefusesMalformedOffers) {
  RULES("6455.4.1.5 6455.9.1.1");
  listen();
  for (const std::string_view field :
       {"Sec-WebSocket-Protocol: a b\r\n", "Sec-WebSocket-Protocol: a, a\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate;\r\n", "Sec-WebSocket-Extensions: a b\r\n"}) {
    const std::string answer = refusal(handshake(field));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << field << answer;
  }
}

TEST_P(WebSocketRfcTest, TheApplicationJudgesTheOrigin) {
  RULES("6455.4.2.2.4 6455.10.2.1");
  listen();
  sockets_->on_handshake([&](WebSocketHandshake& handshake) {
    if (handshake.request().header("origin") != "http://good") handshake.refuse(403, "go away");
  });
  const std::string answer = refusal(handshake("Origin: http://evil\r\n"));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 403 ")) << answer;
  line("Origin: http://good\r\n");
}

TEST_P(WebSocketRfcTest, LeavesExtensionsOutThatItDoesNotKnow) {
  RULES("6455.9.1.2 7692.5.1");
  listen({{.deflate = {.on = true}}});
  line("Sec-WebSocket-Extensions: mux; max=4, x-deflate\r\n");
  EXPECT_EQ(count_of(answer_, "Sec-WebSocket-Extensions"), 0U) << answer_;
  line("Sec-WebSocket-Extensions: mux\r\nSec-WebSocket-Extensions: permessage-deflate\r\n");
  EXPECT_EQ(count_of(answer_, "\r\nSec-WebSocket-Extensions: permessage-deflate"), 1U) << answer_;
  EXPECT_EQ(count_of(answer_, "mux"), 0U) << answer_;
}

// ---- 5.1 to 5.3 Frames ----

TEST_P(WebSocketRfcTest, FailsAClientThatDoesNotMask) {
  RULES("6455.5.1.1");
  listen();
  expect_failed(bare({.payload = "Hello"}), FrameError::mask_missing);
  expect_failed(bare({.opcode = 9}), FrameError::mask_missing);
  expect_failed(bare({.opcode = 8, .payload = close_payload(1000)}), FrameError::mask_missing);
}

TEST_P(WebSocketRfcTest, SendsBareFramesOfTheShortestLength) {
  RULES("6455.5.1.3 6455.5.2.2 6455.5.2.5");
  listen({}, true);
  for (const std::size_t size : {0, 1, 125, 126, 65535, 65536, 200000}) {
    const Line there = line();
    const std::string payload(size, 'x');
    there.raw.send(Frame{.opcode = 2, .payload = payload, .key = "abcd"}.bytes());
    const std::string expected = bare({.opcode = 2, .payload = payload});
    ASSERT_TRUE(run_until([&] { return there.raw.received().size() >= expected.size(); }));
    EXPECT_EQ(there.raw.received(), expected) << size;
  }
}

TEST_P(WebSocketRfcTest, FailsForReservedBitsAndOpcodes) {
  RULES("6455.5.2.3 6455.5.2.4 7692.6.1");
  listen();
  expect_failed(Frame{.payload = "x", .rsv = 4}.bytes(), FrameError::compressed_bit);
  expect_failed(Frame{.payload = "x", .rsv = 2}.bytes(), FrameError::reserved_bits);
  expect_failed(Frame{.opcode = 9, .rsv = 1}.bytes(), FrameError::reserved_bits);
  for (const unsigned opcode : {3U, 7U, 11U, 15U}) {
    expect_failed(Frame{.opcode = opcode, .payload = "x"}.bytes(), FrameError::reserved_opcode);
  }
}

TEST_P(WebSocketRfcTest, FailsForLengthsOfWrongForm) {
  RULES("6455.5.2.2");
  listen();
  expect_failed(Frame{.payload = "x", .length_bytes = 2}.bytes(), FrameError::length_not_minimal);
  expect_failed(Frame{.payload = std::string(200, 'x'), .length_bytes = 8}.bytes(),
                FrameError::length_not_minimal);
  expect_failed(Frame{.length = std::uint64_t{1} << 63}.bytes(), FrameError::length_too_large);
}

TEST_P(WebSocketRfcTest, SaysWhyEvenWhenMuchMoreHasCome) {
  RULES("6455.7.1.7.1");
  listen();
  // What is not read turns a close(2) into a reset, which would take the Close frame with it.
  const std::string more(512 * 1024, 'z');
  expect_failed(Frame{.payload = "x", .rsv = 2}.bytes() + more, FrameError::reserved_bits);
}

// ---- 5.4 Fragments ----

TEST_P(WebSocketRfcTest, PutsFragmentsTogether) {
  RULES("6455.5.4.1 6455.5.4.2 6455.6.2.1");
  listen({}, true);
  const std::string three = Frame{.payload = "ab", .fin = false}.bytes() +
                            Frame{.opcode = 0, .fin = false}.bytes() +
                            Frame{.opcode = 0, .payload = "cd"}.bytes();
  EXPECT_EQ(echo_of(three + Frame{.opcode = 2, .payload = "\xff"}.bytes()),
            (Trace{"text abcd", "binary \xff"}));
  std::string many = Frame{.opcode = 2, .payload = "0", .fin = false}.bytes();
  std::string whole = "0";
  for (int i = 0; i < 1000; ++i) {
    many += Frame{.opcode = 0, .payload = std::to_string(i), .fin = false}.bytes();
    whole += std::to_string(i);
  }
  EXPECT_EQ(echo_of(many + Frame{.opcode = 0}.bytes()), (Trace{"binary " + whole}));
}

TEST_P(WebSocketRfcTest, AnswersAPingBetweenFragments) {
  RULES("6455.5.4.3 6455.5.5.2.1");
  listen({}, true);
  const Line there = line();
  there.raw.send(Frame{.payload = "ab", .fin = false}.bytes() +
                 Frame{.opcode = 9, .payload = "now"}.bytes());
  ASSERT_TRUE(run_until_heard(there.raw, 1));
  EXPECT_EQ(heard(there.raw), (Trace{"pong now"}));
  there.raw.send(Frame{.opcode = 10, .payload = "unasked"}.bytes() +
                 Frame{.opcode = 0, .payload = "cd"}.bytes());
  ASSERT_TRUE(run_until_heard(there.raw, 2));
  EXPECT_EQ(heard(there.raw), (Trace{"pong now", "text abcd"}));
}

TEST_P(WebSocketRfcTest, FailsForFragmentsOutOfOrder) {
  RULES("6455.5.4.4 6455.5.4.5");
  listen();
  expect_failed(Frame{.opcode = 0, .payload = "x"}.bytes(),
                FrameError::continuation_without_start);
  const std::string begun = Frame{.payload = "a", .fin = false}.bytes();
  expect_failed(begun + Frame{.payload = "b"}.bytes(), FrameError::message_within_message);
  expect_failed(begun + Frame{.opcode = 2, .fin = false}.bytes(),
                FrameError::message_within_message);
}

// ---- 5.5 Control frames ----

TEST_P(WebSocketRfcTest, FailsForControlFramesOfWrongForm) {
  RULES("6455.5.5.1 6455.5.5.2 6455.5.5.1.1");
  listen();
  for (const unsigned opcode : {8U, 9U, 10U}) {
    expect_failed(Frame{.opcode = opcode, .payload = std::string(126, 'x')}.bytes(),
                  FrameError::control_too_long);
    expect_failed(Frame{.opcode = opcode, .fin = false}.bytes(), FrameError::control_fragmented);
  }
  expect_failed(Frame{.opcode = 8, .payload = "\x03"}.bytes(), FrameError::close_payload);
  for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 2999U, 5000U}) {
    expect_failed(Frame{.opcode = 8, .payload = close_payload(code)}.bytes(),
                  FrameError::close_code);
  }
  expect_failed(Frame{.opcode = 8, .payload = close_payload(1000, "\xff")}.bytes(),
                FrameError::close_reason);
}

TEST_P(WebSocketRfcTest, AnswersAPingWithItsPayload) {
  RULES("6455.5.5.2.1 6455.5.5.3.1");
  listen();
  const std::string most(125, '\xfe');
  EXPECT_EQ(echo_of(Frame{.opcode = 9}.bytes() + Frame{.opcode = 9, .payload = most}.bytes()),
            (Trace{"pong ", "pong " + most}));
  EXPECT_EQ(peer().pings, (std::vector<std::string>{"", most}));
}

TEST_P(WebSocketRfcTest, DoesNotAnswerAPong) {
  RULES("6455.5.5.3.2");
  listen();
  EXPECT_EQ(echo_of(Frame{.opcode = 10, .payload = "nobody asked"}.bytes()), Trace{});
  EXPECT_EQ(peer().pongs, (std::vector<std::string>{"nobody asked"}));
}

TEST_P(WebSocketRfcTest, AnswersManyPingsAndAlwaysTheLast) {
  RULES("6455.5.5.3.3");
  listen();
  std::string bytes;
  for (int i = 0; i < 500; ++i) {
    bytes += Frame{.opcode = 9, .payload = std::to_string(i)}.bytes();
  }
  const Trace trace = echo_of(bytes);
  ASSERT_FALSE(trace.empty());
  EXPECT_EQ(trace.back(), "pong 499");
  int last = -1;
  for (const std::string& pong : trace) {
    ASSERT_TRUE(pong.starts_with("pong ")) << pong;
    EXPECT_GT(std::stoi(pong.substr(5)), last);
    last = std::stoi(pong.substr(5));
  }
}

// ---- 5.5.1 and 7 Closing ----

TEST_P(WebSocketRfcTest, AnswersACloseFrameAndEndsTheConnectionFirst) {
  RULES("6455.5.5.1.3 6455.7.1.1.1 6455.7.1.5.1 6455.7.1.6.1");
  listen();
  for (const auto& [payload, answer, code, reason] :
       {std::tuple{close_payload(1000, "bye"), "close 1000 ", 1000, "bye"},
        std::tuple{close_payload(4999), "close 4999 ", 4999, ""},
        std::tuple{std::string(), "close 1005 ", 1005, ""}}) {
    const Line there = line();
    there.raw.send(Frame{.opcode = 8, .payload = payload}.bytes());
    ASSERT_TRUE(run_until([&] { return there.raw.over(); }));  // we have not ended our side
    there.raw.end();
    ASSERT_TRUE(run_until_over(there.record));
    const Trace trace = heard(there.raw);
    ASSERT_EQ(trace.size(), 1U);
    EXPECT_TRUE(trace[0].starts_with(answer)) << trace[0];
    EXPECT_EQ(there.record.order(), "connection close");
    EXPECT_EQ(there.record.code, code);
    EXPECT_EQ(there.record.reason, reason);
    EXPECT_TRUE(there.record.was_clean);
    EXPECT_FALSE(there.record.closed_with);
  }
}

TEST_P(WebSocketRfcTest, SaysWhatWasQueuedBeforeItAnswersAClose) {
  RULES("6455.5.5.1.4");
  listen({}, true);
  const std::string bytes = Frame{.payload = "one"}.bytes() + Frame{.opcode = 9}.bytes();
  EXPECT_EQ(echo_of(bytes), (Trace{"text one", "pong "}));
}

TEST_P(WebSocketRfcTest, PassesOverWhatComesBehindACloseFrame) {
  RULES("6455.5.5.1.2 6455.1.4.1");
  listen();
  const Line there = line();
  there.raw.send(Frame{.opcode = 8, .payload = close_payload(1001)}.bytes() +
                 Frame{.payload = "late"}.bytes() + Frame{.opcode = 9}.bytes() + "\xff garbage");
  ASSERT_TRUE(run_until([&] { return there.raw.over(); }));
  there.raw.end();
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(heard(there.raw), (Trace{"close 1001 "}));
  EXPECT_EQ(there.record.order(), "connection close");
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketRfcTest, SendsNothingBehindItsCloseFrame) {
  RULES("6455.5.5.1.5 6455.6.1.1 6455.7.1.2.1");
  listen();
  const Line there = line();
  WebSocket& socket = there.record.socket();
  EXPECT_EQ(socket.send_text("before"), Write::ok);
  EXPECT_TRUE(socket.close(4001, "why").has_value());
  EXPECT_EQ(socket.send_text("after"), Write::closed);
  EXPECT_EQ(socket.ping().value(), Write::closed);
  EXPECT_EQ(socket.pong().value(), Write::closed);
  there.raw.send(Frame{.opcode = 9, .payload = "still there?"}.bytes() +
                 Frame{.payload = "a message"}.bytes());
  ASSERT_TRUE(run_until_heard(there.raw, 2));
  EXPECT_FALSE(there.raw.over());  // it waits for the answer
  there.raw.send(Frame{.opcode = 8, .payload = close_payload(4001)}.bytes());
  ASSERT_TRUE(run_until([&] { return there.raw.over(); }));
  there.raw.end();
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(heard(there.raw), (Trace{"text before", "close 4001 why"}));
  EXPECT_EQ(there.record.order(), "connection close");
  EXPECT_EQ(there.record.code, 4001);
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketRfcTest, BothMayCloseAtOnce) {
  RULES("6455.7.1.2.1 6455.7.1.4.1");
  listen();
  const Line there = line();
  EXPECT_TRUE(there.record.socket().close(1001).has_value());
  there.raw.send(Frame{.opcode = 8, .payload = close_payload(3000, "too")}.bytes());
  ASSERT_TRUE(run_until([&] { return there.raw.over(); }));
  there.raw.end();
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(heard(there.raw), (Trace{"close 1001 "}));
  EXPECT_EQ(there.record.code, 3000);
  EXPECT_EQ(there.record.reason, "too");
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketRfcTest, AnEndWithoutACloseFrameIsAbnormal) {
  RULES("6455.7.1.5.1 6455.7.2.1");
  listen();
  for (const std::string_view bytes : {"", "\x81", "\x81\x85\x01\x02\x03\x04xy"}) {
    const Line there = line();
    there.raw.send(bytes);
    there.raw.end();
    ASSERT_TRUE(run_until_over(there.record));
    EXPECT_EQ(there.record.order(), "connection close");
    EXPECT_EQ(there.record.code, 1006);
    EXPECT_FALSE(there.record.was_clean);
  }
}

TEST_P(WebSocketRfcTest, DoesNotWaitForeverForTheAnswerToItsClose) {
  RULES("6455.7.1.1.2");
  listen({{.close_timeout = std::chrono::milliseconds(20)}});
  const Line there = line();
  EXPECT_TRUE(there.record.socket().close().has_value());
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(there.record.code, 1006);
  EXPECT_FALSE(there.record.was_clean);
  ASSERT_TRUE(run_until([&] { return there.raw.over(); }));
}

TEST_P(WebSocketRfcTest, OnlyCodesThatMayBeSentAreSent) {
  RULES("6455.7.4.1 6455.5.5.1");
  listen();
  const Line there = line();
  WebSocket& socket = there.record.socket();
  for (const int code : {0, 999, 1004, 1006, 1015, 2000, 2999, 5000, 65535}) {
    const auto refused = socket.close(static_cast<std::uint16_t>(code));
    ASSERT_FALSE(refused.has_value()) << code;
    EXPECT_EQ(refused.error().code, Mistake::out_of_range);
  }
  EXPECT_FALSE(socket.close(1000, std::string(124, 'x')).has_value());
  EXPECT_FALSE(socket.close(1000, "\xff").has_value());
  EXPECT_FALSE(socket.ping(std::string(126, 'x')).has_value());
  EXPECT_FALSE(socket.pong(std::string(126, 'x')).has_value());
  EXPECT_TRUE(socket.is_open());
  EXPECT_TRUE(socket.ping(std::string(125, 'x')).has_value());
  EXPECT_TRUE(socket.close(1000, std::string(123, 'x')).has_value());
  ASSERT_TRUE(run_until_heard(there.raw, 2));
  EXPECT_EQ(heard(there.raw),
            (Trace{"ping " + std::string(125, 'x'), "close 1000 " + std::string(123, 'x')}));
}

// ---- 5.6 and 8.1 Text ----

TEST_P(WebSocketRfcTest, TellsTextFromBinary) {
  RULES("6455.5.6.1 6455.5.6.2 6455.6.2.1");
  listen();
  const Line there = line();
  there.raw.send(Frame{.payload = "\xc3\xa4"}.bytes() +
                 Frame{.opcode = 2, .payload = "\xc3"}.bytes());
  ASSERT_TRUE(run_until_messages(there.record, 2));
  EXPECT_EQ(there.record.order(), "connection text binary");
  EXPECT_EQ(there.record.messages, (std::vector<std::string>{"\xc3\xa4", "\xc3"}));
}

TEST_P(WebSocketRfcTest, FailsForTextThatIsNotUtf8) {
  RULES("6455.8.1.1 6455.8.1.2");
  listen();
  for (const std::string_view wrong : {"\xff", "ab\xc0\x80", "\xed\xa0\x80", "cut \xe2\x82"}) {
    expect_failed(Frame{.payload = std::string(wrong)}.bytes(), FrameError::text_not_utf8);
  }
  expect_failed(Frame{.payload = "\xe2\x82", .fin = false}.bytes() +
                    Frame{.opcode = 0, .payload = "x"}.bytes(),
                FrameError::text_not_utf8);
  // Before the message is complete.
  expect_failed(Frame{.payload = "ab\xf4\x90", .length = 1000}.bytes(), FrameError::text_not_utf8);
}

TEST_P(WebSocketRfcTest, ACharacterMayBeCutByFragments) {
  RULES("6455.8.1.1");
  listen({}, true);
  EXPECT_EQ(echo_of(Frame{.payload = "\xf0\x9f", .fin = false}.bytes() +
                    Frame{.opcode = 0, .payload = "\x98", .fin = false}.bytes() +
                    Frame{.opcode = 0, .payload = "\x80!"}.bytes()),
            (Trace{"text \xf0\x9f\x98\x80!"}));
}

// ---- 6.1 Sending ----

TEST_P(WebSocketRfcTest, SendsPiecesAsFragments) {
  RULES("6455.6.1.2 6455.5.4.1 6455.5.4.3");
  listen();
  const Line there = line();
  WebSocket& socket = there.record.socket();
  EXPECT_EQ(socket.send_piece(MessageKind::text, "ab", false), Write::ok);
  EXPECT_EQ(socket.ping("p").value(), Write::ok);
  EXPECT_EQ(socket.send_piece(MessageKind::text, "", false), Write::ok);
  EXPECT_EQ(socket.send_piece(MessageKind::text, "cd", true), Write::ok);
  EXPECT_EQ(socket.send_binary("\xff"), Write::ok);
  const std::string expected =
      bare({.payload = "ab", .fin = false}) + bare({.opcode = 9, .payload = "p"}) +
      bare({.opcode = 0, .fin = false}) + bare({.opcode = 0, .payload = "cd"}) +
      bare({.opcode = 2, .payload = "\xff"});
  ASSERT_TRUE(run_until([&] { return there.raw.received().size() >= expected.size(); }));
  EXPECT_EQ(there.raw.received(), expected);
}

// ---- 10.4 Limits ----

TEST_P(WebSocketRfcTest, FailsForAMessageBeyondTheLimit) {
  RULES("6455.10.4.1 6455.7.4.2");
  listen({{.message_bytes_max = 10}}, true);
  EXPECT_EQ(echo_of(Frame{.payload = "0123456789"}.bytes() +
                    Frame{.payload = "01234", .fin = false}.bytes() +
                    Frame{.opcode = 0, .payload = "56789"}.bytes()),
            (Trace{"text 0123456789", "text 0123456789"}));
  expect_failed(Frame{.length = 11}.bytes(), FrameError::message_too_big);
  expect_failed(Frame{.length = (std::uint64_t{1} << 63) - 1}.bytes(),
                FrameError::message_too_big);
  expect_failed(Frame{.payload = "01234", .fin = false}.bytes() +
                    Frame{.opcode = 0, .length = 6}.bytes(),
                FrameError::message_too_big);
}

TEST_P(WebSocketRfcTest, AnyPieceOfAConversationMayBeCut) {
  RULES("6455.6.2.2");
  listen({}, true);
  const std::string bytes =
      Frame{.payload = "one", .fin = false}.bytes() + Frame{.opcode = 9, .payload = "p"}.bytes() +
      Frame{.opcode = 0, .payload = "two"}.bytes() +
      Frame{.opcode = 2, .payload = std::string(126, '\xff')}.bytes();
  const Trace expected = {"pong p", "text onetwo", "binary " + std::string(126, '\xff')};
  for (std::size_t at = 0; at < bytes.size(); at += at < 40 ? 1 : 17) {
    const Line there = line();
    there.raw.send(std::string_view(bytes).substr(0, at));
    run_for(std::chrono::microseconds(100));
    there.raw.send(std::string_view(bytes).substr(at));
    ASSERT_TRUE(run_until_heard(there.raw, 3)) << at;
    EXPECT_EQ(heard(there.raw), expected) << at;
  }
}

}  // namespace
}  // namespace weir::test
