// Greets its clients, and prints what they send.
#include "net/examples/program.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::say;
using weir::net::Server;
using weir::net::Socket;

int main(int argc, char** argv) {
  Program program(argc, argv, "Greets its clients, prints what they send.", {.port = 8107});
  Server server(program.reactor());
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  server.on_connection([](Socket& socket) {
    say("Client connected");
    socket.write("Hello");
  });
  server.on_data([](Socket&, Buffer data) { say("Client sent ", data.view()); });
  server.on_end([](Socket&) { say("Client disconnected"); });
  server.on_error(&weir::example::complain);

  auto bound = server.listen(program.place(),
                             [](Server&) { say("Server listening for connection"); });
  if (!bound) return weir::fail(bound.error());
  return program.run();
}
