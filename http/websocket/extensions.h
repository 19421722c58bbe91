// Sec-WebSocket-Extensions (RFC 6455, section 9.1), and what is agreed on about permessage-deflate
// (RFC 7692, section 7.1). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/websocket/limits.h"

namespace weir::inline v1::http::websocket {

// What a server asks of a connection, or a client offers, about permessage-deflate.
struct DeflateOptions {
  // Forget each message: a sender's, and with it a receiver's, memory is needed only while there is
  // a message, at the cost of compression.
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  // 8 to 15. A server cannot ask for less than 15 of a client that does not offer to be asked.
  int server_max_window_bits = limits::kWindowBitsMax;
  int client_max_window_bits = limits::kWindowBitsMax;
};

// What both ends have agreed on, for Deflater and Inflater.
struct DeflateAgreement {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  int server_max_window_bits = limits::kWindowBitsMax;
  int client_max_window_bits = limits::kWindowBitsMax;
};

// The elements of one field's value, a parameter at a time:
//
//     "a; b=1; c, d"   ->   {a, b, 1, has_value}  {a, c}  {d}
//
// An extension without parameters comes once, with an empty parameter. Empty elements of the list
// are passed over (RFC 9110, section 5.6.1.2).
class ExtensionList {
 public:
  struct Item {
    enum class Kind : std::uint8_t { end, item, malformed };  // malformed: for ever
    Kind kind = Kind::end;
    bool starts = false;  // the first of its extension
    bool has_value = false;
    std::string_view extension = {};
    std::string_view parameter = {};
    // Without quotes. What was quoted must be a token too, so a backslash is passed over only by
    // equality: `value` still has it, and is_plain is false.
    std::string_view value = {};
    bool is_plain = true;
  };

  explicit ExtensionList(std::string_view value) noexcept : rest_(value) {}
  Item next() noexcept;

 private:
  bool read_parameter(Item& item) noexcept;
  Item malformed() noexcept;

  std::string_view rest_;
  std::string_view extension_;
  bool in_extension_ = false;
  bool malformed_ = false;
};

enum class DeflateAnswer : std::uint8_t { none, agreed, malformed };

struct DeflateNegotiation {
  DeflateAnswer answer = DeflateAnswer::none;
  DeflateAgreement agreement = {};  // when agreed
  std::string field = {};           // then, for a server: the value of Sec-WebSocket-Extensions
};

// A server's: the first offer of the client that can be taken. Offers with a parameter that is not
// known, twice there, or of a bad value are declined, as are other extensions. `malformed`: some
// field is against the grammar; the request gets a 400.
DeflateNegotiation accept_deflate(std::span<const Field> request_fields,
                                  const DeflateOptions& options);

// A client's Sec-WebSocket-Extensions. client_max_window_bits is always offered.
std::string offer_deflate(const DeflateOptions& options);
// What the server has made of it. `malformed` as well when the answer does not fit the offer, or
// has any other extension: then the connection is failed. Without an offer: nullptr.
DeflateNegotiation check_deflate(std::span<const Field> response_fields,
                                 const DeflateOptions* offer);

}  // namespace weir::inline v1::http::websocket
