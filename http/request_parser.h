// HTTP/1.1 requests out of bytes (RFC 9112). Pure: bytes in, steps out; no socket, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/chunked.h"
#include "weir/http/field_section.h"
#include "weir/http/head.h"
#include "weir/http/limits.h"
#include "weir/http/step.h"

namespace weir::inline v1::http {

// The bytes of a connection in, in pieces that end anywhere; requests out, one after the other:
//
//     [empty lines] head  body*  end   head  body*  end   ...   | error
//
//     while (true) {
//       const Step step = parser.next(input);
//       input.remove_prefix(step.consumed);
//       if (step.kind == Step::Kind::need_more || step.kind == Step::Kind::error) break;
//       ...
//     }
//
// The steps are the same however the input was cut, except that a body may come in more pieces.
// A head that is in one piece of input is neither copied nor does it allocate; else the parser
// copies what it has seen, once.
// Owner: one parser a connection. One thread. Bounds: the limits that it was made with; memory
// grows with what came, up to the head's limit. A refused allocation is ParseError::no_memory.
class RequestParser {
 public:
  // `limits` outlives this; changes count at once.
  explicit RequestParser(const ParserLimits* limits) noexcept
      : limits_(limits), section_(in_place_), chunked_(limits) {}
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  Step next(std::string_view input) noexcept;

  // From Kind::head until the message after it begins.
  const RequestHead& head() const noexcept { return head_; }
  // From Kind::end until the message after it begins; empty unless the body was chunked.
  std::span<const Field> trailers() const noexcept { return chunked_.trailers(); }
  // Since Kind::error.
  const ParseFailure& failure() const noexcept { return failure_; }

  // After Kind::head: what follows is no HTTP (an upgrade, a tunnel) and the parser will not see
  // it: next() may not be called any more.
  void hand_over() noexcept;
  // Between two messages, optional: what head() and trailers() said is done with, and memory beyond
  // limits::k...Kept can go before the next message comes.
  void release_message() noexcept;
  // No byte of the next message has come; an empty line before it is none.
  bool is_between_messages() const noexcept {
    return state_ == State::between || state_ == State::ended;
  }

 private:
  enum class State : std::uint8_t {
    between,            // no byte of the head yet
    between_line_feed,  // the LF of an empty line must come
    method,
    request_line,
    fields,
    no_body,
    sized_body,
    chunked_body,
    ended,
    handed_over,
    failed,
  };
  // Of a part of a head; anything but `going_on` ends the round.
  enum class Progress : std::uint8_t { going_on, need_more, complete, failed };

  Step read(std::string_view input) noexcept;
  std::size_t skip_empty_lines(std::string_view input) noexcept;
  Step read_head(std::string_view input) noexcept;
  Progress read_method() noexcept;
  Progress read_line() noexcept;
  Progress read_request_line(std::string_view line) noexcept;
  Progress complete_head() noexcept;
  ParseError check_fields() noexcept;
  Step read_sized(std::string_view input) noexcept;
  Step read_chunked(std::string_view input) noexcept;
  Step end_message() noexcept;
  Progress refuse(ParseError error, std::uint64_t good) noexcept;
  Step fail(ParseError error, std::uint64_t good) noexcept;

  const ParserLimits* limits_;
  State state_ = State::between;
  std::uint8_t empty_lines_ = 0;
  std::uint32_t target_size_ = 0;
  std::uint64_t left_ = 0;           // of a sized body
  std::uint64_t message_bytes_ = 0;  // of the message, empty lines included, that are done with
  RequestHead head_;
  ParseFailure failure_;
  Field in_place_[limits::kFieldsInPlace];
  FieldSection section_;
  ChunkedDecoder chunked_;
};

}  // namespace weir::inline v1::http
