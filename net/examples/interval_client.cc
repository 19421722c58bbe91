// Writes every second, also when the server has ended the connection.
#include <chrono>
#include <cstdio>

#include "net/examples/program.h"

using weir::Buffer;
using weir::Timer;
using weir::example::Program;
using weir::example::say;
using weir::net::Socket;

namespace {

// <74 65 73 74>
std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    char digits[4];
    std::snprintf(digits, sizeof digits, " %02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return "<" + text.substr(text.empty() ? 0 : 1) + ">";
}

class Interval {
 public:
  Interval(Socket& socket, int milliseconds) : socket_(socket), interval_(milliseconds) {}

  void start() {
    timer_ = socket_.reactor().after(interval_, [this] { tick(); });
  }
  void stop() { timer_.cancel(); }

 private:
  void tick() {
    start();
    socket_.write("testing~", [](Socket&, std::error_code code) {
      if (code) say("error: ", weir::name_of(code));
    });
  }

  Socket& socket_;
  std::chrono::milliseconds interval_;
  Timer timer_;
};

}  // namespace

int main(int argc, char** argv) {
  int milliseconds = 1000;
  Program program(argc, argv, "Writes every second.", {.port = 5000},
                  {{"--interval", &milliseconds, "milliseconds between two writes"}});
  Socket client(program.reactor());
  Interval interval(client, milliseconds);
  program.at_interrupt([&] {
    interval.stop();
    client.destroy();
  });

  client.on_data([](Socket&, Buffer data) { say("receive:  ", hex(data.view())); });
  client.on_end([](Socket&) { say("disconnected."); });
  client.on_error(&weir::example::complain);
  auto started = client.connect(program.peer(), [&](Socket&) {
    say("connect to server!");
    interval.start();
  });
  if (!started) return weir::fail(started.error());
  return program.run();
}
