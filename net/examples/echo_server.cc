// An echo server over TCP or a Unix socket, on one reactor or several.
//
//     bazel run -c opt //net/examples:echo_server -- --port 7000
//
// The bytes that a socket receives go to its write queue as they are: nothing is copied. When the
// queue is full the socket is not read until it has drained, so a peer that does not read its echo
// feels it in its own sends.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "net/examples/serve_on_threads.h"
#include "weir/net/server.h"
#include "weir/reactor/reactor.h"

namespace {

using weir::example::check_numeric;
using weir::example::serve_on_threads;

constexpr auto kDrainPatience = std::chrono::seconds(5);

struct Flags {
  std::string host;
  int port = 7000;
  std::string unix_path;
  weir::BackendKind backend = weir::BackendKind::automatic;
  int threads = 1;
  bool stats = false;
  std::string congestion;
};

CLI::App& describe(CLI::App& app, Flags& flags) {
  static const std::map<std::string, weir::BackendKind> kBackends = {
      {"auto", weir::BackendKind::automatic},
      {"io_uring", weir::BackendKind::io_uring},
      {"epoll", weir::BackendKind::epoll}};
  app.add_option("--host", flags.host, "numeric address to bind; default: every address");
  app.add_option("--port", flags.port, "0: the kernel chooses")->check(CLI::Range(0, 65535));
  app.add_option("--unix", flags.unix_path, "path of a Unix socket to listen on instead");
  app.add_option("--backend", flags.backend, "auto, io_uring or epoll")
      ->transform(CLI::CheckedTransformer(kBackends).description(""));
  app.add_option("--threads", flags.threads, "reactors, each with a listener of its own")
      ->check(CLI::Range(1, 256));
  app.add_flag("--stats", flags.stats, "print counters at the end");
  app.add_option("--congestion", flags.congestion,
                 "congestion control of the connections (tcp(7)); default: the system's");
  return app;
}

void print_stats(const weir::Counters& counters) {
  std::printf(
      "stats backend=%s turns=%llu system_calls=%llu completions=%llu multishot_receives=%llu "
      "multishot_rearms=%llu ring_dry=%llu inline_sends=%llu receive_chunks=%zu queue_bytes=%zu\n",
      weir::name_of(counters.backend), static_cast<unsigned long long>(counters.turns),
      static_cast<unsigned long long>(counters.kernel.system_calls),
      static_cast<unsigned long long>(counters.kernel.completions),
      static_cast<unsigned long long>(counters.kernel.multishot_receives),
      static_cast<unsigned long long>(counters.kernel.multishot_rearms),
      static_cast<unsigned long long>(counters.kernel.ring_dry),
      static_cast<unsigned long long>(counters.kernel.inline_sends), counters.receive_chunks,
      counters.queue_bytes);
}

class EchoServer {
 public:
  EchoServer(weir::Reactor& reactor, const Flags& flags)
      : reactor_(reactor), flags_(flags), server_(reactor, {.socket = {.no_delay = true}}) {
    server_.on_data([](weir::net::Socket& socket, weir::Buffer bytes) {
      if (socket.write(std::move(bytes)) != weir::net::Write::ok) socket.pause();
    });
    server_.on_drain([](weir::net::Socket& socket) { socket.resume(); });
    // A peer that resets its connection is its own business.
    server_.on_error([](weir::net::Socket&, const weir::Error&) {});
  }

  weir::Expected<weir::Address> listen(int port) {
    if (auto good = check_numeric(flags_.host); !good) return weir::failure(good.error());
    auto bound = server_.listen({.port = port,
                                 .host = flags_.host,
                                 .path = flags_.unix_path,
                                 .reuse_port = flags_.threads > 1});
    const std::string& name = flags_.congestion;
    if (!bound || name.empty()) return bound;
    // Accepted connections inherit it.
    if (setsockopt(server_.native_handle(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                   static_cast<socklen_t>(name.size())) != 0) {
      return weir::failure({.code = weir::errno_code(errno),
                            .syscall = "setsockopt",
                            .address = {},
                            .detail = "--congestion " + name});
    }
    return bound;
  }

  void drain() { server_.drain(kDrainPatience); }

  void run() {
    reactor_.run();
    if (flags_.stats) print_stats(reactor_.counters());
  }

 private:
  weir::Reactor& reactor_;
  const Flags& flags_;
  weir::net::Server server_;
};

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Sends every byte back.");
  try {
    describe(app, flags).parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "error: %s; see --help\n", error.what());
    return 2;
  }
  if (!flags.unix_path.empty() && flags.threads > 1) {
    std::fprintf(stderr, "error: --unix and --threads do not go together: only TCP ports can be "
                         "shared; see --help\n");
    return 2;
  }
  return serve_on_threads<EchoServer>(
      flags.backend, flags.threads, flags.port, [&flags](weir::Reactor& reactor) {
        return std::make_unique<EchoServer>(reactor, flags);
      });
}
