// A program of one who has installed weir: it listens, stops, and has nothing more to wait for.
#include "weir/net/server.h"

int main() {
  weir::Reactor reactor;
  weir::net::Server server(reactor);
  if (auto bound = server.listen({.port = 0}); !bound) return 1;
  if (!server.close()) return 1;
  reactor.run();
}
