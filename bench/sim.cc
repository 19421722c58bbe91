// How fast simulated time is: bazel run -c opt //bench:sim
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "weir/net/server.h"
#include "weir/reactor/sim_world.h"

namespace weir::bench {
namespace {

using net::Server;
using net::Socket;

const std::string kMessage(64, 'x');

// An echo between two hosts. Arguments: connections; microseconds of latency between the hosts;
// whether the world checks what becomes of memory. An event is the result of an operation.
void echo_between_hosts(benchmark::State& state) {
  sim::World world({.link = {.latency = std::chrono::microseconds(state.range(1))},
                    .check_memory = state.range(2) != 0});
  Reactor& server = world.add_host("server").reactor();
  Reactor& client = world.add_host("client").reactor();
  Server echo(server);
  echo.on_data([](Socket& socket, Buffer bytes) { (void)socket.write(std::move(bytes)); });
  (void)echo.listen({.port = 7000});
  std::vector<std::unique_ptr<Socket>> sockets;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    sockets.push_back(std::make_unique<Socket>(client));
    sockets.back()->on_ready([](Socket& socket) { (void)socket.write(kMessage); });
    sockets.back()->on_data([](Socket& socket, Buffer) { (void)socket.write(kMessage); });
    (void)sockets.back()->connect({.host = "server", .port = 7000});
  }
  const auto results = [&] {
    return server.counters().kernel.completions + client.counters().kernel.completions;
  };
  const std::uint64_t before = results();
  for (auto _ : state) {
    if (!world.step()) state.SkipWithError("nothing is left to happen");
  }
  state.counters["socket_events"] = benchmark::Counter(static_cast<double>(results() - before),
                                                       benchmark::Counter::kIsRate);
}
BENCHMARK(echo_between_hosts)
    ->ArgNames({"connections", "latency_us", "checked"})
    ->Args({1, 50, 1})
    ->Args({100, 0, 0})
    ->Args({100, 0, 1})
    ->Args({100, 50, 1})
    ->Args({1000, 50, 1});

}  // namespace
}  // namespace weir::bench

BENCHMARK_MAIN();
