#pragma once

#include "bench/udp_board.h"

namespace weir::bench {

// Receives from `fd` by one multishot operation, for ever, and counts on the board. Calls `ready`
// when it can begin. Returns the exit code if the kernel refuses, after a line on stderr.
int run_udp_multishot(int fd, UdpBoard& board, void (*ready)(int fd));

}  // namespace weir::bench
