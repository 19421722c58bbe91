#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

// A closed loop of GETs for one file over kept connections, on plain epoll and one thread. Like
// load.h it shares no code with the library.
namespace weir::bench {

struct FileLoadOptions {
  std::uint16_t port = 0;  // of 127.0.0.1
  std::string target;
  // What must come, and nothing else; it outlives the run. At least one byte.
  std::string_view file;
  int connections = 1;
  double warmup_seconds = 0.15;
  double duration_seconds = 0.5;
  // The process whose CPU clock is read at both ends of the window; 0: none.
  pid_t server_pid = 0;
  // Every byte is taken and compared in the window, too.
  bool reads_all = false;
  // What a response that does not come may cost in time.
  double drain_seconds = 5.0;
};

// All of it about the measuring window alone.
struct FileLoadResult {
  double seconds = 0;
  std::uint64_t requests = 0;
  double server_cpu_seconds = 0;
  // Of the first response.
  std::string head;

  double requests_per_second() const { return static_cast<double>(requests) / seconds; }
  double cpu_us_per_request() const {
    return server_cpu_seconds * 1e6 / static_cast<double>(requests);
  }
  double cpu_percent() const { return server_cpu_seconds / seconds * 100; }
};

// Each response must have status 200 and the file's Content-Length. In the warm-up every byte is
// compared, later those at both ends: the kernel drops the middle of a body (MSG_TRUNC). So the
// load is no slower for large files, and leaves the memory that a server has written where it is:
// as a network card does, and unlike a reader on another core. At the end no new request is sent,
// and what is under way must still arrive. The error is one line that says what went wrong.
std::expected<FileLoadResult, std::string> run_file_load(const FileLoadOptions& options);

}  // namespace weir::bench
