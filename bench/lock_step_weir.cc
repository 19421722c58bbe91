// weir's echoes, or answers to GET /hello, in lock step; see lock_step.h.
//
//   lock_step_weir echo|http epoll|io_uring BATCH BATCHES
//   lock_step_weir pipeline epoll|io_uring REQUESTS BATCHES    of one connection
//   lock_step_weir --compiler
#include "bench/lock_step.h"

#include <cstdlib>
#include <string_view>

#include "weir/http/server.h"
#include "weir/net/server.h"
#include "weir/reactor/reactor.h"

namespace {

using weir::BackendKind;
using weir::Buffer;
using weir::Duration;
using weir::Reactor;
using weir::bench::LockStepClients;
using weir::bench::LockStepScript;
using weir::net::Socket;
using weir::net::Write;

constexpr std::string_view kRequest = "GET /hello HTTP/1.1\r\nHost: weir\r\n\r\n";
constexpr std::string_view kBody = "Hello, World!";

// What it counts keeps the call from being a jump, behind which callgrind would not see the end.
std::size_t handled = 0;

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

LockStepScript hello_script(int requests) {
  LockStepScript script;
  for (int i = 0; i < requests; ++i) script.message += kRequest;
  script.is_answered = [](std::string_view received, const std::string& message) {
    return received.ends_with(kBody) &&
           count(received, kBody) == message.size() / kRequest.size();
  };
  return script;
}

std::uint16_t port_of(const weir::Expected<weir::Address>& bound) {
  if (bound) return static_cast<std::uint16_t>(bound->port());
  std::fprintf(stderr, "%s\n", bound.error().message().c_str());
  std::exit(1);
}

void set_up(weir::net::Server& server) {
  server.on_data([](Socket& socket, Buffer bytes) {
    if (socket.write(std::move(bytes)) != Write::ok) socket.pause();
  });
  server.on_drain([](Socket& socket) { socket.resume(); });
}

void set_up(weir::http::Server& server) {
  server.on_request([](weir::http::Request&, weir::http::Response& response) {
    response.set_header("Content-Type", "text/plain");
    response.end(kBody);
  });
}

}  // namespace

extern "C" [[gnu::noinline]] void measured_turn(Reactor* reactor) {
  handled += reactor->run_once(Duration::zero());
}

namespace {

template <class Server>
void run(Reactor& reactor, Server& server, int connections, LockStepScript script, int batches) {
  set_up(server);
  const auto port = port_of(server.listen({.port = 0, .host = "127.0.0.1"}));
  LockStepClients clients(port, connections, std::move(script));
  weir::bench::run_lock_step(
      clients, batches, [&] { reactor.run_once(Duration::zero()); },
      [&] { measured_turn(&reactor); });
  // The connections end with the process.
  std::_Exit(0);
}

int print_compiler() {
#ifdef __clang__
  std::puts(__VERSION__);
#else
  std::puts("GCC " __VERSION__);
#endif
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "--compiler") return print_compiler();
  if (argc != 5) {
    std::fprintf(stderr, "usage: lock_step_weir echo|http|pipeline epoll|io_uring BATCH BATCHES\n");
    return 2;
  }
  const bool epoll = std::string_view(argv[2]) == "epoll";
  const int batch = std::atoi(argv[3]);
  const int batches = std::atoi(argv[4]);
  auto reactor = Reactor::create({.backend = epoll ? BackendKind::epoll : BackendKind::io_uring});
  if (!reactor) {
    std::fprintf(stderr, "%s\n", reactor.error().message().c_str());
    return 1;
  }
  if (what == "echo") {
    weir::net::Server server(**reactor, {.socket = {.no_delay = true}});
    run(**reactor, server, batch, weir::bench::echo_script(), batches);
  }
  weir::http::Server server(**reactor);
  const bool pipelined = what == "pipeline";
  run(**reactor, server, pipelined ? 1 : batch, hello_script(pipelined ? batch : 1), batches);
}
