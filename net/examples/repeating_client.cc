// Sends standard input to a server, and prints what it answers.
#include "net/examples/program.h"
#include "weir/net/input_stream.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::say;
using weir::net::InputStream;
using weir::net::Socket;
using weir::net::Write;

int main(int argc, char** argv) {
  Program program(argc, argv, "Sends standard input to a server.", {.port = 8124});
  Socket client(program.reactor());
  client.set_encoding(weir::net::Encoding::utf8);
  InputStream input = weir::net::stdin_stream(program.reactor());
  input.on_data([&](InputStream& from, Buffer line) {
    if (client.write(std::move(line)) == Write::full) from.pause();
  });
  program.at_interrupt([&] {
    client.destroy_soon();
    input.destroy();
  });

  client.on_connect([](Socket& socket) {
    say("connected to server");
    socket.write("Who needs a browser to commnicate?");
  });
  client.on_data([](Socket&, Buffer text) { say(text.view()); });
  client.on_drain([&](Socket&) { input.resume(); });
  client.on_close([&](Socket&, std::error_code) {
    say("connection is closed");
    input.resume();  // to its end, which nobody hears
  });
  client.on_error(&weir::example::complain);

  // The port as a text, which could also be the path of a Unix socket.
  const weir::example::Flags& flags = program.flags();
  const std::string place = flags.path.empty() ? std::to_string(flags.port) : flags.path;
  auto started = client.connect(place, flags.host.empty() ? "localhost" : flags.host);
  if (!started) return weir::fail(started.error());
  return program.run();
}
