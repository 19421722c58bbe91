#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>

#include "bench/histogram.h"
#include "bench/http_script.h"

// A closed loop of HTTP/1.1 requests on plain epoll and one thread. Like load.h it shares no code
// with the library.
namespace weir::bench {

struct HttpLoadOptions {
  std::uint16_t port = 0;  // of 127.0.0.1
  HttpScript script = HttpScript::hello;
  int connections = 1;
  // Requests that each connection keeps under way.
  int pipeline = 1;
  // After so many, the last of which says `Connection: close`, the server must end the connection,
  // and a new one takes its place. 0: kept for ever, but see HttpScript::brief.
  int requests_per_connection = 0;
  double warmup_seconds = 0.15;
  double duration_seconds = 0.5;
  // The process whose CPU clock is read at both ends of the window; 0: none.
  pid_t server_pid = 0;
  // What a response that does not come, or a connection that is not closed, may cost in time.
  double drain_seconds = 5.0;
};

// All of it about the measuring window alone.
struct HttpLoadResult {
  double seconds = 0;
  std::uint64_t requests = 0;
  // Connections that were opened.
  std::uint64_t connections = 0;
  // With heads and framing. What the kernel took counts as sent.
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  // Nanoseconds from the moment at which the closed loop was free to send a request to the arrival
  // of its response's last byte. For the first on a connection that replaces another it is the end
  // of the other one: connecting counts.
  Histogram latency;
  // Negative if no process was asked for.
  double server_cpu_seconds = -1;
  // The first response's, which may have come before the window.
  std::string head;

  double requests_per_second() const { return static_cast<double>(requests) / seconds; }
  double megabytes_per_second() const { return megabytes() / seconds; }
  double cpu_us_per_request() const {
    return server_cpu_seconds * 1e6 / static_cast<double>(requests);
  }
  // Of both directions.
  double cpu_us_per_megabyte() const { return server_cpu_seconds * 1e6 / megabytes(); }
  double cpu_percent() const { return server_cpu_seconds / seconds * 100; }
  double p50_us() const { return static_cast<double>(latency.percentile(50)) / 1e3; }
  double p99_us() const { return static_cast<double>(latency.percentile(99)) / 1e3; }

 private:
  double megabytes() const { return static_cast<double>(bytes_sent + bytes_received) / 1e6; }
};

// Runs the load: warm-up, measuring window, then no new requests until all that are under way are
// answered and the server has ended every connection after us. Each response must have status 200,
// a Content-Length or chunks, and the body of the script, and come in its turn; not a byte may
// follow it. The error is one line that says what went wrong.
//
// The check costs next to nothing: a response that is byte for byte the last good one to the same
// request is good. A server's responses differ once a second, by their dates; those, and all that
// come in parts, are read as HTTP. So any order of fields and any cut into chunks will do.
std::expected<HttpLoadResult, std::string> run_http_load(const HttpLoadOptions& options);

}  // namespace weir::bench
