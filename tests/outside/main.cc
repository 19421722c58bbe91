// A program of one who has installed weir: it listens, stops, and has nothing more to wait for.
#include "weir/net/coro.h"
#include "weir/net/server.h"
#include "weir/net/udp_socket.h"

namespace {

weir::coro::Task<> stop(weir::net::Server& server, bool& stopped) {
  co_await weir::coro::delay(weir::Duration(1));
  stopped = server.close().has_value();
}

}  // namespace

int main() {
  weir::Reactor reactor;
  weir::net::Server server(reactor);
  weir::net::UdpSocket udp(reactor);
  if (!server.listen({.port = 0}) || !udp.bind() || !udp.close()) return 1;
  bool stopped = false;
  weir::coro::Scope scope(reactor);
  scope.spawn(stop(server, stopped));
  reactor.run();
  return stopped ? 0 : 1;
}
