// What the peers in C++ have in common: flags, the lines that they print, and signals. No peer uses
// anything of weir, so that a compiler and the peer's own library are all that it takes.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace peer {

// As much as weir and the bare loops receive at a time.
inline constexpr std::size_t kReadBuffer = 256 * 1024;
inline constexpr int kBacklog = 4096;

struct Options {
  int port = 0;           // of 127.0.0.1; 0: the kernel chooses
  std::string unix_path;  // not empty: a Unix socket in its place
};

[[noreturn]] inline void fail(const char* what, const char* why) {
  std::fprintf(stderr, "%s: %s\n", what, why);
  std::exit(1);
}

// `--port N`, `--unix PATH`; `--version` prints the library's and leaves.
inline Options parse(int argc, char** argv, const std::string& version) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--version") {
      std::puts(version.c_str());
      std::exit(0);
    }
    const char* const value = i + 1 < argc ? argv[++i] : "";
    const char* const end = value + std::strlen(value);
    if (flag == "--unix" && value != end) {
      options.unix_path = value;
    } else if (flag != "--port" || std::from_chars(value, end, options.port).ptr != end) {
      std::fprintf(stderr, "usage: %s [--port N] [--unix PATH] [--version]\n", argv[0]);
      std::exit(2);
    }
  }
  return options;
}

// It owns nothing that the kernel does not take back. A peer that has gone is told by the write.
inline void prepare_signals() {
  signal(SIGTERM, [](int) { _exit(0); });
  signal(SIGINT, [](int) { _exit(0); });
  signal(SIGPIPE, SIG_IGN);
}

// `port` is what the kernel gave; not looked at with a Unix socket.
inline void announce(const Options& options, int port, const char* name,
                     const std::string& version) {
  const std::string where = options.unix_path.empty() ? "127.0.0.1:" + std::to_string(port)
                                                      : options.unix_path;
  std::printf("listening on %s\nbackend %s: %s\n", where.c_str(), name, version.c_str());
  std::fflush(stdout);
}

}  // namespace peer
