// The flags that all servers here have, and those that clients share with them.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weir/reactor/backend.h"
#include "weir/reactor/reactor.h"
#include "weir/reactor/time.h"

namespace weir::example {

struct ServerFlags {
  std::string host;
  int port = 0;
  BackendKind backend = BackendKind::automatic;
  std::string unix_path;
  int threads = 1;
  bool balance = false;
  bool pin = false;
  int busy_poll_us = 0;
  bool busy_poll_adaptive = false;
  std::size_t zero_copy_from = 0;
  UringOptions uring;
};

inline ReactorOptions reactor_options(const ServerFlags& flags) {
  return {.backend = flags.backend,
          .uring = flags.uring,
          .busy_poll = std::chrono::microseconds(flags.busy_poll_us),
          .busy_poll_adaptive = flags.busy_poll_adaptive};
}

// CLI11's own transformer would take numbers too, and name what it takes by them.
inline void describe_backend(CLI::App& app, BackendKind& backend) {
  static const std::map<std::string, BackendKind> kBackends = {
      {"auto", BackendKind::automatic},
      {"io_uring", BackendKind::io_uring},
      {"epoll", BackendKind::epoll}};
  const auto take = [&backend](const std::string& name) { backend = kBackends.at(name); };
  app.add_option_function<std::string>("--backend", take, "auto, io_uring or epoll")
      ->check([](const std::string& name) {
        return kBackends.contains(name) ? "" : "not auto, io_uring or epoll";
      });
}

// Seconds, and parts of them. CLI::Range would let a NaN pass.
inline CLI::Validator seconds_up_to(double most) {
  const auto check = [most](const std::string& text) {
    double seconds = 0;
    const bool good = CLI::detail::lexical_cast(text, seconds) && seconds >= 0 && seconds <= most;
    return good ? std::string() : "not in 0.." + std::to_string(static_cast<long>(most));
  };
  return {check, ""};
}

// A switch of UringOptions, by its name.
inline void describe_techniques(CLI::App& app, UringOptions& uring) {
  static const std::map<std::string, bool UringOptions::*> kSwitches = {
      {"buffer_ring", &UringOptions::buffer_ring},
      {"incremental", &UringOptions::incremental},
      {"multishot_accept", &UringOptions::multishot_accept},
      {"defer_taskrun", &UringOptions::defer_taskrun},
      {"register_ring_fd", &UringOptions::register_ring_fd}};
  const auto turn_off = [&uring](const std::vector<std::string>& names) {
    for (const std::string& name : names) uring.*kSwitches.at(name) = false;
  };
  app.add_option_function<std::vector<std::string>>(
         "--without", turn_off,
         "one technique of io_uring less: buffer_ring, incremental, multishot_accept, "
         "defer_taskrun or register_ring_fd")
      ->check([](const std::string& name) {
        return kSwitches.contains(name) ? "" : "no technique that can be left out";
      });
}

inline void describe_server(CLI::App& app, ServerFlags& flags) {
  app.add_option("--host", flags.host, "numeric address to bind; default: every address");
  app.add_option("--port", flags.port,
                 "0: the kernel chooses; default: " + std::to_string(flags.port))
      ->check(CLI::Range(0, 65535));
  describe_backend(app, flags.backend);
  app.add_option("--threads", flags.threads,
                 "reactors, each on a thread and with a listener of its own")
      ->check(CLI::Range(1, 256));
  app.add_flag("--balance", flags.balance,
               "one listener for all threads: a connection goes where there are the fewest");
  app.add_flag("--pin", flags.pin, "each thread stays on a processor of its own");
  CLI::Option* const busy_poll =
      app.add_option("--busy-poll", flags.busy_poll_us,
                     "microseconds to look for more before a thread sleeps; costs its processor")
          ->check(CLI::Range(0, 1'000'000));
  app.add_flag("--busy-poll-adaptive", flags.busy_poll_adaptive,
               "only for as long as something comes within that time, again and again")
      ->needs(busy_poll);
  describe_techniques(app, flags.uring);
}

// See QueueLimits::zero_copy_from.
inline void describe_zero_copy(CLI::App& app, std::size_t& from) {
  app.add_option("--zero-copy-from", from,
                 "bytes from which on what is sent is not copied; of use over a network card only");
}

// A Unix socket to listen on instead of a port.
inline void describe_unix(CLI::App& app, std::string& path) {
  app.add_option("--unix", path, "path of a Unix socket to listen on instead");
}

// The program's exit code where the flags end it: they are wrong (2), or ask for help (0).
inline std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "error: %s; see --help\n", error.what());
    return 2;
  }
  return std::nullopt;
}

// Likewise.
inline std::optional<int> check_unix(const ServerFlags& flags) {
  if (flags.unix_path.empty() || flags.threads == 1 || flags.balance) return std::nullopt;
  std::fprintf(stderr, "error: --unix and --threads need --balance: only TCP ports can be shared "
                       "by listeners; see --help\n");
  return 2;
}

}  // namespace weir::example
