// Tells all of its connections the time, once a second, and how many of them there are: one frame,
// however many get it.
//
//     bazel run -c opt //http/examples:ws_broadcast -- --port 8080
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include "net/examples/server_flags.h"
#include "weir/http/date.h"
#include "weir/http/websocket/websocket_server.h"

namespace {

using weir::http::MessageKind;
using weir::http::SlowReader;
using weir::http::WebSocketServer;

constexpr auto kEvery = std::chrono::seconds(1);

class Clock {
 public:
  explicit Clock(weir::Reactor& reactor) : reactor_(reactor), server_(reactor), sockets_(server_) {}

  weir::Expected<weir::Address> listen(const weir::example::ServerFlags& flags) {
    tick();
    return server_.listen({.port = flags.port, .host = flags.host});
  }

 private:
  // Who has not read the last one does without this one.
  void tick() {
    const auto date = weir::http::format_date(reactor_.backend().unix_seconds());
    const std::string text = std::string(date.data(), date.size()) + ", " +
                             std::to_string(sockets_.connections()) + " listen";
    const auto told = sockets_.broadcast(MessageKind::text, text, SlowReader::skip);
    if (told.sent + told.skipped != 0) {
      std::printf("told %zu, skipped %zu\n", told.sent, told.skipped);
      std::fflush(stdout);
    }
    timer_ = reactor_.after(kEvery, [this] { tick(); });
  }

  weir::Reactor& reactor_;
  weir::http::Server server_;
  WebSocketServer sockets_;
  weir::Timer timer_;
};

}  // namespace

int main(int argc, char** argv) {
  weir::example::ServerFlags flags;
  flags.port = 8080;
  CLI::App app("Tells all of its WebSockets the time.");
  describe_server(app, flags);
  if (const auto exit_code = weir::example::parse(app, argc, argv)) return *exit_code;
  auto reactor = weir::Reactor::create({.backend = flags.backend});
  if (!reactor) return weir::fail(reactor.error());
  Clock clock(**reactor);
  const auto bound = clock.listen(flags);
  if (!bound) return weir::fail(bound.error());
  std::printf("listening on %s\n", bound->to_string().c_str());
  std::fflush(stdout);
  (*reactor)->run();
  return 0;
}
