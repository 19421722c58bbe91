// What a socket is told when it is made and when it connects, and what its calls answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "weir/net/resolver.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/time.h"

namespace weir::inline v1 {
class Reactor;
}

namespace weir::inline v1::net {

class BlockList;

// What became of a write.
enum class Write : std::uint8_t {
  ok,       // queued, below the high-water mark
  full,     // queued; the high-water mark is reached: go on after 'drain'
  refused,  // not taken, the queue's limit would be passed; one 'drain' follows
  closed,   // not taken, after end(), the automatic end or destroy; no 'drain' ever follows
};

// What happens when a write is refused.
enum class QueuePolicy : std::uint8_t {
  pause,  // the socket is not read until the queue has drained
  drop,   // nothing else: the writer has dropped the bytes; dropped_writes() counts
  close,  // the socket is destroyed with ENOBUFS
};

struct SocketOptions {
  QueueLimits queue = {};
  QueuePolicy policy = QueuePolicy::pause;
  bool allow_half_open = false;  // false: the peer's FIN ends our side too, after 'end'
  bool no_delay = false;         // TCP_NODELAY, set before 'connect' or 'connection'
  bool keep_alive = false;       // SO_KEEPALIVE, likewise
  // Whole seconds count; below one the kernel's own times hold. From one second on also
  // TCP_KEEPINTVL 1 s and TCP_KEEPCNT 10, as in Node.
  Duration keep_alive_delay = Duration::zero();
  Duration timeout = Duration::zero();  // set_timeout() from the start, connecting included
};

struct ConnectOptions {
  std::string host = "localhost";  // numeric, or a name, which is looked up off this thread
  int port = -1;                   // 0..65535
  std::string path = {};           // of a Unix socket; wins over host and port
  bool abstract = false;           // `path` is an abstract name (unix(7)) without its leading NUL
  std::string local_address = {};  // numeric; empty: the kernel chooses
  int local_port = 0;
  Family family = Family::none;    // of a name's addresses; none: both
  Resolver* resolver = nullptr;    // in the place of getaddrinfo(3)
  // A name with several addresses, no `family` and no `local_address`: all are tried in turn,
  // families alternating (RFC 8305, but one after the other). Unset: the reactor's default.
  std::optional<bool> auto_select_family = {};
  // How long an attempt that is not the last one may take; at least 10 ms. Unset: as above.
  std::optional<Duration> attempt_timeout = {};
  Duration timeout = Duration::zero();  // of it all; zero: as long as the kernel tries; ETIMEDOUT
  // A request to stop destroys the socket with ABORT_ERR, also when it is connected. To be made on
  // the reactor's thread; others post() it.
  std::stop_token stop = {};
  const BlockList* block_list = nullptr;  // ERR_IP_BLOCKED for what it has; outlives connecting
};

// Defaults for the connections of a reactor: whether all addresses of a name are tried, and how
// long an attempt may take (at least 10 ms). Until then: true, 250 ms.
void set_default_auto_select_family(Reactor& reactor, bool on);
void set_default_attempt_timeout(Reactor& reactor, Duration timeout);

enum class ReadyState : std::uint8_t { opening, open, read_only, write_only, closed };
// "opening", "open", "readOnly", "writeOnly", "closed", as Node spells them.
const char* name_of(ReadyState state) noexcept;

// One answer of a lookup.
struct LookupResult {
  std::error_code error;  // then there is no address
  IpEndpoint address;
  std::string host;
};

}  // namespace weir::inline v1::net
