#include "weir/http/message_reader.h"

#include <algorithm>
#include <utility>

#include "weir/reactor/assert.h"

namespace weir::inline v1::http {

ParseError parse_version(std::string_view text, int& minor) noexcept {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool good = text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) &&
                    text[6] == '.' && is_digit(text[7]);
  if (!good) return ParseError::version_syntax;
  minor = text[7] - '0';
  return text[5] == '1' && minor <= 1 ? ParseError::none : ParseError::version_unsupported;
}

void MessageReader::hand_over() noexcept {
  WEIR_ASSERT(state_ >= State::no_body && state_ <= State::unsized_body);
  state_ = State::handed_over;
}

void MessageReader::forget_message() noexcept {
  section_.reset();
  if (std::exchange(is_chunked_, false)) chunked_.reset();
  message_bytes_ = 0;
  state_ = State::between;
}

Step MessageReader::end_message() noexcept {
  state_ = State::ended;
  return {.kind = Step::Kind::end};
}

MessageReader::Progress MessageReader::refuse(ParseError error, std::uint64_t good) noexcept {
  failure_ = {.error = error, .offset = message_bytes_ + good};
  state_ = State::failed;
  return Progress::failed;
}

Step MessageReader::fail(ParseError error, std::uint64_t good) noexcept {
  refuse(error, good);
  return {.kind = Step::Kind::error};
}

// ---- Bodies ----

Step MessageReader::read_body(std::string_view input) noexcept {
  switch (state_) {
    case State::no_body:
      return end_message();
    case State::sized_body:
      return read_sized(input);
    case State::chunked_body:
      return read_chunked(input);
    case State::unsized_body:
      if (input.empty()) return {};
      return {.kind = Step::Kind::body, .consumed = input.size(), .body = input};
    default:
      return {.kind = Step::Kind::error};
  }
}

Step MessageReader::read_sized(std::string_view input) noexcept {
  if (left_ == 0) return end_message();
  if (input.empty()) return {};
  const auto room = static_cast<std::uint64_t>(input.size());
  const std::string_view piece = input.substr(0, static_cast<std::size_t>(std::min(left_, room)));
  left_ -= piece.size();
  return {.kind = Step::Kind::body, .consumed = piece.size(), .body = piece};
}

Step MessageReader::read_chunked(std::string_view input) noexcept {
  Step step = chunked_.next(input);
  if (step.kind == Step::Kind::end) state_ = State::ended;
  if (step.kind == Step::Kind::error) {
    refuse(chunked_.failure().error, chunked_.failure().offset);
  }
  return step;
}

}  // namespace weir::inline v1::http
