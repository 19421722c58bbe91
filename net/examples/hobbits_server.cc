// What dwarves, elves and hobbits talk to: a server that tells all that it knows.
#include <chrono>

#include "net/examples/program.h"
#include "net/examples/write_data.h"

using weir::Buffer;
using weir::Error;
using weir::example::ip_and_port;
using weir::example::json_of;
using weir::example::Program;
using weir::example::say;
using weir::example::write_data;
using weir::net::Server;
using weir::net::Socket;

namespace {

void listen_to_clients(Server& server, int indent, int timeout) {
  server.on_connection([indent, timeout](Socket& socket) {
    say("Client connection: ");
    say(std::string(static_cast<std::size_t>(indent), ' '), "local = ",
        ip_and_port(socket.local_address()));
    say("   remote = ", ip_and_port(socket.remote_address()));
    socket.set_timeout(std::chrono::milliseconds(timeout));
    socket.set_encoding(weir::net::Encoding::utf8);
  });
  server.on_data([](Socket& socket, Buffer text) {
    say("Received data from client on port ", socket.remote_address().port(), ": ", text.view());
    say("  Bytes received: ", socket.bytes_read());
    write_data(socket, "Sending: " + std::string(text.view()));
    say("  Bytes sent: ", socket.bytes_written());
  });
  server.on_end([](Socket& socket) {
    say("Client disconnected");
    say("Remaining Connections: ", socket.server()->connections());
  });
  server.on_timeout([](Socket&) { say("Socket Timed out"); });
  server.on_error([](Socket&, const Error& error) { say("Socket Error:  ", json_of(error)); });
}

}  // namespace

int main(int argc, char** argv) {
  int indent = 3;
  int timeout = 500;
  Program program(argc, argv, "Tells all that it knows of its clients.", {.port = 8107},
                  {{"--indent", &indent, "blanks before 'local'"},
                   {"--timeout", &timeout, "milliseconds without activity"}});
  Server server(program.reactor(), {.socket = {.queue = {.high_water = 16384}}});
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  listen_to_clients(server, indent, timeout);
  server.on_server_error([](Server&, const Error& error) {
    say("Server Error:  ", json_of(error));
  });
  server.on_server_close([](Server&) { say("Server Terminated"); });
  auto bound = server.listen(program.place(), [](Server& listening) {
    say("Server listening: ", json_of(listening.address()));
  });
  if (!bound) {
    say("Server Error:  ", json_of(bound.error()));
    return 1;
  }
  return program.run();
}
