#include "bench/file_load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <vector>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

constexpr int kMaxEvents = 256;
constexpr std::size_t kBufferSize = 256 * 1024;
// Bytes at both ends of a body that are compared in the window, too.
constexpr std::uint64_t kCompared = 1024;
constexpr std::size_t kHeadMax = 4096;
// Full buffers that one connection may bring before the others get their turn.
constexpr int kReadsPerTurn = 8;

enum class Phase : std::uint8_t { warmup, measure, drain };

struct Connection {
  int fd = -1;
  bool busy = false;
  bool in_body = false;
  std::string head;
  std::uint64_t received = 0;  // of the body
};

// Content-Length of a head that ends with its last line's \r\n; none unless there is exactly one.
std::optional<std::uint64_t> content_length_of(std::string_view head) {
  constexpr std::string_view kName = "content-length:";
  std::optional<std::uint64_t> length;
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    std::string_view line = head.substr(at, end - at);
    at = end + 2;
    if (line.size() < kName.size() ||
        strncasecmp(line.data(), kName.data(), kName.size()) != 0) {
      continue;
    }
    line.remove_prefix(kName.size());
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    std::uint64_t value = 0;
    const char* const last = line.data() + line.size();
    const auto parsed = std::from_chars(line.data(), last, value);
    if (length || line.empty() || parsed.ec != std::errc() || parsed.ptr != last) return {};
    length = value;
  }
  return length;
}

class FileLoad {
 public:
  explicit FileLoad(const FileLoadOptions& options)
      : options_(options),
        request_("GET " + options.target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        connections_(static_cast<std::size_t>(options.connections)),
        buffer_(kBufferSize) {}
  FileLoad(const FileLoad&) = delete;
  FileLoad& operator=(const FileLoad&) = delete;
  ~FileLoad() {
    for (const Connection& connection : connections_) {
      if (connection.fd >= 0) close(connection.fd);
    }
    if (epoll_ >= 0) close(epoll_);
  }

  std::expected<FileLoadResult, std::string> run() {
    if (start() && loop()) {
      if (result_.requests != 0) return std::move(result_);
      error_ = "no response came within the measuring window";
    }
    return std::unexpected(error_);
  }

 private:
  bool fail(const std::string& what) {
    error_ = what;
    return false;
  }
  bool fail_errno(const std::string& what) { return fail(what + ": " + std::strerror(errno)); }

  bool start();
  bool open(std::size_t index);
  bool loop();
  bool lead(std::int64_t now);
  bool ask(Connection& connection);
  struct Read {
    std::size_t size;
    bool drop;
  };
  Read next_read(const Connection& connection) const;
  bool receive(Connection& connection);
  bool take(Connection& connection, std::string_view bytes);
  bool take_head(Connection& connection, std::string_view& bytes);
  bool take_body(Connection& connection, std::string_view bytes);
  bool finish(Connection& connection);
  std::uint64_t left(const Connection& connection) const {
    return options_.file.size() - connection.received;
  }

  const FileLoadOptions& options_;
  const std::string request_;
  std::vector<Connection> connections_;
  std::vector<char> buffer_;
  int epoll_ = -1;
  int busy_ = 0;
  Phase phase_ = Phase::warmup;
  std::int64_t deadline_ = 0;
  std::optional<clockid_t> server_clock_;
  std::optional<CpuClockEdge> edge_;
  std::int64_t window_begin_ = 0;
  std::int64_t window_cpu_begin_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t window_requests_begin_ = 0;
  FileLoadResult result_;
  std::string error_;
};

std::int64_t to_nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

bool FileLoad::start() {
  if (options_.server_pid != 0) {
    server_clock_ = process_cpu_clock(options_.server_pid);
    if (!server_clock_) return fail("there is no process " + std::to_string(options_.server_pid));
  }
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    if (!open(i)) return false;
  }
  deadline_ = monotonic_now() + to_nanoseconds(options_.warmup_seconds);
  for (Connection& connection : connections_) {
    if (!ask(connection)) return false;
  }
  return true;
}

bool FileLoad::open(std::size_t index) {
  const int fd = connections_[index].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // bbr paces, which on loopback halves a stream.
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(options_.port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("connect");
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = index;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0 || fail_errno("epoll_ctl");
}

bool FileLoad::loop() {
  std::array<epoll_event, kMaxEvents> events;
  while (phase_ != Phase::drain || busy_ > 0) {
    const int ready = epoll_wait(epoll_, events.data(), kMaxEvents, 1);
    for (int i = 0; i < ready; ++i) {
      if (!receive(connections_[events[static_cast<std::size_t>(i)].data.u64])) return false;
    }
    if (!lead(monotonic_now())) return false;
  }
  return true;
}

// On to the next phase when the time has come and the server's CPU clock is exact. Requests go on
// being sent meanwhile, so the window has no gap at either end.
bool FileLoad::lead(std::int64_t now) {
  if (now < deadline_) return true;
  if (phase_ == Phase::drain) return fail(std::to_string(busy_) + " responses did not come whole");
  // A window without a response goes on until there is one.
  const bool empty = phase_ == Phase::measure && requests_ == window_requests_begin_;
  if (empty && now < deadline_ + to_nanoseconds(options_.drain_seconds)) return true;
  if (!edge_) edge_.emplace(server_clock_);
  if (!edge_->reached(now)) return true;
  if (phase_ == Phase::warmup) {
    window_begin_ = now;
    window_cpu_begin_ = edge_->value();
    window_requests_begin_ = requests_;
    deadline_ = now + to_nanoseconds(options_.duration_seconds);
    phase_ = Phase::measure;
  } else {
    result_.seconds = static_cast<double>(now - window_begin_) / 1e9;
    result_.server_cpu_seconds = static_cast<double>(edge_->value() - window_cpu_begin_) / 1e9;
    result_.requests = requests_ - window_requests_begin_;
    deadline_ = now + to_nanoseconds(options_.drain_seconds);
    phase_ = Phase::drain;
  }
  edge_.reset();
  return true;
}

bool FileLoad::ask(Connection& connection) {
  connection.head.clear();
  connection.in_body = false;
  connection.received = 0;
  connection.busy = true;
  ++busy_;
  // The socket is empty and the request short: all of it goes, or the connection is no good.
  const ssize_t sent = send(connection.fd, request_.data(), request_.size(),
                            MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return fail_errno("send");
  return static_cast<std::size_t>(sent) == request_.size() || fail("the request was cut");
}

// All heads are about as long as the first one: a bit of the body is read with them.
FileLoad::Read FileLoad::next_read(const Connection& connection) const {
  if (phase_ == Phase::warmup || options_.reads_all) return {buffer_.size(), false};
  if (!connection.in_body) return {result_.head.size() + kCompared, false};
  if (connection.received < kCompared) return {kCompared - connection.received, false};
  const std::uint64_t rest = left(connection);
  if (rest > kCompared) return {rest - kCompared, true};
  return {buffer_.size(), false};
}

bool FileLoad::receive(Connection& connection) {
  for (int reads = 0; reads < kReadsPerTurn; ++reads) {
    const auto [size, drop] = next_read(connection);
    const ssize_t got = recv(connection.fd, drop ? nullptr : buffer_.data(), size,
                             MSG_DONTWAIT | (drop ? MSG_TRUNC : 0));
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got < 0) return fail_errno("receive");
    if (got == 0) return fail("the server closed a connection");
    const auto count = static_cast<std::size_t>(got);
    if (drop) {
      connection.received += count;
    } else if (!take(connection, {buffer_.data(), count})) {
      return false;
    }
    if (count < size) return true;
  }
  return true;
}

bool FileLoad::take(Connection& connection, std::string_view bytes) {
  if (!connection.busy) return fail("bytes behind a response");
  if (!connection.in_body && !take_head(connection, bytes)) return error_.empty();
  return take_body(connection, bytes);
}

// True with what is behind the head; false when it is not complete, or wrong, which is an error.
bool FileLoad::take_head(Connection& connection, std::string_view& bytes) {
  const std::size_t before = connection.head.size();
  connection.head += bytes.substr(0, kHeadMax + 1);
  const std::size_t end = connection.head.find("\r\n\r\n");
  if (end == std::string::npos) {
    return connection.head.size() > kHeadMax && fail("a head without an end");
  }
  bytes.remove_prefix(end + 4 - before);
  connection.head.resize(end + 4);
  const std::string_view lines = std::string_view(connection.head).substr(0, end + 2);
  if (!lines.starts_with("HTTP/1.1 200 ")) return fail("not 200: " + connection.head);
  if (content_length_of(lines) != options_.file.size()) {
    return fail("another length: " + connection.head);
  }
  if (result_.head.empty()) result_.head = connection.head;
  connection.in_body = true;
  return true;
}

bool FileLoad::take_body(Connection& connection, std::string_view bytes) {
  if (bytes.size() > left(connection)) return fail("bytes behind a response");
  if (phase_ == Phase::warmup || options_.reads_all) {
    if (options_.file.compare(connection.received, bytes.size(), bytes) != 0) {
      return fail("other bytes");
    }
  } else {
    const std::uint64_t begin = connection.received;
    const std::uint64_t end = begin + bytes.size();
    const std::uint64_t last_part = options_.file.size() - std::min<std::uint64_t>(
                                                               kCompared, options_.file.size());
    const auto differs = [&](std::uint64_t from, std::uint64_t to) {
      return from < to && options_.file.compare(from, to - from,
                                                bytes.substr(from - begin, to - from)) != 0;
    };
    if (differs(begin, std::min(end, kCompared)) || differs(std::max(begin, last_part), end)) {
      return fail("other bytes");
    }
  }
  connection.received += bytes.size();
  return left(connection) != 0 || finish(connection);
}

bool FileLoad::finish(Connection& connection) {
  connection.busy = false;
  --busy_;
  ++requests_;
  return phase_ == Phase::drain || ask(connection);
}

}  // namespace

std::expected<FileLoadResult, std::string> run_file_load(const FileLoadOptions& options) {
  return FileLoad(options).run();
}

}  // namespace weir::bench
