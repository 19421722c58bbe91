#pragma once

#include <cstdint>
#include <optional>
#include <string>

// What the floor servers share: flags, the listening socket and the lines they print. None of
// it runs while messages are answered, and none of it comes from the library.
namespace weir::bench {

struct FloorOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  // "epoll" or "io_uring", where a program has both. Empty: there is no such flag.
  std::string loop;
  // Ask again instead of waiting.
  bool spin = false;
};

// Reads the flags into `options`. A value is the exit code to leave with: 0 after --help, 2 after
// a bad flag, which has been named on stderr.
std::optional<int> parse_floor_flags(int argc, char** argv, const char* description,
                                     FloorOptions& options);

// A non-blocking listening socket, or -1 with the reason on stderr.
int open_floor_listener(const FloorOptions& options);

// Prints the address and the backend line that benchmark drivers wait for, and flushes.
void announce_floor(int listener, const char* backend);

// Leaves with exit code 0 on SIGINT and SIGTERM. The handler ends the process on the spot:
// a floor owns nothing that the kernel does not take back.
void exit_on_signals();

}  // namespace weir::bench
