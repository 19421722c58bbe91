#include "weir/http/server.h"

using weir::http::Request, weir::http::Response;

int main() {
  weir::Reactor reactor;
  weir::http::Server server(reactor, [](Request& request, Response& response) {
    if (request.path() != "/hello") {
      response.set_status(404);
      response.end("no such page\n");
      return;
    }
    response.set_header("Content-Type", "text/plain");
    response.end("Hello, World!\n");
  });
  if (auto bound = server.listen({.port = 8080}); !bound) return weir::fail(bound.error());
  reactor.run();
}
