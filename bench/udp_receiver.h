#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "bench/udp_board.h"

// What all UDP receivers share: flags, signals and the lines they print. None of it comes from the
// library.
namespace weir::bench {

struct UdpReceiverOptions {
  // Bytes to ask for by SO_RCVBUF; the kernel doubles them and has a limit of its own.
  int receive_buffer = 0;
  // The file that holds the driver's board; empty: nobody else looks.
  std::string board;
};

void describe_udp_receiver(CLI::App& app, UdpReceiverOptions& options);

// A value is the exit code to leave with: 0 after --help, 2 after a bad flag, named on stderr.
std::optional<int> parse_udp_receiver(CLI::App& app, int argc, char** argv);

// The board to count on; null, with a line on stderr, if the file cannot be mapped. From now on
// SIGUSR1 puts a mark on it, and SIGTERM and SIGINT print what was counted and end the process with
// exit code 0.
UdpBoard* open_udp_board(const UdpReceiverOptions& options);

// Prints the address and the backend line that the driver waits for, and flushes.
void announce_udp_receiver(int port, const std::string& kind, int receive_buffer);

}  // namespace weir::bench
