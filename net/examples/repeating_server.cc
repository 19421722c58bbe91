// Repeats what its clients say.
#include "net/examples/program.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::say;
using weir::net::Server;
using weir::net::Socket;
using weir::net::Write;

int main(int argc, char** argv) {
  Program program(argc, argv, "Repeats what its clients say.", {.port = 8124});
  Server server(program.reactor());
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  server.on_connection([](Socket&) { say("connected"); });
  server.on_data([](Socket& socket, Buffer data) {
    const weir::Address peer = socket.remote_address();
    say(data.view(), " from ", peer.ip().ip(), peer.port());
    const std::string answer = "Repeating: " + std::string(data.view());
    if (socket.write(answer) != Write::ok) socket.pause();
  });
  server.on_drain([](Socket& socket) { socket.resume(); });
  server.on_close([](Socket&, std::error_code) { say("cliend closed connection"); });
  server.on_error(&weir::example::complain);

  auto bound = server.listen(program.place());
  if (!bound) return weir::fail(bound.error());
  say("listening on port ", bound->port());
  return program.run();
}
