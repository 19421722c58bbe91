// What a message waits for at half load, in one command:
//
//   bazel run -c opt //bench:latency
//
// weir's echo server that waits, spins, and spins where that is likely to pay, beside the bare
// loops and servers on other libraries. All are offered the same messages at the same moments, half
// as many a second as the bare epoll loop can echo, whether or not they answer (open_load.h). They
// take turns, each sample in a fresh process on a core of its own; the load checks every byte.

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "bench/compare_flags.h"
#include "bench/compare_servers.h"
#include "bench/directory.h"
#include "bench/latency_report.h"
#include "bench/latency_run.h"
#include "bench/machine.h"

namespace weir::bench {
namespace {

struct Options {
  ComparePrograms programs;
  LatencyPlan plan{.rounds = 9};
  std::string only;
  std::string json;
  bool quick = false;
};

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"latencies of weir, of the bare loops and of servers on other libraries"};
  add_compare_programs(app, options.programs);
  LatencyPlan& plan = options.plan;
  auto* const seconds = app.add_option("--seconds", plan.seconds, "of each sample")
                            ->check(CLI::Range(0.01, 3600.0))
                            ->capture_default_str();
  app.add_option("--connections", plan.connections, "that the messages take turns on")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--share", plan.share_percent, "of the bare epoll loop's capacity, percent")
      ->check(CLI::Range(0.1, 100.0))
      ->capture_default_str();
  app.add_option("--only", options.only, "servers whose name contains this");
  app.add_option("--json", options.json, "file for all samples");
  add_pace(app, plan.rounds, "samples of each server", options.quick);
  const auto code = parse(app, "latency", argc, argv);
  if (options.quick) {
    plan.rounds = 1;
    plan.warmup_seconds = 0.05;
    plan.capacity_seconds = 0.05;
    if (seconds->count() == 0) plan.seconds = 0.1;
  }
  return code;
}

std::vector<std::string> head_lines(const Contenders& contenders, const Cores& cores) {
  std::vector<std::string> lines = machine_lines(cores, "server", "load");
  lines.push_back(std::string("compiler  ") + __VERSION__);
  for (const Contender& one : contenders.all) {
    if (!one.version.empty()) lines.push_back("peer      " + one.name + " " + one.version);
  }
  for (const std::string& line : contenders.skipped) lines.push_back("skipped   " + line);
  return lines;
}

int fail(const std::string& what, int status = 1) {
  std::fprintf(stderr, "latency: %s\n", what.c_str());
  return status;
}

int run(const Options& options) {
  const Directory directory("weir-latency");
  if (directory.path().empty()) return fail("cannot write below /tmp");
  // No files are served.
  const Contenders contenders =
      find_contenders(options.programs, directory.path(), directory.path());
  const Cores cores = two_cores();
  std::vector<LatencyServer> servers = latency_servers(contenders);
  if (const auto nothing = keep_only(servers, options.only)) return fail(*nothing, 2);
  const std::vector<std::string> head = head_lines(contenders, cores);
  for (const std::string& line : head) std::puts(line.c_str());
  std::fflush(stdout);
  // Not before the cores were counted.
  if (cores.load >= 0) pin_to_cpu(cores.load);
  const auto capacity = capacity_of(latency_servers(contenders), options.plan, cores);
  if (!capacity) return fail(capacity.error());
  const auto table = run_latency(servers, options.plan, *capacity, cores);
  if (!table) return fail(table.error());
  std::printf("\n%s", to_markdown(*table).c_str());
  if (options.json.empty()) return 0;
  std::ofstream json(options.json);
  return json << to_json(*table, head) << std::flush ? 0 : fail("cannot write " + options.json);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
