// weir's side of the UDP benchmark: counts what net::UdpSocket brings, like the loops of udp_floor.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "bench/udp_receiver.h"
#include "weir/net/udp_socket.h"
#include "weir/reactor/reactor.h"

namespace weir::bench {
namespace {

const std::map<std::string, BackendKind> kBackends = {{"io_uring", BackendKind::io_uring},
                                                      {"epoll", BackendKind::epoll}};

struct Options {
  BackendKind backend = BackendKind::epoll;
  bool coalesce = false;
  UdpReceiverOptions receiver;
};

int receive(const Options& options) {
  UdpBoard* board = open_udp_board(options.receiver);
  if (board == nullptr) return 1;
  auto reactor = Reactor::create({.backend = options.backend});
  if (!reactor) return fail(reactor.error());
  net::UdpSocket socket(
      **reactor, {.receive_buffer = options.receiver.receive_buffer, .coalesce = options.coalesce});
  socket.on_messages([board](net::UdpSocket&, std::span<const net::Datagram> datagrams) {
    std::uint64_t bytes = 0;
    for (const net::Datagram& datagram : datagrams) bytes += datagram.bytes.size();
    board->add(datagrams.size(), bytes);
  });
  const auto bound = socket.bind({.port = 0, .host = "127.0.0.1"});
  if (!bound) return fail(bound.error());
  const auto buffer = socket.receive_buffer_size();
  if (!buffer) return fail(buffer.error());
  announce_udp_receiver(bound->port(), name_of((*reactor)->counters().backend), *buffer);
  (*reactor)->run();
  return 0;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"weir as a UDP receiver"};
  app.add_option("--backend", options.backend, "io_uring or epoll")
      ->transform(CLI::CheckedTransformer(kBackends));
  app.add_flag("--coalesce,!--no-coalesce", options.coalesce, "UDP_GRO where the kernel has it");
  describe_udp_receiver(app, options.receiver);
  if (const auto code = parse_udp_receiver(app, argc, argv)) return *code;
  return receive(options);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
