// A TCP proxy for one upstream server.
//
//     bazel run -c opt //net/examples:proxy -- --port 7001 --to-host 127.0.0.1 --to-port 7000
#include "net/examples/proxy.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "net/examples/serve_on_threads.h"
#include "net/examples/server_flags.h"

namespace {

using weir::example::check_numeric;
using weir::example::Proxy;
using weir::example::serve_on_threads;
using weir::example::ServerFlags;

constexpr auto kDrainPatience = std::chrono::seconds(5);

struct Flags : ServerFlags {
  Flags() { port = 7001; }
  std::string to_host = "127.0.0.1";
  int to_port = 7000;
};

class ProxyServer final : public weir::ReactorGroup::Service {
 public:
  ProxyServer(weir::Reactor& reactor, const Flags& flags)
      : reactor_(reactor),
        flags_(flags),
        proxy_(reactor, {.host = flags.to_host, .port = flags.to_port}) {}

  weir::Expected<weir::Address> listen(const weir::net::ListenAt& at) {
    if (auto good = check_numeric(flags_.host); !good) return weir::failure(good.error());
    return proxy_.listen(at);
  }
  void drain() override {
    proxy_.close();
    patience_ = reactor_.after(kDrainPatience, [this] { proxy_.close_all(); });
    patience_.unref();
  }

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
  describe_server(app, flags);
  app.add_option("--to-host", flags.to_host, "name or address of the server behind");
  app.add_option("--to-port", flags.to_port, "its port")->check(CLI::Range(1, 65535));
  if (const auto exit_code = weir::example::parse(app, argc, argv)) return *exit_code;
  return serve_on_threads(flags, [&flags](weir::Reactor& reactor) {
    return std::make_unique<ProxyServer>(reactor, flags);
  });
}
