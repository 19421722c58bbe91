#include "bench/load_connect.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weir::bench {
namespace {

constexpr int kConnectSeconds = 5;
// 127.0.0.1 and the next.
constexpr std::uint64_t kSources = 4;

std::expected<LoadTarget, std::string> unix_target(const std::string& path) {
  LoadTarget target{.family = AF_UNIX, .name = path};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return std::unexpected("the path of the Unix socket is too long: " + path);
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  std::memcpy(&target.address, &address, sizeof(address));
  target.length = sizeof(address);
  return target;
}

void set_options(const LoadTarget& target, int fd) {
  if (target.family == AF_UNIX) return;
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  // bbr paces, which on loopback halves a stream; see the servers.
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic"));
}

// -1; errno stays.
int close_failed(int fd) {
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

bool is_loopback(const LoadTarget& target) {
  if (target.family != AF_INET) return false;
  sockaddr_in address{};
  std::memcpy(&address, &target.address, sizeof(address));
  return ntohl(address.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

// The port is chosen at the connect, where it need not differ from all others of the address.
bool bind_to_source(int fd, std::uint64_t number) {
  const int one = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(number % kSources));
  return bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof(source)) == 0;
}

}  // namespace

std::expected<LoadTarget, std::string> resolve(const LoadOptions& options) {
  if (!options.unix_path.empty()) return unix_target(options.unix_path);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  const std::string port = std::to_string(options.port);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(options.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return std::unexpected(options.host + ": " + gai_strerror(error));
  LoadTarget target{.family = found->ai_family, .name = options.host + ":" + port};
  std::memcpy(&target.address, found->ai_addr, found->ai_addrlen);
  target.length = found->ai_addrlen;
  freeaddrinfo(found);
  return target;
}

int connect_one(const LoadTarget& target) {
  const int fd = socket(target.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // Bounds the connect below; the non-blocking socket does not heed it afterwards.
  const timeval limit{kConnectSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  set_options(target, fd);
  const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
  int result = connect(fd, address, target.length);
  // An interrupted connect goes on by itself; calling again waits for it.
  while (result != 0 && errno == EINTR) result = connect(fd, address, target.length);
  if (result != 0) {
    // How an exceeded time limit shows.
    if (errno == EINPROGRESS || errno == EAGAIN) errno = ETIMEDOUT;
    return close_failed(fd);
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

int connect_soon(const LoadTarget& target, std::uint64_t number) {
  const int fd = socket(target.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  set_options(target, fd);
  if (is_loopback(target) && !bind_to_source(fd, number)) return close_failed(fd);
  const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
  if (connect(fd, address, target.length) != 0 && errno != EINPROGRESS) return close_failed(fd);
  return fd;
}

}  // namespace weir::bench
