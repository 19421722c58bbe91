// A million idle connections, in one command:
//
//   bazel run -c opt //bench:idle
//
// Starts as many of weir's echo servers, and as many processes of clients, as the limit of
// descriptors asks for. Each connection has a message echoed and then stays. What they cost is
// said; then some active ones at one of these servers are compared with the same ones at a server
// that has no others. At the end each connection has one more message echoed.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/crowd.h"
#include "bench/flags.h"
#include "bench/kernel_memory.h"
#include "bench/load.h"
#include "bench/load_clock.h"
#include "bench/machine.h"
#include "bench/process_facts.h"
#include "bench/samples.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

// More connections to one address and port make connecting slow: the kernel looks for a free port.
constexpr std::size_t kConnectionsPerServerMax = 14'000;
// Crowds that work at a time: one for each core and one more leave none of them waiting.
constexpr std::size_t kCrowdsAtOnce = 3;
// A connection with both of its ends in the kernel and in two processes, generously.
constexpr std::size_t kBytesEach = 9 * 1024;
constexpr std::size_t kBytesSpare = std::size_t{512} << 20;

struct Options {
  std::string echo_server;
  std::size_t connections = 1'000'000;
  int active = 100;
  std::string backend = "auto";
  int rounds = 9;
  bool quick = false;
};

using Problem = std::optional<std::string>;

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"idle connections at weir's echo server"};
  add_program(app, "echo-server", options.echo_server, "weir's echo server");
  auto* connections = app.add_option("--connections", options.connections, "idle ones")
                          ->check(CLI::Range(1, 100'000'000))
                          ->capture_default_str();
  app.add_option("--active", options.active, "connections that are not")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--backend", options.backend, "auto, io_uring or epoll")
      ->check(CLI::IsMember({"auto", "io_uring", "epoll"}))
      ->capture_default_str();
  add_pace(app, options.rounds, "samples of the active ones, each way", options.quick);
  const auto code = parse(app, "idle", argc, argv);
  if (options.quick && connections->count() == 0) options.connections = 2000;
  if (options.quick) options.rounds = 2;
  return code;
}

// How the connections are spread over processes.
struct Plan {
  std::size_t descriptors = 0;  // that a process may have
  std::size_t servers = 0;      // and as many crowds
  std::size_t each = 0;         // connections, but for the last

  std::size_t of(std::size_t server, std::size_t connections) const {
    return std::min(each, connections - server * each);
  }
};

// As many descriptors as this process and its children may have.
std::size_t raise_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

std::expected<Plan, std::string> plan_of(const Options& options) {
  Plan plan{.descriptors = raise_descriptors()};
  // Beside the idle ones: those that are active, the warm-up, and what every process has open.
  const std::size_t others = static_cast<std::size_t>(options.active) + 200;
  if (plan.descriptors < 2 * others) return std::unexpected("too few descriptors (ulimit -n)");
  const std::size_t most = std::min(plan.descriptors - others, kConnectionsPerServerMax);
  const std::size_t fewest = std::min<std::size_t>(2, options.connections);
  plan.servers = std::max(fewest, (options.connections + most - 1) / most);
  plan.each = (options.connections + plan.servers - 1) / plan.servers;
  plan.servers = (options.connections + plan.each - 1) / plan.each;
  const std::size_t wanted = options.connections * kBytesEach + kBytesSpare;
  const std::size_t available = kernel_memory().available;
  if (available < wanted) {
    return std::unexpected(std::to_string(options.connections) + " connections need " +
                           std::to_string(wanted >> 20) + " MiB of memory, and " +
                           std::to_string(available >> 20) + " MiB are available");
  }
  if (free_files() < 2 * options.connections + 100 * plan.servers) {
    return std::unexpected("the system allows too few open files (/proc/sys/fs/file-max)");
  }
  return plan;
}

// A server and the clients that are idle there.
struct Pair {
  std::string host;
  ServerProcess server;
  Crowd crowd;
};

std::vector<std::string> server_command(const Options& options, const std::string& host) {
  return {options.echo_server, "--host",        host,           "--port",  "0",
          "--backend",         options.backend, "--congestion", "cubic"};
}

std::expected<std::vector<Pair>, std::string> start_pairs(const Options& options, const Plan& plan,
                                                          const Cores& cores) {
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < plan.servers; ++i) {
    std::string host = "127.0.0." + std::to_string(1 + i % 250);
    auto server = ServerProcess::start(server_command(options, host), cores.server);
    if (!server) return std::unexpected("server: " + server.error());
    auto crowd = Crowd::start(host, server->port(), plan.of(i, options.connections), cores.load);
    if (!crowd) return std::unexpected("clients: " + crowd.error());
    pairs.push_back({std::move(host), std::move(*server), std::move(*crowd)});
  }
  return pairs;
}

// A few crowds at a time go through one step.
Problem step(std::vector<Pair>& pairs, const char* what, void (Crowd::*begin)()) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  std::size_t begun = 0;
  for (std::size_t done = 0; done < pairs.size(); ++done) {
    for (; begun < std::min(pairs.size(), done + kCrowdsAtOnce); ++begun) {
      (pairs[begun].crowd.*begin)();
    }
    if (terminal) std::fprintf(stderr, "\r\033[K%s: %zu of %zu", what, done, pairs.size());
    const auto finished = pairs[done].crowd.finish();
    if (!finished) return "server " + std::to_string(done) + ", " + finished.error();
  }
  if (terminal) std::fputs("\r\033[K", stderr);
  return {};
}

// Memory of all processes and of the kernel, bytes.
struct Memory {
  std::size_t servers = 0;
  std::size_t servers_resident = 0;
  std::size_t clients = 0;
  KernelMemory kernel;
};

Memory memory_of(const std::vector<Pair>& pairs) {
  Memory memory;
  for (const Pair& pair : pairs) {
    memory.servers += anonymous_bytes(pair.server.pid());
    memory.servers_resident += resident_bytes(pair.server.pid());
    memory.clients += anonymous_bytes(pair.crowd.pid());
  }
  memory.kernel = kernel_memory();
  return memory;
}

void print_memory(const Memory& before, const Memory& after, std::size_t connections) {
  const auto each = [connections](std::size_t first, std::size_t last) {
    return (static_cast<double>(last) - static_cast<double>(first)) /
           static_cast<double>(connections);
  };
  const double server = each(before.servers, after.servers);
  const double clients = each(before.clients, after.clients);
  std::printf("bytes a connection\n");
  std::printf("  server, its memory       %8.0f\n", server);
  std::printf("  server, resident         %8.0f\n",
              each(before.servers_resident, after.servers_resident));
  std::printf("  clients, their memory    %8.0f\n", clients);
  std::printf("  kernel, both ends        %8.0f   of slabs, and %.0f of bytes in queues\n",
              each(before.kernel.slab, after.kernel.slab),
              each(before.kernel.tcp, after.kernel.tcp));
  std::printf("  kernel, both ends        %8.0f   by what is available no more, less the above\n",
              each(after.kernel.available, before.kernel.available) - server - clients);
}

struct Sample {
  double cpu_us = 0;  // for a message
  double messages_per_second = 0;
  double p99_us = 0;
};

std::expected<Sample, std::string> load_at(const Options& options, const std::string& host,
                                           const ServerProcess& server) {
  LoadOptions load;
  load.host = host;
  load.port = server.port();
  load.connections = options.active;
  load.size = 64;
  load.warmup_seconds = options.quick ? 0.1 : 0.2;
  load.duration_seconds = options.quick ? 0.2 : 0.8;
  load.server_pid = server.pid();
  const auto result = run_load(load);
  if (!result) return std::unexpected(result.error());
  return Sample{.cpu_us = result->server_cpu_us_per_message(),
                .messages_per_second = result->messages_per_second(),
                .p99_us = static_cast<double>(result->latency.percentile(99)) / 1000};
}

// At a server of their own.
std::expected<Sample, std::string> load_alone(const Options& options, const Cores& cores) {
  const std::string host = "127.0.0.1";
  auto server = ServerProcess::start(server_command(options, host), cores.server);
  if (!server) return std::unexpected(server.error());
  auto sample = load_at(options, host, *server);
  if (!sample) return sample;
  if (const auto stopped = server->stop(); !stopped) return std::unexpected(stopped.error());
  return sample;
}

struct Active {
  std::vector<Sample> before;  // while nobody was idle
  std::vector<Sample> among;
  std::vector<Sample> alone;  // while the idle ones were at other servers
};

Problem sample_before(const Options& options, const Cores& cores, Active& active) {
  for (int round = 0; round < options.rounds; ++round) {
    auto sample = load_alone(options, cores);
    if (!sample) return "alone: " + sample.error();
    active.before.push_back(*sample);
  }
  return {};
}

Problem sample_among(const Options& options, const Cores& cores, const std::vector<Pair>& pairs,
                     Active& active) {
  for (int round = 0; round < options.rounds; ++round) {
    auto among = load_at(options, pairs[0].host, pairs[0].server);
    if (!among) return "among the idle: " + among.error();
    active.among.push_back(*among);
    auto alone = load_alone(options, cores);
    if (!alone) return "alone: " + alone.error();
    active.alone.push_back(*alone);
  }
  return {};
}

void print_row(const char* name, const std::vector<Sample>& samples) {
  std::printf("  %-38s %7.2f %10.0f %8.0f\n", name, median_of(samples, &Sample::cpu_us),
              median_of(samples, &Sample::messages_per_second),
              median_of(samples, &Sample::p99_us));
}

void print_active(const Options& options, const Plan& plan, const Active& active) {
  std::printf("\n%d active, 64 B                          CPU us/msg      msg/s   p99 us\n",
              options.active);
  print_row("alone, before there were idle ones", active.before);
  print_row(("among " + std::to_string(plan.each) + " idle ones").c_str(), active.among);
  print_row("alone, in the same rounds", active.alone);
  std::printf("among the idle, x alone: %.3f (median of the rounds' ratios)\n",
              median(ratios_of(active.among, active.alone, &Sample::cpu_us)));
}

Problem stop_servers(std::vector<Pair>& pairs) {
  std::vector<ServerProcess> servers;
  for (Pair& pair : pairs) servers.push_back(std::move(pair.server));
  pairs.clear();  // and so the clients: all connections are reset
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const auto stopped = servers[i].stop();
    if (!stopped) return "server " + std::to_string(i) + ": " + stopped.error();
  }
  return {};
}

Problem hold(const Options& options, const Plan& plan, const Cores& cores) {
  Active active;
  if (auto problem = sample_before(options, cores, active)) return problem;
  auto pairs = start_pairs(options, plan, cores);
  if (!pairs) return pairs.error();
  std::printf("%s\n\n", (*pairs)[0].server.backend().c_str());
  if (auto problem = step(*pairs, "warm-up", &Crowd::begin_warm_up)) return problem;
  const Memory before = memory_of(*pairs);
  const std::int64_t begun = monotonic_now();
  if (auto problem = step(*pairs, "connecting", &Crowd::begin_hold)) return problem;
  const double seconds = static_cast<double>(monotonic_now() - begun) / 1e9;
  std::printf("%zu connections, each with a message echoed, in %.1f s: %.0f a second\n",
              options.connections, seconds, static_cast<double>(options.connections) / seconds);
  print_memory(before, memory_of(*pairs), options.connections);
  std::fflush(stdout);
  if (auto problem = sample_among(options, cores, *pairs, active)) return problem;
  print_active(options, plan, active);
  if (auto problem = step(*pairs, "asking each again", &Crowd::begin_check)) return problem;
  std::printf("\neach of %zu connections has had one more message echoed\n", options.connections);
  return stop_servers(*pairs);
}

int run(const Options& options) {
  const Cores cores = two_cores();
  const auto plan = plan_of(options);
  if (!plan) {
    std::fprintf(stderr, "idle: %s\n", plan.error().c_str());
    return 2;
  }
  for (const std::string& line : machine_lines(cores, "servers", "clients")) {
    std::printf("%s\n", line.c_str());
  }
  std::printf("processes %zu servers and %zu of clients, %zu connections each; %zu descriptors\n",
              plan->servers, plan->servers, plan->each, plan->descriptors);
  std::fflush(stdout);
  // Not before the cores were counted.
  if (cores.load >= 0) pin_to_cpu(cores.load);
  if (const Problem problem = hold(options, *plan, cores)) {
    std::fprintf(stderr, "idle: %s\n", problem->c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
