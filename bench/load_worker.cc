#include "bench/load_worker.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "bench/load_check.h"

namespace weir::bench {
namespace {

constexpr std::uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::uint32_t kEndOfInput = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr int kMaxEvents = 512;
// Full buffers that one connection may bring before the others get their turn.
constexpr int kReadsPerTurn = 16;
// How long a worker may sleep before it looks for the phase that worker 0 has set.
constexpr int kMaxSleepMs = 20;

std::int64_t to_nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

}  // namespace

LoadWorker::LoadWorker(const LoadOptions& options, const LoadTarget& target, LoadShared& shared,
                       int index, int first, std::vector<int> sockets)
    : options_(options),
      target_(target),
      shared_(shared),
      index_(index),
      first_(first),
      end_(options.messages_per_connection == 0
               ? UINT64_MAX
               : options.size * static_cast<std::uint64_t>(options.messages_per_connection)),
      connections_(sockets.size()),
      due_(sockets.size() * static_cast<std::size_t>(options.pipeline)),
      buffer_(std::make_unique<char[]>(LoadPattern::kMaxRun)),
      unfinished_(sockets.size()),
      open_(sockets.size()) {
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    connections_[i].fd = sockets[i];
    connections_[i].start = LoadPattern::start_of(static_cast<std::uint64_t>(first) + i);
    connections_[i].message_end = options.size;
  }
}

LoadWorker::~LoadWorker() {
  for (const Connection& connection : connections_) {
    if (connection.fd >= 0) close(connection.fd);
  }
  if (epoll_ >= 0) close(epoll_);
}

void LoadWorker::run() {
  if (!start()) return;
  for (;;) {
    turn(timeout_ms());
    if (shared_.failed.load(std::memory_order_acquire)) return;
    if (phase_ != LoadPhase::kDrain) {
      const std::int64_t now = monotonic_now();
      if (index_ == 0) lead(now);
      const LoadPhase phase = shared_.phase.load(std::memory_order_acquire);
      if (phase == LoadPhase::kDrain) {
        phase_deadline_ = now + to_nanoseconds(options_.drain_seconds);
      }
      phase_ = phase;
    } else if (drained(monotonic_now())) {
      return;
    }
  }
}

bool LoadWorker::start() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    if (!watch(i)) return false;
  }
  const std::int64_t now = monotonic_now();
  phase_deadline_ = now + to_nanoseconds(options_.warmup_seconds);
  if (index_ == 0 && options_.server_pid != 0) {
    server_clock_ = process_cpu_clock(options_.server_pid);
    if (!server_clock_) {
      shared_.fail("no process with the id " + std::to_string(options_.server_pid));
      return false;
    }
  }
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    if (!begin(i, now)) return false;
  }
  return true;
}

bool LoadWorker::watch(std::size_t index) {
  epoll_event event{};
  event.events = kInterest;
  event.data.u64 = index;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[index].fd, &event) == 0 ||
         fail(index, std::string("epoll: ") + std::strerror(errno));
}

// The first messages of a connection.
bool LoadWorker::begin(std::size_t index, std::int64_t now) {
  const auto depth = static_cast<std::uint64_t>(options_.pipeline);
  std::fill_n(due_.begin() + static_cast<std::ptrdiff_t>(index * depth), depth, now);
  connections_[index].granted = std::min(options_.size * depth, end_);
  return send_granted(index, connections_[index]);
}

// Sleeps to the next event, but not past the next change of phase.
int LoadWorker::timeout_ms() const {
  if (edge_) return 1;
  const std::int64_t left = (phase_deadline_ - monotonic_now()) / 1'000'000 + 1;
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, kMaxSleepMs));
}

void LoadWorker::turn(int timeout_ms) {
  std::array<epoll_event, kMaxEvents> events;
  const int ready = epoll_wait(epoll_, events.data(), kMaxEvents, timeout_ms);
  for (int i = 0; i < ready; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    handle(event.data.u64, event.events);
  }
  shared_.messages[static_cast<std::size_t>(index_)].value.store(messages_,
                                                                 std::memory_order_relaxed);
}

// Worker 0 moves all on to the next phase when the time has come and the server's CPU clock is
// exact. Messages go on being sent meanwhile, so the window has no gap at either end.
void LoadWorker::lead(std::int64_t now) {
  if (now < phase_deadline_) return;
  if (!edge_) edge_.emplace(server_clock_);
  if (!edge_->reached(now)) return;
  if (phase_ == LoadPhase::kWarmup) {
    open_window(now);
  } else {
    close_window(now);
  }
  edge_.reset();
}

void LoadWorker::open_window(std::int64_t now) {
  window_begin_ = now;
  window_cpu_begin_ = edge_->value();
  window_messages_begin_ = shared_.total_messages();
  phase_deadline_ = now + to_nanoseconds(options_.duration_seconds);
  shared_.phase.store(LoadPhase::kMeasure, std::memory_order_release);
}

void LoadWorker::close_window(std::int64_t now) {
  window_.seconds = static_cast<double>(now - window_begin_) / 1e9;
  window_.messages = shared_.total_messages() - window_messages_begin_;
  window_.bytes = window_.messages * options_.size;
  if (server_clock_) {
    window_.server_cpu_seconds = static_cast<double>(edge_->value() - window_cpu_begin_) / 1e9;
  }
  shared_.phase.store(LoadPhase::kDrain, std::memory_order_release);
}

// Two steps, each with the same limit: all messages come back, then, after our end of stream, the
// server's end of stream comes and not a byte before it.
bool LoadWorker::drained(std::int64_t now) {
  if (!finished_sending_ && unfinished_ == 0) {
    finish_sending();
    phase_deadline_ = now + to_nanoseconds(options_.drain_seconds);
  }
  if (finished_sending_ && open_ == 0) return true;
  if (now < phase_deadline_) return false;
  shared_.fail(missing());
  return true;
}

void LoadWorker::finish_sending() {
  finished_sending_ = true;
  for (const Connection& connection : connections_) {
    if (!connection.ended) shutdown(connection.fd, SHUT_WR);
  }
}

std::string LoadWorker::missing() const {
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    const Connection& connection = connections_[i];
    std::array<char, 160> text{};
    if (connection.received < connection.granted) {
      std::snprintf(text.data(), text.size(),
                    "connection %zu: %llu of %llu bytes did not come back within %g s", i + first_,
                    static_cast<unsigned long long>(connection.granted - connection.received),
                    static_cast<unsigned long long>(connection.granted), options_.drain_seconds);
      return text.data();
    }
    if (finished_sending_ && !connection.closed) {
      std::snprintf(text.data(), text.size(),
                    "connection %zu: the server did not close it within %g s of our end of stream",
                    i + first_, options_.drain_seconds);
      return text.data();
    }
  }
  return "unknown";
}

void LoadWorker::handle(std::size_t index, std::uint32_t events) {
  Connection& connection = connections_[index];
  if (connection.closed) return;
  if ((events & kEndOfInput) != 0) connection.read_to_end = true;
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0 && !receive(index, connection)) return;
  if (connection.sent < connection.granted) send_granted(index, connection);
}

// Reads what has arrived. A receive that does not fill the buffer has emptied the socket. False
// when the connection is done with.
bool LoadWorker::receive(std::size_t index, Connection& connection) {
  for (int reads = 0; reads < kReadsPerTurn; ++reads) {
    const ssize_t size = recv(connection.fd, buffer_.get(), LoadPattern::kMaxRun, 0);
    if (size < 0) {
      return errno == EAGAIN || fail(index, std::string("receive: ") + std::strerror(errno));
    }
    if (size == 0) return at_server_end(index, connection);
    const std::int64_t now = monotonic_now();
    if (!accept_bytes(index, connection, static_cast<std::size_t>(size))) return false;
    complete_messages(index, connection, now);
    if (static_cast<std::size_t>(size) < LoadPattern::kMaxRun && !connection.read_to_end) {
      return true;
    }
  }
  // Setting the interest anew makes the kernel report the connection again if it has more.
  epoll_event event{};
  event.events = kInterest;
  event.data.u64 = index;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
  return true;
}

// Checks every byte against the pattern, and that none comes before it was sent.
bool LoadWorker::accept_bytes(std::size_t index, Connection& connection, std::size_t size) {
  const LoadPosition at{connection.start, connection.sent, connection.received};
  const std::string wrong = wrong_in(shared_.pattern, at, buffer_.get(), size);
  if (!wrong.empty()) return fail(index, wrong);
  connection.received += size;
  return true;
}

// The closed loop: each message that is back makes room for a new one.
void LoadWorker::complete_messages(std::size_t index, Connection& connection, std::int64_t now) {
  const auto depth = static_cast<std::uint64_t>(options_.pipeline);
  std::int64_t* due = due_.data() + index * depth;
  while (connection.received >= connection.message_end) {
    ++messages_;
    if (phase_ == LoadPhase::kMeasure) {
      latency_.record(static_cast<std::uint64_t>(now - due[connection.slot]));
    }
    if (phase_ != LoadPhase::kDrain && connection.granted < end_) {
      // The new message is the one that reuses this entry, `depth` messages later.
      due[connection.slot] = now;
      connection.granted += options_.size;
    }
    connection.message_end += options_.size;
    connection.slot = connection.slot + 1 == depth ? 0 : connection.slot + 1;
  }
  // Before the drain each completed message has granted another, but for the last ones of a
  // connection: so this happens once for each.
  if (connection.received < connection.granted) return;
  --unfinished_;
  if (connection.granted < end_) return;
  connection.ended = true;
  shutdown(connection.fd, SHUT_WR);
}

bool LoadWorker::send_granted(std::size_t index, Connection& connection) {
  while (connection.sent < connection.granted) {
    const std::size_t size =
        std::min<std::uint64_t>(connection.granted - connection.sent, LoadPattern::kMaxRun);
    const ssize_t sent = send(connection.fd, shared_.pattern.at(connection.start, connection.sent),
                              size, MSG_NOSIGNAL);
    if (sent < 0) {
      const char* const what = connection.sent == 0 ? "connect: " : "send: ";
      return errno == EAGAIN || fail(index, what + std::string(std::strerror(errno)));
    }
    connection.sent += static_cast<std::uint64_t>(sent);
    if (static_cast<std::size_t>(sent) < size) return true;
  }
  return true;
}

bool LoadWorker::at_server_end(std::size_t index, Connection& connection) {
  if (!finished_sending_ && !connection.ended) {
    return fail(index, "the server closed it after " + std::to_string(connection.received) +
                           " bytes, while messages were under way");
  }
  if (phase_ != LoadPhase::kDrain) return replace(index);
  connection.closed = true;
  --open_;
  return false;
}

// False: this connection is done with. What the next one sends begins elsewhere in the pattern.
bool LoadWorker::replace(std::size_t index) {
  const std::uint64_t number = replaced_++;
  Connection& connection = connections_[index];
  close(connection.fd);
  connection = Connection{};
  connection.start = LoadPattern::start_of(static_cast<std::uint64_t>(first_) + index + number);
  connection.message_end = options_.size;
  connection.fd = connect_soon(target_, number);
  if (connection.fd < 0) return fail(index, std::string("connect: ") + std::strerror(errno));
  ++unfinished_;
  if (watch(index)) begin(index, monotonic_now());
  return false;
}

bool LoadWorker::fail(std::size_t index, const std::string& what) {
  shared_.fail("connection " + std::to_string(index + static_cast<std::size_t>(first_)) + ": " +
               what);
  return false;
}

}  // namespace weir::bench
