// What the simulated kernel knows of one socket.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/reactor/backend.h"
#include "weir/reactor/intrusive_list.h"

namespace weir::inline v1 {

class SimBackend;

namespace sim {

// What travels between the two ends of a connection; always in order.
struct Packet {
  enum class Kind : std::uint8_t {
    data,
    fin,
    reset,
    window,       // `size` bytes were read: the sender has room for as many more
    established,  // the answer to a connect
    refused,
    lost  // for good: its sender has given up
  };
  Kind kind = Kind::data;
  Instant arrival = {};
  std::string bytes = {};
  std::size_t size = 0;
};

struct Datagram {
  Address from;
  std::string bytes;
};

// An open descriptor; or a connection that waits to be accepted; or what is left of a closed end,
// which answers what still arrives until its peer knows. Owned by its machine's table while it has
// a descriptor, else by the network. As a list node: one without a descriptor, or a connect that
// waits for room in a listener's backlog.
struct Socket : ListNode {
  int fd = -1;
  bool closed = false;
  bool vanished = false;  // closed by a crash: nothing was said to the peer
  std::uint32_t machine = 0;
  std::uint32_t peer_machine = 0;
  Address local;
  Address remote;

  // Operations in flight, and where their results go.
  SimBackend* backend = nullptr;
  unsigned in_flight = 0;
  Op* reader = nullptr;   // accept or recv
  Op* writer = nullptr;   // connect or send
  Op* starved = nullptr;  // a receive that waits for memory
  bool receiving = false;  // a receive is in flight, wherever it waits
  bool sending = false;
  IntrusiveList<Op> pollers;
  IntrusiveList<Op> lent;  // whose bytes the peer has not acknowledged
  Events hangup_told;  // to the watch that is armed

  // A listener.
  bool listening = false;
  bool ipv6_only = false;
  bool reuse_port = false;
  bool shared = false;  // its address, with others who share theirs
  std::size_t backlog = 0;
  std::deque<Socket*> waiting;        // connections that nobody has accepted yet
  std::vector<Socket*> half_open;     // whose client has not acknowledged yet
  IntrusiveList<Socket> unanswered;  // connects that the backlog has no room for

  // A datagram socket; connected, it has a remote address.
  bool datagram = false;
  bool broadcast = false;
  bool multicast_loop = true;
  int receive_buffer = 212992;  // only a number: the queue is as long as it is
  int send_buffer = 212992;
  int dropped = 0;
  std::deque<Datagram> datagrams;
  std::vector<Membership> memberships;
  Address bound;  // what it was bound to, while it has a peer

  // A connect that was started: pending, then 0 or -errno.
  static constexpr int kPending = 1;
  Address target;
  bool connect_started = false;
  Instant connect_deadline = {};
  int connect_result = kPending;

  // A stream.
  Socket* peer = nullptr;  // until that one is gone altogether
  bool connected = false;  // as far as this end knows
  Socket* listener = nullptr;  // in whose half_open it is
  std::string received;
  std::size_t read_at = 0;
  std::uint64_t read_bytes = 0;    // ever
  std::uint64_t sent_bytes = 0;    // ever
  std::size_t unacknowledged = 0;  // sent, and as far as this end knows not read by the peer
  struct Passed {
    std::uint64_t position;  // of the byte that it came with
    int fd;
  };
  std::deque<Passed> passed;
  bool fin_received = false;
  int error = 0;      // ends the connection; not reported yet
  bool dead = false;  // it has been reported
  bool write_shut = false;
  bool read_shut = false;
  bool reset_on_close = false;
  bool aborted = false;  // nobody has accepted it, and nobody will
  bool keep_alive = false;
  Duration keep_alive_idle = std::chrono::hours(2);  // tcp_keepalive_time

  // What is on its way to this end.
  std::deque<Packet> incoming;
  Instant last_arrival = Instant::min();
  Instant stalled_until = Instant::min();  // nothing arrives before that
  unsigned scheduled = 0;                  // events that point here
  bool held_up = false;                    // by a partition, or its machine is down
  bool patience_lost = false;              // an event gives up if it is still held up then
  std::uint32_t times_held_up = 0;         // which of them is about this time

  bool is_unix() const noexcept { return local.is_unix() || remote.is_unix(); }
  bool connecting() const noexcept { return connect_started && connect_result == kPending; }
  std::size_t unread() const noexcept { return received.size() - read_at; }
  Events hangup() const noexcept {
    Events events;
    const bool reset = error != 0 || dead;
    if (fin_received || reset) events.bits |= Events::peer_closed;
    if ((fin_received && write_shut) || reset) events.bits |= Events::hangup;
    if (error != 0) events.bits |= Events::error;
    return events;
  }
  // The error, which is thereby reported.
  int take_error() noexcept {
    dead = dead || error != 0;
    return std::exchange(error, 0);
  }
};

}  // namespace sim
}  // namespace weir::inline v1
