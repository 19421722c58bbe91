// weir's answers from files beside nginx's, in one command:
//
//   bazel run -c opt //bench:static
//
// Both serve the same files, on a core of their own, to the same load: kept connections with one
// request at a time on each. They take turns, each time as a new process. nginx is the Debian
// package; without it the table has no ratios.

#include <algorithm>
#include <cstdio>
#include <expected>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "bench/directory.h"
#include "bench/file_load.h"
#include "bench/file_servers.h"
#include "bench/flags.h"
#include "bench/machine.h"
#include "bench/samples.h"

namespace weir::bench {
namespace {

constexpr int kConnections = 32;

struct Options {
  std::string demo_server;
  std::string nginx_static;
  int rounds = 9;
  bool quick = false;
  bool read_all = false;
};

struct File {
  std::string name;
  std::string target;
  std::string bytes;
};

struct Row {
  FileServer server;
  std::vector<FileLoadResult> samples;
};

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"weir's answers from files beside nginx's"};
  add_program(app, "demo-server", options.demo_server, "weir's HTTP server");
  add_program(app, "nginx-static", options.nginx_static, "what becomes nginx");
  add_pace(app, options.rounds, "samples of each server and size", options.quick);
  app.add_flag("--read-all", options.read_all, "reads the middle of bodies, too");
  return parse(app, "static", argc, argv);
}

std::vector<File> write_files(const std::string& root) {
  std::mt19937 random(1);
  std::vector<File> all;
  for (const std::size_t kilobytes : {1, 16, 64, 256, 1024}) {
    const std::string file = std::to_string(kilobytes) + "k.bin";
    std::string bytes(kilobytes * 1024, '\0');
    std::ranges::generate(bytes, [&] { return static_cast<char>(random()); });
    if (!(std::ofstream(root + "/" + file, std::ios::binary) << bytes << std::flush)) return {};
    all.push_back({std::to_string(kilobytes) + " KiB", "/static/" + file, std::move(bytes)});
  }
  return all;
}

// The first of them is what the others are compared with; another one of the same kind says what a
// ratio is worth.
std::vector<FileServer> servers_of(const Options& options, const std::string& directory,
                                   const std::string& nginx, bool io_uring) {
  const std::string root = directory + "/root";
  const std::vector<std::string> ask_nginx = {options.nginx_static, "--nginx", nginx, "--root",
                                              root, "--work", directory + "/work"};
  const auto weir = [&](const std::string& backend) {
    return FileServer{"weir " + backend,
                      {options.demo_server, "--host", "127.0.0.1", "--port", "0", "--backend",
                       backend, "--root", root, "--keep-alive-timeout", "600"}};
  };
  std::vector<FileServer> servers;
  if (!nginx.empty()) servers.push_back({"nginx", ask_nginx});
  servers.push_back(weir("epoll"));
  if (io_uring) servers.push_back(weir("io_uring"));
  if (!nginx.empty()) {
    servers.push_back({"nginx again", ask_nginx});
    std::vector<std::string> uncached = ask_nginx;
    uncached.push_back("--no-cache");
    servers.push_back({"nginx uncached", uncached});
  }
  return servers;
}

std::expected<FileLoadResult, std::string> take_sample(const FileServer& server, const File& file,
                                                       const Options& options, int cpu) {
  auto running = start_file_server(server, cpu);
  if (!running) return std::unexpected(running.error());
  FileLoadOptions load;
  load.port = running->port();
  load.target = file.target;
  load.file = file.bytes;
  load.connections = kConnections;
  load.server_pid = running->pid();
  load.reads_all = options.read_all;
  if (options.quick) {
    load.warmup_seconds = 0.05;
    load.duration_seconds = 0.1;
  }
  auto result = run_file_load(load);
  if (!result) return result;
  if (const auto stopped = running->stop(); !stopped) return std::unexpected(stopped.error());
  return result;
}

// ---- The table ----

void print_ratios(const Row& row, const Row& to) {
  const auto speed = ratios_of(row.samples, to.samples, &FileLoadResult::requests_per_second);
  auto cost = ratios_of(row.samples, to.samples, &FileLoadResult::cpu_us_per_request);
  std::ranges::sort(cost);
  const std::size_t outside = cost.size() / 4;
  std::printf(" %11.3f %9.3f  %.3f..%.3f", median(speed), median(cost), cost[outside],
              cost[cost.size() - 1 - outside]);
}

void print(const std::vector<Row>& rows, const File& file, int rounds) {
  std::printf("%s  (medians of %d)\n", file.name.c_str(), rounds);
  const bool has_nginx = rows.front().server.name == "nginx";
  for (const Row& row : rows) {
    std::printf("  %-15s %10.0f %10.3f %5.0f%%", row.server.name.c_str(),
                median_of(row.samples, &FileLoadResult::requests_per_second),
                median_of(row.samples, &FileLoadResult::cpu_us_per_request),
                median_of(row.samples, &FileLoadResult::cpu_percent));
    if (has_nginx && &row != &rows.front()) print_ratios(row, rows.front());
    std::printf("\n");
  }
  std::fflush(stdout);
}

// The names of the fields and the size of all of it.
std::string describe_head(const std::string& head) {
  std::string text = std::to_string(head.size()) + " bytes:";
  for (std::size_t at = head.find("\r\n") + 2; at < head.size() - 2;) {
    text += " " + head.substr(at, head.find(':', at) - at);
    at = head.find("\r\n", at) + 2;
  }
  return text;
}

// ---- All of it ----

bool run_size(const std::vector<FileServer>& servers, const File& file, const Options& options,
              int cpu, bool first) {
  std::vector<Row> rows;
  for (const FileServer& server : servers) rows.push_back({server, {}});
  const int rounds = options.quick ? 1 : options.rounds;
  for (int round = 0; round < rounds; ++round) {
    for (Row& row : rows) {
      auto sample = take_sample(row.server, file, options, cpu);
      if (!sample) {
        std::fprintf(stderr, "static: %s, %s: %s\n", row.server.name.c_str(), file.name.c_str(),
                     sample.error().c_str());
        return false;
      }
      row.samples.push_back(std::move(*sample));
    }
  }
  if (first) {
    for (const Row& row : rows) {
      std::printf("head      %s: %s\n", row.server.name.c_str(),
                  describe_head(row.samples.front().head).c_str());
    }
    std::printf("\n  %-15s %10s %10s %6s %11s %9s  %s\n", "", "requests/s", "CPU us/req", "core",
                "x nginx's/s", "x its CPU", "half of the rounds");
  }
  print(rows, file, rounds);
  return true;
}

int run(const Options& options) {
  const Directory directory("weir-static");
  const std::string root = directory.path() + "/root";
  std::error_code error;
  if (!directory.path().empty()) {
    std::filesystem::create_directory(root, error);
    if (!error) std::filesystem::create_directory(directory.path() + "/work", error);
  }
  const std::vector<File> all = write_files(root);
  if (all.empty() || error) {
    std::fprintf(stderr, "static: cannot write files below /tmp\n");
    return 1;
  }
  const std::string nginx = find_nginx();
  if (nginx.empty()) {
    std::printf("nginx     skipped: not installed (apt install nginx-light), no comparison\n");
  }
  const std::string refusal = io_uring_refusal();
  if (!refusal.empty()) std::printf("io_uring  refused by this machine: %s\n", refusal.c_str());
  const auto servers = servers_of(options, directory.path(), nginx, refusal.empty());
  const Cores cores = two_cores();
  for (const std::string& line : machine_lines(cores, "server", "load")) {
    std::printf("%s\n", line.c_str());
  }
  if (cores.load >= 0) pin_to_cpu(cores.load);
  std::printf("load      %d kept connections, one request at a time on each%s\n", kConnections,
              options.read_all ? ", every byte is read" : "");
  for (const File& file : all) {
    if (!run_size(servers, file, options, cores.server, &file == &all.front())) return 1;
  }
  std::printf(
      "\nCPU: the server's, user and system; core: how busy that kept its\n"
      "core; ratios: medians of the rounds', and where the middle half of those of the CPU lies\n");
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
