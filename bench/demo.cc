// weir against the least that the kernel can do, in one command:
//
//   bazel run -c opt //bench:demo
//
// Starts weir's echo server on each backend and the two floors, each sample in a fresh process
// with a port of its own, drives them in turn and prints medians. The load checks every byte.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "bench/demo_report.h"
#include "bench/flags.h"
#include "bench/load.h"
#include "bench/machine.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

constexpr int kDefaultRounds = 5;

struct Options {
  std::string echo_server;
  std::string floor_epoll;
  std::string floor_uring;
  std::string json;
  int rounds = kDefaultRounds;
  bool quick = false;
};

struct Server {
  std::string name;
  // What its second line of output must name.
  std::string backend;
  std::vector<std::string> command;
  std::optional<std::size_t> floor;
};

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"weir's echo server against bare epoll and io_uring servers"};
  add_program(app, "echo-server", options.echo_server, "weir's echo server");
  add_program(app, "floor-epoll", options.floor_epoll, "the bare epoll server");
  add_program(app, "floor-uring", options.floor_uring, "the bare io_uring server");
  app.add_option("--json", options.json, "file for all samples");
  add_pace(app, options.rounds, "rounds of the main workload; others have half", options.quick);
  return parse(app, "demo", argc, argv);
}

// Neighbours in the list are neighbours in time: each server stands next to its floor.
std::vector<Server> servers_of(const Options& options, bool io_uring) {
  const auto weir = [&options](const std::string& backend) {
    return std::vector<std::string>{options.echo_server, "--host",       "127.0.0.1",
                                    "--port",            "0",            "--backend",
                                    backend,             "--congestion", "cubic"};
  };
  const auto floor = [](const std::string& program) {
    return std::vector<std::string>{program, "--host", "127.0.0.1", "--port", "0"};
  };
  std::vector<Server> servers;
  servers.push_back({"weir epoll", "epoll", weir("epoll"), 1});
  servers.push_back({"floor epoll", "epoll", floor(options.floor_epoll), {}});
  if (io_uring) {
    servers.push_back({"weir io_uring", "io_uring", weir("io_uring"), 3});
    servers.push_back({"floor io_uring", "io_uring", floor(options.floor_uring), {}});
  }
  return servers;
}

std::vector<DemoWorkload> workloads_of(const Options& options) {
  const int rounds = options.quick ? 1 : options.rounds;
  const int fewer = (rounds + 1) / 2;
  const double main_s = options.quick ? 0.3 : 0.8;
  const double other_s = options.quick ? 0.15 : 0.3;
  return {
      {"64 B x 100 connections", 100, 64, 1, rounds, 0.2, main_s},
      {"64 B x 1 connection", 1, 64, 1, fewer, 0.1, other_s},
      {"64 B x 100, pipeline 16", 100, 64, 16, fewer, 0.1, other_s},
      {"16 KiB x 100", 100, 16 << 10, 1, fewer, 0.1, other_s},
      {"1 MiB x 1", 1, 1 << 20, 1, fewer, 0.1, other_s},
  };
}

std::vector<std::string> head_lines(const Cores& cores, const std::string& refusal) {
  std::vector<std::string> lines = machine_lines(cores, "server", "load");
#ifdef __clang__
  lines.push_back(std::string("compiler  ") + __VERSION__);
#else
  lines.push_back(std::string("compiler  GCC ") + __VERSION__);
#endif
  if (!refusal.empty()) {
    lines.push_back("io_uring  refused by this machine, epoll only: " + refusal);
  }
  return lines;
}

// One sample: fresh process, load, orderly end.
std::expected<DemoSample, std::string> take_sample(const Server& server,
                                                   const DemoWorkload& workload,
                                                   const Cores& cores) {
  auto process = ServerProcess::start(server.command, cores.server);
  if (!process) return std::unexpected(process.error());
  const std::string wanted = "backend " + server.backend + ":";
  if (!process->backend().starts_with(wanted)) {
    return std::unexpected("it printed `" + process->backend() + "`, not `" + wanted + " ...`");
  }
  LoadOptions load;
  load.port = process->port();
  load.connections = workload.connections;
  load.size = workload.size;
  load.pipeline = workload.pipeline;
  load.warmup_seconds = workload.warmup_seconds;
  load.duration_seconds = workload.duration_seconds;
  load.server_pid = process->pid();
  const auto result = run_load(load);
  if (!result) return std::unexpected(result.error());
  if (const auto stopped = process->stop(); !stopped) return std::unexpected(stopped.error());
  return to_sample(*result);
}

// No value: a server failed, which has been said on stderr.
std::optional<DemoTable> run_workload(const std::vector<Server>& servers,
                                      const DemoWorkload& workload, const Cores& cores) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  DemoTable table{.workload = workload, .rows = {}, .core_round_trips_ns = {}};
  for (const Server& server : servers) table.rows.push_back({server.name, server.floor, {}});
  for (int round = 0; round < workload.rounds; ++round) {
    if (cores.server >= 0) {
      table.core_round_trips_ns.push_back(core_round_trip_ns(cores.server, cores.load));
    }
    for (std::size_t i = 0; i < servers.size(); ++i) {
      if (terminal) {
        std::fprintf(stderr, "\r\033[K%s: round %d of %d, %s", workload.name.c_str(), round + 1,
                     workload.rounds, servers[i].name.c_str());
      }
      const auto sample = take_sample(servers[i], workload, cores);
      if (terminal) std::fputs("\r\033[K", stderr);
      if (!sample) {
        std::fprintf(stderr, "demo: %s, %s: %s\n", servers[i].name.c_str(), workload.name.c_str(),
                     sample.error().c_str());
        return std::nullopt;
      }
      table.rows[i].samples.push_back(*sample);
    }
  }
  return table;
}

// The floor needs a newer kernel than weir does: without it weir is shown without a ratio.
void leave_out_refused_floor(std::vector<Server>& servers, std::vector<std::string>& lines) {
  const auto refused = ServerProcess::start(servers.back().command, -1);
  if (refused || refused.error().find("io_uring refused") == std::string::npos) return;
  lines.push_back("io_uring  no floor: " + refused.error());
  servers.pop_back();
  servers.back().floor.reset();
}

int run(const Options& options) {
  const Cores cores = two_cores();
  const std::string refusal = io_uring_refusal();
  std::vector<Server> servers = servers_of(options, refusal.empty());
  std::vector<std::string> lines = head_lines(cores, refusal);
  if (refusal.empty()) leave_out_refused_floor(servers, lines);
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  std::printf("\n");
  print_table_head();
  // Not before the cores were counted.
  if (cores.load >= 0) pin_to_cpu(cores.load);

  std::vector<DemoTable> tables;
  for (const DemoWorkload& workload : workloads_of(options)) {
    auto table = run_workload(servers, workload, cores);
    if (!table) return 1;
    print_table(*table);
    tables.push_back(std::move(*table));
  }
  std::printf("\nCPU: the server's, user and system; core: how busy that kept its core;\n"
              "x floor: CPU per message against the bare server's, median of the rounds' ratios\n");
  if (!options.json.empty() && !write_json(options.json, lines, tables)) return 1;
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
