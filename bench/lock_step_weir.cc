// weir's echoes in lock step; see lock_step.h.
//
//   lock_step_weir epoll|io_uring BATCH BATCHES
//   lock_step_weir --compiler
#include "bench/lock_step.h"

#include <cstdlib>
#include <string_view>

#include "weir/net/server.h"
#include "weir/reactor/reactor.h"

namespace {

using weir::BackendKind;
using weir::Buffer;
using weir::Duration;
using weir::Reactor;
using weir::net::Server;
using weir::net::Socket;
using weir::net::Write;

}  // namespace

// What it counts keeps the call from being a jump, behind which callgrind would not see the end.
std::size_t handled = 0;

extern "C" [[gnu::noinline]] void measured_turn(Reactor* reactor) {
  handled += reactor->run_once(Duration::zero());
}

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--compiler") {
#ifdef __clang__
    std::puts(__VERSION__);
#else
    std::puts("GCC " __VERSION__);
#endif
    return 0;
  }
  if (argc != 4) {
    std::fprintf(stderr, "usage: lock_step_weir epoll|io_uring BATCH BATCHES\n");
    return 2;
  }
  const bool epoll = std::string_view(argv[1]) == "epoll";
  auto reactor = Reactor::create({.backend = epoll ? BackendKind::epoll : BackendKind::io_uring});
  if (!reactor) {
    std::fprintf(stderr, "%s\n", reactor.error().message().c_str());
    return 1;
  }
  Server server(**reactor, {.socket = {.no_delay = true}});
  server.on_data([](Socket& socket, Buffer bytes) {
    if (socket.write(std::move(bytes)) != Write::ok) socket.pause();
  });
  server.on_drain([](Socket& socket) { socket.resume(); });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  if (!bound) {
    std::fprintf(stderr, "%s\n", bound.error().message().c_str());
    return 1;
  }
  weir::bench::run_lock_step(
      static_cast<std::uint16_t>(bound->port()), std::atoi(argv[2]), std::atoi(argv[3]),
      [&] { (*reactor)->run_once(Duration::zero()); }, [&] { measured_turn(reactor->get()); });
  std::_Exit(0);
}
