// Runs so many 64-byte echoes on the simulator, for counting instructions: the server is `callback`
// or `coroutine`, the client is the same.
//
//   valgrind --tool=callgrind coro_cost coroutine 20000
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "weir/net/coro.h"
#include "weir/net/server.h"
#include "weir/reactor/sim_backend.h"

namespace {

namespace coro = weir::coro;
using weir::Buffer;
using weir::net::Server;
using weir::net::Socket;
using weir::net::Write;

constexpr std::string_view kMessage =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

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

void exchange(weir::Reactor& reactor, int port, long messages) {
  Socket client(reactor);
  long left = messages;
  client.on_connect([](Socket& socket) { socket.write(Buffer::literal(kMessage)); });
  client.on_data([&](Socket& socket, Buffer) {
    if (--left > 0) {
      socket.write(Buffer::literal(kMessage));
    } else {
      reactor.stop();
    }
  });
  if (!client.connect({.host = "127.0.0.1", .port = port})) std::exit(1);
  reactor.run();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const long messages = std::atol(argv[2]);
  weir::Reactor reactor(std::make_unique<weir::SimBackend>());
  if (std::string_view(argv[1]) == "callback") {
    Server server(reactor);
    server.on_data([](Socket& socket, Buffer bytes) {
      if (socket.write(std::move(bytes)) != Write::ok) socket.pause();
    });
    server.on_drain([](Socket& socket) { socket.resume(); });
    exchange(reactor, server.listen()->port(), messages);
  } else {
    coro::Acceptor acceptor(reactor);
    coro::Scope clients(reactor);
    const int port = acceptor.listen()->port();
    clients.spawn(serve(acceptor, clients));
    exchange(reactor, port, messages);
  }
}
