// Echoes on every processor: one thread accepts, and a connection goes to whoever has the fewest.
// echo_group PORT, 0 for a free one.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "weir/net/balancer.h"
#include "weir/net/pipe.h"
#include "weir/net/server.h"
#include "weir/reactor/reactor_group.h"

namespace {

class Echo final : public weir::ReactorGroup::Service {
 public:
  explicit Echo(weir::Reactor& reactor) : server_(reactor) {
    server_.on_connection([](weir::net::Socket& socket) { weir::net::pipe(socket, socket); });
  }
  weir::Expected<weir::Address> listen(const weir::net::ListenAt& at) { return server_.listen(at); }
  void drain() override { server_.drain(std::chrono::seconds(5)); }

 private:
  weir::net::Server server_;
};

}  // namespace

int main(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[1]) : 7000;
  weir::net::Balancer balancer;
  auto created = weir::ReactorGroup::create();
  if (!created) return weir::fail(created.error());
  weir::ReactorGroup& group = **created;
  using Made = weir::Expected<std::unique_ptr<weir::ReactorGroup::Service>>;
  const auto started = group.start([&](weir::Reactor& reactor, std::size_t index) -> Made {
    auto echo = std::make_unique<Echo>(reactor);
    // The first accepts for all.
    const auto at = echo->listen({.port = index == 0 ? port : -1, .balancer = &balancer});
    if (!at) return weir::failure(at.error());
    if (index == 0) std::printf("listening on %s\n", at->to_string().c_str());
    return echo;
  });
  if (!started) return weir::fail(started.error());
  std::fflush(stdout);
  if (auto on = group.drain_on({SIGINT, SIGTERM}); !on) return weir::fail(on.error());
  if (auto ran = group.run(); !ran) return weir::fail(ran.error());
}
