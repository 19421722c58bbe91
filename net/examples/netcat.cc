// Standard input to a connection, and what comes back to standard output: as nc -N does.
#include "net/examples/program.h"
#include "net/examples/stdin_reader.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::StdinReader;
using weir::net::Socket;
using weir::net::Write;

int main(int argc, char** argv) {
  Program program(argc, argv, "Sends standard input and prints what comes back.", {.port = 8124});
  // The end of our input ends our side only: the answer may take its time.
  Socket connection(program.reactor(), {.allow_half_open = true});
  StdinReader input(program.reactor(), [&](std::string piece) {
    if (connection.write(piece) == Write::full) input.pause();
  });
  input.on_end([&] { connection.end(); });
  program.at_interrupt([&] {
    connection.destroy_soon();
    input.close();
  });

  bool failed = false;
  connection.on_data([](Socket&, Buffer bytes) {
    std::cout.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
  });
  connection.on_drain([&](Socket&) { input.resume(); });
  connection.on_end([](Socket& socket) { socket.end(); });
  connection.on_error([&](Socket& socket, const weir::Error& error) {
    weir::example::complain(socket, error);
    failed = true;
  });
  connection.on_close([&](Socket&, std::error_code) { input.close(); });

  if (auto started = connection.connect(program.peer()); !started) {
    return weir::fail(started.error());
  }
  const int stopped = program.run();
  return failed ? 1 : stopped;
}
