#include "bench/crowd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "bench/machine.h"

namespace weir::bench {
namespace {

// How many connections come, or speak, at a time: fewer than a listener's backlog.
constexpr std::size_t kAtOnce = 64;
// Longer than any step takes of one crowd; whoever waits for it knows then that it hangs.
constexpr int kStepLimitMs = 180'000;
constexpr time_t kAnswerLimitSeconds = 20;

constexpr std::size_t kMessageBytes = 32;
// Together enough to go through all memory that a server has ready to receive into.
constexpr std::size_t kWarmUpBytes = std::size_t{64} << 10;
constexpr int kWarmUpRounds = 4;

// Every byte follows from the connection and how often it has spoken.
std::string message_of(std::size_t connection, unsigned turn, std::size_t size) {
  std::string message(size, '\0');
  std::uint64_t state = (connection + 1) * 0x9e3779b97f4a7c15 + turn;
  for (char& byte : message) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state >> 56);
  }
  return message;
}

// Runs in the process of the crowd. The first thing that goes wrong is its answer, and its end.
class Clients {
 public:
  Clients(const sockaddr_in& server, std::size_t connections)
      : server_(server), connections_(connections) {
    fds_.reserve(connections);
  }

  std::string warm_up() {
    if (!connect(std::min(kAtOnce, connections_))) return error_;
    for (int round = 0; round < kWarmUpRounds; ++round) {
      if (!speak(0, fds_.size(), 0, kWarmUpBytes)) return error_;
    }
    for (const int fd : fds_) close(fd);
    fds_.clear();
    return {};
  }

  std::string hold() {
    while (fds_.size() < connections_) {
      const std::size_t first = fds_.size();
      if (!connect(std::min(kAtOnce, connections_ - first)) || !speak(first, fds_.size(), 1)) {
        return error_;
      }
    }
    return {};
  }

  std::string check() {
    for (std::size_t i = 0; i < fds_.size(); ++i) {
      char byte = 0;
      const ssize_t got = recv(fds_[i], &byte, 1, MSG_DONTWAIT);
      if (got == 0) return "connection " + std::to_string(i) + " was ended while it was idle";
      if (got > 0) return "connection " + std::to_string(i) + " had a byte too many";
      if (errno != EAGAIN) {
        failed(i, "recv");
        return error_;
      }
    }
    for (std::size_t first = 0; first < fds_.size(); first += kAtOnce) {
      if (!speak(first, std::min(first + kAtOnce, fds_.size()), 2)) return error_;
    }
    return {};
  }

 private:
  // False, for whoever returns it.
  bool failed(std::size_t connection, const char* what) {
    error_ = "connection " + std::to_string(connection) + ": " + what + ": " + strerror(errno);
    return false;
  }

  bool connect(std::size_t count) {
    for (; count > 0; --count) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (fd < 0) return failed(fds_.size(), "socket");
      fds_.push_back(fd);
      // It ends by a reset: a million that wait for late packets are of no use.
      const linger now{.l_onoff = 1, .l_linger = 0};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      const timeval patience{.tv_sec = kAnswerLimitSeconds, .tv_usec = 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      if (::connect(fd, reinterpret_cast<const sockaddr*>(&server_), sizeof server_) != 0) {
        return failed(fds_.size() - 1, "connect");
      }
    }
    return true;
  }

  bool speak(std::size_t first, std::size_t end, unsigned turn, std::size_t size = kMessageBytes) {
    for (std::size_t i = first; i < end; ++i) {
      const std::string message = message_of(i, turn, size);
      if (send(fds_[i], message.data(), message.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(message.size())) {
        return failed(i, "send");
      }
    }
    for (std::size_t i = first; i < end; ++i) {
      std::string echo(size, '\0');
      const ssize_t got = recv(fds_[i], echo.data(), echo.size(), MSG_WAITALL);
      if (got < 0) return failed(i, "recv");
      if (echo != message_of(i, turn, size)) {
        error_ = "connection " + std::to_string(i) + ": " + std::to_string(got) +
                 " bytes came back, and not those that were sent";
        return false;
      }
    }
    return true;
  }

  sockaddr_in server_;
  std::size_t connections_;
  std::vector<int> fds_;
  std::string error_;
};

[[noreturn]] void serve(int channel, Clients& clients) {
  for (char command = 0; recv(channel, &command, 1, 0) == 1;) {
    const std::string error = command == 'w'   ? clients.warm_up()
                              : command == 'h' ? clients.hold()
                                               : clients.check();
    const std::string answer = error.empty() ? "ok" : error;
    if (send(channel, answer.data(), answer.size(), MSG_NOSIGNAL) < 0 || !error.empty()) break;
  }
  _exit(0);
}

[[noreturn]] void become_clients(int channel, const sockaddr_in& server, std::size_t connections,
                                 int cpu, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above took effect.
  if (getppid() != parent) _exit(127);
  // What the parent has open is none of theirs.
  constexpr int kChannel = 3;
  if (channel != kChannel && dup2(channel, kChannel) != kChannel) _exit(127);
  syscall(SYS_close_range, kChannel + 1, ~0U, 0);
  if (cpu >= 0) pin_to_cpu(cpu);
  Clients clients(server, connections);
  serve(kChannel, clients);
}

}  // namespace

std::expected<Crowd, std::string> Crowd::start(const std::string& host, std::uint16_t port,
                                               std::size_t connections, int cpu) {
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &server.sin_addr) != 1) {
    return std::unexpected(host + " is no IPv4 address");
  }
  std::array<int, 2> ends{-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return std::unexpected(std::string("socketpair: ") + strerror(errno));
  }
  const pid_t parent = getpid();
  Crowd crowd;
  crowd.pid_ = fork();
  if (crowd.pid_ == 0) become_clients(ends[1], server, connections, cpu, parent);
  close(ends[1]);
  crowd.channel_ = ends[0];
  if (crowd.pid_ < 0) return std::unexpected(std::string("fork: ") + strerror(errno));
  return crowd;
}

void Crowd::send_command(char command) { send(channel_, &command, 1, MSG_NOSIGNAL); }

std::expected<void, std::string> Crowd::finish() {
  pollfd entry{channel_, POLLIN, 0};
  int ready = -1;
  do {
    ready = poll(&entry, 1, kStepLimitMs);
  } while (ready < 0 && errno == EINTR);
  if (ready != 1) return std::unexpected("its clients hang");
  std::array<char, 512> text;
  const ssize_t size = recv(channel_, text.data(), text.size(), 0);
  if (size <= 0) return std::unexpected("its clients are gone");
  const std::string answer(text.data(), static_cast<std::size_t>(size));
  if (answer != "ok") return std::unexpected(answer);
  return {};
}

Crowd::Crowd(Crowd&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), channel_(std::exchange(other.channel_, -1)) {}

Crowd::~Crowd() {
  if (channel_ >= 0) close(channel_);
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace weir::bench
