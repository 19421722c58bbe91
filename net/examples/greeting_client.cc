// Says "world!", and ends its side with every answer.
#include "net/examples/program.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::say;
using weir::net::Socket;

int main(int argc, char** argv) {
  Program program(argc, argv, "Says \"world!\" to an echo server.", {.port = 8124});
  Socket client(program.reactor());
  program.at_interrupt([&] { client.destroy(); });

  client.on_data([](Socket& socket, Buffer data) {
    say(data.view());
    socket.end();  // harmless when it is not the first time
  });
  client.on_end([](Socket&) { say("client disconnected"); });
  client.on_error(&weir::example::complain);

  auto started = client.connect(program.peer(), [](Socket& socket) {
    say("client connected");
    socket.write("world!\r\n");
  });
  if (!started) return weir::fail(started.error());
  return program.run();
}
