#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bench/histogram.h"
#include "bench/load.h"
#include "bench/load_clock.h"
#include "bench/load_connect.h"
#include "bench/load_pattern.h"

namespace weir::bench {

enum class LoadPhase { kWarmup, kMeasure, kDrain };

// What the workers of one run have in common.
struct LoadShared {
  explicit LoadShared(int workers)
      : messages(std::make_unique<Counter[]>(static_cast<std::size_t>(workers))),
        workers(workers) {}

  struct alignas(64) Counter {
    // Messages echoed since the start. Written by one worker.
    std::atomic<std::uint64_t> value{0};
  };

  std::uint64_t total_messages() const {
    std::uint64_t total = 0;
    for (int i = 0; i < workers; ++i) {
      total += messages[static_cast<std::size_t>(i)].value.load(std::memory_order_relaxed);
    }
    return total;
  }

  // The first error wins; all workers stop.
  void fail(std::string message) {
    const std::scoped_lock lock(error_mutex);
    if (error.empty()) error = std::move(message);
    failed.store(true, std::memory_order_release);
  }

  LoadPattern pattern;
  std::unique_ptr<Counter[]> messages;
  int workers;
  // Moved on by worker 0 alone, so that its window is everybody's.
  std::atomic<LoadPhase> phase{LoadPhase::kWarmup};
  std::atomic<bool> failed{false};
  std::mutex error_mutex;
  std::string error;
};

// One thread's share of the connections, driven by one epoll loop.
class LoadWorker {
 public:
  // Takes over the connected sockets. `first` is the number of the first in the whole run.
  LoadWorker(const LoadOptions& options, const LoadTarget& target, LoadShared& shared, int index,
             int first, std::vector<int> sockets);
  ~LoadWorker();
  LoadWorker(const LoadWorker&) = delete;
  LoadWorker& operator=(const LoadWorker&) = delete;

  // Runs all phases; returns when every connection is closed or any worker has failed.
  void run();

  const Histogram& latency() const { return latency_; }
  // Of worker 0: the window as it came out.
  const LoadResult& window() const { return window_; }

 private:
  struct Connection {
    int fd = -1;
    std::uint64_t start = 0;
    // Positions in the stream: sent <= granted, and received never goes past sent.
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t granted = 0;
    // Where the message ends that is being received.
    std::uint64_t message_end = 0;
    // Index of that message's entry in due_, within the connection's part.
    std::uint64_t slot = 0;
    // True once an event announced the server's end: a short read then proves nothing.
    bool read_to_end = false;
    // True once our side is shut down because the connection has had its messages.
    bool ended = false;
    // True once the server closed the connection, and no other takes its place.
    bool closed = false;
  };

  bool start();
  bool watch(std::size_t index);
  bool begin(std::size_t index, std::int64_t now);
  void turn(int timeout_ms);
  void lead(std::int64_t now);
  void open_window(std::int64_t now);
  void close_window(std::int64_t now);
  bool drained(std::int64_t now);
  void handle(std::size_t index, std::uint32_t events);
  bool receive(std::size_t index, Connection& connection);
  bool accept_bytes(std::size_t index, Connection& connection, std::size_t size);
  void complete_messages(std::size_t index, Connection& connection, std::int64_t now);
  bool send_granted(std::size_t index, Connection& connection);
  bool at_server_end(std::size_t index, Connection& connection);
  bool replace(std::size_t index);
  bool fail(std::size_t index, const std::string& what);
  std::string missing() const;
  void finish_sending();
  int timeout_ms() const;

  const LoadOptions& options_;
  const LoadTarget& target_;
  LoadShared& shared_;
  const int index_;
  const int first_;
  // Where the stream of a connection ends.
  const std::uint64_t end_;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  // When each message that is under way became due: `pipeline` entries for each connection.
  std::vector<std::int64_t> due_;
  std::unique_ptr<char[]> buffer_;
  Histogram latency_;
  std::uint64_t messages_ = 0;
  // Connections that took the place of others.
  std::uint64_t replaced_ = 0;

  LoadPhase phase_ = LoadPhase::kWarmup;
  std::int64_t phase_deadline_ = 0;
  // Connections that still miss messages, and those that the server has not closed yet.
  std::size_t unfinished_ = 0;
  std::size_t open_ = 0;
  // True once our side of every connection is shut down.
  bool finished_sending_ = false;

  // Worker 0 only.
  std::optional<clockid_t> server_clock_;
  std::optional<CpuClockEdge> edge_;
  std::int64_t window_begin_ = 0;
  std::int64_t window_cpu_begin_ = 0;
  std::uint64_t window_messages_begin_ = 0;
  LoadResult window_;
};

}  // namespace weir::bench
