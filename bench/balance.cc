// Connections shared out by a net::Balancer, and by the kernel (SO_REUSEPORT):
//
//   bazel run -c opt //bench:balance
//
// weir's echo server on both backends, with as many reactors as --threads says, in both modes, in
// turn, each sample in a fresh process: how the connections are spread over the reactors, what a
// connection that comes for one exchange costs, and what kept ones get.

#include <cstdio>
#include <string>
#include <vector>

#include "bench/balance_spread.h"
#include "bench/compare_run.h"
#include "bench/directory.h"
#include "bench/flags.h"
#include "bench/machine.h"
#include "bench/samples.h"

namespace weir::bench {
namespace {

struct Options {
  std::string echo_server;
  int threads = 2;
  int rounds = 9;
  bool quick = false;
};

constexpr const char* kKept = "64 B x 100";
constexpr const char* kChurn = "64 B x 100, a connection for each";

// On each backend SO_REUSEPORT comes first, and what is compared with it behind it.
std::vector<Contender> servers_of(const Options& options, bool io_uring) {
  std::vector<Contender> all;
  const auto add = [&](const std::string& backend, const std::string& mode) -> Contender& {
    Contender& one = all.emplace_back();
    one.name = backend + ": " + mode;
    one.kind = Contender::Kind::weir;
    one.echo = {options.echo_server, "--host",     "127.0.0.1", "--threads",
                std::to_string(options.threads), "--backend", backend, "--congestion", "cubic"};
    return one;
  };
  for (const char* const backend : {"epoll", "io_uring"}) {
    if (backend == std::string("io_uring") && !io_uring) continue;
    add(backend, "SO_REUSEPORT");
    add(backend, "balancer").echo.emplace_back("--balance");
    add(backend, "balancer again").echo.emplace_back("--balance");
  }
  return all;
}

constexpr std::size_t kModes = 3;

// False: one failed, which was said on stderr.
bool print_spreads(const std::vector<Contender>& servers, std::size_t connections, int rounds) {
  std::vector<std::vector<Spread>> samples(servers.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < servers.size(); ++i) {
      std::vector<std::string> command = servers[i].echo;
      command.insert(command.end(), {"--port", "0", "--stats"});
      auto spread = take_spread(command, connections);
      if (!spread) {
        std::fprintf(stderr, "balance: %s, %zu connections: %s\n", servers[i].name.c_str(),
                     connections, spread.error().c_str());
        return false;
      }
      samples[i].push_back(std::move(*spread));
    }
  }
  std::string text = "\n" + spread_head(connections);
  for (std::size_t i = 0; i < servers.size(); ++i) {
    text += spread_row(servers[i].name, samples[i]);
  }
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return true;
}

// The ratio is to SO_REUSEPORT on the same backend.
void print_costs(const CompareTable& table) {
  std::printf("\n| %s | a second | CPU us | x SO_REUSEPORT | p50 us | p99 us | cores |\n",
              table.workload->name.c_str());
  std::printf("|---|---|---|---|---|---|---|\n");
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const CompareRow& row = table.rows[i];
    const Middle ratio = cpu_ratio(row, table.rows[i - i % kModes]);
    std::printf("| %s | %.0f | %.2f | %.3f (%.3f..%.3f) | %.0f | %.0f | %.2f |\n",
                row.server->name.c_str(), median_of(row.samples, &CompareSample::per_second),
                median_of(row.samples, &CompareSample::cpu_us), ratio.median, ratio.low,
                ratio.high, median_of(row.samples, &CompareSample::p50_us),
                median_of(row.samples, &CompareSample::p99_us),
                median_of(row.samples, &CompareSample::cpu_percent) / 100);
  }
  std::fflush(stdout);
}

int run(const Options& options) {
  const Directory directory("weir-balance");
  const std::string refusal = io_uring_refusal();
  const std::vector<Contender> servers = servers_of(options, refusal.empty());
  // Nothing is pinned: the server's threads are to have all cores, and the load is beside them.
  for (const std::string& line : machine_lines({}, "server", "load")) std::puts(line.c_str());
  std::printf("reactors  %d, on %d cores with the load\n", options.threads, usable_cpus());
  if (!refusal.empty()) std::printf("io_uring: refused by this machine: %s\n", refusal.c_str());
  std::fflush(stdout);
  const int rounds = options.quick ? 1 : options.rounds;
  for (const std::size_t connections : {100, 1000}) {
    if (!print_spreads(servers, connections, rounds)) return 1;
  }
  std::vector<const Contender*> in_turn;
  for (const Contender& one : servers) in_turn.push_back(&one);
  for (const CompareWorkload& workload : compare_workloads(options.quick)) {
    if (workload.name != kKept && workload.name != kChurn) continue;
    const auto table = run_rounds(workload, in_turn,
                                  {.program = "balance",
                                   .directory = directory.path(),
                                   .cpu = -1,
                                   .rounds = rounds});
    if (!table) return 1;
    print_costs(*table);
  }
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  CLI::App app{"weir's Balancer beside SO_REUSEPORT"};
  weir::bench::add_program(app, "echo-server", options.echo_server, "weir's echo server");
  app.add_option("--threads", options.threads, "reactors of each server")
      ->check(CLI::Range(2, 256))
      ->capture_default_str();
  weir::bench::add_pace(app, options.rounds, "samples of each server and load", options.quick);
  if (const auto code = weir::bench::parse(app, "balance", argc, argv)) return *code;
  return weir::bench::run(options);
}
