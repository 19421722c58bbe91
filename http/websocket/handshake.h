// The opening handshake (RFC 6455, section 4). Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/websocket/error.h"

namespace weir::inline v1::http::websocket {

inline constexpr std::size_t kKeyBytes = 24;     // base64 of 16
inline constexpr std::size_t kAcceptBytes = 28;  // base64 of 20

// Sec-WebSocket-Key of random bytes; a client takes new ones for each connection.
std::array<char, kKeyBytes> make_key(std::span<const std::uint8_t, 16> random) noexcept;
// Canonical base64 of 16 bytes.
bool is_valid_key(std::string_view key) noexcept;
// Sec-WebSocket-Accept for a key: base64 of the SHA-1 of the key and a fixed text.
std::array<char, kAcceptBytes> accept_key(std::string_view key) noexcept;

// ---- A server's ----

struct CheckedRequest {
  HandshakeError error = HandshakeError::none;
  std::string_view key = {};  // a view of the fields
};

// What section 4.2.1 asks of a request: GET of HTTP/1.1, Upgrade with websocket, Connection with
// upgrade, Sec-WebSocket-Version 13, one good Sec-WebSocket-Key, and subprotocols, at most
// limits::kSubprotocolsMax, and extensions of their grammar. facts_of(error) has the answer. Origin
// is the application's to judge.
CheckedRequest check_request(std::string_view method, int version_minor,
                             std::span<const Field> fields) noexcept;

// Calls take(name) with each subprotocol that the client offers, in the order of its preference, up
// to the first for which it says true; that one, or nothing. Precondition: check_request() is
// happy.
template <class Take>
std::string_view find_subprotocol(std::span<const Field> fields, Take&& take);
// The first of the client's that is among `ours`, or nothing. Case matters.
std::string_view choose_subprotocol(std::span<const Field> fields,
                                    std::span<const std::string_view> ours) noexcept;

// ---- A client's ----

struct CheckedResponse {
  HandshakeError error = HandshakeError::none;
  std::string_view subprotocol = {};  // a view of the fields; empty: none
};

// What section 4.1 asks of an answer: 101, Upgrade: websocket, Connection with upgrade, the Accept
// of our `key`, no subprotocol that was not offered. Extensions are check_deflate()'s.
CheckedResponse check_response(int status, std::span<const Field> fields, std::string_view key,
                               std::span<const std::string_view> offered) noexcept;
// Tokens, none of them twice: what may be offered.
bool are_valid_subprotocols(std::span<const std::string_view> names) noexcept;

namespace detail {
// The next element of a Sec-WebSocket-Protocol field among `fields`, from `field` and `at` on.
struct SubprotocolCursor {
  std::size_t field = 0;
  std::size_t at = 0;
};
bool next_subprotocol(std::span<const Field> fields, SubprotocolCursor& cursor,
                      std::string_view& name) noexcept;
}  // namespace detail

template <class Take>
std::string_view find_subprotocol(std::span<const Field> fields, Take&& take) {
  detail::SubprotocolCursor cursor;
  for (std::string_view name; detail::next_subprotocol(fields, cursor, name);) {
    if (take(name)) return name;
  }
  return {};
}

}  // namespace weir::inline v1::http::websocket
