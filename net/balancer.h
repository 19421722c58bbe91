// Connections that one server accepts, shared out among the servers of several reactors.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "weir/reactor/posix.h"
#include "weir/reactor/reactor.h"
#include "weir/reactor/tally.h"

namespace weir::inline v1::net {

class Server;

// With SO_REUSEPORT (ListenAt::reuse_port) the kernel spreads connections by a hash of their
// addresses, which evens out over very many of them: of a few hundred one reactor may have twice as
// many as another. Here each goes to the server that has the fewest.
//
//     net::Balancer balancer;
//     first.listen({.port = 80, .balancer = &balancer});   // accepts, and takes its share
//     second.listen({.balancer = &balancer});              // on another reactor: takes its share
//
// A connection passes from the thread that accepted it by Reactor::post(), before it is read. The
// options of its socket that are inherited from the listener (no_delay, keep_alive) are those of
// the server that accepts; all else is as its own server says, max_connections too. One that cannot
// be passed on, for its reactor's queue of posted tasks is full, is closed, and the accepting
// server says so by on_server_error (ENOBUFS). What is on its way to a server that stops listening
// is closed.
//
// Owner: the user; it outlives the reactors of all servers that listen with it. Thread: any may
// make it and destroy it. Not on the simulator.
class Balancer {
 public:
  Balancer() = default;
  Balancer(const Balancer&) = delete;
  Balancer& operator=(const Balancer&) = delete;
  ~Balancer();

  // Any thread. Servers that listen with it now.
  std::size_t servers() const;

 private:
  friend class BalancerSeat;

  // A server's place, or what one has left for the next of its reactor. It stays where it is, for
  // connections may be on their way to it.
  struct Seat {
    explicit Seat(Reactor& its_reactor) noexcept : reactor(its_reactor) {}

    // Below the truth for a moment, when several accept.
    std::int64_t load() const noexcept {
      const std::uint64_t seen = given;
      return static_cast<std::int64_t>(seen - taken + open);
    }

    Reactor& reactor;
    Server* server = nullptr;  // for its thread alone
    std::atomic<bool> left = false;
    std::atomic<std::uint64_t> given = 0;
    // Written by its thread.
    Tally taken;  // of those given
    Tally open;   // connections of all kinds
  };

  Seat& add(Server& server);
  void remove(Seat& seat) noexcept;

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::atomic<std::uint64_t> version_ = 0;  // of seats_
};

// A server's place at a balancer. Of the server's thread, as it is itself.
class BalancerSeat {
 public:
  BalancerSeat(Balancer& balancer, Server& server);
  BalancerSeat(const BalancerSeat&) = delete;
  BalancerSeat& operator=(const BalancerSeat&) = delete;
  ~BalancerSeat();

  enum class Given : std::uint8_t { to_nobody, to_another, lost };
  // Of a connection that the server has accepted. to_nobody: it is the server's own. lost: it is
  // closed.
  Given give(int fd);
  void set_open(std::uint64_t connections) noexcept { seat_.open = connections; }

 private:
  class Passing;

  void look_again();

  Balancer& balancer_;
  Balancer::Seat& seat_;
  std::vector<Balancer::Seat*> known_;  // those that the balancer had at `version_`
  std::uint64_t version_ = 0;
};

}  // namespace weir::inline v1::net
