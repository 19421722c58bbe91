#include "weir/http/request_parser.h"

#include <optional>

#include "weir/http/connection_options.h"
#include "weir/http/field_value.h"
#include "weir/http/host.h"
#include "weir/http/scan.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::http {
namespace {

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
      default:
        break;
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
  Step step = read<RequestParser>(input);
  step.consumed += skipped;
  return step;
}

void RequestParser::release_message() noexcept {
  if (state_ != State::ended) return;
  forget_message();
  head_ = {};
  empty_lines_ = 0;
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
      state_ = State::start;
      message_bytes_ += at;
      return at;
    }
  }
  message_bytes_ += input.size();
  return input.size();
}

// The method is looked at before its line is complete: a client that speaks something else is told
// so at once, and a method without end gets its 400 instead of a 414.
RequestParser::Progress RequestParser::read_start() noexcept {
  if (section_.text().starts_with("GET ")) {  // as most do; the table has it for all others
    head_.method = Method::get;
    state_ = State::first_line;
    return Progress::going_on;
  }
  const std::string_view begin = section_.text().substr(0, limits::kMethodBytesMax + 1);
  const std::size_t size = scan::token(begin);
  if (size == begin.size() && size <= limits::kMethodBytesMax) {
    if (!section_.full()) return Progress::need_more;
    return refuse(ParseError::request_line_too_long, 0);
  }
  const std::optional<Method> method = find_method(begin.substr(0, size));
  if (!method || begin[size] != ' ') return refuse(ParseError::method, 0);
  head_.method = *method;
  state_ = State::first_line;
  return Progress::going_on;
}

RequestParser::Progress RequestParser::read_first_line(std::string_view line) noexcept {
  constexpr std::string_view kUsualEnd = " HTTP/1.1";
  line.remove_prefix(head_.method_text().size() + 1);
  const bool is_usual = line.ends_with(kUsualEnd);
  std::size_t blank = is_usual ? line.size() - kUsualEnd.size() : 0;
  Target target;
  if (is_usual && parse_target(head_.method, line.substr(0, blank), target)) {
    head_.version_minor = 1;  // no good target has a blank, so that this one was the first
  } else {
    blank = line.find(' ');
    if (!parse_target(head_.method, line.substr(0, blank), target)) {
      return refuse(ParseError::target, 0);
    }
    const std::string_view version = blank == line.npos ? "" : line.substr(blank + 1);
    const ParseError error = parse_version(version, head_.version_minor);
    if (error != ParseError::none) return refuse(error, 0);
  }
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
    head_.framing = message_framing(head_.version_minor, head_.fields);
    error = head_.framing.error;
  }
  if (error != ParseError::none) return refuse(error, section_.line_bytes());
  return begin_body(body_framing(head_.framing));
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

}  // namespace weir::inline v1::http
