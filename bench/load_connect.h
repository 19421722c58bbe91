#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <string>

#include "bench/load.h"

namespace weir::bench {

// Where the load connects to.
struct LoadTarget {
  int family = AF_UNSPEC;
  sockaddr_storage address{};
  socklen_t length = 0;
  // For messages.
  std::string name;
};

std::expected<LoadTarget, std::string> resolve(const LoadOptions& options);

// A connected, non-blocking socket, or -1 and errno.
int connect_one(const LoadTarget& target);

// The same without waiting: what is sent before the connection is made is refused by EAGAIN.
//
// Who ends a connection first keeps its port in TIME_WAIT for a minute, and a load that comes and
// goes would be out of ports within a second or two. It ends them like any client all the same: a
// reset would leave nothing behind, but it spares the server half of the end, and when the server's
// FIN has come it is too late for one. On loopback Linux takes a port in TIME_WAIT again after a
// second (tcp_tw_reuse is 2). An address has 28 000, so `number` spreads the connections over four:
// enough for 110 000 a second. Of all connections in TIME_WAIT the kernel keeps tcp_max_tw_buckets
// (131 072); those beyond end without it, which costs a server's core about 5 % less. So servers
// that are compared take turns.
int connect_soon(const LoadTarget& target, std::uint64_t number);

}  // namespace weir::bench
