// Standard input to a connection, and what comes back to standard output: as nc -N does.
#include "net/examples/program.h"
#include "weir/net/pipe.h"

using weir::example::Program;
using weir::net::InputStream;
using weir::net::OutputStream;
using weir::net::Socket;

int main(int argc, char** argv) {
  Program program(argc, argv, "Sends standard input and prints what comes back.", {.port = 8124});
  // The end of our input ends our side only: the answer may take its time.
  Socket connection(program.reactor(), {.allow_half_open = true});
  InputStream input = weir::net::stdin_stream(program.reactor());
  OutputStream output = weir::net::stdout_stream(program.reactor());
  program.at_interrupt([&] {
    connection.destroy_soon();
    input.destroy();
  });

  bool failed = false;
  const auto complain = [&](auto& stream, const weir::Error& error) {
    std::cerr << "error: " << error.message() << '\n';
    failed = true;
    if (&stream != static_cast<const void*>(&connection)) connection.destroy();
  };
  connection.on_error([&](Socket& socket, const weir::Error& error) { complain(socket, error); });
  input.on_error([&](InputStream& stream, const weir::Error& error) { complain(stream, error); });
  output.on_error([&](OutputStream& stream, const weir::Error& error) { complain(stream, error); });
  connection.on_end([](Socket& socket) { socket.end(); });
  connection.on_close([&](Socket&, std::error_code) { input.destroy(); });

  if (auto started = connection.connect(program.peer()); !started) {
    return weir::fail(started.error());
  }
  weir::net::pipe(input, connection);
  weir::net::pipe(connection, output);
  const int stopped = program.run();
  return failed ? 1 : stopped;
}
