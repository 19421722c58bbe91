// How a request is sent: its framing, whether the connection stays, and the bytes of its head.
#pragma once

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

class TextSink;

// What the head depends on. The views and `fields` belong to the caller.
struct RequestFacts {
  std::string_view method = "GET";       // as it is sent; methods are case-sensitive
  std::string_view target = "/";         // likewise
  std::string_view default_host = {};    // for Host: host_field(); empty: none is added
  const Fields* fields = nullptr;        // null: none
  // All of the body, when it is known before the head is sent; 0: there is none.
  std::optional<std::uint64_t> body_size = {};
  bool keeps_connection = false;         // whoever has the connection would use it again
};

// Mistake::invalid_http_token: no token (RFC 9110, section 9.1). out_of_range: beyond
// limits::kSentRequestLineBytesMax.
Expected<void> check_method(std::string_view method) noexcept;
// Mistake::unescaped_characters: a blank or a control byte; 0x80-0xff are sent as they are, as Node
// does. bad_argument: empty. out_of_range: as above.
Expected<void> check_target(std::string_view target) noexcept;

// Decided, and ready to be written. Owner: whoever called plan_request(); a value, good while the
// facts' views and fields are unchanged.
class RequestPlan {
 public:
  // Never until_close.
  BodyFraming framing() const noexcept { return framing_; }
  // Another request may follow on this connection, as far as we are concerned.
  bool keeps_connection() const noexcept { return keeps_; }
  // Expect: 100-continue, so that the server may want to answer before the body is sent.
  bool expects_continue() const noexcept { return expects_continue_; }
  // Upgrade names a protocol and Connection says so.
  bool wants_upgrade() const noexcept { return wants_upgrade_; }

  // Bytes of the head, with the empty line.
  std::size_t size() const noexcept { return size_; }
  // Precondition: out.size() >= size(). Writes size() bytes.
  void write(std::span<char> out) const noexcept;
  // Allocates when `out` has no room for it.
  void append_to(std::string& out) const;

 private:
  friend Expected<RequestPlan> plan_request(const RequestFacts& facts) noexcept;
  friend class RequestPlanner;

  explicit RequestPlan(const RequestFacts& facts) noexcept : facts_(facts) {}
  template <class Sink>
  void emit(Sink& sink) const noexcept;

  RequestFacts facts_;
  BodyFraming framing_;
  bool keeps_ = false;
  bool expects_continue_ = false;
  bool wants_upgrade_ = false;
  bool says_host_ = false;
  bool says_connection_ = false;
  bool says_length_ = false;
  bool says_chunked_ = false;
  std::size_t size_ = 0;
};

// The head in Node's order: request line (always HTTP/1.1), the user's fields, Host, Connection,
// and Content-Length or Transfer-Encoding. Framing, by the first line that fits:
//
//     the user's Transfer-Encoding     chunked
//     the user's Content-Length        length
//     size known, above 0, no Trailer  length
//     no size known, or Trailer        chunked
//     no body                          none; Content-Length: 0 is said, except with GET, HEAD,
//                                      DELETE, OPTIONS, TRACE and CONNECT
//
// Bodies are framed whatever the method is, where Node sends those of the six methods raw and its
// server takes them for another request. Host, Connection, Content-Length and Transfer-Encoding are
// not added once removed from the fields; a body takes the one that is left. The user's Connection
// is sent as it is: with close the connection does not stay, with keep-alive it does, else it is
// as the facts have it.
//
// Errors, all mistakes of the user and nothing is sent: those of check_method() and check_target();
// invalid_char (default_host); content_length_mismatch (size known and not Content-Length);
// trailer_invalid (Trailer, and the user's Content-Length); bad_argument (both framing fields,
// Content-Length twice or no plain number, chunked not last or twice, Host twice, a body whose
// framing was removed).
Expected<RequestPlan> plan_request(const RequestFacts& facts) noexcept;

}  // namespace weir::inline v1::http
