#include "weir/http/request_parser.h"

#include <algorithm>
#include <optional>

#include "weir/http/field_value.h"
#include "weir/http/host.h"
#include "weir/http/scan.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::http {
namespace {

// What the Connection fields ask for.
struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;

  void add(std::string_view value) noexcept {
    ListElements list(value);
    while (const auto option = list.next()) {
      close = close || equals_lower(option.text, "close");
      keep_alive = keep_alive || equals_lower(option.text, "keep-alive");
      upgrade = upgrade || equals_lower(option.text, "upgrade");
    }
  }
};

// What the fields say that matters to the connection, framing aside.
struct KnownFields {
  const Field* host = nullptr;
  const Field* content_type = nullptr;
  ConnectionOptions connection;
  Expectation expectation = Expectation::none;
  bool has_upgrade = false;

  ParseError add(const Field& field) noexcept {
    switch (field.name.size()) {
      case 4:
        return once(field, "host", host, ParseError::host_repeated);
      case 6:
        if (equals_lower(field.name, "expect")) expect(field.value);
        break;
      case 7:
        if (equals_lower(field.name, "upgrade")) has_upgrade = !field.value.empty();
        break;
      case 10:
        if (equals_lower(field.name, "connection")) connection.add(field.value);
        break;
      case 12:
        return once(field, "content-type", content_type, ParseError::content_type_repeated);
    }
    return ParseError::none;
  }

 private:
  static ParseError once(const Field& field, std::string_view name, const Field*& place,
                         ParseError error) noexcept {
    if (!equals_lower(field.name, name)) return ParseError::none;
    if (place != nullptr) return error;
    place = &field;
    return ParseError::none;
  }

  void expect(std::string_view value) noexcept {
    const bool proceed = expectation != Expectation::other && equals_lower(value, "100-continue");
    expectation = proceed ? Expectation::proceed : Expectation::other;
  }
};

// "HTTP/" and two digits with a dot; nothing else, in upper case.
ParseError parse_version(std::string_view text, int& minor) noexcept {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool good = text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) &&
                    text[6] == '.' && is_digit(text[7]);
  if (!good) return ParseError::version_syntax;
  minor = text[7] - '0';
  return text[5] == '1' && minor <= 1 ? ParseError::none : ParseError::version_unsupported;
}

}  // namespace

// ---- Messages ----

Step RequestParser::next(std::string_view input) noexcept {
  WEIR_ASSERT(state_ != State::handed_over);
  if (state_ == State::ended) release_message();
  std::size_t skipped = 0;
  if (state_ <= State::between_line_feed) {
    skipped = skip_empty_lines(input);
    if (state_ <= State::between_line_feed) {
      return {.kind = Step::Kind::need_more, .consumed = skipped};
    }
    input.remove_prefix(skipped);
  }
  Step step = read(input);
  step.consumed += skipped;
  return step;
}

Step RequestParser::read(std::string_view input) noexcept {
  switch (state_) {
    case State::method:
    case State::request_line:
    case State::fields:
      return read_head(input);
    case State::no_body:
      return end_message();
    case State::sized_body:
      return read_sized(input);
    case State::chunked_body:
      return read_chunked(input);
    default:
      return {.kind = Step::Kind::error};
  }
}

void RequestParser::hand_over() noexcept {
  WEIR_ASSERT(state_ >= State::no_body && state_ <= State::chunked_body);
  state_ = State::handed_over;
}

void RequestParser::release_message() noexcept {
  if (state_ != State::ended) return;
  section_.reset();
  chunked_.reset();
  head_ = {};
  empty_lines_ = 0;
  message_bytes_ = 0;
  state_ = State::between;
}

Step RequestParser::end_message() noexcept {
  state_ = State::ended;
  return {.kind = Step::Kind::end};
}

RequestParser::Progress RequestParser::refuse(ParseError error, std::uint64_t good) noexcept {
  failure_ = {.error = error, .offset = message_bytes_ + good};
  state_ = State::failed;
  return Progress::failed;
}

Step RequestParser::fail(ParseError error, std::uint64_t good) noexcept {
  refuse(error, good);
  return {.kind = Step::Kind::error};
}

// ---- Heads ----

// Returns how many bytes are done with. The state says what comes behind them.
std::size_t RequestParser::skip_empty_lines(std::string_view input) noexcept {
  for (std::size_t at = 0; at < input.size(); ++at) {
    if (state_ == State::between_line_feed) {
      if (input[at] != '\n' || empty_lines_ == limits::kLeadingEmptyLinesMax) {
        refuse(ParseError::empty_lines, at);
        return at;
      }
      ++empty_lines_;
      state_ = State::between;
    } else if (input[at] == '\r') {
      state_ = State::between_line_feed;
    } else {
      state_ = State::method;
      message_bytes_ += at;
      return at;
    }
  }
  message_bytes_ += input.size();
  return input.size();
}

Step RequestParser::read_head(std::string_view input) noexcept {
  if (!section_.open(input, limits_->head_bytes_max)) return fail(ParseError::no_memory, 0);
  Progress progress = Progress::going_on;
  while (progress == Progress::going_on) {
    progress = state_ == State::method ? read_method() : read_line();
  }
  switch (progress) {
    case Progress::need_more:
      if (!section_.hold()) return fail(ParseError::no_memory, 0);
      return {.kind = Step::Kind::need_more, .consumed = input.size()};
    case Progress::complete:
      message_bytes_ += section_.line_bytes();
      return {.kind = Step::Kind::head, .consumed = section_.taken()};
    default:
      return {.kind = Step::Kind::error};
  }
}

// The method is looked at before its line is complete: a client that speaks something else is told
// so at once, and a method without end gets its 400 instead of a 414.
RequestParser::Progress RequestParser::read_method() noexcept {
  const std::string_view begin = section_.text().substr(0, limits::kMethodBytesMax + 1);
  const std::size_t size = scan::token(begin);
  if (size == begin.size() && size <= limits::kMethodBytesMax) {
    if (!section_.full()) return Progress::need_more;
    return refuse(ParseError::request_line_too_long, 0);
  }
  const std::optional<Method> method = find_method(begin.substr(0, size));
  if (!method || begin[size] != ' ') return refuse(ParseError::method, 0);
  head_.method = *method;
  state_ = State::request_line;
  return Progress::going_on;
}

RequestParser::Progress RequestParser::read_line() noexcept {
  using Got = FieldSection::Got;
  const std::size_t start = section_.line_bytes();
  const bool is_first = state_ == State::request_line;
  const FieldSection::Line line = section_.next_line();
  switch (line.got) {
    case Got::need_more:
      return Progress::need_more;
    case Got::control_byte:
      return refuse(ParseError::control_byte, start);
    case Got::too_large:
      return refuse(is_first ? ParseError::request_line_too_long : ParseError::head_too_large,
                    start);
    case Got::line:
      break;
  }
  if (is_first) return read_request_line(line.text);
  if (line.text.empty()) return complete_head();
  const ParseError error = section_.add_field(line.text, limits_->fields_max);
  return error == ParseError::none ? Progress::going_on : refuse(error, start);
}

RequestParser::Progress RequestParser::read_request_line(std::string_view line) noexcept {
  line.remove_prefix(head_.method_text().size() + 1);
  const std::size_t blank = line.find(' ');
  Target target;
  if (!parse_target(head_.method, line.substr(0, blank), target)) {
    return refuse(ParseError::target, 0);
  }
  const std::string_view version = blank == std::string_view::npos ? "" : line.substr(blank + 1);
  const ParseError error = parse_version(version, head_.version_minor);
  if (error != ParseError::none) return refuse(error, 0);
  head_.form = target.form;
  target_size_ = static_cast<std::uint32_t>(blank);
  state_ = State::fields;
  return Progress::going_on;
}

RequestParser::Progress RequestParser::complete_head() noexcept {
  // Only now it is certain where the head stays.
  head_.target = section_.text().substr(head_.method_text().size() + 1, target_size_);
  head_.fields = section_.fields();
  ParseError error = check_fields();
  if (error == ParseError::none) {
    head_.framing = request_framing(head_.version_minor, head_.fields);
    error = head_.framing.error;
  }
  if (error != ParseError::none) return refuse(error, section_.line_bytes());
  left_ = head_.framing.length;
  switch (head_.framing.kind) {
    case Framing::Kind::chunked:
      state_ = State::chunked_body;
      break;
    case Framing::Kind::length:
      state_ = left_ == 0 ? State::no_body : State::sized_body;
      break;
    default:
      state_ = State::no_body;
  }
  return Progress::complete;
}

ParseError RequestParser::check_fields() noexcept {
  KnownFields known;
  for (const Field& field : head_.fields) {
    if (const ParseError error = known.add(field); error != ParseError::none) return error;
  }
  const bool is_1_1 = head_.version_minor == 1;
  if (is_1_1 && known.host == nullptr) return ParseError::host_missing;
  Authority authority;
  if (known.host != nullptr && !parse_authority(known.host->value, authority)) {
    return ParseError::host_malformed;
  }
  if (known.host != nullptr) head_.host = known.host->value;
  if (head_.form == TargetForm::absolute || head_.form == TargetForm::authority) {
    Target target;
    (void)parse_target(head_.method, head_.target, target);  // was good when its line came
    head_.host = target.authority;
  }
  const ConnectionOptions& options = known.connection;
  head_.keep_alive = !options.close && (is_1_1 || options.keep_alive);
  head_.has_upgrade = is_1_1 && known.has_upgrade && options.upgrade;
  head_.expectation = is_1_1 ? known.expectation : Expectation::none;
  return ParseError::none;
}

// ---- Bodies ----

Step RequestParser::read_sized(std::string_view input) noexcept {
  if (left_ == 0) return end_message();
  if (input.empty()) return {};
  const auto room = static_cast<std::uint64_t>(input.size());
  const std::string_view piece = input.substr(0, static_cast<std::size_t>(std::min(left_, room)));
  left_ -= piece.size();
  return {.kind = Step::Kind::body, .consumed = piece.size(), .body = piece};
}

Step RequestParser::read_chunked(std::string_view input) noexcept {
  Step step = chunked_.next(input);
  if (step.kind == Step::Kind::end) state_ = State::ended;
  if (step.kind == Step::Kind::error) {
    refuse(chunked_.failure().error, chunked_.failure().offset);
  }
  return step;
}

}  // namespace weir::inline v1::http
