// What can be wrong with a peer's frames or its handshake, and what is said about it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

#include "weir/http/field.h"

namespace weir::inline v1::http::websocket {

// What fails a connection that is open (RFC 6455, section 7.1.7).
enum class FrameError : std::uint8_t {
  none,
  reserved_bits,       // RSV2 or RSV3
  compressed_bit,      // RSV1 where no extension gives it a meaning
  reserved_opcode,
  control_fragmented,
  control_too_long,
  length_not_minimal,
  length_too_large,    // of 64 bits
  mask_missing,
  mask_unexpected,
  continuation_without_start,
  message_within_message,
  close_payload,       // of one byte
  close_code,          // not one that may be sent
  close_reason,        // not UTF-8
  text_not_utf8,
  message_too_big,
  deflate_malformed,
  no_memory,
};

struct FrameErrorFacts {
  std::uint16_t close_code;  // for the Close frame that is sent
  std::string_view code;     // that of Node's ws, where it has one
  std::string_view text;     // one line for people
};

// Of static storage duration.
const FrameErrorFacts& facts_of(FrameError error) noexcept;

// Why a handshake fails. Up to `extensions` a server's answer, from `status` on a client's error.
enum class HandshakeError : std::uint8_t {
  none,
  method,
  http_version,
  upgrade,
  connection,
  key,                  // absent, repeated, or not 16 bytes in base64
  version,              // Sec-WebSocket-Version is not 13
  version_repeated,
  subprotocols,         // no list of tokens, or one twice
  extensions,           // against the grammar
  status,               // the answer is not 101
  answer_upgrade,
  answer_connection,
  accept,               // absent, repeated, or of another key
  answer_subprotocol,   // one that was not offered, or two
  answer_extension,     // one that was not offered, or with parameters that do not fit the offer
};

struct HandshakeErrorFacts {
  int status;                      // of a server's answer; 0 for a client's error
  std::span<const Field> fields;   // that the answer must have besides
  std::string_view code;           // for name_of()
  std::string_view text;           // one line for people
};

// Of static storage duration. HandshakeError::none has status 101.
const HandshakeErrorFacts& facts_of(HandshakeError error) noexcept;

// For whoever gets an Error: name_of() and message() are those of the facts.
std::error_code make_error_code(FrameError error) noexcept;
std::error_code make_error_code(HandshakeError error) noexcept;

}  // namespace weir::inline v1::http::websocket

template <>
struct std::is_error_code_enum<weir::http::websocket::FrameError> : std::true_type {};
template <>
struct std::is_error_code_enum<weir::http::websocket::HandshakeError> : std::true_type {};
