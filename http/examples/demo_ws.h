// What the demo server says over WebSockets.
#pragma once

#include "weir/http/websocket/websocket_server.h"

namespace weir::example {

// At /ws each message comes back, text as text and bytes as bytes, compressed if the client offers
// that. A client that does not read is not read either.
class DemoWebSockets {
 public:
  // `server` outlives it.
  explicit DemoWebSockets(http::Server& server);
  // All get 1001.
  void close() { static_cast<void>(sockets_.close()); }

 private:
  http::WebSocketServer sockets_;
};

}  // namespace weir::example
