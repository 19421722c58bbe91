// What a Socket keeps outside of itself: most connections need little of it. Private to net.
#pragma once

#include "weir/net/socket.h"

namespace weir::inline v1::net {

// A user's socket has one from the start, an accepted one from its first own listener or error on.
struct Socket::Own {
  SocketEvents events;
  SocketOptions options;
  Error error;  // what ended the connection; no code: nothing did
  Address peer;
  Timer connect_timer;
  std::uint64_t dropped_writes = 0;
};

// Tells a running emission that its socket was destroyed by a handler. Emissions nest.
struct Socket::Guard {
  explicit Guard(Socket& its_socket) noexcept : socket(&its_socket), previous(its_socket.guard_) {
    its_socket.guard_ = this;
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    if (socket != nullptr) socket->guard_ = previous;
  }
  bool alive() const noexcept { return socket != nullptr; }

  Socket* socket;
  Guard* previous;
};

// Activity only notes the time; the timer looks at it when it fires, so a busy connection costs one
// timer operation for each timeout.
struct Socket::IdleTimer : TimerNode {
  IdleTimer(Socket& its_socket, Duration its_timeout) noexcept
      : TimerNode(on_fire), socket(its_socket), timeout(its_timeout) {}
  static void on_fire(TimerNode& node) noexcept;

  Socket& socket;
  Duration timeout;
  Instant last_activity;
  std::size_t queued_seen = 0;
};

}  // namespace weir::inline v1::net
