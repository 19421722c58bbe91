#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <string>

#include "bench/histogram.h"

// A closed-loop load generator for echo servers.
//
// It shares no code with the library on purpose: it stands on plain epoll, so that it can judge
// the library without inheriting a mistake from it, and so that any echo server can be measured.
namespace weir::bench {

struct LoadOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  // Not empty: connect to this Unix socket instead of host and port.
  std::string unix_path;
  int connections = 1;
  // Bytes per message.
  std::uint64_t size = 64;
  // Messages that each connection keeps under way.
  int pipeline = 1;
  // After so many a connection is ended: by us first, then by the server, and a new one takes its
  // place. 0: kept until the end.
  int messages_per_connection = 0;
  double warmup_seconds = 0.5;
  double duration_seconds = 3.0;
  int threads = 1;
  // Not 0: report what this process spends on the CPU in the measuring window.
  pid_t server_pid = 0;
  // What a lost message and a connection that the server does not close may cost in time.
  double drain_seconds = 5.0;
};

// All of it about the measuring window alone.
struct LoadResult {
  double seconds = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  // Nanoseconds from the moment at which the closed loop was free to send a message to the
  // arrival of its last byte. For the first of a connection that replaces another, it was free when
  // the server had ended the other one: connecting counts.
  Histogram latency;
  // CPU time of the server; negative if none was asked for.
  double server_cpu_seconds = -1;

  double messages_per_second() const { return static_cast<double>(messages) / seconds; }
  double bytes_per_second() const { return static_cast<double>(bytes) / seconds; }
  double server_cpu_us_per_message() const {
    return server_cpu_seconds * 1e6 / static_cast<double>(messages);
  }
  // 100 means: one core, the whole window long.
  double server_cpu_percent() const { return server_cpu_seconds / seconds * 100; }
};

// Called a few times a second with the messages echoed so far and the seconds that passed.
using LoadProgress = std::function<void(std::uint64_t messages, double seconds)>;

// Runs the load: warm-up, measuring window, then no new messages until all that is under way has
// come back and the server has closed every connection after ours. The error is one line that
// says what went wrong: no connection, a wrong, missing or superfluous byte, or no message at all.
std::expected<LoadResult, std::string> run_load(const LoadOptions& options,
                                                const LoadProgress& progress = {});

}  // namespace weir::bench
