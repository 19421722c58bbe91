// HTTP/1.1 responses out of bytes (RFC 9112). Pure: bytes in, steps out; no socket, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/framing.h"
#include "weir/http/limits.h"
#include "weir/http/message_reader.h"
#include "weir/http/parse_error.h"
#include "weir/http/received_head.h"
#include "weir/http/step.h"

namespace weir::inline v1::http {

// The bytes of a connection in, in pieces that end anywhere; responses out, one after the other:
//
//     (head end)*  head  body*  end   ...   | error
//      interim
//
// An interim response (ReceivedHead::is_interim()) is a message of its own, without a body. Driven
// as RequestParser is; the peer's FIN is told by finish(). The steps are the same however the input
// was cut, except that a body may come in more pieces. A head that is in one piece of input is
// neither copied nor does it allocate; else the parser copies what it has seen, once.
//
// Strict as with requests: every line ends with CRLF, lines are not folded (RFC 9112, section 5.2,
// would allow to join them), framing is said in one way (framing.h), and that also where the
// response has no body whatever it says. An empty line before a response is an error, though
// Node's parser passes it over: what stands between two responses answers nothing. Less strict:
// the reason phrase may be missing, even with the blank before it.
// Owner: one parser a connection. One thread. Bounds: the limits that it was made with; memory
// grows with what came, up to the head's limit. A refused allocation is ParseError::no_memory.
class ResponseParser : public MessageReader {
 public:
  // `limits` outlives this; changes count at once.
  explicit ResponseParser(const ParserLimits* limits) noexcept : MessageReader(limits, place_) {}

  // What the responses from now on answer; Answers::other at first. Between two messages, and
  // before the first byte of the response.
  void expect(Answers answers) noexcept;

  Step next(std::string_view input) noexcept;
  // The peer has ended the connection. Behind a next() that needed more; none may follow.
  // Kind::end: of a body that lasts until then. Kind::need_more: between two messages. Else
  // Kind::error with ParseError::cut_short.
  Step finish() noexcept;

  // From Kind::head until the message after it begins.
  const ReceivedHead& head() const noexcept { return head_; }

  // Between two messages, optional: what head() and trailers() said is done with, and memory beyond
  // limits::k...Kept can go before the next message comes.
  void release_message() noexcept;

 private:
  friend class MessageReader;
  static constexpr ParseError kFirstLineTooLong = ParseError::head_too_large;
  static constexpr bool kSharesPlace = false;

  Progress read_start() noexcept;
  Progress read_first_line(std::string_view line) noexcept;
  Progress complete_head() noexcept;
  void read_fields() noexcept;

  Field place_[limits::kFieldsInPlace];
  Answers answers_ = Answers::other;
  std::uint32_t reason_size_ = 0;
  ReceivedHead head_;
};

}  // namespace weir::inline v1::http
