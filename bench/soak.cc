// weir's servers under load, churn, faults and slow readers for a long time, in one command:
//
//   bazel run -c opt //bench:soak -- --minutes 30
//
// It ends with a verdict: bytes, unfinished operations, descriptors, memory, p99, and the exit code
// says it, too. README.md tells what is done, and what each line of the verdict means.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "bench/directory.h"
#include "bench/flags.h"
#include "bench/machine.h"
#include "bench/soak_record.h"
#include "bench/soak_report.h"
#include "bench/soak_run.h"
#include "bench/soak_site.h"
#include "tests/sanitized.h"

namespace weir::bench {
namespace {

struct Options {
  std::string echo_server;
  std::string demo_server;
  std::string floor_epoll;
  std::string json;
  double minutes = 30;
  int load_percent = 70;
  std::uint64_t seed = 1;
  bool quick = false;
};

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"weir's servers under load and faults for a long time"};
  add_program(app, "echo-server", options.echo_server, "weir's echo server");
  add_program(app, "demo-server", options.demo_server, "weir's HTTP server");
  add_program(app, "floor-epoll", options.floor_epoll, "the bare epoll server");
  app.add_option("--minutes", options.minutes, "how long, all servers together")
      ->check(CLI::Range(0.1, 100'000.0))
      ->capture_default_str();
  app.add_option("--load", options.load_percent, "per cent of what a server can do")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of everything that is decided by chance")
      ->capture_default_str();
  app.add_option("--json", options.json, "file for all figures");
  app.add_flag("--quick", options.quick, "some seconds: to see that it works, not to judge");
  return parse(app, "soak", argc, argv);
}

std::vector<SoakServerSpec> servers_of(const Options& options, const std::string& root,
                                       bool io_uring) {
  std::vector<SoakServerSpec> servers;
  servers.push_back({.name = "floor epoll",
                     .kind = SoakKind::echo,
                     .command = {options.floor_epoll},
                     .backend = "epoll",
                     .directory = {},
                     .judged = false});
  for (const std::string backend : {"epoll", "io_uring"}) {
    if (backend == "io_uring" && !io_uring) continue;
    const auto command = [&](const std::string& program) {
      return std::vector<std::string>{program, "--host",    "127.0.0.1", "--port",
                                      "0",     "--backend", backend};
    };
    SoakServerSpec echo{.name = "echo " + backend,
                        .kind = SoakKind::echo,
                        .command = command(options.echo_server),
                        .backend = backend,
                        .directory = {}};
    echo.command.push_back("--stats");
    SoakServerSpec web{.name = "web " + backend,
                       .kind = SoakKind::web,
                       .command = command(options.demo_server),
                       .backend = backend,
                       .directory = root,
                       .has_metrics = true};
    // On a busy machine a kept connection may have nothing to do for long.
    web.command.insert(web.command.end(), {"--root", root, "--keep-alive-timeout", "600"});
    servers.push_back(std::move(echo));
    servers.push_back(std::move(web));
  }
  return servers;
}

std::vector<std::string> machine_lines(const Options& options, const Cores& cores,
                                       const std::string& refusal) {
  std::vector<std::string> lines = {"kernel    " + kernel_name()};
  lines.push_back(cores.load < 0 ? "CPUs      1: nothing is pinned, servers and load share it"
                                 : "CPUs      " + std::to_string(usable_cpus()) + ": servers on " +
                                       std::to_string(cores.server) + ", load on " +
                                       std::to_string(cores.load));
  if (!refusal.empty()) lines.push_back("io_uring  refused by this machine: " + refusal);
  lines.push_back("seed      " + std::to_string(options.seed));
  return lines;
}

std::vector<SoakVerdict> judge_all(const std::vector<SoakRecord>& records, bool quick) {
  SoakLimits limits;
  // Some seconds do not bring everything that is kept; a sanitizer's quarantine keeps what was
  // freed.
  limits.judges_memory = !quick && !test::kSanitized;
  std::vector<SoakVerdict> verdicts;
  for (const SoakRecord& record : records) {
    for (SoakVerdict& verdict : judge(record, &records.front(), limits)) {
      verdicts.push_back(std::move(verdict));
    }
  }
  return verdicts;
}

SoakRunOptions run_options(const Options& options, std::vector<SoakServerSpec> servers,
                           const Cores& cores) {
  SoakRunOptions run;
  run.servers = std::move(servers);
  run.seconds = 60 * options.minutes;
  run.load = options.load_percent / 100.0;
  run.seed = options.seed;
  run.cores = cores;
  if (options.quick) {
    run.seconds = 0;
    run.warmup_rounds = 1;
    run.slice_seconds = 0.3;
    run.calibration_seconds = 0.1;
  }
  if (isatty(STDERR_FILENO) != 0) {
    run.progress = [](const std::string& what) {
      std::fprintf(stderr, "\r\033[K%s", what.c_str());
    };
  }
  return run;
}

int run(const Options& options) {
  const Directory directory("weir-soak");
  if (directory.path().empty() || !SoakSite::write_files(directory.path())) {
    std::fprintf(stderr, "soak: cannot write files below /tmp\n");
    return 1;
  }
  const std::string refusal = io_uring_refusal();
  const Cores cores = two_cores();
  const std::vector<std::string> lines = machine_lines(options, cores, refusal);
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  std::printf("\n");
  std::fflush(stdout);
  // Not before the cores were counted.
  if (cores.load >= 0) pin_to_cpu(cores.load);
  const SoakRunOptions how =
      run_options(options, servers_of(options, directory.path(), refusal.empty()), cores);
  const std::vector<SoakRecord> records = run_soak(how);
  if (how.progress) std::fputs("\r\033[K", stderr);
  const std::vector<SoakVerdict> verdicts = judge_all(records, options.quick);
  print_soak_table(records);
  print_soak_notes(records);
  print_soak_verdicts(verdicts);
  const bool written =
      options.json.empty() || write_soak_json(options.json, lines, records, verdicts);
  const bool good = std::ranges::none_of(
      verdicts, [](const SoakVerdict& one) { return one.outcome == SoakOutcome::fail; });
  return good && written ? 0 : 1;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
