// Waits for a port that is in use.
#include <cerrno>
#include <chrono>

#include "net/examples/program.h"

using weir::Error;
using weir::Timer;
using weir::example::Program;
using weir::example::say;
using weir::net::ListenAt;
using weir::net::Server;
using weir::net::Socket;

namespace {

class Retry {
 public:
  Retry(Server& server, ListenAt at, int milliseconds)
      : server_(server), at_(std::move(at)), interval_(milliseconds) {}

  weir::Expected<void> listen() {
    auto bound = server_.listen(at_, [](Server&) { say("listening"); });
    if (bound) return {};
    if (bound.error().code != weir::errno_code(EADDRINUSE)) return weir::failure(bound.error());
    say("Address in use, retrying...");
    timer_ = server_.reactor().after(interval_, [this] {
      // It does not listen, which close() would answer: nothing to stop, and 'close' comes.
      server_.close();
      if (auto again = listen(); !again) server_.reactor().report_unhandled(again.error());
    });
    return {};
  }
  void stop() { timer_.cancel(); }

 private:
  Server& server_;
  ListenAt at_;
  std::chrono::milliseconds interval_;
  Timer timer_;
};

}  // namespace

int main(int argc, char** argv) {
  int milliseconds = 1000;
  bool closes = false;
  Program program(argc, argv, "Waits for a port that is in use.", {.port = 8124},
                  {{"--interval", &milliseconds, "milliseconds between two attempts"},
                   {"--closes", &closes, "tell of each 'close' of the server"}});
  Server server(program.reactor());
  Retry retry(server, program.place(), milliseconds);
  program.at_interrupt([&] {
    retry.stop();
    server.drain(weir::example::kPatience);
  });

  server.on_connection([](Socket& socket) { socket.end(); });
  server.on_error(&weir::example::complain);
  if (closes) server.on_server_close([](Server&) { say("close"); });
  if (auto started = retry.listen(); !started) return weir::fail(started.error());
  return program.run();
}
