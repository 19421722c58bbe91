// A plain blocking TCP client without the library, for tests against server processes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weir::test {

// Sizes in bytes; 0: the kernel's own choice.
struct RawOptions {
  int segment = 0;
  int receive_buffer = 0;
  int send_buffer = 0;
  bool nonblocking = false;  // connected() then says that nobody has refused yet
};

// With segments and a receive buffer as over a network. On loopback segments have 64 KiB, and a
// sender's buffer is made for ten of them at least.
inline constexpr RawOptions kNarrow = {.segment = 1460, .receive_buffer = 64 * 1024};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, const RawOptions& options = {})
      : fd_(socket(AF_INET,
                   SOCK_STREAM | SOCK_CLOEXEC | (options.nonblocking ? SOCK_NONBLOCK : 0), 0)) {
    set(IPPROTO_TCP, TCP_MAXSEG, options.segment);
    set(SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
    set(SOL_SOCKET, SO_SNDBUF, options.send_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
                 (options.nonblocking && errno == EINPROGRESS);
    // The longest wait for an answer that must come.
    set_receive_timeout(20);
  }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  RawClient& operator=(RawClient&&) = delete;
  ~RawClient() {
    if (fd_ >= 0) close(fd_);
  }

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void set_receive_timeout(long seconds) {
    const timeval patience{.tv_sec = seconds, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  bool send_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // As many bytes, or fewer when the connection ends or nothing comes.
  std::string receive(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      const ssize_t got = receive_some(bytes.data() + have, size - have);
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }

  bool echoes(std::string_view bytes) { return send_all(bytes) && receive(bytes.size()) == bytes; }
  void end() { shutdown(fd_, SHUT_WR); }
  // The other side's kernel has the FIN: behind bytes for which it has no room it has to wait.
  bool end_has_arrived() const {
    tcp_info info{};
    socklen_t size = sizeof info;
    getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_state == TCP_FIN_WAIT2;
  }
  // True when the next thing to come is the end of the stream.
  bool at_end() {
    char byte = 0;
    return receive_some(&byte, 1) == 0;
  }
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(std::exchange(fd_, -1));
  }

 private:
  // The kernel does not begin a receive with a timeout anew (signal(7)). A ring that this thread
  // has made and closed may end one later, when the kernel clears up behind it.
  ssize_t receive_some(char* room, std::size_t size) const {
    for (;;) {
      const ssize_t got = recv(fd_, room, size, 0);
      if (got >= 0 || errno != EINTR) return got;
    }
  }
  void set(int level, int option, int value) {
    if (value != 0) setsockopt(fd_, level, option, &value, sizeof value);
  }

  int fd_;
  bool connected_ = false;
};

}  // namespace weir::test
