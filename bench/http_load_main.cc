// The load for HTTP servers as a program: flags and the report. The load itself is in http_load.h,
// which shares no code with the library.

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "bench/flags.h"
#include "bench/http_load.h"

namespace weir::bench {
namespace {

struct Options {
  HttpLoadOptions load;
  std::string script = "hello";
  bool json = false;
};

std::map<std::string, HttpScript> scripts_by_name() {
  std::map<std::string, HttpScript> scripts;
  for (const auto& [name, script] : kHttpScripts) scripts.emplace(name, script);
  return scripts;
}

void add_flags(CLI::App& app, Options& options) {
  HttpLoadOptions& load = options.load;
  load.warmup_seconds = 0.5;
  load.duration_seconds = 3.0;
  app.add_option("--port", load.port, "TCP port of the server, on 127.0.0.1")
      ->required()
      ->check(CLI::Range(1, 65535));
  app.add_option("--script", options.script, "what to ask")
      ->check(CLI::IsMember(scripts_by_name()));
  app.add_option("--connections", load.connections, "connections")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--pipeline", load.pipeline, "requests that a connection keeps under way")
      ->check(CLI::Range(1, 4096));
  app.add_option("--requests", load.requests_per_connection,
                 "requests a connection; 0: no end, but 10 for `short`")
      ->check(CLI::Range(0, 100'000));
  app.add_option("--seconds", load.duration_seconds, "seconds to measure")
      ->check(CLI::Range(0.01, 86'400.0));
  app.add_option("--warmup", load.warmup_seconds, "seconds of load before the measuring")
      ->check(CLI::Range(0.0, 3'600.0));
  app.add_option("--drain", load.drain_seconds,
                 "seconds that responses under way may take at the end")
      ->check(CLI::Range(0.01, 3'600.0));
  app.add_option("--server-pid", load.server_pid, "process whose CPU time to report")
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json, "print one JSON object instead of the table");
}

// A process may open 1024 files by default and usually more if it asks.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void print_table(const Options& options, const HttpLoadResult& result) {
  std::printf("%s, %d connections, pipeline %d, %.2f s\n", options.script.c_str(),
              options.load.connections, options.load.pipeline, result.seconds);
  std::printf("%12.0f requests/s\n%12.1f MB/s in both directions\n", result.requests_per_second(),
              result.megabytes_per_second());
  if (result.connections != 0) {
    std::printf("%12.0f connections/s\n", static_cast<double>(result.connections) / result.seconds);
  }
  std::printf("%12.1f us p50\n%12.1f us p99\n%12.1f us max\n", result.p50_us(), result.p99_us(),
              static_cast<double>(result.latency.max()) / 1e3);
  if (result.server_cpu_seconds >= 0) {
    std::printf("%12.3f us server CPU a request, %.1f us a MB, %.0f %% of one core\n",
                result.cpu_us_per_request(), result.cpu_us_per_megabyte(), result.cpu_percent());
  }
}

void print_json(const Options& options, const HttpLoadResult& result) {
  std::printf("{\"script\":\"%s\",\"connections\":%d,\"pipeline\":%d", options.script.c_str(),
              options.load.connections, options.load.pipeline);
  std::printf(",\"seconds\":%.6f,\"requests\":%llu,\"opened\":%llu,\"sent\":%llu,\"received\":%llu",
              result.seconds, static_cast<unsigned long long>(result.requests),
              static_cast<unsigned long long>(result.connections),
              static_cast<unsigned long long>(result.bytes_sent),
              static_cast<unsigned long long>(result.bytes_received));
  std::printf(",\"requests_per_second\":%.1f,\"p50_us\":%.3f,\"p99_us\":%.3f",
              result.requests_per_second(), result.p50_us(), result.p99_us());
  if (result.server_cpu_seconds >= 0) {
    std::printf(",\"server_cpu_us_per_request\":%.4f,\"server_cpu_us_per_megabyte\":%.4f"
                ",\"server_cpu_percent\":%.2f",
                result.cpu_us_per_request(), result.cpu_us_per_megabyte(), result.cpu_percent());
  }
  std::printf("}\n");
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"Closed-loop load for HTTP servers; checks every response"};
  app.option_defaults()->always_capture_default();
  add_flags(app, options);
  if (const auto code = parse(app, "http_load", argc, argv)) return *code;
  options.load.script = scripts_by_name().at(options.script);
  raise_file_limit();
  const auto result = run_http_load(options.load);
  if (!result) {
    std::fprintf(stderr, "http_load: %s\n", result.error().c_str());
    return 1;
  }
  if (options.json) {
    print_json(options, *result);
  } else {
    print_table(options, *result);
  }
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
