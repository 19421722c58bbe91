// The client's half of WebSocket (RFC 6455), as far as an echo needs it: bytes in, verdicts out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "bench/soak_answer.h"
#include "bench/soak_random.h"

namespace weir::bench {

enum class SoakOpcode : std::uint8_t {
  continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10
};

// The request that opens a WebSocket at `target`. What proves that it was understood follows from
// the key, which is the one of RFC 6455's example.
std::string websocket_request(std::string_view target);
bool accepts_websocket(std::string_view head);

// A masked frame.
std::string websocket_frame(SoakOpcode opcode, bool last, std::string_view payload,
                            SoakRandom& random);

// Reads the frames of a server that sends back what it gets.
class FrameReader {
 public:
  struct Message {
    SoakOpcode opcode = SoakOpcode::binary;  // or text, pong, close
    SoakBytes payload;
    std::int64_t due = 0;
  };

  explicit FrameReader(const LoadPattern& pattern) : pattern_(pattern) {}

  // Messages and pongs each come in the order in which they were expected.
  void expect(const Message& message);
  std::size_t waiting() const { return messages_.size() + pongs_.size(); }

  // Takes bytes up to the end of a message. False: error() says what is wrong with them.
  bool take(std::string_view& bytes);
  // True once for each message, pong and Close frame that is complete.
  bool finished() const { return finished_; }
  // Its opcode alone says which kind it was when it was a Close frame.
  Message next();

  const std::string& error() const { return error_; }

 private:
  bool fail(const std::string& what);
  bool take_head(std::string_view& bytes);
  bool begin_frame(SoakOpcode opcode, bool last, std::uint64_t size);
  bool take_payload(std::string_view& bytes);
  bool end_frame();
  bool is_control() const { return frame_ >= SoakOpcode::close; }
  std::deque<Message>& queue() { return frame_ == SoakOpcode::pong ? pongs_ : messages_; }

  const LoadPattern& pattern_;
  std::deque<Message> messages_;
  std::deque<Message> pongs_;
  std::string head_;
  bool in_payload_ = false;
  bool in_message_ = false;  // between the frames of one
  SoakOpcode frame_ = SoakOpcode::binary;
  bool last_ = false;
  std::uint64_t left_ = 0;              // of the frame
  std::uint64_t message_received_ = 0;  // of the message, in earlier frames too
  std::uint64_t control_received_ = 0;
  bool finished_ = false;
  std::string error_;
};

}  // namespace weir::bench
