// What a WebSocket is told when it is made, and what can be wrong with its peer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <system_error>

#include "weir/http/field.h"
#include "weir/http/websocket/websocket_limits.h"
#include "weir/net/resolver.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::http {

// permessage-deflate (RFC 7692).
// Memory, when it was agreed on: without context takeover none of the connection's own, the
// reactor has one compressor and one decompressor for all of them (some 300 KiB). With it, about
// 256 KiB for what is sent and 44 KiB for what is received, of a connection that has used them.
struct WebSocketDeflate {
  // Offered by a client, accepted by a server.
  bool on = false;
  // A message may refer to those before it: denser, for the memory above. Asked for on this side,
  // and granted to the other; either side of the connection can forbid it.
  bool send_context_takeover = false;
  bool receive_context_takeover = false;
  // Shorter messages are sent as they are.
  std::size_t threshold = limits::kDeflateThresholdDefault;
  int level = limits::kDeflateLevelDefault;  // 1 (fast) to 9 (small)
};

// Of both sides. Times that are zero: none.
struct WebSocketOptions {
  // Of a message that comes, inflated; a longer one fails the connection with 1009.
  std::size_t message_bytes_max = limits::kMessageBytesMaxDefault;
  WebSocketDeflate deflate = {};
  // From one's own Close frame until the TCP connection has ended; then it is destroyed.
  Duration close_timeout = limits::kCloseTimeoutDefault;
  // Nothing has come, and nothing that was sent has left, for so long: a ping is sent; and for
  // pong_timeout after that: destroyed with ETIMEDOUT. Not while it is paused. Off by default, as
  // everywhere: a server on the open internet sets both, for nothing else notices that a peer has
  // vanished.
  Duration ping_interval = Duration::zero();
  Duration pong_timeout = limits::kPongTimeoutDefault;
};

// Views are good for the call that gets them.
struct WebSocketClientOptions : WebSocketOptions {
  std::initializer_list<std::string_view> protocols = {};  // offered, in order of preference
  std::initializer_list<Field> headers = {};  // further ones, such as Origin or Cookie
  std::string_view socket_path = {};  // of a Unix socket; wins over the URL's host and port
  net::Resolver* resolver = nullptr;  // in the place of getaddrinfo(3); outlives the connecting
  // Until 'open', looking up and connecting included; then 'error' ETIMEDOUT.
  Duration open_timeout = limits::kOpenTimeoutDefault;
};

// What fails a connection. Category "weir.websocket".
enum class WebSocketError : std::uint8_t {
  protocol = 1,     // 1002: a frame that may not be; the Error's detail says which rule
  not_utf8,         // 1007: text, or a reason
  bad_compression,  // 1007: what cannot be inflated
  too_big,          // 1009: above message_bytes_max
  handshake,        // a client: the answer was no handshake; the detail says why
};

std::error_code make_error_code(WebSocketError error) noexcept;

}  // namespace weir::inline v1::http

template <>
struct std::is_error_code_enum<weir::http::WebSocketError> : std::true_type {};
