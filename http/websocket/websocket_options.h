// What a WebSocket is told when it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/websocket/limits.h"
#include "weir/net/resolver.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::http {

// permessage-deflate (RFC 7692).
// Memory, when it was agreed on: without context takeover one compressor of the reactor does for
// all of them, and a connection has a decompressor only while it is in the middle of a message.
// With it the connection keeps its own from the first message on: 264 KiB for what is sent, 40 KiB
// for what is received (limits::deflater_bytes(), inflater_bytes()).
struct WebSocketDeflate {
  // Offered by a client, accepted by a server.
  bool on = false;
  // A message may refer to those before it: denser, for the memory above. Asked for on this side,
  // and granted to the other; either side of the connection can forbid it.
  bool send_context_takeover = false;
  bool receive_context_takeover = false;
  // Shorter messages are sent as they are.
  std::size_t threshold = websocket::limits::kDeflateThresholdDefault;
  int level = websocket::limits::kDeflateLevelDefault;  // 1 (fast) to 9 (small)
};

// Of both sides. Times that are zero: none.
struct WebSocketOptions {
  // Of a message that comes, inflated; a longer one fails the connection with 1009.
  std::size_t message_bytes_max = websocket::limits::kMessageBytesMaxDefault;
  WebSocketDeflate deflate = {};
  // From one's own Close frame until the TCP connection has ended; then it is destroyed.
  Duration close_timeout = websocket::limits::kCloseTimeoutDefault;
  // Nothing has come for so long: a ping is sent, if the queue has room. Nothing has come for
  // pong_timeout after that, nor has anything left that was queued: destroyed with ETIMEDOUT. While
  // it is paused, or not read because a message was refused, only what is queued counts, and if
  // nothing is it stays. Off by default, as is TCP's own; a server on the open internet sets it,
  // for nothing else notices that a peer has vanished.
  Duration ping_interval = Duration::zero();
  Duration pong_timeout = websocket::limits::kPongTimeoutDefault;
};

// Views are good for the call that gets them.
struct WebSocketClientOptions {
  WebSocketOptions socket = {};
  std::initializer_list<std::string_view> protocols = {};  // offered, in order of preference
  std::initializer_list<Field> headers = {};  // further ones, such as Origin or Cookie
  std::string_view socket_path = {};  // of a Unix socket; wins over the URL's host and port
  net::Resolver* resolver = nullptr;  // in the place of getaddrinfo(3); outlives the connecting
  // Until 'open', looking up and connecting included; then 'error' ETIMEDOUT.
  Duration open_timeout = websocket::limits::kOpenTimeoutDefault;
};

}  // namespace weir::inline v1::http
