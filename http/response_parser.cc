#include "weir/http/response_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "weir/http/connection_options.h"
#include "weir/http/field_value.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::http {
namespace {

//     HTTP/1.1 200 OK
//     0        9   13
constexpr std::string_view kStart = "HTTP/";
constexpr std::size_t kVersionSize = 8;
constexpr std::size_t kStatusAt = 9;
constexpr std::size_t kStatusEnd = 12;

// Three digits from 100 on; 0 for anything else.
int parse_status(std::string_view text) noexcept {
  if (text.size() != 3) return 0;
  int status = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    status = status * 10 + (c - '0');
  }
  return status >= 100 ? status : 0;
}

// Of Keep-Alive: "timeout=5, max=100".
std::optional<std::uint32_t> parse_timeout(std::string_view value) noexcept {
  constexpr std::string_view kName = "timeout=";
  ListElements list(value);
  while (const auto element = list.next()) {
    if (!equals_lower(element.text.substr(0, kName.size()), kName)) continue;
    const std::string_view digits = element.text.substr(kName.size());
    const char* const end = digits.data() + digits.size();
    std::uint32_t seconds = 0;
    const auto parsed = std::from_chars(digits.data(), end, seconds);
    if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
    return seconds;
  }
  return std::nullopt;
}

}  // namespace

void ResponseParser::expect(Answers answers) noexcept {
  WEIR_ASSERT(is_between_messages());
  answers_ = answers;
}

Step ResponseParser::next(std::string_view input) noexcept {
  WEIR_ASSERT(state_ != State::handed_over);
  if (state_ == State::ended) release_message();
  if (state_ == State::between) {
    if (input.empty()) return {};
    state_ = State::start;
  }
  return read<ResponseParser>(input);
}

Step ResponseParser::finish() noexcept {
  WEIR_ASSERT(state_ != State::handed_over);
  switch (state_) {
    case State::between:
    case State::ended:
      return {};
    case State::no_body:
    case State::unsized_body:
      return end_message();
    case State::failed:
      return {.kind = Step::Kind::error};
    case State::sized_body:
      if (left_ == 0) return end_message();
      return fail(ParseError::cut_short, head_.framing.length - left_);
    case State::chunked_body:
      return fail(ParseError::cut_short, chunked_.consumed());
    default:
      return fail(ParseError::cut_short, section_.line_bytes());
  }
}

void ResponseParser::release_message() noexcept {
  if (state_ != State::ended) return;
  forget_message();
  head_ = {};
}

// ---- Heads ----

// Looked at before the line is complete: a server that speaks something else may wait for our next
// word.
ResponseParser::Progress ResponseParser::read_start() noexcept {
  const std::string_view begin = section_.text().substr(0, kStart.size());
  if (begin != kStart.substr(0, begin.size())) return refuse(ParseError::response_start, 0);
  if (begin.size() < kStart.size()) {
    return section_.full() ? refuse(kFirstLineTooLong, 0) : Progress::need_more;
  }
  state_ = State::first_line;
  return Progress::going_on;
}

ResponseParser::Progress ResponseParser::read_first_line(std::string_view line) noexcept {
  const std::string_view version = line.substr(0, std::min(line.find(' '), kVersionSize + 1));
  if (parse_version(version, head_.version_minor) != ParseError::none) {
    return refuse(ParseError::version_unsupported, 0);
  }
  const std::string_view behind = line.substr(std::min(line.size(), kStatusEnd));
  const std::string_view status = line.substr(std::min(line.size(), kStatusAt));
  head_.status = parse_status(status.substr(0, 3));
  const bool good = head_.status != 0 && (behind.empty() || behind.front() == ' ');
  if (!good) return refuse(ParseError::status, 0);
  reason_size_ = behind.empty() ? 0 : static_cast<std::uint32_t>(behind.size() - 1);
  state_ = State::fields;
  return Progress::going_on;
}

ResponseParser::Progress ResponseParser::complete_head() noexcept {
  // Only now it is certain where the head stays.
  if (reason_size_ != 0) head_.reason = section_.text().substr(kStatusEnd + 1, reason_size_);
  head_.fields = section_.fields();
  const Framing said = message_framing(head_.version_minor, head_.fields);
  if (said.kind == Framing::Kind::error) return refuse(said.error, section_.line_bytes());
  head_.framing = response_framing(said, head_.status, answers_);
  read_fields();
  return begin_body(head_.framing);
}

void ResponseParser::read_fields() noexcept {
  ConnectionOptions connection;
  bool has_upgrade = false;
  for (const auto& [name, value] : head_.fields) {
    if (name.size() == 7) {
      if (equals_lower(name, "upgrade")) has_upgrade = has_upgrade || !value.empty();
    } else if (name.size() == 10) {
      if (equals_lower(name, "connection")) connection.add(value);
      if (!head_.keep_alive_seconds.has_value() && equals_lower(name, "keep-alive")) {
        head_.keep_alive_seconds = parse_timeout(value);
      }
    }
  }
  const bool is_1_1 = head_.version_minor == 1;
  head_.keep_alive =
      is_1_1 && !connection.close && head_.framing.kind != BodyFraming::Kind::until_close;
  head_.has_upgrade = is_1_1 && has_upgrade && connection.upgrade;
}

}  // namespace weir::inline v1::http
