// What each technique is worth: weir's echo server with all of them, and with one left out.
//
//   bazel run -c opt //bench:techniques
//
// The servers take turns, each sample in a fresh process, as in compare.cc. A figure is the CPU per
// message without the technique against the CPU with it: 1.10 means that it saves a tenth. For
// spinning, which spends the core, it is the time of half of the messages.

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "bench/compare_run.h"
#include "bench/directory.h"
#include "bench/flags.h"
#include "bench/machine.h"
#include "bench/samples.h"

namespace weir::bench {
namespace {

struct Options {
  std::string echo_server;
  std::string echo_server_without_lto;
  int rounds = 9;
  bool quick = false;
};

// A server with everything stands behind `with`, the number of another; those are their own.
struct Variant {
  Contender server;
  std::size_t with;
};

constexpr std::array kWorkloads = {"64 B x 1", "64 B x 100", "64 B x 100, pipeline 16",
                                   "16 KiB x 100", "1 MiB x 1",
                                   "64 B x 100, a connection for each"};

constexpr std::array kUringSwitches = {"buffer_ring", "incremental", "multishot_accept",
                                       "defer_taskrun", "register_ring_fd"};

Contender server(const std::string& name, std::vector<std::string> command) {
  Contender one;
  one.name = name;
  one.kind = Contender::Kind::weir;
  one.echo = std::move(command);
  return one;
}

void add_backend(std::vector<Variant>& all, const Options& options, const std::string& backend) {
  const std::size_t with = all.size();
  const auto add = [&](const std::string& name, const std::string& program,
                       const std::vector<std::string>& flags) {
    std::vector<std::string> command = {program, "--backend", backend};
    command.insert(command.end(), flags.begin(), flags.end());
    all.push_back({server(backend + ": " + name, std::move(command)), with});
  };
  add("with everything", options.echo_server, {});
  add("a second time", options.echo_server, {});
  add("without link-time optimization", options.echo_server_without_lto, {});
  if (backend != "io_uring") return;
  for (const char* const name : kUringSwitches) {
    add(std::string("without ") + name, options.echo_server, {"--without", name});
  }
}

std::string ratio_text(const CompareTable& table, const Variant& variant, std::size_t index) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), " %.3f |",
                cpu_ratio(table.rows[index], table.rows[variant.with]).median);
  return text.data();
}

// A row for each variant, a column for each workload.
std::string to_text(const std::vector<Variant>& all, const std::vector<CompareTable>& tables) {
  std::string text = "| |";
  for (const CompareTable& table : tables) text += " " + table.workload->name + " |";
  text += "\n|---|";
  for (std::size_t i = 0; i < tables.size(); ++i) text += "---|";
  text += "\n";
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].with == i) continue;
    text += "| " + all[i].server.name + " |";
    for (const CompareTable& table : tables) text += ratio_text(table, all[i], i);
    text += "\n";
  }
  return text;
}

// Round trips of one connection, of servers that wait and of the same ones that spin.
std::optional<std::string> spinning(const std::vector<Variant>& all, CompareWorkload workload,
                                    const CompareRounds& how) {
  std::vector<Contender> servers;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].with != i) continue;
    servers.push_back(all[i].server);
    servers.push_back(all[i].server);
    servers.back().echo.insert(servers.back().echo.end(), {"--busy-poll", "1000"});
  }
  std::vector<const Contender*> in_turn;
  for (const Contender& one : servers) in_turn.push_back(&one);
  const auto table = run_rounds(workload, in_turn, how);
  if (!table) return std::nullopt;
  std::string text = "\n| " + workload.name + " | p50 us, waiting | p50 us, spinning |\n";
  text += "|---|---|---|\n";
  for (std::size_t i = 0; i + 1 < table->rows.size(); i += 2) {
    const auto p50 = [&](std::size_t row) {
      return median_of(table->rows[row].samples, &CompareSample::p50_us);
    };
    std::array<char, 64> figures{};
    std::snprintf(figures.data(), figures.size(), " | %.1f | %.1f |\n", p50(i), p50(i + 1));
    text += "| " + table->rows[i].server->name + figures.data();
  }
  return text;
}

int run(const Options& options) {
  const Directory directory("weir-techniques");
  std::vector<Variant> all;
  add_backend(all, options, "epoll");
  const std::string refusal = io_uring_refusal();
  if (refusal.empty()) add_backend(all, options, "io_uring");
  const Cores cores = two_cores();
  for (const std::string& line : machine_lines(cores, "server", "load")) std::puts(line.c_str());
  if (!refusal.empty()) std::printf("io_uring: refused by this machine: %s\n", refusal.c_str());
  // Not before the cores were counted.
  if (cores.load >= 0) pin_to_cpu(cores.load);
  const CompareRounds how{.program = "techniques",
                          .directory = directory.path(),
                          .cpu = cores.server,
                          .rounds = options.quick ? 1 : options.rounds};
  std::vector<const Contender*> servers;
  for (const Variant& variant : all) servers.push_back(&variant.server);
  const std::vector<CompareWorkload> workloads = compare_workloads(options.quick);
  std::vector<CompareTable> tables;
  std::optional<std::string> spun;
  for (const CompareWorkload& workload : workloads) {
    if (std::ranges::find(kWorkloads, workload.name) == kWorkloads.end()) continue;
    auto table = run_rounds(workload, servers, how);
    if (!table) return 1;
    tables.push_back(std::move(*table));
    if (workload.name == kWorkloads.front() && !(spun = spinning(all, workload, how))) return 1;
  }
  std::printf("\n%s%s", to_text(all, tables).c_str(), spun->c_str());
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  CLI::App app{"What each technique of weir is worth, by leaving it out"};
  weir::bench::add_program(app, "echo-server", options.echo_server, "weir's echo server");
  weir::bench::add_program(app, "echo-server-without-lto", options.echo_server_without_lto,
                           "the same, without link-time optimization");
  weir::bench::add_pace(app, options.rounds, "samples of each server and workload", options.quick);
  if (const auto code = weir::bench::parse(app, "techniques", argc, argv)) return *code;
  return weir::bench::run(options);
}
