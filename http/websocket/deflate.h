// The compression of permessage-deflate (RFC 7692, section 7.2), over zlib. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/websocket/limits.h"

struct z_stream_s;  // zlib's, so that users of this header do not need zlib.h

namespace weir::inline v1::http::websocket {

// Messages in, in pieces; what stands in their frames out, in pieces as large as the room is.
//
//     for (std::string_view rest = message;;) {
//       const Deflater::Step step = deflater.next(rest, true, room);
//       rest.remove_prefix(step.consumed);
//       ... room.first(step.written) ...
//       if (step.status != Deflater::Status::need_room) break;
//     }
//
// The mark that ends each message, 00 00 ff ff, is left out, and an empty message is one byte 00.
// zlib cannot compress with a window of 8 bits; then only repeated bytes are, whose distance is 1,
// in a window of 9.
// Memory: limits::deflater_bytes(), from the first message on. One thread.
class Deflater {
 public:
  enum class Status : std::uint8_t {
    need_input,  // all is consumed, more of the message may come
    need_room,   // the room is full; call again with what was not consumed
    end,         // the message is complete
    no_memory,   // nothing was done; the message can be sent as it is
  };
  struct Step {
    Status status = Status::need_input;
    std::size_t consumed = 0;
    std::size_t written = 0;
  };

  // `window_bits` of 8 to 15. Without `context_takeover` each message stands for itself.
  Deflater(int window_bits, bool context_takeover,
           int level = limits::kDeflateLevelDefault) noexcept;
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater();

  // `last`: `input` ends the message; the same in each call until Status::end. Precondition: room
  // for at least limits::kDeflateRoomMin bytes.
  Step next(std::string_view input, bool last, std::span<char> room) noexcept;
  // Gives the memory back until the next message. Precondition: no context takeover, and no message
  // is in work.
  void release() noexcept;

 private:
  bool open() noexcept;
  void close() noexcept;
  void end_message() noexcept;

  z_stream_s* stream_ = nullptr;
  std::int8_t window_bits_;
  std::int8_t level_;
  bool context_takeover_;
  bool in_message_ = false;
  std::uint8_t held_size_ = 0;
  char held_[4] = {};  // the last bytes: the mark of the end, perhaps
};

// What stands in the frames of compressed messages in, the messages out, never more than the room
// and never more than message_bytes_max for one: a bomb is stopped there.
// Memory: limits::inflater_bytes(), from the first message on. One thread.
class Inflater {
 public:
  enum class Status : std::uint8_t {
    need_input,
    need_room,  // the room is full; call again with what was not consumed
    end,        // the message is complete
    malformed,  // no DEFLATE, or cut short, or most ways of looking beyond the window; for ever
    too_big,    // it would go beyond message_bytes_max; for ever
    no_memory,  // for ever
  };
  struct Step {
    Status status = Status::need_input;
    std::size_t consumed = 0;
    std::size_t written = 0;
  };

  // Those that the sender has: see Deflater.
  Inflater(int window_bits, bool context_takeover,
           std::uint64_t message_bytes_max = limits::kMessageBytesMaxDefault) noexcept;
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater();

  // `last`: `input` ends the message; the same in each call until Status::end. Precondition: the
  // room is not empty.
  Step next(std::string_view input, bool last, std::span<char> room) noexcept;
  // As Deflater::release().
  void release() noexcept;

 private:
  bool open() noexcept;
  void close() noexcept;
  Step run(std::string_view input, std::span<char> room) noexcept;
  Step end_message(Step step) noexcept;
  Step fail(Status status, Step step) noexcept;

  z_stream_s* stream_ = nullptr;
  std::int8_t window_bits_;
  bool context_takeover_;
  bool in_message_ = false;
  bool stream_ended_ = false;    // behind a final block; the next one begins a stream
  std::uint8_t tail_used_ = 0;   // of the mark that was left out
  Status failed_ = Status::end;  // else why nothing is taken any more
  std::uint64_t message_bytes_max_;
  std::uint64_t message_bytes_ = 0;  // written of this message
};

}  // namespace weir::inline v1::http::websocket
