#include "weir/reactor/posix.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "weir/reactor/assert.h"

namespace weir::inline v1::posix {
namespace {

Error error_here(const char* syscall, const Address& address) {
  return {.code = errno_code(errno), .syscall = syscall, .address = address};
}

Error path_too_long(const char* syscall, const Address& address) {
  return {.code = errno_code(EINVAL),
          .syscall = syscall,
          .address = address,
          .detail = "the path of a Unix socket may be at most 108 bytes (ENAMETOOLONG)"};
}

Address from_system(const sockaddr_storage& storage, socklen_t size) {
  if (storage.ss_family == AF_UNIX) {
    const auto& un = reinterpret_cast<const sockaddr_un&>(storage);
    const std::size_t head = offsetof(sockaddr_un, sun_path);
    if (size <= head) return {};
    std::string_view path(un.sun_path, size - head);
    if (path.front() != '\0') path = path.substr(0, path.find('\0'));
    return Address::unix_path(path);
  }
  return Address(posix::from_system(&storage));
}

// Node's (libuv's) probes: every second, ten of them.
int set_keep_alive_seconds(int fd, int seconds) noexcept {
  const int result = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  if (result != 0) return result;
  const int interval = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  return interval != 0 ? interval : set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 10);
}

// A file that a bind() would stumble over goes when it is a socket that refuses connections: who
// made it is gone. Whatever else is there stays.
void remove_if_stale(const Address& at, const std::byte* system, std::uint32_t size) noexcept {
  struct stat status{};
  if (::stat(at.path().c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) return;
  if (connect(probe.get(), system, size) == -ECONNREFUSED) ::unlink(at.path().c_str());
}

int set_unix_mode(const std::string& path, const ListenOptions& options) noexcept {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return -1;
  mode_t mode = status.st_mode & 07777;
  if (options.readable_all) mode |= S_IRUSR | S_IRGRP | S_IROTH;
  if (options.writable_all) mode |= S_IWUSR | S_IWGRP | S_IWOTH;
  return ::chmod(path.c_str(), mode);
}

}  // namespace

int system_family(Family family) noexcept {
  switch (family) {
    case Family::ipv4: return AF_INET;
    case Family::ipv6: return AF_INET6;
    case Family::local: return AF_UNIX;
    case Family::none: break;
  }
  return AF_UNSPEC;
}

IpEndpoint from_system(const void* socket_address) noexcept {
  IpEndpoint ip;
  sa_family_t family = AF_UNSPEC;
  std::memcpy(&family, socket_address, sizeof family);
  if (family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, socket_address, sizeof in);
    ip.family = Family::ipv4;
    ip.port = ntohs(in.sin_port);
    std::memcpy(ip.bytes.data(), &in.sin_addr, sizeof in.sin_addr);
  } else if (family == AF_INET6) {
    sockaddr_in6 in6;
    std::memcpy(&in6, socket_address, sizeof in6);
    ip.family = Family::ipv6;
    ip.port = ntohs(in6.sin6_port);
    ip.scope = in6.sin6_scope_id;
    std::memcpy(ip.bytes.data(), &in6.sin6_addr, sizeof in6.sin6_addr);
  }
  return ip;
}

int set_int(int fd, int level, int name, int value) noexcept {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

int Fd::release() noexcept { return std::exchange(fd_, -1); }

Instant now() noexcept { return std::chrono::steady_clock::now(); }

std::int64_t unix_seconds() noexcept {
  timespec time{};
  clock_gettime(CLOCK_REALTIME_COARSE, &time);
  return time.tv_sec;
}

// From the kernel's pool that is filled once at boot: it neither fails nor is cut short by a signal
// for up to 256 bytes; for more, what is missing is asked for again.
void random(std::span<std::uint8_t> into) noexcept {
  while (!into.empty()) {
    const ssize_t got = getrandom(into.data(), into.size(), 0);
    WEIR_ASSERT(got > 0 || errno == EINTR);
    if (got > 0) into = into.subspan(static_cast<std::size_t>(got));
  }
}

void in_forked_child(void (*run)()) noexcept { ::pthread_atfork(nullptr, nullptr, run); }

std::error_code resolve(const std::string& host, Family family, std::vector<IpEndpoint>& found) {
  addrinfo hints{};
  hints.ai_family = system_family(family);
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int result = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  switch (result) {
    case 0: break;
    case EAI_AGAIN: return ResolveError::try_again;
    case EAI_MEMORY: return ResolveError::no_memory;
    case EAI_SYSTEM: return errno_code(errno);
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY: return ResolveError::not_found;
    default: return ResolveError::failed;
  }
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage storage{};
    std::memcpy(&storage, entry->ai_addr, entry->ai_addrlen);
    const IpEndpoint ip = from_system(storage, entry->ai_addrlen).ip();
    if (ip.family != Family::none) found.push_back(ip);
  }
  ::freeaddrinfo(list);
  return found.empty() ? make_error_code(ResolveError::not_found) : std::error_code();
}

std::uint32_t interface_index(std::string_view name) noexcept {
  char text[IF_NAMESIZE] = {};
  if (name.empty() || name.size() >= sizeof text) return 0;
  std::memcpy(text, name.data(), name.size());
  return ::if_nametoindex(text);
}

std::uint32_t to_system(const Address& address, std::byte* scratch) noexcept {
  static_assert(sizeof(sockaddr_storage) == sizeof(ConnectOp::scratch));
  sockaddr_storage storage{};
  std::uint32_t size = 0;
  const IpEndpoint& ip = address.ip();
  if (address.is_unix()) {
    auto& un = reinterpret_cast<sockaddr_un&>(storage);
    const std::string& path = address.path();
    if (path.size() > sizeof un.sun_path) return 0;
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.data(), path.size());
    size = static_cast<std::uint32_t>(offsetof(sockaddr_un, sun_path) + path.size());
    // A path of the file system is terminated where there is room; an abstract name never is.
    if (path.front() != '\0' && path.size() < sizeof un.sun_path) ++size;
  } else if (ip.family == Family::ipv4) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(ip.port);
    std::memcpy(&in.sin_addr, ip.bytes.data(), sizeof in.sin_addr);
    size = sizeof in;
  } else if (ip.family == Family::ipv6) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(ip.port);
    in6.sin6_scope_id = ip.scope;
    std::memcpy(&in6.sin6_addr, ip.bytes.data(), sizeof in6.sin6_addr);
    size = sizeof in6;
  }
  std::memcpy(scratch, &storage, sizeof storage);
  return size;
}

Expected<int> open_stream(const Address& peer, const Address& local) noexcept {
  alignas(8) std::byte scratch[128];
  if (to_system(peer, scratch) == 0) return failure(path_too_long("connect", peer));
  Fd fd(::socket(system_family(peer.family()), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return failure(error_here("connect", peer));
  if (local.family() != Family::none) {
    const std::uint32_t size = to_system(local, scratch);
    if (size == 0) return failure(path_too_long("bind", local));
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(scratch), size) != 0) {
      return failure(error_here("bind", local));
    }
  }
  return fd.release();
}

Expected<int> listen_stream(const Address& at, const ListenOptions& options) noexcept {
  alignas(8) std::byte scratch[128];
  const std::uint32_t size = to_system(at, scratch);
  if (size == 0) return failure(path_too_long("listen", at));
  Fd fd(::socket(system_family(at.family()), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return failure(error_here("listen", at));
  if (!at.is_unix()) {
    set_int(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (options.reuse_port && set_int(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1) != 0) {
      return failure(error_here("listen", at));
    }
    if (at.family() == Family::ipv6) {
      set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only ? 1 : 0);
    }
  }
  const bool has_file = at.is_unix() && at.path().front() != '\0';
  if (has_file && options.replace_stale) remove_if_stale(at, scratch, size);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(scratch), size) != 0) {
    return failure(error_here("listen", at));
  }
  const bool mode_wanted = has_file && (options.readable_all || options.writable_all);
  if ((mode_wanted && set_unix_mode(at.path(), options) != 0) ||
      ::listen(fd.get(), options.backlog) != 0) {
    const auto failed = failure(error_here("listen", at));
    if (has_file) ::unlink(at.path().c_str());
    return failed;
  }
  return fd.release();
}

Expected<void> adopt_stream(int fd) noexcept {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    if (errno == EBADF) return failure({.code = errno_code(EBADF), .syscall = "open"});
    return failure({.code = Mistake::bad_fd_type});
  }
  if (type != SOCK_STREAM) return failure({.code = Mistake::bad_fd_type});
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) {
    return failure({.code = Mistake::bad_fd_type, .detail = "the socket is not connected"});
  }
  make_nonblocking(fd);
  return {};
}

Expected<void> adopt_listener(int fd, int backlog) noexcept {
  int type = 0;
  int listening = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
    if (errno != EBADF) return failure(error_here("listen", {}));
    return failure({.code = errno_code(EINVAL),
                    .syscall = "listen",
                    .detail = "descriptor " + std::to_string(fd) + " is not open"});
  }
  if (type != SOCK_STREAM) return failure({.code = errno_code(EINVAL), .syscall = "listen"});
  if (listening == 0 && ::listen(fd, backlog) != 0) return failure(error_here("listen", {}));
  make_nonblocking(fd);
  return {};
}

Expected<PeerCredentials> peer_credentials(int fd) noexcept {
  ucred known{};
  socklen_t size = sizeof known;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &known, &size) != 0) {
    return failure(error_here("getsockopt", {}));
  }
  return PeerCredentials{.pid = known.pid, .uid = known.uid, .gid = known.gid};
}

Address address_of(int fd, End end) noexcept {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  const int result =
      end == End::local ? ::getsockname(fd, address, &size) : ::getpeername(fd, address, &size);
  if (result != 0) return {};
  return from_system(storage, size);
}

int set_option(int fd, SocketOption option, int value) noexcept {
  switch (option) {
    case SocketOption::no_delay: return set_int(fd, IPPROTO_TCP, TCP_NODELAY, value);
    case SocketOption::keep_alive: return set_int(fd, SOL_SOCKET, SO_KEEPALIVE, value);
    case SocketOption::keep_alive_seconds: return set_keep_alive_seconds(fd, value);
    case SocketOption::receive_buffer: return set_int(fd, SOL_SOCKET, SO_RCVBUF, value);
    case SocketOption::send_buffer: return set_int(fd, SOL_SOCKET, SO_SNDBUF, value);
    case SocketOption::reset_on_close: {
      const linger now{.l_onoff = value, .l_linger = 0};
      return ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0 ? 0 : -errno;
    }
  }
  return -EINVAL;
}

int get_fact(int fd, SocketFact fact) noexcept {
  int value = 0;
  if (fact == SocketFact::unread_bytes) {
    return ::ioctl(fd, SIOCINQ, &value) == 0 ? value : -errno;
  }
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0 ? value : -errno;
}

std::int32_t shutdown(int fd, Direction direction) noexcept {
  return ::shutdown(fd, direction == Direction::write ? SHUT_WR : SHUT_RDWR) == 0 ? 0 : -errno;
}

void close(int fd) noexcept { ::close(fd); }

void reset(int fd) noexcept {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  ::connect(fd, &nobody, sizeof nobody);
}

void remove(const std::string& path) noexcept { ::unlink(path.c_str()); }

bool is_torn_down(int fd) noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
         info.tcpi_state == TCP_CLOSE;
}

bool is_tcp(int fd) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &size) == 0 && value == IPPROTO_TCP;
}

int accept(int fd) noexcept {
  for (;;) {
    const int accepted = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) return accepted;
    if (errno != EINTR && errno != ECONNABORTED) return -errno;
  }
}

std::int32_t receive(int fd, std::span<char> room) noexcept {
  for (;;) {
    const ssize_t size = ::recv(fd, room.data(), room.size(), MSG_DONTWAIT);
    if (size >= 0) return static_cast<std::int32_t>(size);
    if (errno != EINTR) return -errno;
  }
}

std::int32_t receive_with_descriptors(int fd, std::span<char> room,
                                      std::vector<int>& descriptors) noexcept {
  constexpr std::size_t kDescriptorsMax = 253;  // SCM_MAX_FD, of one message
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
  iovec piece{.iov_base = room.data(), .iov_len = room.size()};
  for (;;) {
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return -errno;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      const std::size_t known = descriptors.size();
      descriptors.resize(known + count);
      std::memcpy(descriptors.data() + known, CMSG_DATA(part), count * sizeof(int));
    }
    return static_cast<std::int32_t>(size);
  }
}

void* message_of(SendOp& op) noexcept {
  constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(int));
  static_assert(sizeof(msghdr) + kControlSize <= sizeof(SendOp::scratch));
  auto* message = ::new (static_cast<void*>(op.scratch)) msghdr{};
  message->msg_iov = const_cast<iovec*>(op.pieces.data());
  message->msg_iovlen = op.pieces.size();
  if (op.passed_fd < 0) return message;
  message->msg_control = op.scratch + sizeof(msghdr);
  message->msg_controllen = kControlSize;
  std::memset(message->msg_control, 0, kControlSize);
  cmsghdr* part = CMSG_FIRSTHDR(message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(part), &op.passed_fd, sizeof(int));
  return message;
}

constexpr int kSendFlags = MSG_NOSIGNAL | MSG_DONTWAIT;

std::int32_t send(SendOp& op) noexcept {
  if (op.pieces.size() == 1 && op.passed_fd < 0) {
    return send(op.fd, {static_cast<const char*>(op.pieces[0].iov_base), op.pieces[0].iov_len});
  }
  const auto* message = static_cast<const msghdr*>(message_of(op));
  for (;;) {
    const ssize_t size = ::sendmsg(op.fd, message, kSendFlags);
    if (size >= 0) return static_cast<std::int32_t>(size);
    if (errno != EINTR) return -errno;
  }
}

std::int32_t send(int fd, std::string_view bytes) noexcept {
  for (;;) {
    const ssize_t size = ::send(fd, bytes.data(), bytes.size(), kSendFlags);
    if (size >= 0) return static_cast<std::int32_t>(size);
    if (errno != EINTR) return -errno;
  }
}

int connect(int fd, const std::byte* system, std::uint32_t size) noexcept {
  for (;;) {
    if (::connect(fd, reinterpret_cast<const sockaddr*>(system), size) == 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

Events poll_now(int fd, Events wanted) noexcept {
  pollfd entry{.fd = fd, .events = 0, .revents = 0};
  // Whoever waits to write is not woken by the peer's end, again and again.
  if (wanted.has(Events::readable)) entry.events |= POLLIN | POLLRDHUP;
  if (wanted.has(Events::writable)) entry.events |= POLLOUT;
  int count = 0;
  do {
    count = ::poll(&entry, 1, 0);
  } while (count < 0 && errno == EINTR);
  Events result;
  if (count < 0) result.bits = Events::error;
  if (count <= 0) return result;
  if ((entry.revents & POLLIN) != 0) result.bits |= Events::readable;
  if ((entry.revents & POLLOUT) != 0) result.bits |= Events::writable;
  if ((entry.revents & POLLRDHUP) != 0) result.bits |= Events::peer_closed;
  if ((entry.revents & POLLHUP) != 0) result.bits |= Events::hangup;
  if ((entry.revents & (POLLERR | POLLNVAL)) != 0) result.bits |= Events::error;
  return result;
}

int process_id() noexcept { return ::getpid(); }

bool set_close_on_exec(int fd) noexcept { return ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0; }

void make_nonblocking(int fd) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

Expected<Fd> make_eventfd() noexcept {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd) return failure(error_here("eventfd", {}));
  return fd;
}

void signal_eventfd(int fd) noexcept {
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, and so readable: the wake has happened already.
  while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

bool drain_eventfd(int fd) noexcept {
  std::uint64_t count = 0;
  while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
  return count != 0;
}

}  // namespace weir::inline v1::posix
