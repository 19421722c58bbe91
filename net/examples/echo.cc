#include "weir/net/server.h"

int main() {
  weir::Reactor reactor;
  weir::net::Server echo(reactor);
  echo.on_data([](weir::net::Socket& socket, weir::Buffer bytes) {
    if (socket.write(std::move(bytes)) != weir::net::Write::ok) socket.pause();
  });
  echo.on_drain([](weir::net::Socket& socket) { socket.resume(); });
  if (auto bound = echo.listen({.port = 7000}); !bound) return weir::fail(bound.error());
  reactor.run();
}
