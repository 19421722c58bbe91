// A TCP proxy for one upstream server.
//
//     bazel run -c opt //net/examples:proxy -- --port 7001 --to-host 127.0.0.1 --to-port 7000
#include "net/examples/proxy.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "net/examples/serve_on_threads.h"

namespace {

using weir::example::check_numeric;
using weir::example::Proxy;
using weir::example::serve_on_threads;

constexpr auto kDrainPatience = std::chrono::seconds(5);

struct Flags {
  std::string host;
  int port = 7001;
  std::string to_host = "127.0.0.1";
  int to_port = 7000;
  weir::BackendKind backend = weir::BackendKind::automatic;
  int threads = 1;
};

CLI::App& describe(CLI::App& app, Flags& flags) {
  static const std::map<std::string, weir::BackendKind> kBackends = {
      {"auto", weir::BackendKind::automatic},
      {"io_uring", weir::BackendKind::io_uring},
      {"epoll", weir::BackendKind::epoll}};
  app.add_option("--host", flags.host, "numeric address to bind; default: every address");
  app.add_option("--port", flags.port, "0: the kernel chooses")->check(CLI::Range(0, 65535));
  app.add_option("--to-host", flags.to_host, "name or address of the server behind");
  app.add_option("--to-port", flags.to_port, "its port")->check(CLI::Range(1, 65535));
  app.add_option("--backend", flags.backend, "auto, io_uring or epoll")
      ->transform(CLI::CheckedTransformer(kBackends).description(""));
  app.add_option("--threads", flags.threads, "reactors, each with a listener of its own")
      ->check(CLI::Range(1, 256));
  return app;
}

class ProxyServer {
 public:
  ProxyServer(weir::Reactor& reactor, const Flags& flags)
      : reactor_(reactor),
        flags_(flags),
        proxy_(reactor, {.host = flags.to_host, .port = flags.to_port}) {}

  weir::Expected<weir::Address> listen(int port) {
    if (auto good = check_numeric(flags_.host); !good) return weir::failure(good.error());
    return proxy_.listen(
        {.port = port, .host = flags_.host, .reuse_port = flags_.threads > 1});
  }
  void drain() {
    proxy_.close();
    patience_ = reactor_.after(kDrainPatience, [this] { proxy_.close_all(); });
    patience_.unref();
  }
  void run() { reactor_.run(); }

 private:
  weir::Reactor& reactor_;
  const Flags& flags_;
  Proxy proxy_;
  weir::Timer patience_;
};

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Passes TCP connections on to another server.");
  try {
    describe(app, flags).parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "error: %s; see --help\n", error.what());
    return 2;
  }
  return serve_on_threads<ProxyServer>(
      flags.backend, flags.threads, flags.port, [&flags](weir::Reactor& reactor) {
        return std::make_unique<ProxyServer>(reactor, flags);
      });
}
