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
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "weir/net/ip.h"
#include "weir/net/server.h"
#include "weir/reactor/reactor.h"

namespace {

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
    // A name would be looked up later: what cannot work is to be told at once.
    if (!flags_.host.empty() && weir::net::is_ip(flags_.host) == 0) {
      return weir::failure({.code = weir::Mistake::bad_ip_address,
                            .detail = "--host " + flags_.host + " is not a numeric address"});
    }
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

// One of the further threads: a reactor of its own on the port of the first.
struct Worker {
  std::unique_ptr<weir::Reactor> reactor;
  std::unique_ptr<EchoServer> echo;
  std::thread thread;
};

weir::Expected<void> start(Worker& worker, const Flags& flags, int port) {
  auto reactor = weir::Reactor::create({.backend = flags.backend});
  if (!reactor) return weir::failure(reactor.error());
  worker.reactor = std::move(*reactor);
  worker.echo = std::make_unique<EchoServer>(*worker.reactor, flags);
  auto bound = worker.echo->listen(port);
  if (!bound) return weir::failure(bound.error());
  worker.thread = std::thread([&worker] { worker.echo->run(); });
  return {};
}

int serve(const Flags& flags) {
  auto reactor = weir::Reactor::create({.backend = flags.backend});
  if (!reactor) return weir::fail(reactor.error());
  EchoServer echo(**reactor, flags);
  auto bound = echo.listen(flags.port);
  if (!bound) return weir::fail(bound.error());

  std::vector<Worker> workers(static_cast<std::size_t>(flags.threads - 1));
  for (Worker& worker : workers) {
    if (auto started = start(worker, flags, bound->port()); !started) {
      std::exit(weir::fail(started.error()));
    }
  }
  const auto drain_all = [&](int) {
    echo.drain();
    for (Worker& worker : workers) {
      // A full queue means that the thread is about to look: the signal may be sent again.
      if (!worker.reactor->post([&worker] { worker.echo->drain(); })) return;
    }
  };
  for (const int signal : {SIGINT, SIGTERM}) {
    if (auto set = (*reactor)->on_signal(signal, drain_all); !set) return weir::fail(set.error());
  }

  const weir::Counters counters = (*reactor)->counters();
  std::printf("listening on %s\nbackend %s: %s\n", bound->to_string().c_str(),
              weir::name_of(counters.backend), counters.reason.c_str());
  std::fflush(stdout);
  echo.run();
  for (Worker& worker : workers) worker.thread.join();
  return 0;
}

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
  return serve(flags);
}
