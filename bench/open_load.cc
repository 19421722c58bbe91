#include "bench/open_load.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "bench/load.h"
#include "bench/load_check.h"
#include "bench/load_clock.h"
#include "bench/load_connect.h"
#include "bench/load_pattern.h"
#include "bench/soak_random.h"

namespace weir::bench {
namespace {

constexpr std::uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::uint32_t kEndOfInput = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
// Few, so that what has come since is seen soon.
constexpr int kMaxEvents = 16;
// However many are due, what has come back is looked at in between.
constexpr int kSendsInARow = 4;
// How long the last look for the server's ends may sleep.
constexpr int kEndSleepMs = 20;
// Before and behind the measuring window, for the edges of the server's CPU clock.
constexpr double kEdgeSeconds = 0.015;

std::int64_t to_nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

// The server's CPU clock at two moments at which it can be trusted, a window apart.
class CpuWindow {
 public:
  struct Moment {
    std::int64_t time = 0;
    std::int64_t cpu = 0;
    std::uint64_t answered = 0;
  };

  explicit CpuWindow(pid_t server) {
    if (server != 0) clock_ = process_cpu_clock(server);
  }

  bool is_over() const { return reached_ == ends_.size(); }
  // The next of the two may be from now on.
  void look(std::int64_t now, std::uint64_t answered) {
    if (!edge_) edge_.emplace(clock_);
    if (!edge_->reached(now)) return;
    ends_[reached_++] = {now, edge_->value(), answered};
    edge_.reset();
  }
  bool is_open() const { return reached_ == 1; }

  void tell(OpenLoadResult& result) const {
    if (!clock_) return;
    const auto cpu = static_cast<double>(ends_[1].cpu - ends_[0].cpu);
    const auto answered = static_cast<double>(ends_[1].answered - ends_[0].answered);
    result.server_cpu_us_per_message = cpu / 1e3 / answered;
    result.server_cpu_percent = cpu / static_cast<double>(ends_[1].time - ends_[0].time) * 100;
  }

 private:
  std::optional<clockid_t> clock_;
  std::optional<CpuClockEdge> edge_;
  std::array<Moment, 2> ends_{};
  std::size_t reached_ = 0;
};

class OpenLoad {
 public:
  explicit OpenLoad(const OpenLoadOptions& options)
      : options_(options),
        window_begin_(to_nanoseconds(options.warmup_seconds + kEdgeSeconds)),
        window_end_(window_begin_ + to_nanoseconds(options.duration_seconds)),
        schedule_(make_schedule(options.rate,
                                options.warmup_seconds + options.duration_seconds +
                                    2 * kEdgeSeconds,
                                options.seed)),
        connections_(static_cast<std::size_t>(options.connections)),
        buffer_(std::make_unique<char[]>(LoadPattern::kMaxRun)),
        cpu_(options.server_pid) {}
  OpenLoad(const OpenLoad&) = delete;
  OpenLoad& operator=(const OpenLoad&) = delete;
  ~OpenLoad() {
    for (const Connection& connection : connections_) {
      if (connection.fd >= 0) close(connection.fd);
    }
    if (epoll_ >= 0) close(epoll_);
  }

  std::expected<OpenLoadResult, std::string> run() {
    if (!connect_all()) return std::unexpected(error_);
    // Connecting took its time, and is nobody's latency.
    begin_ = monotonic_now();
    exchange();
    if (error_.empty()) end_all();
    if (!error_.empty()) return std::unexpected(error_);
    if (result_.latency.count() == 0) {
      return std::unexpected("no message was due within the measuring window");
    }
    result_.answered_per_second =
        static_cast<double>(answered_in_window_) / options_.duration_seconds;
    cpu_.tell(result_);
    return result_;
  }

 private:
  struct Connection {
    int fd = -1;
    LoadPosition at;
    // Where the stream ends so far: sent <= granted.
    std::uint64_t granted = 0;
    // Messages that are back. The next one is the one of this number among the connection's.
    std::uint64_t answered = 0;
    // True once an event announced the server's end: a short read then proves nothing.
    bool read_to_end = false;
    bool closed = false;
  };

  bool connect_all() {
    LoadOptions place;
    place.port = options_.port;
    const auto target = resolve(place);
    if (!target) return fail(target.error());
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].at.start = LoadPattern::start_of(i);
      connections_[i].fd = connect_one(*target);
      if (connections_[i].fd < 0) return fail_errno(i, "connect");
      epoll_event event{};
      event.events = kInterest;
      event.data.u64 = i;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event) != 0) {
        return fail_errno(i, "epoll");
      }
    }
    return true;
  }

  // Until all of the schedule is sent and back.
  void exchange() {
    const std::int64_t last = schedule_.empty() ? 0 : schedule_.back();
    const std::int64_t patience = begin_ + last + to_nanoseconds(options_.drain_seconds);
    while (error_.empty() && (answered_ < schedule_.size() || !cpu_.is_over())) {
      const std::int64_t now = monotonic_now();
      send_due(now);
      watch_cpu(now - begin_);
      turn(0);
      if (now > patience && next_ == schedule_.size()) fail(missing());
    }
  }

  // The server's end follows ours, and not a byte before it.
  void end_all() {
    for (const Connection& connection : connections_) shutdown(connection.fd, SHUT_WR);
    ending_ = true;
    const std::int64_t patience = monotonic_now() + to_nanoseconds(options_.drain_seconds);
    while (error_.empty() && closed_ < connections_.size()) {
      turn(kEndSleepMs);
      if (monotonic_now() > patience) fail(missing());
    }
  }

  void send_due(std::int64_t now) {
    for (int sends = 0; sends < kSendsInARow; ++sends, now = monotonic_now()) {
      if (next_ == schedule_.size() || begin_ + schedule_[next_] > now) return;
      const std::size_t index = next_ % connections_.size();
      if (is_measured(next_)) {
        result_.lateness.record(static_cast<std::uint64_t>(now - begin_ - schedule_[next_]));
      }
      ++next_;
      connections_[index].granted += options_.size;
      if (!send_granted(index)) return;
    }
  }

  bool is_measured(std::uint64_t message) const {
    return schedule_[message] >= window_begin_ && schedule_[message] < window_end_;
  }

  void watch_cpu(std::int64_t since_begin) {
    if (cpu_.is_over()) return;
    const std::int64_t edge =
        cpu_.is_open() ? window_end_ : window_begin_ - to_nanoseconds(kEdgeSeconds);
    if (since_begin >= edge) cpu_.look(since_begin, answered_);
  }

  void turn(int timeout_ms) {
    std::array<epoll_event, kMaxEvents> events;
    const int ready = epoll_wait(epoll_, events.data(), kMaxEvents, timeout_ms);
    for (int i = 0; i < ready && error_.empty(); ++i) {
      handle(events[static_cast<std::size_t>(i)].data.u64,
             events[static_cast<std::size_t>(i)].events);
    }
  }

  void handle(std::size_t index, std::uint32_t events) {
    Connection& connection = connections_[index];
    if (connection.closed) return;
    if ((events & kEndOfInput) != 0) connection.read_to_end = true;
    if ((events & ~std::uint32_t{EPOLLOUT}) != 0 && !receive(index)) return;
    if (connection.at.sent < connection.granted) send_granted(index);
  }

  // Reads what has arrived, and sends what has become due between two reads. False when the
  // connection is done with.
  bool receive(std::size_t index) {
    Connection& connection = connections_[index];
    for (;;) {
      const ssize_t size = recv(connection.fd, buffer_.get(), LoadPattern::kMaxRun, 0);
      if (size < 0) return errno == EAGAIN || fail_errno(index, "receive");
      if (size == 0) return at_server_end(index);
      const std::int64_t now = monotonic_now();
      const auto count = static_cast<std::size_t>(size);
      const std::string wrong = wrong_in(pattern_, connection.at, buffer_.get(), count);
      if (!wrong.empty()) return fail(index, wrong);
      connection.at.received += count;
      complete(index, now);
      send_due(now);
      if (!error_.empty()) return false;
      if (count < LoadPattern::kMaxRun && !connection.read_to_end) return true;
    }
  }

  void complete(std::size_t index, std::int64_t now) {
    Connection& connection = connections_[index];
    const std::int64_t since_begin = now - begin_;
    while (connection.at.received >= (connection.answered + 1) * options_.size) {
      const std::uint64_t message = index + connection.answered * connections_.size();
      if (is_measured(message)) {
        result_.latency.record(static_cast<std::uint64_t>(since_begin - schedule_[message]));
      }
      if (since_begin >= window_begin_ && since_begin < window_end_) ++answered_in_window_;
      ++connection.answered;
      ++answered_;
    }
  }

  bool send_granted(std::size_t index) {
    Connection& connection = connections_[index];
    LoadPosition& at = connection.at;
    while (at.sent < connection.granted) {
      const std::size_t size =
          std::min<std::uint64_t>(connection.granted - at.sent, LoadPattern::kMaxRun);
      const ssize_t sent = send(connection.fd, pattern_.at(at.start, at.sent), size, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || fail_errno(index, "send");
      at.sent += static_cast<std::uint64_t>(sent);
      if (static_cast<std::size_t>(sent) < size) return true;
    }
    return true;
  }

  bool at_server_end(std::size_t index) {
    if (!ending_) {
      return fail(index, "the server closed it after " +
                             std::to_string(connections_[index].at.received) +
                             " bytes, while messages were under way");
    }
    connections_[index].closed = true;
    ++closed_;
    return false;
  }

  std::string missing() const {
    const auto seconds = std::to_string(static_cast<long>(options_.drain_seconds));
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      const Connection& connection = connections_[i];
      const std::string name = "connection " + std::to_string(i) + ": ";
      if (connection.at.received < connection.granted) {
        return name + std::to_string(connection.granted - connection.at.received) +
               " bytes did not come back within " + seconds + " s";
      }
      if (ending_ && !connection.closed) {
        return name + "the server did not close it within " + seconds + " s of our end of stream";
      }
    }
    return "the server's CPU clock was not read";
  }

  bool fail(std::string what) {
    if (error_.empty()) error_ = std::move(what);
    return false;
  }
  bool fail(std::size_t index, const std::string& what) {
    return fail("connection " + std::to_string(index) + ": " + what);
  }
  bool fail_errno(std::size_t index, const std::string& what) {
    return fail(index, what + ": " + std::strerror(errno));
  }

  const OpenLoadOptions& options_;
  // Since the beginning, as all times of the schedule.
  const std::int64_t window_begin_;
  const std::int64_t window_end_;
  const std::vector<std::int64_t> schedule_;
  std::vector<Connection> connections_;
  const LoadPattern pattern_;
  std::unique_ptr<char[]> buffer_;
  CpuWindow cpu_;
  int epoll_ = -1;
  std::int64_t begin_ = 0;
  // The first message that is not sent yet.
  std::uint64_t next_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t answered_in_window_ = 0;
  std::size_t closed_ = 0;
  bool ending_ = false;
  std::string error_;
  OpenLoadResult result_;
};

}  // namespace

std::vector<std::int64_t> make_schedule(double rate, double seconds, std::uint64_t seed) {
  SoakRandom random(seed);
  std::vector<std::int64_t> moments;
  moments.reserve(static_cast<std::size_t>(rate * seconds * 1.1));
  const std::int64_t end = to_nanoseconds(seconds);
  for (std::int64_t at = random.until_next(rate); at < end; at += random.until_next(rate)) {
    moments.push_back(at);
  }
  return moments;
}

std::expected<OpenLoadResult, std::string> run_open_load(const OpenLoadOptions& options) {
  return std::make_unique<OpenLoad>(options)->run();
}

}  // namespace weir::bench
