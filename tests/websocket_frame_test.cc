// http::websocket frames: heads, and FrameReader at every point where the bytes may be cut.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tests/random.h"
#include "tests/rules.h"
#include "tests/websocket_trace.h"
#include "weir/http/websocket/frame.h"
#include "weir/http/websocket/frame_reader.h"

namespace weir::test {
namespace {

using websocket::FrameError;
using websocket::FrameHead;
using websocket::FrameReader;
using websocket::FrameReaderOptions;
using websocket::FrameStep;
using websocket::Role;

constexpr FrameReaderOptions kClient{.role = Role::client};
constexpr std::size_t kSmallRoom = websocket::limits::kControlPayloadMax;

// In one piece, in two at every point, byte by byte, and into little room: the same.
void expect_trace(std::string_view bytes, const Trace& expected,
                  const FrameReaderOptions& options = {}) {
  SCOPED_TRACE(testing::PrintToString(std::string(bytes.substr(0, 200))));
  ASSERT_EQ(frame_trace_of({bytes}, options), expected);
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    ASSERT_EQ(frame_trace_of(split_at(bytes, at), options), expected) << "cut at " << at;
  }
  ASSERT_EQ(frame_trace_of(split_in_bytes(bytes), options), expected);
  ASSERT_EQ(frame_trace_of({bytes}, options, kSmallRoom), expected);
}

// The same frame from a client and from a server.
void expect_frame(const Frame& frame, const Trace& expected) {
  expect_trace(frame.bytes(), expected);
  expect_trace(bare(frame), expected, kClient);
}

std::string error(FrameError error) { return describe(error); }

std::string close_payload(unsigned code, std::string_view reason = {}) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return payload.append(reason);
}

// ---- Heads ----

TEST(WebSocketFrameHead, IsReadBackAsItWasWritten) {
  RULES("6455.5.2.1 6455.5.2.2");
  const std::uint64_t lengths[] = {0,     1,     125,     126,        127,
                                   65535, 65536, 1 << 24, 0xffffffff, (std::uint64_t{1} << 63) - 1};
  for (const Opcode opcode : {Opcode::continuation, Opcode::text, Opcode::binary, Opcode::close,
                              Opcode::ping, Opcode::pong}) {
    for (const std::uint64_t length : lengths) {
      if (is_control(opcode) && length > 125) continue;
      for (const int bits : {0, 1, 2, 3, 4, 5, 6, 7}) {
        FrameHead head{.opcode = opcode,
                       .fin = is_control(opcode) || (bits & 1) != 0,
                       .compressed = (bits & 2) != 0,
                       .mask = std::nullopt,
                       .length = length};
        if ((bits & 4) != 0) head.mask = websocket::MaskKey{1, 2, 0xff, 0};
        char out[websocket::limits::kFrameHeadBytesMax];
        const std::size_t size = write_frame_head(head, out);
        const std::string bytes(out, size);
        for (std::size_t part = 0; part < size; ++part) {
          const auto incomplete = websocket::parse_frame_head(bytes.substr(0, part));
          ASSERT_EQ(incomplete.size, 0U);
          ASSERT_EQ(incomplete.error, FrameError::none);
        }
        const auto parsed = websocket::parse_frame_head(bytes + "more");
        ASSERT_EQ(parsed.size, size);
        ASSERT_EQ(parsed.head.opcode, opcode);
        ASSERT_EQ(parsed.head.fin, head.fin);
        ASSERT_EQ(parsed.head.compressed, head.compressed);
        ASSERT_EQ(parsed.head.mask, head.mask);
        ASSERT_EQ(parsed.head.length, length);
      }
    }
  }
}

TEST(WebSocketFrameHead, HasTheBytesOfTheRfc) {
  RULES("6455.5.7.1");
  char out[websocket::limits::kFrameHeadBytesMax];
  const auto written = [&](const FrameHead& head) {
    return std::string(out, write_frame_head(head, out));
  };
  EXPECT_EQ(written({.opcode = Opcode::text, .mask = {}, .length = 5}), "\x81\x05");
  EXPECT_EQ(written({.opcode = Opcode::text,
                     .mask = websocket::MaskKey{0x37, 0xfa, 0x21, 0x3d},
                     .length = 5}),
            "\x81\x85\x37\xfa\x21\x3d");
  EXPECT_EQ(written({.opcode = Opcode::text, .fin = false, .mask = {}, .length = 3}), "\x01\x03");
  EXPECT_EQ(written({.opcode = Opcode::continuation, .mask = {}, .length = 2}), "\x80\x02");
  EXPECT_EQ(written({.opcode = Opcode::binary, .mask = {}, .length = 256}),
            std::string("\x82\x7e\x01\x00", 4));
  EXPECT_EQ(written({.opcode = Opcode::binary, .mask = {}, .length = 65536}),
            std::string("\x82\x7f\0\0\0\0\0\x01\0\0", 10));
  EXPECT_EQ(written({.opcode = Opcode::text, .compressed = true, .mask = {}, .length = 7}),
            "\xc1\x07");
}

TEST(WebSocketFrameHead, RefusesWhatIsWrongAsSoonAsItsByteIsThere) {
  RULES("6455.5.2.3 6455.5.2.4 6455.5.5.1 6455.5.5.2");
  const auto error_of = [](std::string_view bytes) {
    return websocket::parse_frame_head(bytes).error;
  };
  for (unsigned first = 0; first < 256; ++first) {
    const std::string byte(1, static_cast<char>(first));
    const unsigned opcode = first & 0x0f;
    const bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
    const bool fragment = (first & 0x80) == 0;
    const FrameError expected = (first & 0x30) != 0       ? FrameError::reserved_bits
                                : !known                  ? FrameError::reserved_opcode
                                : opcode >= 8 && fragment ? FrameError::control_fragmented
                                                          : FrameError::none;
    EXPECT_EQ(error_of(byte), expected) << first;
    EXPECT_EQ(error_of(byte + "\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
              expected != FrameError::none ? expected
              : opcode >= 8                ? FrameError::control_too_long
                                           : FrameError::length_too_large);
  }
  EXPECT_EQ(error_of("\x89\x7e"), FrameError::control_too_long);
  EXPECT_EQ(error_of("\x88\xff"), FrameError::control_too_long);
}

TEST(WebSocketFrameHead, RefusesLengthsInALongerFormThanNeeded) {
  RULES("6455.5.2.2");
  for (const std::uint64_t length : {0, 1, 125, 126, 65535}) {
    for (const int bytes : {2, 8}) {
      if (bytes == 2 && length >= 126) continue;
      Frame frame{.opcode = 2, .length_bytes = bytes, .length = length};
      expect_frame(frame, {error(FrameError::length_not_minimal)});
    }
  }
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  for (const std::uint64_t length : {kTop, std::numeric_limits<std::uint64_t>::max()}) {
    expect_frame({.opcode = 2, .length_bytes = 8, .length = length},
                 {error(FrameError::length_too_large)});
  }
}

TEST(WebSocketFrameHead, CodesThatMayBeSent) {
  RULES("6455.7.4.1");
  for (unsigned code = 0; code < 65536; ++code) {
    const bool allowed = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
                          code != 1006) ||
                         (code >= 3000 && code < 5000);
    ASSERT_EQ(websocket::may_be_sent(static_cast<std::uint16_t>(code)), allowed) << code;
  }
}

// ---- Messages ----

TEST(WebSocketFrameReader, TakesTheExamplesOfTheRfc) {
  RULES("6455.5.7.1");
  expect_trace("\x81\x05\x48\x65\x6c\x6c\x6f", {"text Hello"}, kClient);
  expect_trace("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", {"text Hello"});
  expect_trace("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", {"text Hello"}, kClient);
  expect_trace("\x89\x05\x48\x65\x6c\x6c\x6f", {"ping Hello"}, kClient);
  expect_trace("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", {"pong Hello"});
}

TEST(WebSocketFrameReader, TakesMessagesOfEachLength) {
  RULES("6455.5.2.2 6455.5.6.1 6455.5.6.2 6455.6.2.1");
  for (const std::size_t size : {0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 124, 125, 126, 127}) {
    expect_frame({.opcode = 2, .payload = std::string(size, '\xff')},
                 {"binary " + std::string(size, '\xff')});
    expect_frame({.opcode = 1, .payload = std::string(size, 'x')},
                 {"text " + std::string(size, 'x')});
  }
  for (const std::size_t size : {4095, 4096, 4097, 65535, 65536, 70000}) {
    const std::string payload(size, 'y');
    const std::string bytes = Frame{.payload = payload}.bytes();
    for (const std::size_t at : {0, 1, 2, 3, 4, 5, 8, 9, 10, 13, 14, 15, 4000}) {
      EXPECT_EQ(frame_trace_of(split_at(bytes, at)), (Trace{"text " + payload})) << at;
      EXPECT_EQ(frame_trace_of(split_at(bytes, at), {}, kSmallRoom), (Trace{"text " + payload}));
    }
  }
}

TEST(WebSocketFrameReader, JoinsFragments) {
  RULES("6455.5.4.1 6455.5.4.2");
  const std::string three = Frame{.opcode = 1, .payload = "ab", .fin = false}.bytes() +
                            Frame{.opcode = 0, .payload = "cd", .fin = false}.bytes() +
                            Frame{.opcode = 0, .payload = "ef"}.bytes();
  expect_trace(three, {"text abcdef"});
  expect_trace(three + three, {"text abcdef", "text abcdef"});
  // Fragments may be empty, first, last and between.
  expect_trace(Frame{.opcode = 2, .fin = false}.bytes() + Frame{.opcode = 0, .fin = false}.bytes() +
                   Frame{.opcode = 0}.bytes() + Frame{.opcode = 2, .payload = "x"}.bytes(),
               {"binary ", "binary x"});
  expect_trace(Frame{.opcode = 2, .payload = "a", .fin = false}.bytes() +
                   Frame{.opcode = 0, .fin = false}.bytes() +
                   Frame{.opcode = 0, .payload = "b", .fin = false}.bytes() +
                   Frame{.opcode = 0}.bytes(),
               {"binary ab"});
}

TEST(WebSocketFrameReader, TakesControlFramesBetweenFragments) {
  RULES("6455.5.4.3 6455.5.5.3");
  expect_trace(Frame{.opcode = 1, .payload = "ab", .fin = false}.bytes() +
                   Frame{.opcode = 9, .payload = "now"}.bytes() +
                   Frame{.opcode = 10, .payload = std::string(125, 'p')}.bytes() +
                   Frame{.opcode = 9}.bytes() + Frame{.opcode = 0, .payload = "cd"}.bytes(),
               {"ping now", "pong " + std::string(125, 'p'), "ping ", "text abcd"});
}

TEST(WebSocketFrameReader, RefusesFragmentsOutOfOrder) {
  RULES("6455.5.4.4 6455.5.4.5");
  expect_frame({.opcode = 0, .payload = "x"}, {error(FrameError::continuation_without_start)});
  expect_frame({.opcode = 0, .fin = false}, {error(FrameError::continuation_without_start)});
  const std::string whole = Frame{.opcode = 1, .payload = "a"}.bytes();
  expect_trace(whole + Frame{.opcode = 0, .payload = "x"}.bytes(),
               {"text a", error(FrameError::continuation_without_start)});
  const std::string begun = Frame{.opcode = 1, .payload = "a", .fin = false}.bytes();
  expect_trace(begun + whole, {error(FrameError::message_within_message)});
  expect_trace(begun + Frame{.opcode = 2, .fin = false}.bytes(),
               {error(FrameError::message_within_message)});
}

TEST(WebSocketFrameReader, WantsAMaskFromAClientOnly) {
  RULES("6455.5.1.1 6455.5.1.2 6455.5.3.1");
  for (const unsigned opcode : {1U, 2U, 8U, 9U, 10U}) {
    Frame frame{.opcode = opcode, .payload = opcode == 8 ? close_payload(1000, "a") : "abc"};
    expect_trace(bare(frame), {error(FrameError::mask_missing)});
    expect_trace(frame.bytes(), {error(FrameError::mask_unexpected)}, kClient);
    for (const char* key : {"\xff\xff\xff\xff", "\x80\x40\x20\x10"}) {
      frame.key = key;
      EXPECT_FALSE(frame_trace_of({frame.bytes()})[0].starts_with("error"));
    }
    frame.key = std::string(4, '\0');
    EXPECT_FALSE(frame_trace_of({frame.bytes()})[0].starts_with("error"));
  }
}

TEST(WebSocketFrameReader, EveryFirstByte) {
  RULES("6455.5.2.3 6455.5.2.4 6455.5.5.2 7692.6.1");
  for (unsigned first = 0; first < 256; ++first) {
    const std::string bytes = std::string(1, static_cast<char>(first)) +
                              std::string("\x80\0\0\0\0", 5);
    const Trace trace = frame_trace_of({bytes});
    expect_trace(bytes, trace);
    const unsigned opcode = first & 0x0f;
    const bool plain = (first & 0x70) == 0;
    const bool good = plain && (opcode == 1 || opcode == 2 ||
                                ((first & 0x80) != 0 && opcode >= 8 && opcode <= 10));
    EXPECT_EQ(!trace.empty() && trace.back().starts_with("error 1002"), !good) << first;
    EXPECT_EQ(trace.empty(), first == 1 || first == 2) << first;
  }
}

TEST(WebSocketFrameReader, TakesRsv1OnTheFirstFrameOfAMessageOnly) {
  RULES("7692.6.1 7692.6.2");
  const FrameReaderOptions deflate{.deflate = true};
  const Frame whole{.opcode = 1, .payload = "\xff\xfe", .rsv = 4};
  expect_trace(whole.bytes(), {"text* \xff\xfe"}, deflate);
  expect_trace(whole.bytes(), {error(FrameError::compressed_bit)});
  const std::string begun = Frame{.opcode = 2, .payload = "a", .fin = false, .rsv = 4}.bytes();
  expect_trace(begun + Frame{.opcode = 9, .payload = "p"}.bytes() +
                   Frame{.opcode = 0, .payload = "b"}.bytes() +
                   Frame{.opcode = 2, .payload = "plain"}.bytes(),
               {"ping p", "binary* ab", "binary plain"}, deflate);
  expect_trace(begun + Frame{.opcode = 0, .payload = "b", .rsv = 4}.bytes(),
               {error(FrameError::compressed_bit)}, deflate);
  for (const unsigned opcode : {8U, 9U, 10U}) {
    expect_trace(Frame{.opcode = opcode, .rsv = 4}.bytes(), {error(FrameError::compressed_bit)},
                 deflate);
  }
}

// ---- Text ----

TEST(WebSocketFrameReader, ChecksTextAcrossFramesAndCuts) {
  RULES("6455.5.6.1 6455.8.1.1 6455.8.1.2");
  constexpr std::string_view kText = "\xce\xba\xe1\xbd\xb9\xcf\x83\xf0\x9f\x98\x80 plain";
  for (std::size_t at = 0; at <= kText.size(); ++at) {
    expect_trace(Frame{.payload = std::string(kText.substr(0, at)), .fin = false}.bytes() +
                     Frame{.opcode = 9, .payload = "\xff"}.bytes() +
                     Frame{.opcode = 0, .payload = std::string(kText.substr(at))}.bytes(),
                 {"ping \xff", "text " + std::string(kText)});
  }
  for (const std::string_view wrong :
       {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "abc\x80", "\xe1\xbd",
        "\xf0\x9f\x98", "\xce"}) {
    const std::string text = "a long text that is ASCII up to here" + std::string(wrong);
    expect_frame({.payload = text}, {error(FrameError::text_not_utf8)});
    expect_trace(Frame{.payload = text, .fin = false}.bytes() + Frame{.opcode = 0}.bytes(),
                 {error(FrameError::text_not_utf8)});
    expect_frame({.opcode = 2, .payload = text}, {"binary " + text});
  }
  // What the end of one message leaves open is not closed by the next.
  expect_trace(Frame{.payload = "\xce", .fin = false}.bytes() +
                   Frame{.opcode = 0, .payload = "x"}.bytes(),
               {error(FrameError::text_not_utf8)});
  // Nor is it by ASCII in between, which is not looked at byte by byte.
  expect_trace(Frame{.payload = "\xce", .fin = false}.bytes() +
                   Frame{.opcode = 0, .payload = "x", .fin = false}.bytes() +
                   Frame{.opcode = 0, .payload = "\xba"}.bytes(),
               {error(FrameError::text_not_utf8)});
}

TEST(WebSocketFrameReader, RefusesTextAtTheFirstByteThatCannotBe) {
  RULES("6455.8.1.2");
  Frame frame{.payload = "abc\xf4\x90", .length = 1000};
  for (const bool masked : {true, false}) {
    FrameTrace trace(masked ? FrameReaderOptions() : kClient, 4096);
    const std::string bytes = masked ? frame.bytes() : bare(frame);
    EXPECT_TRUE(trace.feed(std::string_view(bytes).substr(0, bytes.size() - 1)));
    EXPECT_EQ(trace.message(), "abc\xf4");
    EXPECT_FALSE(trace.feed(bytes.substr(bytes.size() - 1)));
  }
}

// ---- Control frames ----

TEST(WebSocketFrameReader, RefusesControlFramesOfWrongForm) {
  RULES("6455.5.5.1 6455.5.5.2");
  for (const unsigned opcode : {8U, 9U, 10U}) {
    expect_frame({.opcode = opcode, .payload = std::string(126, 'x')},
                 {error(FrameError::control_too_long)});
    expect_frame({.opcode = opcode, .payload = "", .fin = false},
                 {error(FrameError::control_fragmented)});
  }
  expect_frame({.opcode = 9, .payload = std::string(125, '\xfe')},
               {"ping " + std::string(125, '\xfe')});
}

TEST(WebSocketFrameReader, ReadsCloseFrames) {
  RULES("6455.5.5.1.1 6455.7.4.1 6455.7.1.5.1 6455.7.1.6.1");
  expect_frame({.opcode = 8}, {"close 1005 "});
  expect_frame({.opcode = 8, .payload = close_payload(1000)}, {"close 1000 "});
  expect_frame({.opcode = 8, .payload = close_payload(1001, "b\xc3\xa4h")},
               {"close 1001 b\xc3\xa4h"});
  expect_frame({.opcode = 8, .payload = close_payload(4999, std::string(123, 'r'))},
               {"close 4999 " + std::string(123, 'r')});
  expect_frame({.opcode = 8, .payload = "\x03"}, {error(FrameError::close_payload)});
  for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 2999U, 5000U, 65535U}) {
    expect_frame({.opcode = 8, .payload = close_payload(code)}, {error(FrameError::close_code)});
  }
  expect_frame({.opcode = 8, .payload = close_payload(1000, "\xff")},
               {error(FrameError::close_reason)});
  expect_frame({.opcode = 8, .payload = close_payload(1000, "cut \xe2\x82")},
               {error(FrameError::close_reason)});
}

TEST(WebSocketFrameReader, PassesOverWhatComesBehindClose) {
  RULES("6455.5.5.1.2");
  expect_trace(Frame{.opcode = 8, .payload = close_payload(1000)}.bytes() +
                   Frame{.payload = "late"}.bytes() + "\xff\xff\xff garbage",
               {"close 1000 "});
}

// ---- Limits ----

TEST(WebSocketFrameReader, RefusesAMessageBeyondTheLimitByItsHead) {
  RULES("6455.10.4.1 6455.7.4.2");
  const FrameReaderOptions ten{.message_bytes_max = 10};
  expect_trace(Frame{.payload = "0123456789"}.bytes(), {"text 0123456789"}, ten);
  expect_trace(Frame{.payload = "", .length = 11}.bytes(), {error(FrameError::message_too_big)},
               ten);
  expect_trace(Frame{.payload = "", .length = (std::uint64_t{1} << 63) - 1}.bytes(),
               {error(FrameError::message_too_big)}, ten);
  const std::string begun = Frame{.payload = "01234", .fin = false}.bytes();
  expect_trace(begun + Frame{.opcode = 0, .payload = "56789"}.bytes(), {"text 0123456789"}, ten);
  expect_trace(begun + Frame{.opcode = 0, .length = 6}.bytes(),
               {error(FrameError::message_too_big)}, ten);
  // Each message begins anew; control frames do not count.
  const std::string full = Frame{.payload = "0123456789"}.bytes();
  expect_trace(full + Frame{.opcode = 9, .payload = "longer than ten"}.bytes() + full,
               {"text 0123456789", "ping longer than ten", "text 0123456789"}, ten);
  expect_trace(Frame{.opcode = 2}.bytes() + Frame{.opcode = 2, .payload = "x"}.bytes(),
               {"binary ", error(FrameError::message_too_big)}, {.message_bytes_max = 0});
  const FrameReaderOptions any{.message_bytes_max = std::numeric_limits<std::uint64_t>::max()};
  expect_trace(Frame{.opcode = 2, .payload = "x", .fin = false}.bytes() +
                   Frame{.opcode = 0, .length = (std::uint64_t{1} << 63) - 1}.bytes(),
               {}, any);
}

TEST(WebSocketFrameReader, LetsACompressedMessageBeALittleLonger) {
  RULES("6455.10.4.1");
  const FrameReaderOptions options{.deflate = true, .message_bytes_max = 80};
  const std::uint64_t most = websocket::limits::compressed_bytes_max(80);
  EXPECT_EQ(most, 154U);
  expect_trace(Frame{.opcode = 2, .payload = std::string(most, 'x'), .rsv = 4}.bytes(),
               {"binary* " + std::string(most, 'x')}, options);
  expect_trace(Frame{.opcode = 2, .rsv = 4, .length = most + 1}.bytes(),
               {error(FrameError::message_too_big)}, options);
  expect_trace(Frame{.opcode = 2, .length = 81}.bytes(), {error(FrameError::message_too_big)},
               options);
}

// ---- Views ----

TEST(WebSocketFrameReader, LeavesBarePayloadWhereItIs) {
  FrameReader reader(kClient);
  const std::string bytes = bare({.payload = "abc"}) + bare({.opcode = 9, .payload = "p"});
  FrameStep step = reader.next(bytes, {});
  EXPECT_EQ(step.payload.data(), bytes.data() + 2);
  EXPECT_EQ(step.payload, "abc");
  step = reader.next(std::string_view(bytes).substr(step.consumed), {});
  EXPECT_EQ(step.payload.data(), bytes.data() + 7);
}

TEST(WebSocketFrameReader, SaysHowMuchOfTheFrameFollows) {
  FrameReader reader({});
  char room[kSmallRoom];
  const std::string bytes = Frame{.payload = std::string(300, 'x')}.bytes();
  std::string_view rest = bytes;
  std::uint64_t left = 300;
  while (left > 0) {
    const FrameStep step = reader.next(rest, room);
    ASSERT_EQ(step.kind, FrameStep::Kind::piece);
    EXPECT_EQ(step.payload.data(), room);
    EXPECT_EQ(step.first, left == 300);
    left -= step.payload.size();
    EXPECT_EQ(step.frame_left, left);
    EXPECT_EQ(step.last, left == 0);
    EXPECT_EQ(reader.in_message(), left != 0);
    EXPECT_EQ(reader.between_frames(), left == 0);
    rest.remove_prefix(step.consumed);
  }
  EXPECT_TRUE(rest.empty());
}

TEST(WebSocketFrameReader, UnmasksInPlaceForTheOneWhoOwnsTheBytes) {
  for (const std::size_t size : {5, 64, 200, 5000}) {
    std::string text(size, 'z');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
    std::string bytes = Frame{.payload = text}.bytes();
    FrameReader reader({});
    bytes.resize(std::max(bytes.size(), kSmallRoom));
    const FrameStep step = reader.next(std::string_view(bytes).substr(0, size + 14), bytes);
    EXPECT_EQ(step.payload, text);
    EXPECT_TRUE(step.last);
  }
}

TEST(WebSocketFrameReader, RandomConversationsHoweverTheyAreCut) {
  for_seeds(300, [](Random& random) {
    std::string bytes;
    Trace expected;
    for (std::uint64_t messages = 1 + random.below(6); messages > 0; --messages) {
      std::string whole;
      bool fin = false;
      for (unsigned opcode = 2; !fin; opcode = 0) {
        if (random.once_in(3)) {
          const std::string ping(random.below(126), 'p');
          bytes += Frame{.opcode = 9, .payload = ping}.bytes();
          expected.push_back("ping " + ping);
        }
        fin = random.once_in(2);
        std::string payload(random.below(random.once_in(8) ? 70000 : 200), '\0');
        for (char& byte : payload) byte = static_cast<char>(random.below(256));
        bytes += Frame{.opcode = opcode, .payload = payload, .fin = fin}.bytes();
        whole += payload;
      }
      expected.push_back("binary " + whole);
    }
    Pieces pieces;
    for (std::string_view rest = bytes; !rest.empty(); rest.remove_prefix(pieces.back().size())) {
      pieces.push_back(rest.substr(0, 1 + random.below(3000)));
    }
    EXPECT_EQ(frame_trace_of({bytes}), expected);
    EXPECT_EQ(frame_trace_of(pieces), expected);
  });
}

}  // namespace
}  // namespace weir::test
