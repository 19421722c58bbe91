// weir beside servers on other libraries and beside the bare loops, in one command:
//
//   bazel run -c opt //bench:compare
//
// The servers take turns, each sample in a fresh process on a core of its own, under the same load
// from another core; the load checks every byte. Prints a table for each workload, and writes them
// to bench/RESULTS.md. Peers whose packages are not installed are named.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "bench/compare_flags.h"
#include "bench/compare_report.h"
#include "bench/compare_run.h"
#include "bench/compare_servers.h"
#include "bench/compare_workloads.h"
#include "bench/directory.h"
#include "bench/flags.h"
#include "bench/machine.h"

namespace weir::bench {
namespace {

struct Options {
  ComparePrograms programs;
  std::string only;
  std::string results;
  int rounds = 9;
  bool quick = false;
};

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"weir beside servers on other libraries and the bare loops"};
  add_compare_programs(app, options.programs);
  app.add_option("--only", options.only, "workloads whose name contains this");
  app.add_option("--results", options.results,
                 "file for the tables; default: bench/RESULTS.md, if all workloads run");
  add_pace(app, options.rounds, "samples of each server and workload", options.quick);
  return parse(app, "compare", argc, argv);
}

std::vector<const Contender*> those_of(const std::vector<Contender>& all,
                                        const CompareWorkload& workload) {
  std::vector<const Contender*> taking_part;
  for (const Contender& one : all) {
    if (workload.takes(one)) taking_part.push_back(&one);
  }
  return taking_part;
}

std::string head_text(const Options& options, const Contenders& contenders, const Cores& cores) {
  std::string text = "# weir beside others\n\n";
  char date[32] = "";
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  text += std::string("Written by `bazel run -c opt //bench:compare` on ") + date +
          "; README.md says how to read it.\nMedians of " + std::to_string(options.rounds) +
          " rounds in which the servers take turns.\n\n```\n";
  for (const std::string& line : machine_lines(cores, "server", "load")) text += line + "\n";
  text += std::string("compiler  ") + __VERSION__ + "\n";
  for (const Contender& one : contenders.all) {
    if (!one.version.empty()) text += "peer      " + one.name + " " + one.version + "\n";
  }
  for (const std::string& line : contenders.skipped) text += "skipped   " + line + "\n";
  return text + "```\n\n";
}

// Where the tables go; empty: nowhere.
std::string results_path(const Options& options) {
  if (!options.results.empty()) return options.results;
  const char* const workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr || options.quick || !options.only.empty()) return {};
  return std::string(workspace) + "/bench/RESULTS.md";
}

int run(const Options& options) {
  std::vector<CompareWorkload> workloads = compare_workloads(options.quick);
  if (const auto nothing = keep_only(workloads, options.only)) {
    std::fprintf(stderr, "compare: %s\n", nothing->c_str());
    return 2;
  }
  const Directory directory("weir-compare");
  const std::string root = directory.path() + "/root";
  std::error_code error;
  if (directory.path().empty() || !std::filesystem::create_directory(root, error) ||
      !write_compare_files(root)) {
    std::fprintf(stderr, "compare: cannot write files below /tmp\n");
    return 1;
  }
  const Contenders contenders = find_contenders(options.programs, directory.path(), root);
  const Cores cores = two_cores();
  std::string text = head_text(options, contenders, cores);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  // Not before the cores were counted.
  if (cores.load >= 0) pin_to_cpu(cores.load);
  bool all_well = true;
  for (const CompareWorkload& workload : workloads) {
    const auto table = run_rounds(workload, those_of(contenders.all, workload),
                                  {.program = "compare",
                                   .directory = directory.path(),
                                   .cpu = cores.server,
                                   .rounds = options.quick ? 1 : options.rounds});
    all_well = all_well && table.has_value();
    const std::string part = table ? to_markdown(*table)
                                   : "### " + workload.name + "\n\nA server failed.\n\n";
    std::fputs(part.c_str(), stdout);
    std::fflush(stdout);
    text += part;
  }
  const std::string path = results_path(options);
  if (!path.empty() && !(std::ofstream(path) << text << std::flush)) {
    std::fprintf(stderr, "compare: cannot write %s\n", path.c_str());
    return 1;
  }
  return all_well ? 0 : 1;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
