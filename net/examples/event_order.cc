// Prints the name of each event of a client's connection.
#include <chrono>

#include "net/examples/program.h"

using weir::Buffer;
using weir::Error;
using weir::example::json_of;
using weir::example::Program;
using weir::example::say;
using weir::net::LookupResult;
using weir::net::Socket;
using weir::net::Write;

int main(int argc, char** argv) {
  int flood = 0;
  int timeout = 0;
  Program program(argc, argv, "Prints the name of each event.", {.port = 8124},
                  {{"--flood", &flood, "bytes to write at once"},
                   {"--timeout", &timeout, "milliseconds without activity"}});
  Socket client(program.reactor());
  program.at_interrupt([&] { client.destroy(); });

  client.on_lookup([](Socket&, const LookupResult&) { say("lookup"); });
  client.on_connect([flood](Socket& socket) {
    say("connect");
    if (flood == 0) return;
    const Write written = socket.write(std::string(static_cast<std::size_t>(flood), '.'));
    say("write ", written == Write::ok ? "true" : "false");
  });
  client.on_ready([](Socket&) { say("ready"); });
  client.on_data([](Socket&, Buffer data) { say("data ", data.size()); });
  client.on_drain([](Socket&) { say("drain"); });
  client.on_timeout([](Socket&) { say("timeout"); });
  client.on_end([](Socket&) { say("end"); });
  client.on_error([](Socket&, const Error& error) { say("error ", json_of(error)); });
  client.on_close([](Socket&, std::error_code error) { say("close ", error ? "true" : "false"); });
  client.set_timeout(std::chrono::milliseconds(timeout));
  if (auto started = client.connect(program.peer()); !started) return weir::fail(started.error());
  return program.run();
}
