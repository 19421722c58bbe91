// What the parts of the library cost by themselves. bazel run -c opt //bench:micro
#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "weir/net/server.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/post_queue.h"
#include "weir/reactor/reactor.h"
#include "weir/reactor/sim_backend.h"
#include "weir/reactor/timer_wheel.h"

namespace weir::bench {
namespace {

using std::chrono::milliseconds;

// ---- Buffers ----

void buffer_share(benchmark::State& state) {
  const Buffer whole = Buffer::copy(std::string(1024, 'x'));
  for (auto _ : state) {
    Buffer share = whole.share();
    benchmark::DoNotOptimize(share.data());
  }
}
BENCHMARK(buffer_share);

void buffer_slice(benchmark::State& state) {
  const Buffer whole = Buffer::copy(std::string(1024, 'x'));
  std::size_t offset = 0;
  for (auto _ : state) {
    Buffer slice = whole.slice(offset, 64);
    benchmark::DoNotOptimize(slice.data());
    offset = (offset + 64) % 960;
  }
}
BENCHMARK(buffer_slice);

void buffer_copy(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    Buffer copy = Buffer::copy(bytes);
    benchmark::DoNotOptimize(copy.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(buffer_copy)->Arg(64)->Arg(16 * 1024);

// ---- Write queue ----

// A message pushed, gathered and counted as sent, as the echo server's fast path does it.
void write_queue_turn(benchmark::State& state) {
  const Buffer message = Buffer::copy(std::string(static_cast<std::size_t>(state.range(0)), 'x'));
  const net::QueueLimits limits;
  net::WriteQueue queue(&limits);
  std::array<iovec, 64> room;
  for (auto _ : state) {
    benchmark::DoNotOptimize(queue.push(message.share()));
    benchmark::DoNotOptimize(queue.gather(room, SIZE_MAX));
    benchmark::DoNotOptimize(queue.sent(message.size()));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(write_queue_turn)->Arg(64)->Arg(16 * 1024);

// 32 messages behind each other, copied in, sent as one.
void write_queue_burst_of_copies(benchmark::State& state) {
  constexpr int kBurst = 32;
  const std::string message(static_cast<std::size_t>(state.range(0)), 'x');
  const net::QueueLimits limits{
      .high_water = SIZE_MAX, .low_water = 0, .bytes_max = std::size_t{64} << 20};
  net::WriteQueue queue(&limits);
  std::array<iovec, 64> room;
  for (auto _ : state) {
    for (int i = 0; i < kBurst; ++i) benchmark::DoNotOptimize(queue.push_copy(message));
    benchmark::DoNotOptimize(queue.gather(room, SIZE_MAX));
    benchmark::DoNotOptimize(queue.sent(queue.bytes()));
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}
BENCHMARK(write_queue_burst_of_copies)->Arg(64)->Arg(16 * 1024);

// ---- Timers ----

// A wheel on which a number of timers is always armed, between a second and an hour away.
struct ArmedWheel {
  struct Rearming : TimerNode {
    Rearming()
        : TimerNode([](TimerNode& node) noexcept {
            auto& timer = static_cast<Rearming&>(node);
            timer.wheel->insert(timer);
          }) {}
    ArmedWheel* wheel = nullptr;
  };

  explicit ArmedWheel(std::size_t count) : timers(count) {
    for (Rearming& timer : timers) {
      timer.wheel = this;
      insert(timer);
    }
  }
  void insert(Rearming& timer) {
    random = random * 6364136223846793005U + 1442695040888963407U;
    wheel.insert(timer, now + milliseconds(1000 + (random >> 33) % 3'600'000));
  }

  TimerWheel wheel{Instant{}};
  Instant now{};
  std::uint64_t random = 1;
  std::vector<Rearming> timers;
};

void timer_insert_and_cancel(benchmark::State& state) {
  ArmedWheel armed(static_cast<std::size_t>(state.range(0)));
  ArmedWheel::Rearming timer;
  for (auto _ : state) {
    armed.insert(timer);
    armed.wheel.cancel(timer);
  }
}
BENCHMARK(timer_insert_and_cancel)->Arg(0)->Arg(1'000'000);

// A millisecond goes by; what fires is armed again, so that their number stays.
void timer_advance_one_tick(benchmark::State& state) {
  ArmedWheel armed(static_cast<std::size_t>(state.range(0)));
  std::size_t fired = 0;
  for (auto _ : state) {
    armed.now += milliseconds(1);
    fired += armed.wheel.advance(armed.now, SIZE_MAX);
    benchmark::DoNotOptimize(armed.wheel.next());
  }
  state.counters["fired"] = benchmark::Counter(static_cast<double>(fired));
}
BENCHMARK(timer_advance_one_tick)->Arg(0)->Arg(1'000'000)->Iterations(1'000'000);

// ---- Tasks ----

void post_and_pop_uncontended(benchmark::State& state) {
  PostQueue queue(4096);
  std::uint64_t sum = 0;
  PostQueue::Task popped;
  for (auto _ : state) {
    PostQueue::Task task = [&sum] { ++sum; };
    benchmark::DoNotOptimize(queue.push(task));
    benchmark::DoNotOptimize(queue.pop(popped));
    popped();
  }
}
BENCHMARK(post_and_pop_uncontended);

// Another thread posts as fast as it can; this one runs the reactor.
void post_from_another_thread(benchmark::State& state) {
  Reactor reactor;
  std::atomic<bool> done{false};
  std::uint64_t ran = 0;
  std::thread poster([&] {
    while (!done.load(std::memory_order_relaxed)) {
      if (!reactor.post([&ran] { ++ran; })) std::this_thread::yield();
    }
  });
  for (auto _ : state) reactor.run_once(kNever);
  done = true;
  poster.join();
  reactor.run();
  state.SetItemsProcessed(static_cast<std::int64_t>(ran));
}
BENCHMARK(post_from_another_thread)->UseRealTime();

void defer_and_run(benchmark::State& state) {
  constexpr int kTasks = 64;
  Reactor reactor(std::make_unique<SimBackend>());
  std::uint64_t sum = 0;
  for (auto _ : state) {
    for (int i = 0; i < kTasks; ++i) {
      benchmark::DoNotOptimize(reactor.defer([&sum] { ++sum; }));
    }
    reactor.run_once(Instant::min());
  }
  state.SetItemsProcessed(state.iterations() * kTasks);
}
BENCHMARK(defer_and_run);

// ---- Turns ----

void idle_turn(benchmark::State& state, BackendKind kind) {
  auto reactor = Reactor::create({.backend = kind});
  if (!reactor) {
    state.SkipWithError(reactor.error().message().c_str());
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize((*reactor)->run_once(Instant::min()));
}
BENCHMARK_CAPTURE(idle_turn, epoll, BackendKind::epoll);
BENCHMARK_CAPTURE(idle_turn, io_uring, BackendKind::io_uring);
BENCHMARK_CAPTURE(idle_turn, sim, BackendKind::sim);

// 64 bytes to the server and back. On the simulator that is the library without any kernel.
void echo(benchmark::State& state, BackendKind kind) {
  auto made = Reactor::create({.backend = kind});
  if (!made) {
    state.SkipWithError(made.error().message().c_str());
    return;
  }
  Reactor& reactor = **made;
  static const std::string message(64, 'x');
  std::size_t received = 0;
  net::Server server(reactor);
  server.on_data([](net::Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  net::Socket client(reactor);
  client.set_no_delay();
  client.on_data([&received](net::Socket&, Buffer bytes) { received += bytes.size(); });
  if (!bound || !client.connect({.port = bound->port()})) {
    state.SkipWithError("no connection");
    return;
  }
  while (client.connecting()) reactor.run_once();
  for (auto _ : state) {
    received = 0;
    client.write(Buffer::literal(message));
    while (received < message.size()) reactor.run_once();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(echo, sim, BackendKind::sim);
BENCHMARK_CAPTURE(echo, epoll, BackendKind::epoll)->UseRealTime();
BENCHMARK_CAPTURE(echo, io_uring, BackendKind::io_uring)->UseRealTime();

}  // namespace
}  // namespace weir::bench

BENCHMARK_MAIN();
