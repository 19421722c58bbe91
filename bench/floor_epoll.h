// The least that an epoll server can do: one thread, no library, nothing but the system calls
// that the work needs. What weir's epoll backend costs is the distance to this program.
//
// The choices, each of which measured as the cheapest of its kind:
//  * Edge-triggered and registered once, for reading and writing alike: no epoll_ctl per message.
//  * A receive that does not fill the buffer has emptied the socket, so no second receive has to
//    prove it. Only after the peer's end was announced (which may share the data's edge) does
//    reading go on until the kernel says so.
//  * What a batch of events brought is received first and sent at its end, from one buffer. At
//    64 B x 100 that costs the same as answering each event at once when the cores are near (0.997
//    over 9 pairs), and less when they are far apart (0.937 over 5 pairs). Only if the kernel takes
//    a part of an answer is the remainder copied aside; then reading stops until it is written, so
//    a connection holds at most one buffer.
//
// What is answered is a parameter: an echo, or a fixed response to each request of HTTP.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "bench/floor_common.h"

namespace weir::bench {

// `Answer` has a State for each connection, and says by `answer(state, bytes)` what to send for the
// bytes that came, which may be those bytes. It is valid until it is asked again.
template <class Answer>
class EpollFloor {
 public:
  // `program` is what its messages begin with.
  EpollFloor(const char* program, int listener, bool spin)
      : program_(program),
        listener_(listener),
        timeout_(spin ? 0 : -1),
        buffer_(std::make_unique<char[]>(kBufferSize)) {}

  int run() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0 || !control(EPOLL_CTL_ADD, listener_, EPOLLIN | EPOLLET)) {
      std::fprintf(stderr, "%s: epoll: %s\n", program_, std::strerror(errno));
      return 1;
    }
    announce_floor(listener_, "epoll");
    std::array<epoll_event, kMaxEvents> events;
    for (;;) {
      const int ready = epoll_wait(epoll_, events.data(), kMaxEvents, timeout_);
      if (ready < 0 && errno != EINTR) {
        std::fprintf(stderr, "%s: epoll_wait: %s\n", program_, std::strerror(errno));
        return 1;
      }
      for (int i = 0; i < ready; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == listener_) {
          accept_all();
        } else {
          handle(fd, events[static_cast<std::size_t>(i)].events);
        }
      }
      send_received();
      serve_unfinished();
    }
  }

 private:
  // 64 KiB are as good up to 16 KiB a message; with 1 MiB a message they cost a third more.
  static constexpr std::size_t kBufferSize = 256 * 1024;
  // A batch is sent when less than this is left of the buffer.
  static constexpr std::size_t kRoomMin = 64 * 1024;
  static constexpr int kMaxEvents = 512;
  // Full buffers that one connection may bring before the others get their turn.
  static constexpr int kReadsPerTurn = 4;
  static constexpr std::uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  static constexpr std::uint32_t kEndOfInput = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

  struct Connection {
    [[no_unique_address]] typename Answer::State state = {};
    // What the kernel did not take yet. Not empty exactly while the connection is not read from.
    std::vector<char> unsent;
    std::size_t unsent_begin = 0;
    // True once an event announced the end of input: a short read then proves nothing.
    bool read_to_end = false;
  };

  // What one connection sent in this batch, in the shared buffer.
  struct Received {
    int fd;
    std::size_t offset;
    std::size_t size;
    bool emptied;  // a short read: there is nothing more to receive
  };

  bool control(int operation, int fd, std::uint32_t interest) {
    epoll_event event{};
    event.events = interest;
    event.data.fd = fd;
    return epoll_ctl(epoll_, operation, fd, &event) == 0;
  }

  void accept_all() {
    accept_waits_for_fd_ = false;
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        // The edge of a connection that could not be accepted is spent: a close retries it.
        accept_waits_for_fd_ = errno != EAGAIN;
        return;
      }
      const auto index = static_cast<std::size_t>(fd);
      if (index >= connections_.size()) connections_.resize(2 * index + 64);
      if (!control(EPOLL_CTL_ADD, fd, kInterest)) close(fd);
    }
  }

  void handle(int fd, std::uint32_t events) {
    Connection& connection = connections_[static_cast<std::size_t>(fd)];
    bool may_read = (events & ~std::uint32_t{EPOLLOUT}) != 0;
    if ((events & kEndOfInput) != 0) connection.read_to_end = true;
    if (!connection.unsent.empty()) {
      if (!flush(fd, connection)) return;
      // Whatever arrived meanwhile had its edge while nobody read.
      may_read = true;
    }
    if (may_read) receive(fd, connection);
  }

  // Receives now and sends at the end of the batch, or when the buffer is nearly full.
  void receive(int fd, Connection& connection) {
    if (kBufferSize - used_ < kRoomMin) send_received();
    const std::size_t room = kBufferSize - used_;
    const ssize_t size = recv(fd, buffer_.get() + used_, room, 0);
    if (size <= 0) {
      if (size == 0 || errno != EAGAIN) drop(fd);
      return;
    }
    const auto received = static_cast<std::size_t>(size);
    const bool emptied = received < room && !connection.read_to_end;
    received_.push_back({fd, used_, received, emptied});
    used_ += received;
  }

  void send_received() {
    for (const Received& one : received_) {
      Connection& connection = connections_[static_cast<std::size_t>(one.fd)];
      const std::string_view bytes(buffer_.get() + one.offset, one.size);
      if (send_or_keep(one.fd, connection, bytes) && !one.emptied) unfinished_.push_back(one.fd);
    }
    received_.clear();
    used_ = 0;
  }

  // The connections that may have more get their turns, each with the whole buffer.
  void serve_unfinished() {
    for (std::size_t i = 0; i < unfinished_.size(); ++i) {
      serve(unfinished_[i], connections_[static_cast<std::size_t>(unfinished_[i])]);
    }
    unfinished_.clear();
  }

  void serve(int fd, Connection& connection) {
    for (int reads = 0; reads < kReadsPerTurn; ++reads) {
      const ssize_t received = recv(fd, buffer_.get(), kBufferSize, 0);
      if (received <= 0) {
        if (received == 0 || errno != EAGAIN) drop(fd);
        return;
      }
      const auto size = static_cast<std::size_t>(received);
      if (!send_or_keep(fd, connection, {buffer_.get(), size})) return;
      if (size < kBufferSize && !connection.read_to_end) return;
    }
    // Setting the interest anew makes the kernel report the connection again if it has more.
    control(EPOLL_CTL_MOD, fd, kInterest);
  }

  // The answer to what was received. True when the kernel took all; else the connection is gone,
  // or has to wait.
  bool send_or_keep(int fd, Connection& connection, std::string_view received) {
    const std::string_view answer = answer_.answer(connection.state, received);
    const char* const data = answer.data();
    const std::size_t size = answer.size();
    const std::optional<std::size_t> sent = send_some(fd, data, size);
    if (!sent) {
      drop(fd);
      return false;
    }
    if (*sent == size) return true;
    connection.unsent.assign(data + *sent, data + size);
    return false;
  }

  // True when nothing is left to send. False also when the connection is gone.
  bool flush(int fd, Connection& connection) {
    const std::size_t size = connection.unsent.size() - connection.unsent_begin;
    const std::optional<std::size_t> sent =
        send_some(fd, connection.unsent.data() + connection.unsent_begin, size);
    if (!sent) {
      drop(fd);
      return false;
    }
    connection.unsent_begin += *sent;
    if (*sent < size) return false;
    connection.unsent.clear();
    connection.unsent_begin = 0;
    return true;
  }

  // How much the kernel took, which may be nothing; no value if the connection is broken.
  static std::optional<std::size_t> send_some(int fd, const char* data, std::size_t size) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN) return 0;
    return std::nullopt;
  }

  void drop(int fd) {
    close(fd);
    connections_[static_cast<std::size_t>(fd)] = Connection{};
    // Accepting may move connections_, so this comes last and no caller touches its reference.
    if (accept_waits_for_fd_) accept_all();
  }

  const char* program_;
  int listener_;
  int timeout_;
  int epoll_ = -1;
  Answer answer_;
  std::unique_ptr<char[]> buffer_;
  std::size_t used_ = 0;
  std::vector<Received> received_;
  std::vector<int> unfinished_;
  // Indexed by descriptor.
  std::vector<Connection> connections_;
  // True exactly while the listener may hold connections that no coming edge will announce.
  bool accept_waits_for_fd_ = false;
};

}  // namespace weir::bench
