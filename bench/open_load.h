#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "bench/histogram.h"

// An open-loop load for echo servers. When each message is sent is fixed before the first one goes,
// and no answer, early, late or missing, changes it: a server that stalls is not spared what was to
// come meanwhile, and each latency counts from the moment at which its message was due. So nothing
// is left out that a closed loop would (coordinated omission).
//
// One thread on plain epoll, which never sleeps while messages are due. It shares no code with the
// library and checks every byte, as the closed loop does (load.h).
namespace weir::bench {

struct OpenLoadOptions {
  std::uint16_t port = 0;
  // They take turns.
  int connections = 1;
  // Bytes per message.
  std::uint64_t size = 64;
  // Messages a second, of all connections.
  double rate = 1000;
  double warmup_seconds = 0.2;
  double duration_seconds = 1;
  // Of the schedule: the same one for all servers that are compared.
  std::uint64_t seed = 1;
  // Not 0: report what this process spends on the CPU.
  pid_t server_pid = 0;
  // What a lost message and a connection that the server does not close may cost in time.
  double drain_seconds = 10;
};

struct OpenLoadResult {
  // Nanoseconds from the moment at which a message was due to the arrival of its last byte, of all
  // messages that were due in the measuring window, whenever they came back.
  Histogram latency;
  // Nanoseconds from that moment to the one at which we came to send it: what of the latency is the
  // load's own.
  Histogram lateness;
  // What came back in a second of the window; well below the rate: the server did not keep up.
  double answered_per_second = 0;
  // Of a window that begins up to 15 ms earlier and ends up to 15 ms later; negative if not asked
  // for.
  double server_cpu_us_per_message = -1;
  double server_cpu_percent = -1;
};

// Nanoseconds from the beginning to each message: those of many clients that know nothing of each
// other, so the gaps are distributed exponentially. The same for the same arguments.
std::vector<std::int64_t> make_schedule(double rate, double seconds, std::uint64_t seed);

// The error is one line that says what went wrong: no connection, a wrong, missing or superfluous
// byte.
std::expected<OpenLoadResult, std::string> run_open_load(const OpenLoadOptions& options);

}  // namespace weir::bench
