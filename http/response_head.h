// How a response is sent: its framing, whether the connection stays, and the bytes of its head.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "weir/http/body_framing.h"
#include "weir/http/fields.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

// What the head depends on. The views and `fields` belong to the caller.
struct ResponseFacts {
  int status = 200;
  std::string_view reason = {};    // empty: the usual one
  const Fields* fields = nullptr;  // null: none

  // The request.
  bool to_head = false;            // its method was HEAD
  int version_minor = 1;           // of HTTP/1
  bool client_keeps_alive = true;  // RequestHead::keep_alive

  // All of the body, when it is known before the head is sent and a Content-Length is wanted.
  std::optional<std::uint64_t> body_size = {};

  // The server.
  std::uint32_t keep_alive_seconds = 0;             // said in Keep-Alive; 0: nothing is said
  std::optional<std::uint32_t> requests_left = {};  // after this one; nothing: any number
  bool closing = false;        // draining, a request that is not read to its end, and the like
  std::string_view date = {};  // of kDateBytes; empty: no Date field
  // HeadLines::usual() of this date and these seconds; empty: they are written one by one.
  std::string_view usual_lines = {};
};

// Mistake::invalid_char: a control byte. out_of_range: beyond limits::kReasonBytesMax.
Expected<void> check_reason(std::string_view reason) noexcept;

// Decided, and ready to be written. Owner: whoever made it; a value, good while the facts' views
// and fields are unchanged.
class ResponsePlan {
 public:
  // Of the facts that `make` returns, made in their place. To be decided before anything else is
  // asked for; plan_response() does both.
  template <std::invocable Make>
  explicit ResponsePlan(Make make) noexcept : facts_(make()) {}
  Expected<void> decide() noexcept;

  BodyFraming framing() const noexcept { return framing_; }
  // Another response may follow on this connection. False behind a 101 too.
  bool keeps_connection() const noexcept { return keeps_; }

  // Bytes of the head, with the empty line. At most about limits::kSentFieldBytesMax, plus four
  // for each field.
  std::size_t size() const noexcept;
  // Precondition: out.size() >= size(). Writes size() bytes.
  void write(std::span<char> out) const noexcept;
  // Allocates when `out` has no room for it, or little more.
  void append_to(std::string& out) const;

 private:
  friend class ResponsePlanner;

  template <class Sink>
  void emit(Sink& sink) const noexcept;
  template <class Sink>
  void emit_user_fields(Sink& sink) const noexcept;
  template <class Sink>
  void emit_connection(Sink& sink) const noexcept;

  ResponseFacts facts_;
  BodyFraming framing_;
  bool keeps_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
  bool says_parameters_ = false;  // Keep-Alive
  bool says_date_ = false;
  bool says_length_ = false;
  bool says_chunked_ = false;
  bool drops_length_ = false;      // the user's Content-Length
  bool drops_coding_ = false;      // the user's Transfer-Encoding
  bool drops_trailer_ = false;     // the user's Trailer
  bool drops_keep_alive_ = false;  // out of the user's Connection
};

// The head in Node's order: status line, the user's fields, Date, Connection, Keep-Alive, and
// Content-Length or Transfer-Encoding. Framing, by the first line that fits:
//
//     1xx, 204, 304; any answer to HEAD       none; the user's Content-Length is sent with 304 and
//                                             to HEAD, Transfer-Encoding to HEAD in HTTP/1.1
//     205                                     none, with Content-Length: 0 (RFC 9110, 15.3.6)
//     the user's Transfer-Encoding            chunked when it ends with that, else until close
//     the user's Content-Length               length
//     HTTP/1.0, connection closes             until close
//     size known, no Trailer                  length
//     HTTP/1.1                                chunked
//     all else                                until close
//
// Content-Length and Transfer-Encoding are not added once removed from the fields, nor are Date and
// Connection. To HTTP/1.0 no Transfer-Encoding is sent (RFC 9112, section 6.1), not even the
// user's. The connection stays when the client, the user and the server want it and the framing
// allows it; HTTP/1.0 must be told so as well. Where it does not stay, the user's Connection loses
// its keep-alive and a close is added (RFC 9112, section 9.6).
//
// Errors, all mistakes of the user and nothing is sent: invalid_status_code (100..999);
// invalid_char (the reason); out_of_range (its size: limits::kReasonBytesMax);
// content_length_mismatch (size known and above Content-Length); trailer_invalid (Trailer, and the
// user's status or fields do not leave it chunked; for HEAD and HTTP/1.0 it is dropped);
// bad_argument (both framing fields, Content-Length twice or no plain number, chunked not last or
// twice).
Expected<ResponsePlan> plan_response(const ResponseFacts& facts) noexcept;

}  // namespace weir::inline v1::http
