// What a Socket keeps outside of itself: most connections need little of it. Private to net.
#pragma once

#include <deque>
#include <optional>
#include <stop_token>

#include "net/pipe_ends.h"
#include "weir/net/lookup.h"
#include "weir/net/socket.h"

namespace weir::inline v1::net {

// Called back in order, a write when all its bytes are with the kernel.
struct Socket::Callbacks {
  struct PendingWrite {
    std::uint64_t end;  // bytes_written_ right after it
    WriteDone done;
    std::error_code code;  // of a write that was not taken; due when it is the first
  };
  std::deque<PendingWrite> writes;
  std::vector<WriteDone> ends;
  std::uint64_t sent = 0;  // of a closing socket: bytes that the kernel has taken
};

// Connecting, from connect() until the connection stands or cannot be made.
struct Socket::Dialing final : LookupOwner {
  struct Deadline : TimerNode {
    Deadline(Fire fire, Socket& its_socket) noexcept : TimerNode(fire), socket(its_socket) {}
    Socket& socket;
  };

  explicit Dialing(Socket& socket) noexcept
      : attempt(on_attempt_late, socket), all(on_late, socket) {}
  void on_looked_up(std::error_code code, std::vector<IpEndpoint> found) noexcept override {
    attempt.socket.looked_up(code, found);
  }
  static void on_attempt_late(TimerNode& node) noexcept;
  static void on_late(TimerNode& node) noexcept;

  ConnectOptions options;
  Address local;
  Lookup* lookup = nullptr;          // in progress
  std::vector<Address> candidates;
  std::size_t next = 0;              // candidate to be tried
  std::vector<Error> errors;         // of those that failed
  Deadline attempt;  // of the one that is under way
  Deadline all;
  bool attempt_due = false;
  bool attempt_timed_out = false;
};

// A user's socket has one from the start, an accepted one from its first own listener or error on.
struct Socket::Own {
  struct Abort {
    Socket* socket;
    void operator()() const noexcept { socket->destroy(Mistake::aborted); }
  };

  struct Source final : PipeSource {
    explicit Source(Socket& its_socket) noexcept : socket(its_socket) {}
    void pipe_added() noexcept override { socket.data_listener_added(); }
    void pipe_blocked() noexcept override { socket.note_pause(); }
    void pipe_unblocked() noexcept override { socket.look_again(); }
    Socket& socket;
  };
  struct Sink final : PipeSink {
    explicit Sink(Socket& its_socket) noexcept : socket(its_socket) {}
    // A socket that is yet to connect takes nothing.
    bool pipe_may_write() const noexcept override { return socket.state_ != State::fresh; }
    Write pipe_write(Buffer&& bytes) override { return socket.write(std::move(bytes)); }
    void pipe_end() override { socket.end(); }
    Socket& socket;
  };

  Own(Socket& socket, NetPart& net) noexcept
      : shared{.net = net, .options = &options}, source(socket), sink(socket) {}

  Shared shared;  // of a user's socket
  SocketEvents events;
  SocketOptions options;
  Error error;  // what ended the connection; no code: nothing did
  std::unique_ptr<Callbacks> callbacks;
  std::unique_ptr<TextDecoder> decoder;
  std::unique_ptr<Dialing> dialing;
  std::vector<Address> attempted;
  std::optional<std::stop_callback<Abort>> stop;
  std::vector<ListenerId> once_timed_out;
  Function<void(Socket&, Expected<Detached>)> detached;
  int detached_fd = -1;
  Source source;
  Sink sink;
  std::uint64_t dropped_writes = 0;
};

// Tells a running emission that its socket was destroyed by a handler. Emissions nest, those of all
// sockets of a reactor.
struct SocketGuard {
  SocketGuard(Socket& its_socket, NetPart& its_net) noexcept
      : socket(&its_socket), net(its_net), previous(its_net.guards) {
    net.guards = this;
  }
  SocketGuard(const SocketGuard&) = delete;
  SocketGuard& operator=(const SocketGuard&) = delete;
  ~SocketGuard() { net.guards = previous; }
  bool alive() const noexcept { return socket != nullptr; }

  Socket* socket;
  NetPart& net;
  SocketGuard* previous;
};

// False when the socket was destroyed by the user.
template <class Call>
bool Socket::tell_user(Call&& call) {
  if (user_ == nullptr) return true;
  Guard guard(*this, net());
  call(*user_);
  return guard.alive();
}

// What an idle connection without a timeout does without: it is there while there is a timeout, or
// input that nobody reads.
// Activity only notes the time; the timer looks at it when it fires, so a busy connection costs one
// timer operation for each timeout.
struct Socket::Aside : TimerNode {
  explicit Aside(Socket& its_socket) noexcept : TimerNode(on_fire), socket(its_socket) {}
  static void on_fire(TimerNode& node) noexcept;

  Socket& socket;
  Duration timeout = Duration::zero();
  Instant last_activity;
  std::size_t queued_seen = 0;
  std::unique_ptr<std::vector<Buffer>> held;  // received, and nobody reads
};

}  // namespace weir::inline v1::net
