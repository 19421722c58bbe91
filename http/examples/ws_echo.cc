#include "weir/http/websocket/websocket_server.h"

using weir::http::MessageKind, weir::http::WebSocket, weir::net::Write;

int main() {
  weir::Reactor reactor;
  weir::http::Server server(reactor);
  weir::http::WebSocketServer sockets(server);
  sockets.on_message([](WebSocket& socket, MessageKind kind, weir::Buffer message) {
    if (socket.send(kind, std::move(message)) != Write::ok) socket.pause();
  });
  sockets.on_drain([](WebSocket& socket) { socket.resume(); });
  if (auto bound = server.listen({.port = 8080}); !bound) return weir::fail(bound.error());
  reactor.run();
}
