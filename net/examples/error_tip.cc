// A connection that breaks, with a listener for 'error' and without.
#include <cstdlib>

#include "net/examples/program.h"

using weir::Error;
using weir::example::Program;
using weir::example::say;
using weir::net::Socket;

int main(int argc, char** argv) {
  bool listener = false;
  Program program(argc, argv, "Waits until its connection breaks.", {.port = 8124},
                  {{"--listener", &listener, "listen for 'error', so that 'close' follows"}});
  Socket client(program.reactor());
  program.at_interrupt([&] { client.destroy(); });

  client.on_connect([](Socket&) { say("connected to server"); });
  client.on_close([](Socket&, std::error_code) { say("connection is closed"); });
  client.resume();
  if (listener) client.on_error([](Socket&, const Error&) {});
  // As in Node: an error that nobody listens for ends the program. Without this it is logged.
  program.reactor().on_unhandled_error([](const Error& error) { std::exit(weir::fail(error)); });

  if (auto started = client.connect(program.peer()); !started) return weir::fail(started.error());
  return program.run();
}
