// Prints what it receives, answers with "test", and ends the connection.
#include "net/examples/program.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::say;
using weir::net::Server;
using weir::net::Socket;

int main(int argc, char** argv) {
  bool stay = false;
  Program program(argc, argv, "Answers everything with \"test\".", {.port = 5000},
                  {{"--stay", &stay, "do not end the connection"}});
  Server server(program.reactor());
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  server.on_connection([](Socket& socket) {
    say("connect address : ", socket.local_address().host());
  });
  server.on_data([stay](Socket& socket, Buffer data) {
    say(data.view());
    socket.write("test");
    if (!stay) socket.end();
  });
  server.on_error(&weir::example::complain);

  auto bound = server.listen(program.place());
  if (!bound) return weir::fail(bound.error());
  say("listen on port ", bound->port());
  return program.run();
}
