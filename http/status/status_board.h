// What several servers have counted, together.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "weir/http/server.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::http {

// All servers of a board, and the reactors that they are on, each once.
struct StatusSample {
  ServerStats servers;  // summed up; latency: of those that measure it
  std::vector<Counters> reactors;
};

// Servers of any threads, for whoever wants to know about all of them. Any thread; destroyed after
// the last seat.
class StatusBoard {
 public:
  // A server's place. Owner: whoever has the server; gone before it. What the server has counted
  // stays in the sums. Any thread.
  class Seat {
   public:
    Seat(Seat&& other) noexcept
        : board_(std::exchange(other.board_, nullptr)), server_(other.server_) {}
    Seat& operator=(Seat&&) = delete;
    ~Seat();

   private:
    friend class StatusBoard;
    Seat(StatusBoard& board, const Server& server) noexcept : board_(&board), server_(&server) {}
    StatusBoard* board_;
    const Server* server_;
  };

  StatusBoard() = default;
  StatusBoard(const StatusBoard&) = delete;
  StatusBoard& operator=(const StatusBoard&) = delete;

  [[nodiscard]] Seat add(const Server& server);
  // Does not wait for the servers' threads: one that is stuck has its last numbers.
  StatusSample sample() const;

 private:
  void remove(const Server& server) noexcept;

  mutable std::mutex mutex_;  // short: adding, removing, reading numbers
  std::vector<const Server*> servers_;
  ServerStats gone_;  // of servers that have left
};

}  // namespace weir::inline v1::http
