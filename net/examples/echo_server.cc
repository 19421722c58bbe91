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
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "net/examples/serve_on_threads.h"
#include "net/examples/server_flags.h"
#include "weir/net/server.h"
#include "weir/reactor/reactor.h"

namespace {

using weir::example::check_numeric;
using weir::example::serve_on_threads;
using weir::example::ServerFlags;

constexpr auto kDrainPatience = std::chrono::seconds(5);

struct Flags : ServerFlags {
  Flags() { port = 7000; }
  bool stats = false;
  std::string congestion;
};

void print_stats(const weir::Counters& counters, std::uint64_t connections) {
  std::printf(
      "stats backend=%s connections=%llu turns=%llu spins=%llu sleeps=%llu system_calls=%llu "
      "completions=%llu multishot_receives=%llu multishot_rearms=%llu ring_dry=%llu "
      "inline_sends=%llu receive_chunks=%zu queue_bytes=%zu "
      "zero_copy_sends=%llu zero_copy_copied=%llu\n",
      weir::name_of(counters.backend), static_cast<unsigned long long>(connections),
      static_cast<unsigned long long>(counters.turns),
      static_cast<unsigned long long>(counters.spins),
      static_cast<unsigned long long>(counters.sleeps),
      static_cast<unsigned long long>(counters.kernel.system_calls),
      static_cast<unsigned long long>(counters.kernel.completions),
      static_cast<unsigned long long>(counters.kernel.multishot_receives),
      static_cast<unsigned long long>(counters.kernel.multishot_rearms),
      static_cast<unsigned long long>(counters.kernel.ring_dry),
      static_cast<unsigned long long>(counters.kernel.inline_sends), counters.receive_chunks,
      counters.queue_bytes, static_cast<unsigned long long>(counters.zero_copy_sends),
      static_cast<unsigned long long>(counters.zero_copy_copied));
}

weir::net::ServerOptions options_of(const Flags& flags) {
  return {.socket = {.queue = {.zero_copy_from = flags.zero_copy_from}, .no_delay = true}};
}

class EchoServer final : public weir::ReactorGroup::Service {
 public:
  EchoServer(weir::Reactor& reactor, const Flags& flags)
      : reactor_(reactor), flags_(flags), server_(reactor, options_of(flags)) {
    server_.on_data([](weir::net::Socket& socket, weir::Buffer bytes) {
      if (socket.write(std::move(bytes)) != weir::net::Write::ok) socket.pause();
    });
    server_.on_drain([](weir::net::Socket& socket) { socket.resume(); });
    // A peer that resets its connection is its own business.
    server_.on_error([](weir::net::Socket&, const weir::Error&) {});
  }

  ~EchoServer() override {
    if (flags_.stats) print_stats(reactor_.counters(), server_.counters().accepted);
  }

  weir::Expected<weir::Address> listen(const weir::net::ListenAt& at) {
    if (auto good = check_numeric(flags_.host); !good) return weir::failure(good.error());
    auto bound = server_.listen(at);
    const std::string& name = flags_.congestion;
    const bool accepts = server_.native_handle() >= 0;
    if (!bound || name.empty() || !accepts) return bound;
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

  void drain() override { server_.drain(kDrainPatience); }

 private:
  weir::Reactor& reactor_;
  const Flags& flags_;
  weir::net::Server server_;
};

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Sends every byte back.");
  describe_server(app, flags);
  weir::example::describe_unix(app, flags.unix_path);
  weir::example::describe_zero_copy(app, flags.zero_copy_from);
  app.add_flag("--stats", flags.stats, "print counters of each reactor at the end");
  app.add_option("--congestion", flags.congestion,
                 "congestion control of the connections (tcp(7)); default: the system's");
  if (const auto exit_code = weir::example::parse(app, argc, argv)) return *exit_code;
  if (const auto wrong = weir::example::check_unix(flags)) return *wrong;
  return serve_on_threads(flags, [&flags](weir::Reactor& reactor) {
    return std::make_unique<EchoServer>(reactor, flags);
  });
}
