// weir's HTTP client against wrk, in one command:
//
//   bazel run -c opt //bench:http_client
//
// Both ask the same server, weir's demo_server, for the same small page over the same number of
// kept connections, one request at a time on each. They take turns, on a core of their own; a round
// has a fresh server. wrk is the Debian package; without it the table has no ratios.

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/flags.h"
#include "bench/load_clock.h"
#include "bench/machine.h"
#include "bench/samples.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

struct Options {
  std::string demo_server;
  std::string load;
  int rounds = 9;
  bool quick = false;
};

struct Client {
  std::string name;
  std::string backend;  // of weir; empty: wrk
};

// One run of one client.
struct Sample {
  double requests_per_second = 0;
  double requests_per_cpu_second = 0;
};

struct Row {
  Client client;
  std::vector<Sample> samples;
};

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"weir's HTTP client against wrk"};
  add_program(app, "demo-server", options.demo_server, "weir's HTTP server");
  add_program(app, "load", options.load, "load from weir's client");
  add_pace(app, options.rounds, "samples of each client", options.quick);
  return parse(app, "http_client", argc, argv);
}

// User and system time of the children that have ended.
double children_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::expected<std::string, std::string> output_of(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return std::unexpected("cannot run " + command);
  std::string output;
  std::array<char, 4096> piece;
  for (std::size_t size; (size = fread(piece.data(), 1, piece.size(), pipe)) != 0;) {
    output.append(piece.data(), size);
  }
  if (pclose(pipe) != 0) return std::unexpected(command + " failed:\n" + output);
  return output;
}

std::optional<double> number_before(std::string_view text, std::string_view word) {
  const std::size_t at = text.find(word);
  if (at == text.npos) return std::nullopt;
  const std::size_t begin = text.substr(0, at).find_last_of(" \n") + 1;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data() + begin, text.data() + at, number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

std::expected<Sample, std::string> take_sample(const Client& client, const Options& options,
                                               int port, int connections) {
  const std::string seconds = options.quick ? "1" : "2";
  const std::string number = std::to_string(connections);
  const std::string command =
      client.backend.empty()
          ? "wrk -t1 -c" + number + " -d" + seconds + " http://127.0.0.1:" +
                std::to_string(port) + "/hello"
          : options.load + " --backend " + client.backend + " --target /hello --connections " +
                number + " --seconds " + seconds + " --port " + std::to_string(port);
  const double cpu_before = children_cpu_seconds();
  const std::int64_t begin = monotonic_now();
  const auto output = output_of(command + " 2>&1");
  const double took = static_cast<double>(monotonic_now() - begin) / 1e9;
  if (!output) return std::unexpected(output.error());
  for (const std::string_view trouble : {"Non-2xx", "Socket errors"}) {
    if (output->find(trouble) != output->npos) return std::unexpected(*output);
  }
  const auto requests = number_before(*output, " requests");
  if (!requests || *requests == 0) return std::unexpected("no requests in\n" + *output);
  return Sample{.requests_per_second = *requests / took,
                .requests_per_cpu_second = *requests / (children_cpu_seconds() - cpu_before)};
}

// The median of the rounds' ratios.
std::string ratio(const Row& row, const Row& to, double Sample::* field) {
  char text[16];
  std::snprintf(text, sizeof text, "%.3f", median(ratios_of(row.samples, to.samples, field)));
  return text;
}

void print(const std::vector<Row>& rows, int connections) {
  std::printf("GET /hello x %d connections\n", connections);
  std::printf("  %-16s %12s %16s %10s %16s\n", "client", "requests/s", "requests/CPU s", "x wrk",
              "x wrk per CPU s");
  const bool has_wrk = rows.front().client.backend.empty();
  for (const Row& row : rows) {
    const auto against_wrk = [&](double Sample::* field) {
      return has_wrk ? ratio(row, rows.front(), field) : std::string("-");
    };
    std::printf("  %-16s %12.0f %16.0f %10s %16s\n", row.client.name.c_str(),
                median_of(row.samples, &Sample::requests_per_second),
                median_of(row.samples, &Sample::requests_per_cpu_second),
                against_wrk(&Sample::requests_per_second).c_str(),
                against_wrk(&Sample::requests_per_cpu_second).c_str());
  }
  std::printf("\n");
}

bool run_workload(const std::vector<Client>& clients, const Options& options, int server_cpu,
                  int connections) {
  std::vector<Row> rows;
  for (const Client& client : clients) rows.push_back({client, {}});
  for (int round = 0; round < (options.quick ? 1 : options.rounds); ++round) {
    auto server = ServerProcess::start({options.demo_server, "--port", "0"}, server_cpu);
    if (!server) {
      std::fprintf(stderr, "http_client: %s\n", server.error().c_str());
      return false;
    }
    for (Row& row : rows) {
      const auto sample = take_sample(row.client, options, server->port(), connections);
      if (!sample) {
        std::fprintf(stderr, "http_client: %s: %s\n", row.client.name.c_str(),
                     sample.error().c_str());
        return false;
      }
      row.samples.push_back(*sample);
    }
    if (const auto stopped = server->stop(); !stopped) {
      std::fprintf(stderr, "http_client: %s\n", stopped.error().c_str());
      return false;
    }
  }
  print(rows, connections);
  return true;
}

int run(const Options& options) {
  std::vector<Client> clients;
  if (std::system("command -v wrk >/dev/null 2>&1") == 0) {
    clients.push_back({"wrk", ""});
  } else {
    std::printf("wrk       not installed (apt install wrk): no comparison\n");
  }
  const std::string refusal = io_uring_refusal();
  if (refusal.empty()) {
    clients.push_back({"weir io_uring", "io_uring"});
  } else {
    std::printf("io_uring  refused by this machine: %s\n", refusal.c_str());
  }
  clients.push_back({"weir epoll", "epoll"});
  const Cores cores = two_cores();
  for (const std::string& line : machine_lines(cores, "server", "client")) {
    std::printf("%s\n", line.c_str());
  }
  std::printf("\n");
  if (cores.load >= 0) pin_to_cpu(cores.load);
  for (const int connections : {100, 10, 1}) {
    if (!run_workload(clients, options, cores.server, connections)) return 1;
  }
  std::printf(
      "CPU s: of the client, user and system; medians of the rounds, of their ratios too\n");
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
