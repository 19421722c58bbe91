// Connects, and says nothing until it is told to stop.
#include "net/examples/program.h"

using weir::example::Program;
using weir::net::Socket;

int main(int argc, char** argv) {
  Program program(argc, argv, "Connects and says nothing.", {.port = 5000});
  Socket client(program.reactor());
  program.at_interrupt([&] { client.destroy(); });
  client.on_error(&weir::example::complain);
  if (auto started = client.connect(program.peer()); !started) return weir::fail(started.error());
  return program.run();
}
