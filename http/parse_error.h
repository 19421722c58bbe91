// What can be wrong with a message, and what is said about it.
#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>

namespace weir::inline v1::http {

enum class ParseError : std::uint8_t {
  none,
  empty_lines,
  method,
  target,
  version_syntax,
  version_unsupported,
  request_line_too_long,
  head_too_large,
  fields_too_many,
  control_byte,
  field_name,
  blank_before_colon,
  folded_line,
  host_missing,
  host_repeated,
  host_malformed,
  content_type_repeated,
  content_length_malformed,
  content_length_repeated,
  length_and_coding,
  coding_in_http_1_0,
  transfer_encoding,
  transfer_coding_unknown,
  framing_look_alike,
  chunk_size,
  chunk_size_overflow,
  chunk_extension,
  chunk_extensions_too_large,
  chunk_line_end,
  chunk_data_end,
  trailer_forbidden,
  trailers_too_large,
  // Only of responses.
  response_start,
  status,
  cut_short,
  interim_too_many,
  no_memory,
};

struct ParseErrorFacts {
  // Of a server's answer; 502 for what only a response can have wrong: what a gateway would answer.
  int status;
  std::string_view code;  // Node's, where Node has one
  std::string_view text;  // one line for people
};

// Of static storage duration. ParseError::none has status 0.
const ParseErrorFacts& facts_of(ParseError error) noexcept;

// For whoever gets an Error: name_of() and message() are those of the facts.
std::error_code make_error_code(ParseError error) noexcept;

}  // namespace weir::inline v1::http

template <>
struct std::is_error_code_enum<weir::http::ParseError> : std::true_type {};
