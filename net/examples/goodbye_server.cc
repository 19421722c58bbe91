// Says goodbye to whoever comes.
#include "net/examples/program.h"

using weir::example::json_of;
using weir::example::Program;
using weir::example::say;
using weir::net::Server;
using weir::net::Socket;

int main(int argc, char** argv) {
  Program program(argc, argv, "Says goodbye to whoever comes.", {});
  Server server(program.reactor());
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  server.on_connection([](Socket& socket) { socket.end("goodbye\n"); });
  server.on_error(&weir::example::complain);

  auto bound = server.listen(program.place(), [](Server& listening) {
    say("opened server on ", json_of(listening.address()));
  });
  if (!bound) return weir::fail(bound.error());
  return program.run();
}
