// Frames in, messages and control frames out (RFC 6455, section 5). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/websocket/frame.h"
#include "weir/http/websocket/limits.h"
#include "weir/http/websocket/utf8.h"

namespace weir::inline v1::http::websocket {

// Which end of the connection we are.
enum class Role : std::uint8_t { server, client };

struct FrameReaderOptions {
  Role role = Role::server;  // of the reader: a server takes masked frames only, a client bare ones
  bool deflate = false;      // permessage-deflate was negotiated
  std::uint64_t message_bytes_max = limits::kMessageBytesMaxDefault;
};

// What one call found.
struct FrameStep {
  enum class Kind : std::uint8_t {
    need_more,  // all of the input is consumed and nothing else is known yet
    piece,      // of a message
    ping,
    pong,
    close,  // what comes behind it is passed over
    error,  // and every step from here on is this one
  };
  Kind kind = Kind::need_more;
  Opcode opcode = Opcode::binary;  // of a piece: what the message is, text or binary
  bool first = false;              // of the message's pieces
  bool last = false;
  bool compressed = false;  // the payload is to be inflated, and if it is text to be checked then
  FrameError error = FrameError::none;
  // How much of the input is done with. The next call gets what is behind it.
  std::size_t consumed = 0;
  // Unmasked. Of a piece: a view of the input (client) or of the room (server), empty only when it
  // is the last. Of ping and pong: their payload; of close: the reason, which is UTF-8; both in the
  // input, the room or the reader, good until the next call.
  std::string_view payload = {};
  // Of a piece: payload of its frame behind this piece, for whoever wants to allocate once.
  std::uint64_t frame_left = 0;
  // Of close: one that may be sent, or kNoStatus when there is none.
  std::uint16_t code = 0;
};

// The stream of one peer, cut anywhere:
//
//     next("0x81 0x85 key hel", room)  ->  piece "hel", first
//     next("lo", room)                 ->  piece "lo", last
//
// Received bytes are views of a Buffer, which are immutable: others may look at the same chunk, and
// a simulated network delivers the sender's own. So a masked payload is unmasked on its way into
// the caller's room, in one pass that also learns whether it is ASCII; a bare one stays where it
// is. Nothing is allocated, ever: a small frame in one piece of input is one step and one pass.
//
// Text of uncompressed messages is checked as it comes; a message has ended well when its last
// piece has come. Bounds: a message never goes beyond message_bytes_max (as it stands in the
// frames: compressed, limits::compressed_bytes_max() of that), found in the head of the frame that
// would; a control frame's payload beyond one piece of input is held here, 125 bytes. What is told
// of a message before its last piece depends on the cuts; all else does not. Owner: one reader for
// each direction of a connection. One thread.
class FrameReader {
 public:
  explicit FrameReader(const FrameReaderOptions& options) noexcept : options_(options) {}

  // `room` is where payload is unmasked to; for a server it has at least kControlPayloadMax bytes
  // (a client's may be empty), and may begin where `input` does when nobody else looks at that.
  FrameStep next(std::string_view input, std::span<char> room) noexcept;

  // A message has begun and not ended.
  bool in_message() const noexcept { return in_message_; }
  // That one, or the last: it is to be inflated.
  bool is_compressed() const noexcept { return compressed_; }
  // No byte of the next frame has come; nor of the next message when also !in_message().
  bool between_frames() const noexcept { return state_ == State::head && held_size_ == 0; }

 private:
  enum class State : std::uint8_t { head, data, control, closed, failed };

  bool read_head(std::string_view input, std::size_t& used) noexcept;
  FrameError judge(const FrameHead& head) noexcept;
  FrameStep read_data(std::string_view input, std::size_t used, std::span<char> room) noexcept;
  FrameStep read_control(std::string_view input, std::size_t used, std::span<char> room) noexcept;
  FrameStep control_step(std::string_view payload, std::size_t used) noexcept;
  FrameStep close_step(std::string_view payload, std::size_t used) noexcept;
  FrameStep fail(FrameError error) noexcept;

  FrameReaderOptions options_;
  State state_ = State::head;
  FrameError error_ = FrameError::none;
  // Of the message.
  bool in_message_ = false;
  bool told_first_ = false;
  bool compressed_ = false;
  Opcode opcode_ = Opcode::binary;
  Utf8Checker utf8_;
  std::uint8_t held_size_ = 0;      // of held_: a head, or a control frame's payload
  FrameHead head_;                  // of the frame, from State::data or control on
  std::uint64_t left_ = 0;          // of its payload
  std::uint64_t message_bytes_ = 0;  // with all of the frames that have begun
  char held_[limits::kControlPayloadMax];
};

}  // namespace weir::inline v1::http::websocket
