// Sends each datagram back to where it came from: udp_echo PORT, 0 for a free one.
#include <cstdio>
#include <cstdlib>

#include "weir/net/udp_socket.h"

int main(int argc, char** argv) {
  weir::Reactor reactor;
  weir::net::UdpSocket echo(reactor);
  echo.on_message([](weir::net::UdpSocket& socket, const weir::net::Datagram& datagram) {
    // When nobody takes what we send, it is dropped and counted, as the network would.
    static_cast<void>(socket.send(datagram.bytes, datagram.from));
  });
  const auto at = echo.bind({.port = argc > 1 ? std::atoi(argv[1]) : 7000});
  if (!at) return weir::fail(at.error());
  std::printf("bound to %s\n", at->to_string().c_str());
  std::fflush(stdout);
  reactor.run();
}
