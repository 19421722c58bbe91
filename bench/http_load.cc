#include "bench/http_load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

constexpr std::uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::uint32_t kEndOfInput = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr int kMaxEvents = 512;
// Full buffers that one connection may bring, and pieces that it may send, before the others get
// their turn.
constexpr int kPiecesPerTurn = 16;
constexpr std::size_t kBufferSize = 256 * 1024;
// A longer response is read as HTTP each time.
constexpr std::size_t kRememberedMax = 64 * 1024;
constexpr int kMaxSleepMs = 20;

enum class Phase : std::uint8_t { warmup, measure, drain };

std::int64_t to_nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

struct Connection {
  int fd = -1;
  // Positions in the plan's stream of bytes.
  std::uint64_t sent = 0;
  std::uint64_t granted = 0;
  // Where the request ends that is answered next.
  std::uint64_t answered_end = 0;
  // Requests, since the connection was opened.
  std::uint64_t asked = 0;
  std::uint64_t answered = 0;
  // The kind of the request that is answered next.
  std::size_t kind = 0;
  // True exactly while a part of a response has been read.
  bool in_answer = false;
  // True once an event announced the server's end: a short read then proves nothing.
  bool read_to_end = false;
  // True once our side is shut down, at the end of the load.
  bool ended = false;
  // True once both sides are, and no other connection takes its place.
  bool closed = false;
};

class HttpLoad {
 public:
  explicit HttpLoad(const HttpLoadOptions& options)
      : options_(options),
        depth_(static_cast<std::size_t>(options.pipeline)),
        plan_(options.script, options.requests_per_connection, options.pipeline, pattern_),
        connections_(static_cast<std::size_t>(options.connections)),
        readers_(connections_.size(), AnswerReader(pattern_)),
        due_(connections_.size() * depth_),
        good_(plan_.kinds()),
        buffer_(kBufferSize),
        open_(connections_.size()) {}
  HttpLoad(const HttpLoad&) = delete;
  HttpLoad& operator=(const HttpLoad&) = delete;
  ~HttpLoad() {
    for (const Connection& connection : connections_) {
      if (connection.fd >= 0) close(connection.fd);
    }
    if (epoll_ >= 0) close(epoll_);
  }

  std::expected<HttpLoadResult, std::string> run() {
    if (start() && loop()) {
      if (result_.requests != 0) return std::move(result_);
      error_ = "no response came within the measuring window";
    }
    return std::unexpected(error_);
  }

 private:
  bool start();
  bool loop();
  int timeout_ms() const;
  void lead(std::int64_t now);
  void open_window(std::int64_t now);
  void close_window(std::int64_t now);
  std::string missing() const;

  bool open(std::size_t index, std::int64_t now);
  bool may_ask(const Connection& connection) const {
    return phase_ != Phase::drain && connection.asked - connection.answered < depth_ &&
           (!plan_.ends() || connection.asked < plan_.kinds());
  }
  void ask(std::size_t index, std::int64_t now);
  bool send_asked(std::size_t index);
  bool handle(std::size_t index, std::uint32_t events);
  bool receive(std::size_t index);
  bool take(std::size_t index, std::string_view bytes, std::int64_t now);
  bool take_answer(std::size_t index, std::string_view& bytes);
  bool complete(std::size_t index, std::int64_t now);
  void ask_or_end(std::size_t index, std::int64_t now);
  bool at_server_end(std::size_t index);
  void announce_again(std::size_t index);
  bool fail(std::size_t index, const std::string& what) {
    error_ = "connection " + std::to_string(index) + ": " + what;
    return false;
  }
  bool fail_errno(std::size_t index, const std::string& what) {
    return fail(index, what + ": " + std::strerror(errno));
  }

  const HttpLoadOptions& options_;
  const std::size_t depth_;
  const LoadPattern pattern_;
  const HttpPlan plan_;
  std::vector<Connection> connections_;
  // One for each connection: it is as new when a response is complete.
  std::vector<AnswerReader> readers_;
  // When each request that is under way became due: `depth_` entries for each connection.
  std::vector<std::int64_t> due_;
  // The last response to each kind of request, read and found good.
  std::vector<std::string> good_;
  std::vector<char> buffer_;
  int epoll_ = -1;
  std::size_t open_;
  Phase phase_ = Phase::warmup;
  std::int64_t deadline_ = 0;
  std::optional<clockid_t> server_clock_;
  std::optional<CpuClockEdge> edge_;

  // Since the start; in `begin_` when the window was opened.
  struct Counts {
    std::uint64_t requests = 0;
    std::uint64_t connections = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_received = 0;
  };
  Counts counts_;
  Counts begin_;
  std::int64_t window_begin_ = 0;
  std::int64_t window_cpu_begin_ = 0;
  HttpLoadResult result_;
  std::string error_;
};

// ---- The course of the load ----

bool HttpLoad::start() {
  if (options_.server_pid != 0) {
    server_clock_ = process_cpu_clock(options_.server_pid);
    if (!server_clock_) {
      error_ = "there is no process " + std::to_string(options_.server_pid);
      return false;
    }
  }
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  const std::int64_t now = monotonic_now();
  deadline_ = now + to_nanoseconds(options_.warmup_seconds);
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    if (!open(i, now)) return false;
  }
  return true;
}

bool HttpLoad::loop() {
  std::array<epoll_event, kMaxEvents> events;
  while (open_ > 0) {
    const int ready = epoll_wait(epoll_, events.data(), kMaxEvents, timeout_ms());
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (!handle(event.data.u64, event.events)) return false;
    }
    const std::int64_t now = monotonic_now();
    if (now < deadline_) continue;
    if (phase_ == Phase::drain) {
      error_ = missing();
      return false;
    }
    lead(now);
  }
  return true;
}

// Sleeps to the next event, but not past the next change of phase.
int HttpLoad::timeout_ms() const {
  if (edge_) return 1;
  const std::int64_t left = (deadline_ - monotonic_now()) / 1'000'000 + 1;
  return static_cast<int>(std::clamp<std::int64_t>(left, 1, kMaxSleepMs));
}

// On to the next phase when the server's CPU clock is exact. Requests go on being sent meanwhile,
// so the window has no gap at either end. One without a response goes on until there is one.
void HttpLoad::lead(std::int64_t now) {
  const bool empty = phase_ == Phase::measure && counts_.requests == begin_.requests;
  if (empty && now < deadline_ + to_nanoseconds(options_.drain_seconds)) return;
  if (!edge_) edge_.emplace(server_clock_);
  if (!edge_->reached(now)) return;
  if (phase_ == Phase::warmup) {
    open_window(now);
  } else {
    close_window(now);
  }
  edge_.reset();
}

void HttpLoad::open_window(std::int64_t now) {
  begin_ = counts_;
  window_begin_ = now;
  window_cpu_begin_ = edge_->value();
  deadline_ = now + to_nanoseconds(options_.duration_seconds);
  phase_ = Phase::measure;
}

void HttpLoad::close_window(std::int64_t now) {
  result_.seconds = static_cast<double>(now - window_begin_) / 1e9;
  result_.requests = counts_.requests - begin_.requests;
  result_.connections = counts_.connections - begin_.connections;
  result_.bytes_sent = counts_.bytes_sent - begin_.bytes_sent;
  result_.bytes_received = counts_.bytes_received - begin_.bytes_received;
  if (server_clock_) {
    result_.server_cpu_seconds = static_cast<double>(edge_->value() - window_cpu_begin_) / 1e9;
  }
  deadline_ = now + to_nanoseconds(options_.drain_seconds);
  phase_ = Phase::drain;
}

std::string HttpLoad::missing() const {
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    const Connection& connection = connections_[i];
    if (connection.closed) continue;
    const std::string name = "connection " + std::to_string(i) + ": ";
    const std::uint64_t due = connection.asked - connection.answered;
    if (due != 0) return name + std::to_string(due) + " responses did not come whole";
    return name + "the server did not close it";
  }
  return "unknown";
}

// ---- One connection ----

bool HttpLoad::open(std::size_t index, std::int64_t now) {
  Connection& connection = connections_[index];
  connection = Connection{};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail_errno(index, "socket");
  connection.fd = fd;
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // bbr paces, which on loopback halves a stream.
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(options_.port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    return fail_errno(index, "connect");
  }
  epoll_event event{};
  event.events = kInterest;
  event.data.u64 = index;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno(index, "epoll_ctl");
  ++counts_.connections;
  connection.answered_end = plan_.size_of(0);
  while (may_ask(connection)) ask(index, now);
  return send_asked(index);
}

void HttpLoad::ask(std::size_t index, std::int64_t now) {
  Connection& connection = connections_[index];
  due_[index * depth_ + connection.asked % depth_] = now;
  connection.granted += plan_.size_of(connection.asked % plan_.kinds());
  ++connection.asked;
}

// While the connection is being made nothing is taken; an edge tells when it is.
bool HttpLoad::send_asked(std::size_t index) {
  Connection& connection = connections_[index];
  for (int pieces = 0; connection.sent < connection.granted; ++pieces) {
    if (pieces == kPiecesPerTurn) {
      announce_again(index);
      return true;
    }
    const std::string_view piece =
        plan_.at(connection.sent).substr(0, connection.granted - connection.sent);
    const ssize_t sent = send(connection.fd, piece.data(), piece.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN) return true;
      if (connection.sent == 0) return fail_errno(index, "connect");
      const std::string what = std::string("send: ") + std::strerror(errno);
      // The server's last words say more, if there are any.
      return receive(index) && fail(index, what);
    }
    connection.sent += static_cast<std::uint64_t>(sent);
    counts_.bytes_sent += static_cast<std::uint64_t>(sent);
    if (static_cast<std::size_t>(sent) < piece.size()) return true;
  }
  return true;
}

// Setting the interest anew makes the kernel report the connection once more.
void HttpLoad::announce_again(std::size_t index) {
  epoll_event event{};
  event.events = kInterest;
  event.data.u64 = index;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connections_[index].fd, &event);
}

bool HttpLoad::handle(std::size_t index, std::uint32_t events) {
  Connection& connection = connections_[index];
  if (connection.closed) return true;
  if ((events & kEndOfInput) != 0) connection.read_to_end = true;
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0 && !receive(index)) return false;
  return connection.closed || send_asked(index);
}

// A receive that does not fill the buffer has emptied the socket.
bool HttpLoad::receive(std::size_t index) {
  Connection& connection = connections_[index];
  for (int pieces = 0; pieces < kPiecesPerTurn; ++pieces) {
    const ssize_t size = recv(connection.fd, buffer_.data(), buffer_.size(), 0);
    if (size < 0) {
      if (errno == EAGAIN) return true;
      return fail_errno(index, connection.sent == 0 ? "connect" : "receive");
    }
    if (size == 0) return at_server_end(index);
    const auto count = static_cast<std::size_t>(size);
    counts_.bytes_received += count;
    if (!take(index, {buffer_.data(), count}, monotonic_now())) return false;
    if (count < buffer_.size() && !connection.read_to_end) return true;
  }
  announce_again(index);
  return true;
}

bool HttpLoad::take(std::size_t index, std::string_view bytes, std::int64_t now) {
  Connection& connection = connections_[index];
  while (!bytes.empty()) {
    if (connection.answered == connection.asked) {
      return fail(index, "bytes that nobody has asked for");
    }
    const std::string& good = good_[connection.kind];
    if (!connection.in_answer && !good.empty() && bytes.starts_with(good)) {
      bytes.remove_prefix(good.size());
    } else {
      if (!take_answer(index, bytes)) return false;
      if (connection.in_answer) break;
    }
    if (!complete(index, now)) return false;
  }
  ask_or_end(index, now);
  return true;
}

// Reads as HTTP, up to the end of a response.
bool HttpLoad::take_answer(std::size_t index, std::string_view& bytes) {
  Connection& connection = connections_[index];
  AnswerReader& reader = readers_[index];
  const std::string_view all = bytes;
  const bool begins = !connection.in_answer;
  if (begins) reader.expect(plan_.answer_to(connection.kind));
  if (!reader.take(bytes)) return fail(index, reader.error());
  connection.in_answer = !reader.finished();
  if (connection.in_answer) return true;
  if (result_.head.empty()) result_.head = reader.head();
  reader.next();
  const std::size_t size = all.size() - bytes.size();
  if (begins && size <= kRememberedMax) good_[connection.kind] = all.substr(0, size);
  return true;
}

bool HttpLoad::complete(std::size_t index, std::int64_t now) {
  Connection& connection = connections_[index];
  if (connection.sent < connection.answered_end) {
    return fail(index, "a response to a request of which " +
                           std::to_string(connection.answered_end - connection.sent) +
                           " bytes were still to be sent");
  }
  ++counts_.requests;
  if (phase_ == Phase::measure) {
    const std::int64_t due = due_[index * depth_ + connection.answered % depth_];
    result_.latency.record(static_cast<std::uint64_t>(now - due));
  }
  ++connection.answered;
  connection.kind = connection.kind + 1 == plan_.kinds() ? 0 : connection.kind + 1;
  connection.answered_end += plan_.size_of(connection.kind);
  return true;
}

// The closed loop: each answer makes room for a new request. A server that was asked to close the
// connection has to do so by itself.
void HttpLoad::ask_or_end(std::size_t index, std::int64_t now) {
  Connection& connection = connections_[index];
  while (may_ask(connection)) ask(index, now);
  if (phase_ != Phase::drain || connection.answered < connection.asked) return;
  if (plan_.ends() && connection.asked == plan_.kinds()) return;
  connection.ended = true;
  shutdown(connection.fd, SHUT_WR);
}

bool HttpLoad::at_server_end(std::size_t index) {
  Connection& connection = connections_[index];
  const bool asked_to_close = plan_.ends() && connection.asked == plan_.kinds();
  if (connection.answered < connection.asked || !(asked_to_close || connection.ended)) {
    return fail(index, "the server closed it after " + std::to_string(connection.answered) +
                           " responses, while requests were under way");
  }
  close(connection.fd);
  connection.fd = -1;
  if (phase_ != Phase::drain) return open(index, monotonic_now());
  connection.closed = true;
  --open_;
  return true;
}

}  // namespace

std::expected<HttpLoadResult, std::string> run_http_load(const HttpLoadOptions& options) {
  return HttpLoad(options).run();
}

}  // namespace weir::bench
