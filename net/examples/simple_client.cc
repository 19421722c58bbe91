// Says one thing, prints the answer, and leaves.
#include "net/examples/program.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::say;
using weir::net::Socket;

int main(int argc, char** argv) {
  Program program(argc, argv, "Says one thing, prints the answer.", {.port = 8107});
  Socket client(program.reactor());
  program.at_interrupt([&] { client.destroy(); });

  client.on_data([](Socket& socket, Buffer data) {
    say(data.view());
    socket.end();
  });
  client.on_end([](Socket&) { say("Client disconnected"); });
  client.on_error(&weir::example::complain);

  auto started = client.connect(program.peer(), [](Socket& socket) {
    say("Client connected");
    socket.write("some data \r\n");
  });
  if (!started) return weir::fail(started.error());
  return program.run();
}
