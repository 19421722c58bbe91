#include "http/examples/demo_ws.h"

#include <cstddef>
#include <utility>

namespace weir::example {
namespace {

constexpr std::size_t kMessageBytesMax = std::size_t{8} << 20;

}  // namespace

DemoWebSockets::DemoWebSockets(http::Server& server)
    : sockets_(server.reactor(),
               {.socket = {.message_bytes_max = kMessageBytesMax, .deflate = {.on = true}}}) {
  sockets_.attach(server, "/ws");
  sockets_.on_message([](http::WebSocket& socket, http::MessageKind kind, Buffer bytes) {
    if (socket.send(kind, std::move(bytes)) != net::Write::ok) socket.pause();
  });
  sockets_.on_drain([](http::WebSocket& socket) { socket.resume(); });
}

}  // namespace weir::example
