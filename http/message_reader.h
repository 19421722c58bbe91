// What the parsers of requests and of responses have in common: all but the first line, and what
// the fields mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/body_framing.h"
#include "weir/http/chunked.h"
#include "weir/http/field_section.h"
#include "weir/http/limits.h"
#include "weir/http/parse_error.h"
#include "weir/http/step.h"

namespace weir::inline v1::http {

// "HTTP/1.0" or "HTTP/1.1", in upper case; else version_syntax or version_unsupported.
ParseError parse_version(std::string_view text, int& minor) noexcept;

// The base of RequestParser and ResponseParser, which have the rules: owner, thread, bounds.
class MessageReader {
 public:
  MessageReader(const MessageReader&) = delete;
  MessageReader& operator=(const MessageReader&) = delete;

  // From Kind::end until the message after it begins; empty unless the body was chunked.
  std::span<const Field> trailers() const noexcept { return chunked_.trailers(); }
  // Since Kind::error.
  const ParseFailure& failure() const noexcept { return failure_; }

  // After Kind::head: what follows is no HTTP (an upgrade, a tunnel) and the parser will not see
  // it: next() may not be called any more.
  void hand_over() noexcept;
  // No byte of the next message has come; an empty line before a request is none.
  bool is_between_messages() const noexcept {
    return state_ == State::between || state_ == State::ended;
  }
  // After Kind::head: true when the message has no body, and has ended, as next() would say.
  bool end_without_body() noexcept {
    if (state_ != State::no_body) return false;
    state_ = State::ended;
    return true;
  }

 protected:
  enum class State : std::uint8_t {
    between,            // no byte of the head yet
    between_line_feed,  // the LF of an empty line must come; only before requests
    start,              // of the first line, which is looked at before the line is complete
    first_line,
    fields,
    no_body,
    sized_body,
    chunked_body,
    unsized_body,  // up to the end of the connection; only in responses
    ended,
    handed_over,
    failed,
  };
  // Of a part of a head; anything but `going_on` ends the round.
  enum class Progress : std::uint8_t { going_on, need_more, complete, failed };

  // `place` has room for the fields of a head.
  MessageReader(const ParserLimits* limits, std::span<Field> place) noexcept
      : limits_(limits), section_(place), chunked_(limits) {}
  ~MessageReader() = default;

  // From State::start on. `Parser` is the class that this is the base of, and has
  //   Progress read_start()                 of State::start
  //   Progress read_first_line(line)        behind it
  //   Progress complete_head()              the empty line has come
  //   kFirstLineTooLong
  //   kSharesPlace                          with other parsers, the one for fields
  template <class Parser>
  Step read(std::string_view input) noexcept;

  // The head is complete and this follows.
  Progress begin_body(BodyFraming framing) noexcept;
  Step end_message() noexcept;
  // After `ended`: ready for the next one.
  void forget_message() noexcept;
  Progress refuse(ParseError error, std::uint64_t good) noexcept;
  Step fail(ParseError error, std::uint64_t good) noexcept;

  const ParserLimits* limits_;
  State state_ = State::between;
  bool is_chunked_ = false;          // the body of this message
  std::uint64_t left_ = 0;           // of a sized body
  std::uint64_t message_bytes_ = 0;  // of the message, empty lines included, that are done with
  FieldSection section_;
  ChunkedDecoder chunked_;

 private:
  template <class Parser>
  Step read_head(std::string_view input) noexcept;
  template <class Parser>
  Progress read_line() noexcept;
  Step read_body(std::string_view input) noexcept;
  Step read_sized(std::string_view input) noexcept;
  Step read_chunked(std::string_view input) noexcept;

  ParseFailure failure_;
};

inline MessageReader::Progress MessageReader::begin_body(BodyFraming framing) noexcept {
  left_ = framing.length;
  switch (framing.kind) {
    case BodyFraming::Kind::chunked:
      state_ = State::chunked_body;
      is_chunked_ = true;
      break;
    case BodyFraming::Kind::until_close:
      state_ = State::unsized_body;
      break;
    default:
      state_ = left_ == 0 ? State::no_body : State::sized_body;
  }
  return Progress::complete;
}

template <class Parser>
Step MessageReader::read(std::string_view input) noexcept {
  return state_ <= State::fields ? read_head<Parser>(input) : read_body(input);
}

template <class Parser>
Step MessageReader::read_head(std::string_view input) noexcept {
  auto& parser = static_cast<Parser&>(*this);
  if (!section_.open(input, limits_->head_bytes_max)) return fail(ParseError::no_memory, 0);
  Progress progress = Progress::going_on;
  while (progress == Progress::going_on) {
    progress = state_ == State::start ? parser.read_start() : read_line<Parser>();
  }
  switch (progress) {
    case Progress::need_more:
      if (!section_.hold(Parser::kSharesPlace)) return fail(ParseError::no_memory, 0);
      return {.kind = Step::Kind::need_more, .consumed = input.size()};
    case Progress::complete:
      message_bytes_ += section_.line_bytes();
      return {.kind = Step::Kind::head, .consumed = section_.taken()};
    default:
      return {.kind = Step::Kind::error};
  }
}

template <class Parser>
MessageReader::Progress MessageReader::read_line() noexcept {
  using Got = FieldSection::Got;
  auto& parser = static_cast<Parser&>(*this);
  const std::size_t start = section_.line_bytes();
  const bool is_first = state_ == State::first_line;
  const FieldSection::Line line = section_.next_line();
  switch (line.got) {
    case Got::need_more:
      return Progress::need_more;
    case Got::control_byte:
      return refuse(ParseError::control_byte, start);
    case Got::too_large:
      return refuse(is_first ? Parser::kFirstLineTooLong : ParseError::head_too_large, start);
    case Got::line:
      break;
  }
  if (is_first) return parser.read_first_line(line.text);
  if (line.text.empty()) return parser.complete_head();
  const ParseError error = section_.add_field(line.text, limits_->fields_max);
  return error == ParseError::none ? Progress::going_on : refuse(error, start);
}

}  // namespace weir::inline v1::http
