// An HTTP answer by hand. For servers that are more than an exercise there is the layer http.
#include "net/examples/program.h"

using weir::Buffer;
using weir::example::Program;
using weir::example::say;
using weir::net::Server;
using weir::net::Socket;

namespace {

constexpr std::string_view kPage =
    "<!DOCTYPE html>\n<html><head><title>weir</title></head><body><h1>HELLO!</h1></body></html>\n";

std::string answer() {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: " +
         std::to_string(kPage.size()) + "\r\n\r\n" + std::string(kPage);
}

// Counts the empty lines that end a request's headers, wherever the packets are cut.
class HeaderEnds {
 public:
  int count(std::string_view bytes) {
    constexpr std::string_view kEnd = "\r\n\r\n";
    int found = 0;
    for (const char byte : bytes) {
      if (byte != kEnd[matched_]) matched_ = 0;
      if (byte == kEnd[matched_]) ++matched_;
      if (matched_ < kEnd.size()) continue;
      matched_ = 0;
      ++found;
    }
    return found;
  }

 private:
  std::size_t matched_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Program program(argc, argv, "Answers HTTP requests by hand.", {.port = 5000});
  Server server(program.reactor());
  program.at_interrupt([&] { server.drain(weir::example::kPatience); });

  server.on_connection([](Socket& connected) {
    say("connect address : ", connected.local_address().host());
    connected.on_data([ends = HeaderEnds()](Socket& socket, Buffer data) mutable {
      say("=========receive data==========");
      say(data.view());
      say("===========receive data===========");
      for (int requests = ends.count(data.view()); requests > 0; --requests) {
        if (socket.write(answer()) != weir::net::Write::ok) socket.pause();
      }
    });
  });
  server.on_drain([](Socket& socket) { socket.resume(); });
  server.on_error(&weir::example::complain);

  auto bound = server.listen(program.place());
  if (!bound) return weir::fail(bound.error());
  say("listen on port ", bound->port());
  return program.run();
}
