// Dwarves, elves and hobbits: three connections to one server.
#include <array>
#include <chrono>
#include <deque>

#include "net/examples/program.h"
#include "net/examples/write_data.h"

using weir::Buffer;
using weir::Error;
using weir::example::ip_and_port;
using weir::example::json_of;
using weir::example::Program;
using weir::example::say;
using weir::example::write_data;
using weir::net::Socket;

namespace {

struct People {
  const char* name;
  const char* wish;
};
constexpr std::array kPeoples = {People{"Dwarves", "More Axes"}, People{"Elves", "More Arrows"},
                                 People{"Hobbits", "More Pipe Weed"}};

void listen(Socket& client, const char* name, int indent) {
  client.on_connect([name, indent](Socket& socket) {
    say(name, " Connected: ");
    say(std::string(static_cast<std::size_t>(indent), ' '), "local = ",
        ip_and_port(socket.local_address()));
    say("   remote = ", ip_and_port(socket.remote_address()));
    socket.set_timeout(std::chrono::milliseconds(500));
    socket.set_encoding(weir::net::Encoding::utf8);
  });
  client.on_data([name](Socket& socket, Buffer text) {
    say(name, " From Server: ", text.view());
    socket.end();
  });
  client.on_end([name](Socket&) { say(name, " Client disconnected"); });
  client.on_error([](Socket&, const Error& error) { say("Socket Error:  ", json_of(error)); });
  client.on_close([](Socket&, std::error_code) { say("Socket Closed"); });
}

}  // namespace

int main(int argc, char** argv) {
  int indent = 3;
  int extra = 0;
  Program program(argc, argv, "Three connections to one server.", {.port = 8107},
                  {{"--indent", &indent, "blanks before 'local'"},
                   {"--extra", &extra, "bytes to make each message longer by"}});
  std::deque<Socket> clients;
  program.at_interrupt([&] {
    for (Socket& client : clients) client.destroy();
  });

  for (const People& people : kPeoples) {
    Socket& client = clients.emplace_back(
        program.reactor(), weir::net::SocketOptions{.queue = {.high_water = 16384}});
    listen(client, people.name, indent);
    if (auto started = client.connect(program.peer()); !started) {
      return weir::fail(started.error());
    }
    // Before there is a connection: it is queued until then.
    write_data(client, people.wish + std::string(static_cast<std::size_t>(extra), '.'));
  }
  return program.run();
}
