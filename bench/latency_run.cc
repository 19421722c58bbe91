#include "bench/latency_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <utility>

#include "bench/file_servers.h"
#include "bench/load.h"
#include "bench/open_load.h"
#include "bench/samples.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

constexpr const char* kReference = "bare epoll";
constexpr int kCapacitySamples = 3;

LatencyServer server_of(const Contender& one, const std::string& mode,
                        const std::vector<std::string>& flags, const std::string& floor_mode) {
  LatencyServer server{.name = one.name + mode,
                       .kind = one.kind,
                       .floor = one.floor.empty() ? std::string() : one.floor + floor_mode,
                       .command = one.echo};
  server.command.insert(server.command.end(), flags.begin(), flags.end());
  return server;
}

// Starts a fresh process, and has it measured.
template <class Result>
std::expected<Result, std::string> take_sample(
    const LatencyServer& server, const Cores& cores,
    const std::function<std::expected<Result, std::string>(const ServerProcess&)>& measure) {
  FileServer start{server.name, server.command};
  start.command.insert(start.command.end(), {"--port", "0"});
  auto running = start_file_server(start, cores.server);
  if (!running) return std::unexpected(server.name + ": " + running.error());
  auto result = measure(*running);
  if (!result) return std::unexpected(server.name + ": " + result.error());
  if (const auto stopped = running->stop(); !stopped) {
    return std::unexpected(server.name + ": " + stopped.error());
  }
  return result;
}

std::expected<LatencySample, std::string> take_latency(const LatencyServer& server,
                                                       const OpenLoadOptions& load,
                                                       const Cores& cores) {
  const auto result = take_sample<OpenLoadResult>(server, cores, [&](const ServerProcess& process) {
    OpenLoadOptions options = load;
    options.port = process.port();
    options.server_pid = process.pid();
    return run_open_load(options);
  });
  if (!result) return std::unexpected(result.error());
  return to_latency_sample(*result);
}

}  // namespace

std::vector<LatencyServer> latency_servers(const Contenders& contenders) {
  std::vector<LatencyServer> servers;
  for (const Contender& one : contenders.all) {
    if (!one.echo.empty()) servers.push_back(server_of(one, "", {}, ""));
  }
  const auto add = [&](const std::string& mode, std::vector<std::string> Contender::*flags) {
    for (const Contender& one : contenders.all) {
      if ((one.*flags).empty() || one.name == kAgain) continue;
      servers.push_back(server_of(one, mode, one.*flags, ", spinning"));
    }
  };
  add(", spinning", &Contender::spin);
  add(", spinning adaptively", &Contender::spin_adaptive);
  return servers;
}

std::expected<double, std::string> capacity_of(const std::vector<LatencyServer>& servers,
                                               const LatencyPlan& plan, const Cores& cores) {
  const auto reference = std::ranges::find(servers, kReference, &LatencyServer::name);
  std::vector<double> rates;
  for (int i = 0; i < kCapacitySamples; ++i) {
    const auto result =
        take_sample<LoadResult>(*reference, cores, [&](const ServerProcess& process) {
          LoadOptions load;
          load.port = process.port();
          load.connections = plan.connections;
          load.size = plan.size;
          load.warmup_seconds = std::min(plan.warmup_seconds, plan.capacity_seconds);
          load.duration_seconds = plan.capacity_seconds;
          return run_load(load);
        });
    if (!result) return std::unexpected(result.error());
    rates.push_back(result->messages_per_second());
  }
  return median(rates);
}

std::expected<LatencyTable, std::string> run_latency(const std::vector<LatencyServer>& servers,
                                                     const LatencyPlan& plan, double capacity,
                                                     const Cores& cores) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  LatencyTable table{.connections = plan.connections,
                     .size = plan.size,
                     .rate = capacity * plan.share_percent / 100,
                     .share_percent = plan.share_percent,
                     .capacity = capacity,
                     .seconds = plan.seconds,
                     .rows = {},
                     .core_round_trips_ns = {}};
  for (const LatencyServer& server : servers) {
    table.rows.push_back({server.name, server.kind, server.floor, {}});
  }
  OpenLoadOptions load{.connections = plan.connections,
                       .size = plan.size,
                       .rate = table.rate,
                       .warmup_seconds = plan.warmup_seconds,
                       .duration_seconds = plan.seconds};
  for (int round = 0; round < plan.rounds; ++round) {
    if (cores.server >= 0) {
      table.core_round_trips_ns.push_back(core_round_trip_ns(cores.server, cores.load));
    }
    load.seed = static_cast<std::uint64_t>(round) + 1;
    for (std::size_t i = 0; i < servers.size(); ++i) {
      if (terminal) {
        std::fprintf(stderr, "\r\033[Kround %d of %d, %s", round + 1, plan.rounds,
                     servers[i].name.c_str());
      }
      const auto sample = take_latency(servers[i], load, cores);
      if (terminal) std::fputs("\r\033[K", stderr);
      if (!sample) return std::unexpected(sample.error());
      table.rows[i].samples.push_back(*sample);
    }
  }
  return table;
}

}  // namespace weir::bench
