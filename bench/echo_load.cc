// The load generator for echo servers as a program: flags, live progress and the report. The load
// itself is in load.h, which shares no code with the library.

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <optional>
#include <string>

#include "bench/load.h"

namespace weir::bench {
namespace {

struct Options {
  LoadOptions load;
  bool json = false;
};

constexpr std::array kPercents = {50.0, 90.0, 99.0, 99.9, 99.99};
constexpr std::array kPercentNames = {"p50", "p90", "p99", "p99.9", "p99.99"};

void add_flags(CLI::App& app, Options& options) {
  LoadOptions& load = options.load;
  auto* host = app.add_option("--host", load.host, "host name or address of the server");
  auto* port = app.add_option("--port", load.port, "TCP port of the server")
                   ->check(CLI::Range(1, 65535));
  auto* path = app.add_option("--unix", load.unix_path, "path of the server's Unix socket");
  path->excludes(host)->excludes(port);
  app.add_option("--connections", load.connections, "connections")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--size", load.size, "bytes per message")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--pipeline", load.pipeline, "messages that a connection keeps under way")
      ->check(CLI::Range(1, 4096));
  app.add_option("--messages", load.messages_per_connection,
                 "messages after which a new connection takes the place of one; 0: none does")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--duration", load.duration_seconds, "seconds to measure")
      ->check(CLI::Range(0.01, 86'400.0));
  app.add_option("--warmup", load.warmup_seconds, "seconds of load before the measuring")
      ->check(CLI::Range(0.0, 3'600.0));
  app.add_option("--drain", load.drain_seconds,
                 "seconds that messages under way may take at the end")
      ->check(CLI::Range(0.01, 3'600.0));
  app.add_option("--threads", load.threads, "threads that share the connections")
      ->check(CLI::Range(1, 64));
  app.add_option("--server-pid", load.server_pid, "process whose CPU time to report")
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json, "print one JSON object instead of the table");
}

// A value is the exit code to leave with.
std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"Closed-loop load for echo servers; checks every byte that comes back"};
  app.option_defaults()->always_capture_default();
  add_flags(app, options);
  try {
    app.parse(argc, argv);
    if (options.load.port == 0 && options.load.unix_path.empty()) {
      throw CLI::RequiredError("--port or --unix");
    }
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "echo_load: %s\n", error.what());
    return 2;
  }
  return std::nullopt;
}

// A process may open 1024 files by default and usually more if it asks.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

double to_us(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; }

void print_table(const LoadOptions& load, const LoadResult& result) {
  std::printf("%d connections, %llu bytes a message, pipeline %d, %.2f s\n", load.connections,
              static_cast<unsigned long long>(load.size), load.pipeline, result.seconds);
  std::printf("%12.0f messages/s\n%12.1f MB/s in each direction\n", result.messages_per_second(),
              result.bytes_per_second() / 1e6);
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    std::printf("%12.1f us %s\n", to_us(result.latency.percentile(kPercents[i])),
                kPercentNames[i]);
  }
  std::printf("%12.1f us max\n", to_us(result.latency.max()));
  if (result.server_cpu_seconds >= 0) {
    std::printf("%12.3f us server CPU a message, %.0f %% of one core\n",
                result.server_cpu_us_per_message(), result.server_cpu_percent());
  }
}

void print_json(const LoadOptions& load, const LoadResult& result) {
  std::printf("{\"connections\":%d,\"size\":%llu,\"pipeline\":%d,\"threads\":%d", load.connections,
              static_cast<unsigned long long>(load.size), load.pipeline, load.threads);
  std::printf(",\"seconds\":%.6f,\"messages\":%llu,\"bytes\":%llu", result.seconds,
              static_cast<unsigned long long>(result.messages),
              static_cast<unsigned long long>(result.bytes));
  std::printf(",\"messages_per_second\":%.1f,\"bytes_per_second\":%.1f",
              result.messages_per_second(), result.bytes_per_second());
  std::printf(",\"latency_us\":{\"mean\":%.3f", result.latency.mean() / 1e3);
  for (std::size_t i = 0; i < kPercents.size(); ++i) {
    std::printf(",\"%s\":%.3f", kPercentNames[i], to_us(result.latency.percentile(kPercents[i])));
  }
  std::printf(",\"max\":%.3f}", to_us(result.latency.max()));
  if (result.server_cpu_seconds >= 0) {
    std::printf(",\"server_cpu_us_per_message\":%.4f,\"server_cpu_percent\":%.2f",
                result.server_cpu_us_per_message(), result.server_cpu_percent());
  }
  std::printf("}\n");
}

void show_progress(std::uint64_t messages, double seconds) {
  static std::uint64_t last_messages = 0;
  static double last_seconds = 0;
  const double rate = static_cast<double>(messages - last_messages) / (seconds - last_seconds);
  std::fprintf(stderr, "\r\033[K%6.1f s %12.0f messages/s", seconds, rate);
  last_messages = messages;
  last_seconds = seconds;
}

int run(const Options& options) {
  raise_file_limit();
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto result =
      run_load(options.load, terminal ? LoadProgress{show_progress} : LoadProgress{});
  if (terminal) std::fputs("\r\033[K", stderr);
  if (!result) {
    std::fprintf(stderr, "echo_load: %s\n", result.error().c_str());
    return 1;
  }
  if (options.json) {
    print_json(options.load, *result);
  } else {
    print_table(options.load, *result);
  }
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
