// The chunked transfer coding (RFC 9112, section 7.1). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/field_section.h"
#include "weir/http/limits.h"
#include "weir/http/step.h"

namespace weir::inline v1::http {

// Chunked bytes in, in pieces that end anywhere; pieces of the body out, as views of the input.
//
//     5;a=b CRLF hello CRLF   0 CRLF   Name: value CRLF   CRLF
//     size and   body   data  last     trailers           end
//     extensions        end   chunk
//
// Strict: every line ends with CRLF, a size is 1-16 hex digits, an extension has a name, and
// blanks stand only where RFC 9112, section 7.1.1, has them (around ';' and '=').
// Owner: one decoder a message at a time; reset() makes it new. One thread. Bounds: the limits that
// it was made with; it allocates only for trailers.
class ChunkedDecoder {
 public:
  // `limits` outlives this.
  explicit ChunkedDecoder(const ParserLimits* limits) noexcept : limits_(limits), trailers_({}) {}

  // Never Kind::head. Behind `end` and `error` it stays at that.
  Step next(std::string_view input) noexcept;
  void reset() noexcept;

  // Complete with `end`, and then good as the fields of a RequestHead are.
  std::span<const Field> trailers() const noexcept { return trailers_.fields(); }
  const ParseFailure& failure() const noexcept { return failure_; }
  // Bytes that are done with, but for the trailer section's.
  std::uint64_t consumed() const noexcept { return consumed_; }

 private:
  // What the next byte is.
  enum class State : std::uint8_t {
    size,               // the first digit
    more_size,          // another digit, or what is behind them
    blank_before_mark,  // ';' or '=' must come; which, says allows_equals_
    extension_start,    // behind ';', blanks allowed
    extension_name,
    value_start,  // behind '=', blanks allowed
    value_token,
    value_quoted,
    value_escaped,  // behind a backslash
    value_end,      // behind the closing quote
    line_feed,
    data,
    data_carriage_return,
    data_line_feed,
    trailers,
    end,
    error,
  };

  bool take_line_byte(char byte) noexcept;
  bool take_size_byte(char byte) noexcept;
  bool take_extension_byte(char byte) noexcept;
  bool take_value_byte(char byte) noexcept;
  bool leave_element(char byte) noexcept;
  bool expect(char byte, char wanted, State then, ParseError error) noexcept;
  bool go(State state) noexcept;
  bool refuse(ParseError error) noexcept;
  Step read_trailers(std::string_view input) noexcept;

  const ParserLimits* limits_;
  State state_ = State::size;
  bool allows_equals_ = false;
  std::uint8_t digits_ = 0;
  std::uint64_t left_ = 0;           // of the chunk
  std::uint64_t consumed_ = 0;       // of the message's body
  std::size_t extension_bytes_ = 0;  // of all chunks of the message
  ParseFailure failure_;
  FieldSection trailers_;
};

// True exactly when a field of this name may not stand in a trailer section (RFC 9110, section
// 6.5.1): framing, routing, modifiers of the request, authentication, content format.
bool is_forbidden_trailer(std::string_view name) noexcept;

}  // namespace weir::inline v1::http
