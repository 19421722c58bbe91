// What RFC 6455 asks of a client, section by section, by a server that speaks bytes; and what both
// ends make of RFC 7692.
#include <algorithm>
#include <memory>
#include <utility>

#include "tests/websocket_rfc.h"
#include "weir/http/websocket/handshake.h"

namespace weir::test {
namespace {

using websocket::FrameError;
using websocket::HandshakeError;

// A server that answers as a test says.
class RawServer {
 public:
  explicit RawServer(Reactor& reactor)
      : server_(reactor, {.socket = {.allow_half_open = true, .no_delay = true}}) {
    server_.on_connection([this](Socket& socket) { socket_ = &socket; });
    server_.on_data([this](Socket&, Buffer bytes) { received_ += bytes.view(); });
    server_.on_end([this](Socket&) { ended_ = true; });
    server_.on_close([this](Socket&, std::error_code) { socket_ = nullptr; });
    server_.on_error([](Socket&, const Error&) {});
    const auto bound = server_.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    if (bound) port_ = bound->port();
  }

  std::string url(std::string_view path = "/chat?x=y") const {
    return "ws://127.0.0.1:" + std::to_string(port_) + std::string(path);
  }
  int port() const { return port_; }
  bool asked() const { return received_.ends_with("\r\n\r\n"); }
  const std::string& received() const { return received_; }
  std::string take() { return std::exchange(received_, {}); }
  bool ended() const { return ended_; }  // the client's FIN
  bool gone() const { return socket_ == nullptr; }
  void send(std::string_view bytes) { socket_->write(bytes); }
  void end() { socket_->end(); }
  Socket& socket() { return *socket_; }

  // The value of a line of the handshake, and how many there are.
  std::string line(std::string_view name) const {
    const std::string start = "\r\n" + std::string(name) + ": ";
    const std::size_t at = received_.find(start);
    if (at == std::string::npos) return "-";
    const std::size_t from = at + start.size();
    return received_.substr(from, received_.find("\r\n", from) - from);
  }
  // A good answer to what was received.
  std::string answer(std::string_view more = {}) const {
    const auto accept = websocket::accept_key(line("Sec-WebSocket-Key"));
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: " +
           std::string(accept.data(), accept.size()) + "\r\n" + std::string(more) + "\r\n";
  }

 private:
  Server server_;
  Socket* socket_ = nullptr;
  std::string received_;
  int port_ = 0;
  bool ended_ = false;
};

class WebSocketRfcClientTest : public WebSocketRfcWorld {
 protected:
  // What a client has to do with a server of its own.
  struct Line {
    std::unique_ptr<RawServer> raw;
    WsRecord record;
  };
  void TearDown() override {
    lines_.clear();
    WebSocketRfcWorld::TearDown();
  }

  // One that has been asked and not answered.
  Line& ask_for(const WebSocketClientOptions& options = {}) {
    Line& there = *lines_.emplace_back(std::make_unique<Line>());
    there.raw = std::make_unique<RawServer>(reactor());
    const auto socket = WebSocket::connect(reactor(), there.raw->url(), options);
    EXPECT_TRUE(socket.has_value());
    if (!socket) return there;
    (*socket)->on_open([&there](WebSocket&) { there.record.note("open"); });
    record(**socket, there.record);
    EXPECT_TRUE(run_until([&] { return there.raw->asked(); })) << there.raw->received();
    return there;
  }
  // One that is open.
  Line& line(const WebSocketClientOptions& options = {}, std::string_view more = {}) {
    Line& there = ask_for(options);
    const std::string answer = there.raw->answer(more);
    there.raw->take();
    there.raw->send(answer);
    EXPECT_TRUE(run_until([&] { return there.record.has("open"); })) << there.record.order();
    return there;
  }

  static Trace heard(Line& there) { return frames_from_client(there.raw->received()); }
  bool run_until_heard(Line& there, std::size_t count) {
    return run_until([&] { return heard(there).size() >= count; });
  }
  // The server's part of an end: it has the client's FIN, or ends first.
  void expect_over(Line& there) {
    if (!there.raw->gone()) there.raw->end();
    EXPECT_TRUE(run_until_over(there.record)) << there.record.order();
  }

  void expect_refused(const std::string& answer, HandshakeError error,
                      const WebSocketClientOptions& options = {}) {
    Line& there = ask_for(options);
    const std::string good = there.raw->answer();
    there.raw->send(answer.empty() ? good : answer);
    expect_refused(there, error);
  }
  void expect_refused(Line& there, HandshakeError error) {
    ASSERT_TRUE(run_until_over(there.record)) << there.record.order();
    EXPECT_EQ(there.record.order(), "error close");
    EXPECT_EQ(there.record.error.code, make_error_code(error)) << there.record.error_name();
    EXPECT_EQ(there.record.code, 1006);
    // Not a byte of a frame, and the connection ends.
    ASSERT_TRUE(run_until([&] { return there.raw->gone() || there.raw->ended(); }));
    EXPECT_TRUE(there.raw->asked());
  }
  // A good answer with one line changed.
  void expect_changed_answer_refused(std::string_view line, std::string_view by,
                                     HandshakeError error) {
    SCOPED_TRACE(by);
    Line& there = ask_for();
    std::string answer = there.raw->answer();
    const std::size_t at = answer.find(line);
    ASSERT_NE(at, std::string::npos);
    answer.replace(at, line.size(), by);
    there.raw->send(answer);
    expect_refused(there, error);
  }
  // These bytes of a server fail the connection.
  void expect_failed(std::string_view bytes, FrameError error,
                     const WebSocketClientOptions& options = {}, std::string_view more = {}) {
    SCOPED_TRACE(testing::PrintToString(std::string(bytes.substr(0, 40))));
    Line& there = line(options, more);
    there.raw->send(bytes);
    const std::string expected =
        "close " + std::to_string(websocket::facts_of(error).close_code) + " ";
    ASSERT_TRUE(run_until_heard(there, 1));
    const Trace trace = heard(there);
    ASSERT_EQ(trace.size(), 1U);
    EXPECT_TRUE(trace[0].starts_with(expected)) << trace[0];
    expect_over(there);
    EXPECT_EQ(there.record.order(), "open error close");
    EXPECT_EQ(there.record.error.code, make_error_code(error)) << there.record.error_name();
    EXPECT_EQ(there.record.code, 1006);
  }

  std::vector<std::unique_ptr<Line>> lines_;
};
WEIR_ON_ALL_BACKENDS(WebSocketRfcClientTest);

// ---- 3 and 4.1 The handshake ----

TEST_P(WebSocketRfcClientTest, RefusesUrisThatAreNone) {
  RULES("6455.3.1");
  for (const std::string_view url :
       {"ws://127.0.0.1/#fragment", "ws://127.0.0.1/?q#", "ws://127.0.0.1/a#", "ws:///path",
        "ws://", "127.0.0.1", "ws://127.0.0.1:99999/", "ws://127.0.0.1/a b",
        "ws://127.0.0.1/a\r\nX: y"}) {
    EXPECT_FALSE(WebSocket::connect(reactor(), url).has_value()) << url;
  }
  const auto other = WebSocket::connect(reactor(), "http://127.0.0.1/");
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().code, Mistake::invalid_protocol);
}

TEST_P(WebSocketRfcClientTest, AsksAsTheRfcWants) {
  RULES("6455.4.1.1 6455.4.1.2 6455.4.1.3 6455.4.1.4 6455.4.1.5 6455.4.1.6");
  const Line& there = ask_for({{}, {"chat", "superchat"}, {{"Origin", "http://a"}}});
  const RawServer& raw = *there.raw;
  EXPECT_TRUE(raw.received().starts_with("GET /chat?x=y HTTP/1.1\r\n")) << raw.received();
  EXPECT_EQ(raw.line("Host"), "127.0.0.1:" + std::to_string(raw.port()));
  EXPECT_EQ(raw.line("Upgrade"), "websocket");
  EXPECT_EQ(raw.line("Connection"), "Upgrade");
  EXPECT_EQ(raw.line("Sec-WebSocket-Version"), "13");
  EXPECT_EQ(raw.line("Sec-WebSocket-Protocol"), "chat, superchat");
  EXPECT_EQ(raw.line("Sec-WebSocket-Extensions"), "-");
  EXPECT_EQ(raw.line("Origin"), "http://a");
  EXPECT_TRUE(websocket::is_valid_key(raw.line("Sec-WebSocket-Key")));
  for (const char* name : {"Host", "Upgrade", "Connection", "Sec-WebSocket-Version",
                           "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"}) {
    EXPECT_EQ(count_of(raw.received(), "\r\n" + std::string(name) + ":"), 1U) << name;
  }
  EXPECT_EQ(count_of(raw.received(), "Content-Length"), 0U) << raw.received();
  EXPECT_EQ(count_of(raw.received(), "Transfer-Encoding"), 0U) << raw.received();
}

TEST_P(WebSocketRfcClientTest, TakesANewKeyForEachConnection) {
  RULES("6455.4.1.4");
  std::vector<std::string> keys;
  for (int i = 0; i < 5; ++i) keys.push_back(ask_for().raw->line("Sec-WebSocket-Key"));
  std::ranges::sort(keys);
  EXPECT_EQ(std::ranges::adjacent_find(keys), keys.end());
}

TEST_P(WebSocketRfcClientTest, ChecksTheAnswer) {
  RULES("6455.4.1.7 6455.4.1.8 6455.4.1.9 6455.4.1.10");
  using enum HandshakeError;
  expect_changed_answer_refused("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", answer_upgrade);
  expect_changed_answer_refused("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x", accept);
  expect_changed_answer_refused("Sec-WebSocket-Accept: ", "X-Accept: ", accept);
  expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", status);
  expect_refused("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", status);
  expect_refused("HTTP/1.1 302 Found\r\nLocation: ws://a/\r\nContent-Length: 0\r\n\r\n", status);
  EXPECT_EQ(lines_.size(), 6U);
}

TEST_P(WebSocketRfcClientTest, FailsForA101WithoutUpgradeOrConnection) {
  RULES("6455.4.1.8 6455.4.1.9");
  for (const std::string_view missing : {"Upgrade: websocket\r\n", "Connection: Upgrade\r\n"}) {
    Line& there = ask_for();
    std::string answer = there.raw->answer();
    answer.erase(answer.find(missing), missing.size());
    there.raw->send(answer);
    ASSERT_TRUE(run_until_over(there.record)) << missing;
    EXPECT_EQ(there.record.order(), "error close");
    EXPECT_EQ(there.record.code, 1006);
  }
}

TEST_P(WebSocketRfcClientTest, TakesOnlyWhatItHasOffered) {
  RULES("6455.4.1.11 6455.4.1.12 7692.5.3");
  const auto refuses = [this](std::string_view more, HandshakeError error,
                              const WebSocketClientOptions& options) {
    SCOPED_TRACE(more);
    Line& there = ask_for(options);
    there.raw->send(there.raw->answer(more));
    expect_refused(there, error);
  };
  using enum HandshakeError;
  refuses("Sec-WebSocket-Protocol: chat\r\n", answer_subprotocol, {});
  refuses("Sec-WebSocket-Protocol: other\r\n", answer_subprotocol, {{}, {"chat"}});
  refuses("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: x\r\n", answer_subprotocol,
          {{}, {"chat", "x"}});
  refuses("Sec-WebSocket-Extensions: permessage-deflate\r\n", answer_extension, {});
  WebSocketClientOptions deflate;
  deflate.socket.deflate.on = true;
  refuses("Sec-WebSocket-Extensions: mux\r\n", answer_extension, deflate);
  refuses("Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n", answer_extension, deflate);
  refuses("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=16\r\n",
          answer_extension, deflate);
  Line& there = line({{}, {"chat", "x"}}, "Sec-WebSocket-Protocol: x\r\n");
  EXPECT_EQ(there.record.socket().subprotocol(), "x");
}

TEST_P(WebSocketRfcClientTest, TakesAnAnswerHoweverItIsWrittenAndCut) {
  RULES("6455.4.1.8 6455.4.1.9");
  Line& there = ask_for();
  std::string answer = there.raw->answer();
  answer.replace(answer.find("Upgrade: websocket"), 18, "UPGRADE: WebSocket");
  answer.replace(answer.find("Connection: Upgrade"), 19, "connection: x, uPGRADE");
  // The first frame comes with it.
  for (const char byte : answer + bare({.payload = "early"})) there.raw->send({&byte, 1});
  ASSERT_TRUE(run_until_messages(there.record, 1)) << there.record.order();
  EXPECT_EQ(there.record.order(), "open text");
  EXPECT_EQ(there.record.messages[0], "early");
}

// ---- 5 Frames ----

TEST_P(WebSocketRfcClientTest, MasksEachFrameWithAKeyOfItsOwn) {
  RULES("6455.5.1.1 6455.5.3.1 6455.5.3.3 6455.10.3.1");
  Line& there = line();
  WebSocket& socket = there.record.socket();
  constexpr std::size_t kFrames = 40;
  for (std::size_t i = 0; i < kFrames; ++i) socket.send_binary(std::string_view("\0\0\0\0", 4));
  ASSERT_TRUE(run_until([&] { return there.raw->received().size() >= 10 * kFrames; }));
  std::vector<std::string> keys;
  for (std::size_t at = 0; at < there.raw->received().size(); at += 10) {
    const std::string frame = there.raw->received().substr(at, 10);
    EXPECT_EQ(frame.substr(0, 2), "\x82\x84");
    EXPECT_EQ(frame.substr(2, 4), frame.substr(6, 4));  // zeros, masked
    keys.push_back(frame.substr(2, 4));
  }
  ASSERT_EQ(keys.size(), kFrames);
  std::ranges::sort(keys);
  // Of 2^32 keys the same one comes twice in 40 once in five million runs.
  EXPECT_EQ(std::ranges::adjacent_find(keys), keys.end());
}

TEST_P(WebSocketRfcClientTest, MasksMessagesOfEverySize) {
  RULES("6455.5.1.1 6455.5.2.2");
  Line& there = line();
  Trace expected;
  for (const std::size_t size : {0, 1, 3, 125, 126, 5000, 65535, 65536, 200000}) {
    const std::string payload = pattern(size, 7);
    there.record.socket().send_binary(payload);
    there.record.socket().send_binary(Buffer::copy(payload));
    for (int i = 0; i < 2; ++i) expected.push_back("binary " + payload);
  }
  EXPECT_TRUE(there.record.socket().ping("p").has_value());
  EXPECT_TRUE(there.record.socket().pong("q").has_value());
  EXPECT_TRUE(there.record.socket().close(1000, "bye").has_value());
  for (const char* line : {"ping p", "pong q", "close 1000 bye"}) expected.emplace_back(line);
  ASSERT_TRUE(run_until_heard(there, expected.size()));
  EXPECT_EQ(heard(there), expected);
}

TEST_P(WebSocketRfcClientTest, FailsForWhatIsWrongInAServersFrames) {
  RULES("6455.5.1.2 6455.5.2.2 6455.5.2.3 6455.5.2.4 6455.5.4.4 6455.5.4.5 6455.5.5.1 6455.8.1.2");
  expect_failed(Frame{.payload = "Hello"}.bytes(), FrameError::mask_unexpected);
  expect_failed(Frame{.opcode = 9}.bytes(), FrameError::mask_unexpected);
  expect_failed(bare({.payload = "x", .rsv = 4}), FrameError::compressed_bit);
  expect_failed(bare({.payload = "x", .rsv = 1}), FrameError::reserved_bits);
  expect_failed(bare({.opcode = 5}), FrameError::reserved_opcode);
  expect_failed(bare({.payload = "x", .length_bytes = 8}), FrameError::length_not_minimal);
  expect_failed(bare({.opcode = 0}), FrameError::continuation_without_start);
  expect_failed(bare({.fin = false}) + bare({.payload = "x"}), FrameError::message_within_message);
  expect_failed(bare({.opcode = 9, .payload = std::string(126, 'x')}),
                FrameError::control_too_long);
  expect_failed(bare({.opcode = 10, .fin = false}), FrameError::control_fragmented);
  expect_failed(bare({.payload = "a\xff", .length = 50}), FrameError::text_not_utf8);
  expect_failed(bare({.opcode = 8, .payload = close_payload(1005)}), FrameError::close_code);
}

TEST_P(WebSocketRfcClientTest, AnswersPingsAmidAServersFragments) {
  RULES("6455.5.4.1 6455.5.4.3 6455.5.5.2.1");
  Line& there = line();
  there.raw->send(bare({.payload = "ab", .fin = false}) + bare({.opcode = 9, .payload = "now"}) +
                  bare({.opcode = 0, .payload = "cd"}));
  ASSERT_TRUE(run_until([&] { return there.record.has("text") && heard(there).size() == 1; }));
  EXPECT_EQ(heard(there), (Trace{"pong now"}));
  EXPECT_EQ(there.record.messages, (std::vector<std::string>{"abcd"}));
}

TEST_P(WebSocketRfcClientTest, FailsForAMessageBeyondTheLimit) {
  RULES("6455.10.4.1");
  WebSocketClientOptions options;
  options.socket.message_bytes_max = 10;
  expect_failed(bare({.length = 11}), FrameError::message_too_big, options);
  expect_failed(bare({.payload = "01234", .fin = false}) + bare({.opcode = 0, .length = 6}),
                FrameError::message_too_big, options);
}

// ---- 7 Closing ----

TEST_P(WebSocketRfcClientTest, WaitsForTheServerToEndTheConnection) {
  RULES("6455.7.1.1.1 6455.5.5.1.3 6455.7.1.5.1");
  Line& there = line();
  there.raw->send(bare({.opcode = 8, .payload = close_payload(1001, "going")}));
  ASSERT_TRUE(run_until_heard(there, 1));
  EXPECT_TRUE(heard(there)[0].starts_with("close 1001 ")) << heard(there)[0];
  run_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(there.raw->ended());
  EXPECT_FALSE(there.record.over());
  there.raw->end();
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(there.record.order(), "open close");
  EXPECT_EQ(there.record.code, 1001);
  EXPECT_EQ(there.record.reason, "going");
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketRfcClientTest, ClosesAndIsAnswered) {
  RULES("6455.7.1.2.1 6455.5.5.1.5");
  Line& there = line();
  WebSocket& socket = there.record.socket();
  EXPECT_TRUE(socket.close(3001, "done").has_value());
  EXPECT_EQ(socket.send_text("late"), Write::closed);
  ASSERT_TRUE(run_until_heard(there, 1));
  there.raw->send(bare({.payload = "dropped"}) +
                  bare({.opcode = 8, .payload = close_payload(3001)}));
  there.raw->end();
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(heard(there), (Trace{"close 3001 done"}));
  EXPECT_EQ(there.record.order(), "open close");
  EXPECT_EQ(there.record.code, 3001);
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketRfcClientTest, DoesNotWaitForeverForTheServersEnd) {
  RULES("6455.7.1.1.2");
  WebSocketClientOptions options;
  options.socket.close_timeout = std::chrono::milliseconds(20);
  Line& there = line(options);
  there.raw->send(bare({.opcode = 8, .payload = close_payload(1000)}));
  ASSERT_TRUE(run_until_over(there.record));
  EXPECT_EQ(there.record.code, 1000);
  EXPECT_TRUE(there.record.was_clean);
}

TEST_P(WebSocketRfcClientTest, AnEndWithoutACloseFrameIsAbnormal) {
  RULES("6455.7.1.5.1 6455.7.2.1");
  for (const std::string_view bytes : {"", "\x81", "\x81\x05xy"}) {
    Line& there = line();
    there.raw->send(bytes);
    there.raw->end();
    ASSERT_TRUE(run_until_over(there.record));
    EXPECT_EQ(there.record.order(), "open close");
    EXPECT_EQ(there.record.code, 1006);
    EXPECT_FALSE(there.record.was_clean);
  }
}

// ---- RFC 7692 ----

WebSocketClientOptions deflating() {
  WebSocketClientOptions options;
  options.socket.deflate.on = true;
  options.socket.deflate.threshold = 0;
  options.socket.message_bytes_max = 100000;
  return options;
}
constexpr std::string_view kDeflate =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    "client_no_context_takeover\r\n";

TEST_P(WebSocketRfcClientTest, InflatesAndDeflates) {
  RULES("7692.6.1 7692.6.2 7692.7.2.2.1");
  Line& there = line(deflating(), kDeflate);
  EXPECT_TRUE(there.record.socket().is_deflating());
  const std::string text = "a text, a text, a text";
  const std::string bytes = deflated(text);
  there.raw->send(bare({.payload = bytes, .rsv = 4}) + bare({.payload = "plain"}) +
                  bare({.payload = bytes.substr(0, 5), .fin = false, .rsv = 4}) +
                  bare({.opcode = 9, .payload = "p"}) +
                  bare({.opcode = 0, .payload = bytes.substr(5)}) +
                  bare({.payload = std::string("\0", 1), .rsv = 4}));
  ASSERT_TRUE(run_until_messages(there.record, 4)) << there.record.error_name();
  EXPECT_EQ(there.record.messages, (std::vector<std::string>{text, "plain", text, ""}));
  there.record.socket().send_text(text);
  ASSERT_TRUE(run_until_heard(there, 2));
  EXPECT_EQ(heard(there), (Trace{"pong p", "text* " + bytes}));
}

TEST_P(WebSocketRfcClientTest, FailsForCompressedMessagesThatAreWrong) {
  RULES("7692.6.1 7692.7.2.2.2 6455.8.1.2 6455.10.4.2");
  expect_failed(bare({.payload = "\xff\xff", .rsv = 4}), FrameError::deflate_malformed,
                deflating(), kDeflate);
  expect_failed(bare({.payload = deflated("a long text").substr(0, 6), .rsv = 4}),
                FrameError::deflate_malformed, deflating(), kDeflate);
  expect_failed(bare({.payload = deflated("abc\xff"), .rsv = 4}), FrameError::text_not_utf8,
                deflating(), kDeflate);
  expect_failed(bare({.payload = deflated("cut \xe2\x82"), .rsv = 4}), FrameError::text_not_utf8,
                deflating(), kDeflate);
  expect_failed(bare({.opcode = 2, .payload = deflated(std::string(100001, 'x')), .rsv = 4}),
                FrameError::message_too_big, deflating(), kDeflate);
  expect_failed(bare({.opcode = 9, .rsv = 4}), FrameError::compressed_bit, deflating(), kDeflate);
  const std::string bytes = deflated("two parts");
  expect_failed(bare({.payload = bytes.substr(0, 3), .fin = false, .rsv = 4}) +
                    bare({.opcode = 0, .payload = bytes.substr(3), .rsv = 4}),
                FrameError::compressed_bit, deflating(), kDeflate);
}

TEST_P(WebSocketRfcClientTest, RefersToEarlierMessagesOnlyWhereThatWasAgreedOn) {
  RULES("7692.7.1.1 7692.7.2.3.1");
  constexpr std::string_view kTakeover = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
  WebSocketClientOptions options = deflating();
  options.socket.deflate.send_context_takeover = true;
  options.socket.deflate.receive_context_takeover = true;
  Line& there = line(options, kTakeover);
  const std::string_view hello("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
  const std::string_view again("\xf2\x00\x11\x00\x00", 5);  // RFC 7692, section 7.2.3.2
  there.raw->send(bare({.payload = std::string(hello), .rsv = 4}) +
                  bare({.payload = std::string(again), .rsv = 4}));
  ASSERT_TRUE(run_until_messages(there.record, 2));
  EXPECT_EQ(there.record.messages, (std::vector<std::string>{"Hello", "Hello"}));
  for (int i = 0; i < 2; ++i) there.record.socket().send_text("Hello");
  ASSERT_TRUE(run_until_heard(there, 2));
  EXPECT_EQ(heard(there),
            (Trace{"text* " + std::string(hello), "text* " + std::string(again)}));
  expect_failed(bare({.payload = std::string(again), .rsv = 4}), FrameError::deflate_malformed,
                deflating(), kDeflate);
}

TEST_P(WebSocketRfcClientTest, AWindowOf8BitsIsKept) {
  RULES("7692.7.2.1.2");
  Line& there = line(deflating(),
                     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=8; "
                     "server_no_context_takeover\r\n");
  const std::string text = pattern(300, 1) + pattern(300, 1) + std::string(5000, 'x');
  there.record.socket().send_binary(text);
  ASSERT_TRUE(run_until_heard(there, 1));
  std::string bytes = heard(there)[0];
  ASSERT_TRUE(bytes.starts_with("binary* "));
  bytes.erase(0, 8);
  EXPECT_LT(bytes.size(), 1000U);
  websocket::Inflater inflater(8, false);
  std::vector<char> room(10000);
  const auto step = inflater.next(bytes, true, room);
  EXPECT_EQ(step.status, websocket::Inflater::Status::end);
  EXPECT_EQ(std::string_view(room.data(), step.written), text);
}

}  // namespace
}  // namespace weir::test
