// Frames to feed a reader with, and what it says about them, written down, however they are cut.
// Shared by the tests and the fuzzers, so it asserts by WEIR_ASSERT what must hold for any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "weir/http/websocket/frame_reader.h"
#include "weir/reactor/assert.h"

namespace weir::test {

namespace websocket = http::websocket;
using websocket::Opcode;

// A frame as a peer sends it, right or wrong. Written down a second time, byte by byte.
struct Frame {
  unsigned opcode = 1;
  std::string payload = {};
  bool fin = true;
  unsigned rsv = 0;  // 4, 2, 1: RSV1, RSV2, RSV3
  std::optional<std::string> key = "\x01\x02\x03\x80";
  int length_bytes = -1;  // 0, 2 or 8 behind the second byte; -1: the shortest form
  std::optional<std::uint64_t> length = std::nullopt;  // that is said, when it is not the payload's

  std::string bytes() const {
    const std::uint64_t said = length.value_or(payload.size());
    int more = length_bytes;
    if (more < 0) more = said < 126 ? 0 : said < 65536 ? 2 : 8;
    const std::uint64_t seven = more == 0 ? said : more == 2 ? 126 : 127;
    std::string text;
    text += static_cast<char>((fin ? 0x80U : 0U) | rsv << 4 | opcode);
    text += static_cast<char>((key.has_value() ? 0x80U : 0U) | static_cast<unsigned>(seven));
    for (int shift = 8 * (more - 1); shift >= 0; shift -= 8) {
      text += static_cast<char>(said >> shift & 0xff);
    }
    if (!key.has_value()) return text + payload;
    text += *key;
    for (std::size_t i = 0; i < payload.size(); ++i) {
      text += static_cast<char>(static_cast<unsigned char>(payload[i]) ^
                                static_cast<unsigned char>((*key)[i % 4]));
    }
    return text;
  }
};

// The same frame from a server.
inline std::string bare(Frame frame) {
  frame.key.reset();
  return frame.bytes();
}

inline std::string describe(websocket::FrameError error) {
  const websocket::FrameErrorFacts& facts = websocket::facts_of(error);
  return "error " + std::to_string(facts.close_code) + ": " + std::string(facts.text);
}

// Gathers messages; those that are not complete are not told of, for that depends on the cuts.
class FrameTrace {
 public:
  FrameTrace(const websocket::FrameReaderOptions& options, std::size_t room)
      : options_(options), reader_(options), room_(room) {}

  // False when nothing more counts: an error.
  bool feed(std::string_view input) {
    using Kind = websocket::FrameStep::Kind;
    // A step takes a byte at least, the last one none.
    for (std::size_t steps_left = input.size() + 2; steps_left > 0; --steps_left) {
      const websocket::FrameStep step = reader_.next(input, room_);
      WEIR_ASSERT(step.consumed <= input.size());
      input.remove_prefix(step.consumed);
      switch (step.kind) {
        case Kind::need_more:
          WEIR_ASSERT(input.empty());
          return true;
        case Kind::piece:
          add_piece(step);
          break;
        case Kind::ping:
        case Kind::pong:
          WEIR_ASSERT(step.payload.size() <= websocket::limits::kControlPayloadMax);
          trace_.push_back((step.kind == Kind::ping ? "ping " : "pong ") +
                           std::string(step.payload));
          break;
        case Kind::close:
          WEIR_ASSERT(step.payload.size() <= websocket::limits::kCloseReasonMax);
          trace_.push_back("close " + std::to_string(step.code) + " " + std::string(step.payload));
          WEIR_ASSERT(reader_.next("\x81", room_).kind == Kind::need_more);
          break;
        case Kind::error:
          trace_.push_back(describe(step.error));
          WEIR_ASSERT(reader_.next("\x81", room_).kind == Kind::error);
          return false;
      }
    }
    constexpr bool kMakesProgress = false;
    WEIR_ASSERT(kMakesProgress);
    return kMakesProgress;
  }

  const Trace& trace() const { return trace_; }
  const websocket::FrameReader& reader() const { return reader_; }
  // Of the message that is not complete.
  const std::string& message() const { return message_; }

 private:
  void add_piece(const websocket::FrameStep& step) {
    WEIR_ASSERT(step.first == !in_message_);
    WEIR_ASSERT(step.last || !step.payload.empty());
    WEIR_ASSERT(!step.last || step.frame_left == 0);
    in_message_ = true;
    message_.append(step.payload);
    WEIR_ASSERT(message_.size() <= (step.compressed ? websocket::limits::compressed_bytes_max(
                                                          options_.message_bytes_max)
                                                    : options_.message_bytes_max));
    if (!step.last) return;
    in_message_ = false;
    std::string text = step.opcode == Opcode::text ? "text" : "binary";
    if (step.compressed) text += "*";
    trace_.push_back(text + " " + message_);
    message_.clear();
  }

  websocket::FrameReaderOptions options_;
  websocket::FrameReader reader_;
  std::vector<char> room_;
  Trace trace_;
  bool in_message_ = false;
  std::string message_;
};

inline Trace frame_trace_of(const Pieces& pieces,
                            const websocket::FrameReaderOptions& options = {},
                            std::size_t room = 4096) {
  FrameTrace trace(options, room);
  for (const std::string_view piece : pieces) {
    const ExactBytes bytes(piece);
    if (!trace.feed(bytes.view())) break;
  }
  return trace.trace();
}

}  // namespace weir::test
