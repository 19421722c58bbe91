#include "weir/net/coro.h"

namespace coro = weir::coro;

coro::Task<> echo(coro::Stream stream) {
  for (;;) {
    auto bytes = co_await stream.read();
    if (!bytes || bytes->empty()) break;
    if (!co_await stream.write(std::move(*bytes))) break;
  }
  co_await stream.end();
}

coro::Task<> serve(coro::Acceptor& acceptor, coro::Scope& clients) {
  while (auto stream = co_await acceptor.accept()) clients.spawn(echo(std::move(*stream)));
}

int main() {
  weir::Reactor reactor;
  coro::Acceptor acceptor(reactor);
  coro::Scope clients(reactor);
  if (auto bound = acceptor.listen({.port = 7000}); !bound) return weir::fail(bound.error());
  clients.spawn(serve(acceptor, clients));
  reactor.run();
}
