// HTTP/1.1 requests out of bytes (RFC 9112). Pure: bytes in, steps out; no socket, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/head.h"
#include "weir/http/limits.h"
#include "weir/http/message_reader.h"
#include "weir/http/parse_error.h"
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
// A head that is in one piece of input is not copied, and allocates only when its fields do not fit
// in the place that is shared; of any other the parser copies what it has seen, once.
// Owner: one parser a connection. One thread. Bounds: the limits that it was made with; memory
// grows with what came, up to the head's limit. A refused allocation is ParseError::no_memory.
class RequestParser : public MessageReader {
 public:
  // `limits` outlives this; changes count at once. So does `place`, if there is one: room for the
  // fields of a head, which any number of parsers of one thread may share. Without it, and beyond
  // it, the parser allocates.
  explicit RequestParser(const ParserLimits* limits, std::span<Field> place = {}) noexcept
      : MessageReader(limits, place) {}

  Step next(std::string_view input) noexcept;

  // From Kind::head until the message after it begins; its fields no longer than until the next()
  // of another parser with the same place.
  const RequestHead& head() const noexcept { return head_; }

  // Between two messages, optional: what head() and trailers() said is done with, and memory beyond
  // limits::k...Kept can go before the next message comes.
  void release_message() noexcept;

 private:
  friend class MessageReader;
  static constexpr ParseError kFirstLineTooLong = ParseError::request_line_too_long;
  static constexpr bool kSharesPlace = true;

  std::size_t skip_empty_lines(std::string_view input) noexcept;
  Progress read_start() noexcept;
  Progress read_first_line(std::string_view line) noexcept;
  Progress complete_head() noexcept;
  ParseError check_fields() noexcept;

  std::uint8_t empty_lines_ = 0;
  std::uint32_t target_size_ = 0;
  RequestHead head_;
};

}  // namespace weir::inline v1::http
