// Greets each client, then echoes what it says.
#include "net/examples/program.h"
#include "weir/net/pipe.h"

using weir::example::Program;
using weir::example::say;
using weir::net::Server;
using weir::net::Socket;

int main(int argc, char** argv) {
  Program program(argc, argv, "Greets each client, then echoes.", {.port = 8124});
  Server server(program.reactor());
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  server.on_connection([](Socket& socket) {
    say("server connected");
    socket.write("hello\r\n");
    weir::net::pipe(socket, socket);
  });
  server.on_end([](Socket&) { say("server disconnected"); });
  server.on_error(&weir::example::complain);

  auto bound = server.listen(program.place(), [](Server&) { say("server bound"); });
  if (!bound) return weir::fail(bound.error());
  return program.run();
}
