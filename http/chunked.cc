#include "weir/http/chunked.h"

#include <algorithm>

#include "weir/http/field_value.h"
#include "weir/http/framing.h"
#include "weir/http/scan.h"

namespace weir::inline v1::http {
namespace {

// 0..15, or -1.
constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_control(char c) noexcept {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
}

constexpr std::string_view kForbiddenTrailers[] = {
    // Framing and the connection.
    "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te",
    "trailer", "upgrade",
    // Routing and modifiers of the request.
    "host", "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "cache-control", "expect", "max-forwards", "pragma", "range", "if-match", "if-none-match",
    "if-modified-since", "if-unmodified-since", "if-range", "accept", "accept-encoding",
    // Authentication and state.
    "authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate",
    "authentication-info", "proxy-authentication-info", "cookie", "set-cookie",
    // Control data of responses.
    "age", "date", "expires", "location", "retry-after", "vary", "warning",
    // Content format.
    "content-encoding", "content-type", "content-range", "content-location", "content-language"};

}  // namespace

bool is_forbidden_trailer(std::string_view name) noexcept {
  const auto is_name = [&](std::string_view forbidden) { return equals_lower(name, forbidden); };
  return std::ranges::any_of(kForbiddenTrailers, is_name) || looks_like_framing(name);
}

void ChunkedDecoder::reset() noexcept {
  state_ = State::size;
  left_ = consumed_ = 0;
  extension_bytes_ = 0;
  digits_ = 0;
  failure_ = {};
  trailers_.reset();
}

bool ChunkedDecoder::go(State state) noexcept {
  state_ = state;
  return true;
}

bool ChunkedDecoder::refuse(ParseError error) noexcept {
  failure_ = {.error = error, .offset = consumed_};
  state_ = State::error;
  return false;
}

Step ChunkedDecoder::next(std::string_view input) noexcept {
  std::size_t at = 0;
  while (state_ < State::trailers) {
    if (at == input.size()) return {.kind = Step::Kind::need_more, .consumed = at};
    if (state_ == State::data) {
      const auto room = static_cast<std::uint64_t>(input.size() - at);
      const std::string_view piece =
          input.substr(at, static_cast<std::size_t>(std::min(left_, room)));
      left_ -= piece.size();
      consumed_ += piece.size();
      if (left_ == 0) state_ = State::data_carriage_return;
      return {.kind = Step::Kind::body, .consumed = at + piece.size(), .body = piece};
    }
    if (!take_line_byte(input[at])) break;
    ++at;
    ++consumed_;
  }
  if (state_ == State::trailers) {
    Step step = read_trailers(input.substr(at));
    step.consumed += at;
    return step;
  }
  return {.kind = state_ == State::end ? Step::Kind::end : Step::Kind::error, .consumed = at};
}

// ---- The lines around the data, byte by byte: they are a few bytes long ----

// False exactly when the byte was refused.
bool ChunkedDecoder::take_line_byte(char byte) noexcept {
  switch (state_) {
    case State::size:
    case State::more_size:
      return take_size_byte(byte);
    case State::line_feed:
      digits_ = 0;
      return expect(byte, '\n', left_ == 0 ? State::trailers : State::data,
                    ParseError::chunk_line_end);
    case State::data_carriage_return:
      return expect(byte, '\r', State::data_line_feed, ParseError::chunk_data_end);
    case State::data_line_feed:
      return expect(byte, '\n', State::size, ParseError::chunk_data_end);
    default:
      if (byte == '\n') return refuse(ParseError::chunk_line_end);
      if (byte != '\r' && ++extension_bytes_ > limits_->chunk_extension_bytes_max) {
        return refuse(ParseError::chunk_extensions_too_large);
      }
      return take_extension_byte(byte);
  }
}

bool ChunkedDecoder::expect(char byte, char wanted, State then, ParseError error) noexcept {
  return byte == wanted ? go(then) : refuse(error);
}

bool ChunkedDecoder::take_size_byte(char byte) noexcept {
  const int value = hex_value(byte);
  if (value >= 0) {
    if (digits_ == limits::kChunkSizeDigitsMax) return refuse(ParseError::chunk_size_overflow);
    ++digits_;
    left_ = left_ << 4 | static_cast<std::uint64_t>(value);
    return go(State::more_size);
  }
  if (state_ == State::size) return refuse(ParseError::chunk_size);
  if (byte == '\n') return refuse(ParseError::chunk_line_end);
  if (byte != '\r' && byte != ';' && !is_blank(byte)) return refuse(ParseError::chunk_size);
  if (byte != '\r' && ++extension_bytes_ > limits_->chunk_extension_bytes_max) {
    return refuse(ParseError::chunk_extensions_too_large);
  }
  allows_equals_ = false;
  return leave_element(byte);
}

// Behind a size, a name or a value.
bool ChunkedDecoder::leave_element(char byte) noexcept {
  if (byte == '\r') return go(State::line_feed);
  if (byte == ';') return go(State::extension_start);
  if (byte == '=' && allows_equals_) return go(State::value_start);
  if (is_blank(byte)) return go(State::blank_before_mark);
  return refuse(ParseError::chunk_extension);
}

bool ChunkedDecoder::take_extension_byte(char byte) noexcept {
  switch (state_) {
    case State::blank_before_mark:
      if (is_blank(byte)) return true;
      return byte == '\r' ? refuse(ParseError::chunk_extension) : leave_element(byte);
    case State::extension_start:
      if (is_blank(byte)) return true;
      if (!scan::is_token_byte(byte)) return refuse(ParseError::chunk_extension);
      return go(State::extension_name);
    case State::extension_name:
      if (scan::is_token_byte(byte)) return true;
      allows_equals_ = true;
      return leave_element(byte);
    default:
      allows_equals_ = false;
      return take_value_byte(byte);
  }
}

bool ChunkedDecoder::take_value_byte(char byte) noexcept {
  switch (state_) {
    case State::value_start:
      if (is_blank(byte)) return true;
      if (byte == '"') return go(State::value_quoted);
      if (!scan::is_token_byte(byte)) return refuse(ParseError::chunk_extension);
      return go(State::value_token);
    case State::value_token:
      return scan::is_token_byte(byte) || leave_element(byte);
    case State::value_quoted:
      if (is_control(byte)) return refuse(ParseError::chunk_extension);
      if (byte == '"') return go(State::value_end);
      return byte == '\\' ? go(State::value_escaped) : true;
    case State::value_escaped:
      return is_control(byte) ? refuse(ParseError::chunk_extension) : go(State::value_quoted);
    default:
      return leave_element(byte);
  }
}

// ---- Trailers ----

Step ChunkedDecoder::read_trailers(std::string_view input) noexcept {
  using Got = FieldSection::Got;
  const auto fail = [&](ParseError error, std::size_t good) -> Step {
    failure_ = {.error = error, .offset = consumed_ + good};
    state_ = State::error;
    return {.kind = Step::Kind::error};
  };
  if (!trailers_.open(input, limits_->trailer_bytes_max)) return fail(ParseError::no_memory, 0);
  for (;;) {
    const std::size_t line_start = trailers_.line_bytes();
    const FieldSection::Line line = trailers_.next_line();
    switch (line.got) {
      case Got::control_byte:
        return fail(ParseError::control_byte, line_start);
      case Got::too_large:
        return fail(ParseError::trailers_too_large, line_start);
      case Got::need_more:
        if (!trailers_.hold(false)) return fail(ParseError::no_memory, line_start);
        return {.kind = Step::Kind::need_more, .consumed = input.size()};
      case Got::line:
        break;
    }
    if (line.text.empty()) {
      state_ = State::end;
      return {.kind = Step::Kind::end, .consumed = trailers_.taken()};
    }
    const ParseError error = trailers_.add_field(line.text, limits_->fields_max);
    if (error != ParseError::none) return fail(error, line_start);
    if (is_forbidden_trailer(trailers_.fields().back().name)) {
      return fail(ParseError::trailer_forbidden, line_start);
    }
  }
}

}  // namespace weir::inline v1::http
