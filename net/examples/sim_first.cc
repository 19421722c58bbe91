#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "weir/net/server.h"
#include "weir/reactor/sim_world.h"

namespace net = weir::net;
namespace sim = weir::sim;

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Echo {
 public:
  explicit Echo(weir::Reactor& reactor) : server_(reactor) {
    server_.on_data([](net::Socket& socket, weir::Buffer bytes) {
      if (socket.write(std::move(bytes)) != net::Write::ok) socket.pause();
    });
    server_.on_drain([](net::Socket& socket) { socket.resume(); });
    server_.on_error([](net::Socket&, const weir::Error&) {});
  }
  weir::Expected<weir::Address> listen(int port) { return server_.listen({.port = port}); }

 private:
  net::Server server_;
};

class Heart {
 public:
  explicit Heart(weir::Reactor& reactor) : reactor_(reactor), socket_(reactor) {
    socket_.on_connect([this](net::Socket&) { beat(); });
    socket_.on_data([this](net::Socket&, weir::Buffer bytes) { answered_ += bytes.size(); });
    socket_.on_error([](net::Socket&, const weir::Error&) {});
    socket_.on_close([this](net::Socket&, std::error_code) { lose(); });
    dial();
  }
  std::uint64_t sent() const { return sent_; }
  std::uint64_t answered() const { return answered_; }
  std::uint64_t lost() const { return lost_; }

 private:
  void dial() {
    if (!socket_.connect({.host = "server", .port = 7000, .timeout = seconds(10)})) lose();
  }
  void beat() {
    if (sent_ != answered_ + lost_) {
      socket_.destroy();  // the last beat has had no answer; 'close' follows
      return;
    }
    socket_.write("!");
    ++sent_;
    timer_ = reactor_.after(seconds(60), [this] { beat(); });
  }
  void lose() {
    lost_ = sent_ - answered_;
    timer_ = reactor_.after(seconds(1), [this] { dial(); });
  }

  weir::Reactor& reactor_;
  net::Socket socket_;
  weir::Timer timer_;
  std::uint64_t sent_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t lost_ = 0;  // beats whose connection ended before their answer
};

struct EchoProgram : sim::Program {
  explicit EchoProgram(weir::Reactor& reactor) : echo(reactor) {
    if (auto bound = echo.listen(7000); !bound) std::exit(weir::fail(bound.error()));
  }
  Echo echo;
};

void plan_troubles(sim::World& world) {
  for (int i = 0; i < 10; ++i) {
    const weir::Duration crash = world.random().up_to(hours(23));
    world.after(crash, [&world] { world.host("server").restart(); });
    const weir::Duration cut = world.random().up_to(hours(22));
    const weir::Duration length = world.random().up_to(minutes(10));
    world.after(cut, [&world] { world.partition(world.host("server"), world.host("client")); });
    world.after(cut + length, [&world] { world.heal_all(); });
  }
}

int main(int argc, char** argv) {
  sim::WorldOptions options = {
      .seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1,
      .faults = {.late = 0.1, .again = 0.1, .short_write = 0.1, .reset = 0.001},
      .link = {.latency = milliseconds(5), .jitter = milliseconds(20)}};
  if (argc > 2) {
    options.on_trace = [](std::string_view line) {
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    };
  }
  sim::World world(std::move(options));

  world.add_host("server").start(
      [](weir::Reactor& reactor) { return std::make_unique<EchoProgram>(reactor); });
  Heart heart(world.add_host("client").reactor());
  plan_troubles(world);

  world.run_for(hours(23));
  world.set_faults({});
  world.run_for(minutes(5));
  const std::uint64_t lost = heart.lost();
  world.run_for(minutes(55));

  const bool good = heart.lost() == lost && heart.sent() == heart.answered() + lost;
  std::printf("seed %llu: %s, %llu beats, %llu lost, %llu events, trace %016llx\n",
              static_cast<unsigned long long>(world.seed()), good ? "good" : "WRONG",
              static_cast<unsigned long long>(heart.sent()),
              static_cast<unsigned long long>(heart.lost()),
              static_cast<unsigned long long>(world.events()),
              static_cast<unsigned long long>(world.trace_hash()));
  return good ? 0 : 1;
}
