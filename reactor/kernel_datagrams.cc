#include "reactor/kernel_datagrams.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "weir/reactor/limits.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1 {
namespace {

int family_of(int fd) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) == 0 ? value : -errno;
}

int get_int(int fd, int name) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -errno;
}

int dropped_by(int fd) noexcept {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &size) != 0) return -errno;
  return static_cast<int>(info[SK_MEMINFO_DROPS] & 0x7fffffffU);
}

in_addr ipv4_of(const IpEndpoint& ip) noexcept {
  in_addr address{};
  std::memcpy(&address, ip.bytes.data(), sizeof address);
  return address;
}

void put(sockaddr_storage& storage, const IpEndpoint& ip) noexcept {
  alignas(8) std::byte scratch[sizeof storage];
  posix::to_system(Address(ip), scratch);
  std::memcpy(&storage, scratch, sizeof storage);
}

template <class Request>
int request(int fd, int level, int name, const Request& given) noexcept {
  return ::setsockopt(fd, level, name, &given, sizeof given) == 0 ? 0 : -errno;
}

// ip(7) has requests of its own by the interface's address; the others are of RFC 3678.
int change_membership(int fd, const Membership& membership, bool join) noexcept {
  const bool any_source = membership.source.family == Family::none;
  const IpEndpoint& group = membership.group;
  const Family family = any_source ? group.family : membership.source.family;
  if (family_of(fd) != posix::system_family(group.family) || family != group.family) {
    return -EINVAL;
  }
  if (group.family == Family::ipv4 && any_source) {
    const ip_mreqn wanted{.imr_multiaddr = ipv4_of(group),
                          .imr_address = ipv4_of(membership.interface),
                          .imr_ifindex = 0};
    return request(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, wanted);
  }
  if (group.family == Family::ipv4) {
    const ip_mreq_source wanted{.imr_multiaddr = ipv4_of(group),
                                .imr_interface = ipv4_of(membership.interface),
                                .imr_sourceaddr = ipv4_of(membership.source)};
    const int name = join ? IP_ADD_SOURCE_MEMBERSHIP : IP_DROP_SOURCE_MEMBERSHIP;
    return request(fd, IPPROTO_IP, name, wanted);
  }
  if (any_source) {
    group_req wanted{.gr_interface = membership.interface.scope, .gr_group = {}};
    put(wanted.gr_group, group);
    return request(fd, IPPROTO_IPV6, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, wanted);
  }
  group_source_req wanted{
      .gsr_interface = membership.interface.scope, .gsr_group = {}, .gsr_source = {}};
  put(wanted.gsr_group, group);
  put(wanted.gsr_source, membership.source);
  const int name = join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP;
  return request(fd, IPPROTO_IPV6, name, wanted);
}

}  // namespace

std::uint32_t KernelDatagrams::segment_of(void* control, std::size_t length) noexcept {
  msghdr header{};
  header.msg_control = control;
  header.msg_controllen = length;
  for (cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
    if (one->cmsg_level != SOL_UDP || one->cmsg_type != UDP_GRO) continue;
    int size = 0;
    std::memcpy(&size, CMSG_DATA(one), sizeof size);
    return static_cast<std::uint32_t>(size);
  }
  return 0;
}

// Room for the largest datagram each, of which only the pages that are filled become memory. The
// rooms do not begin at multiples of a page: many small datagrams would share a few lines of the
// cache.
struct KernelDatagrams::Inbox {
  static constexpr std::size_t kStride = limits::kDatagramBytesMax + 1 + 21 * 64;
  static constexpr std::size_t kCount = limits::kDatagramsPerReceive;

  struct alignas(cmsghdr) Control {
    std::byte bytes[kControlBytes];
  };

  Inbox() noexcept : memory(new (std::nothrow) char[kCount * kStride]) {
    if (memory == nullptr) return;
    for (std::size_t i = 0; i < kCount; ++i) {
      pieces[i] = {.iov_base = memory.get() + i * kStride, .iov_len = kStride};
      msghdr& header = headers[i].msg_hdr;
      header.msg_name = &names[i];
      header.msg_iov = &pieces[i];
      header.msg_iovlen = 1;
    }
    take_control(false);
  }
  void take_control(bool wanted) noexcept {
    controlled = wanted;
    for (std::size_t i = 0; i < kCount; ++i) {
      headers[i].msg_hdr.msg_control = wanted ? &controls[i] : nullptr;
      give_room(i);
    }
  }
  // Before each receive: it shortens what it was given.
  void give_room(std::size_t i) noexcept {
    headers[i].msg_hdr.msg_namelen = sizeof names[i];
    headers[i].msg_hdr.msg_controllen = controlled ? kControlBytes : 0;
  }
  // Of the first messages, what the kernel has said.
  Received take(std::size_t count) noexcept {
    const sockaddr_in6* same = nullptr;
    for (std::size_t i = 0; i < count; ++i) {
      Datagram& entry = entries[i];
      entry.bytes = {static_cast<const char*>(pieces[i].iov_base), headers[i].msg_len};
      // A crowd of one sender's is read once.
      if (same == nullptr || std::memcmp(same, &names[i], sizeof *same) != 0) {
        entry.from = posix::from_system(&names[i]);
        same = &names[i];
      } else {
        entry.from = entries[i - 1].from;
      }
    }
    const bool any_segment = controlled && take_segments(count);
    for (std::size_t i = 0; i < count; ++i) give_room(i);
    return {.entries = {entries.data(), count},
            .segments = {segments.data(), any_segment ? count : 0},
            .error = 0};
  }
  bool take_segments(std::size_t count) noexcept {
    std::uint32_t any = 0;
    for (std::size_t i = 0; i < count; ++i) {
      any |= segments[i] = segment_of(&controls[i], headers[i].msg_hdr.msg_controllen);
    }
    return any != 0;
  }

  std::unique_ptr<char[]> memory;
  std::array<mmsghdr, kCount> headers{};
  std::array<iovec, kCount> pieces{};
  std::array<sockaddr_in6, kCount> names{};
  std::array<Datagram, kCount> entries{};
  std::array<std::uint32_t, kCount> segments{};
  std::array<Control, kCount> controls{};
  bool controlled = false;
};

struct KernelDatagrams::Outbox {
  static constexpr std::size_t kCount = limits::kDatagramsPerSend;
  struct alignas(cmsghdr) Control {
    std::byte bytes[CMSG_SPACE(sizeof(std::uint16_t))];
  };

  std::array<mmsghdr, kCount> headers{};
  std::array<sockaddr_storage, kCount> names{};
  std::array<Control, kCount> controls{};
};

KernelDatagrams::KernelDatagrams(BackendCounters& counters) noexcept : counters_(counters) {}

KernelDatagrams::~KernelDatagrams() = default;

Expected<int> KernelDatagrams::open(const Address& at, const OpenDatagram& options) noexcept {
  const auto refused = [&at](const char* syscall, int error) {
    return failure({.code = errno_code(error), .syscall = syscall, .address = at});
  };
  alignas(8) std::byte scratch[sizeof(sockaddr_storage)];
  const std::uint32_t size = posix::to_system(at, scratch);
  posix::Fd fd(::socket(posix::system_family(at.family()),
                        SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
  if (!fd) return refused("socket", errno);
  const auto turn_on = [&fd](int name) { return posix::set_int(fd.get(), SOL_SOCKET, name, 1); };
  int result = options.reuse_address ? turn_on(SO_REUSEADDR) : 0;
  if (result == 0 && options.reuse_port) result = turn_on(SO_REUSEPORT);
  if (result == 0 && at.family() == Family::ipv6) {
    result = posix::set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only ? 1 : 0);
  }
  // Only groups that this socket has joined, not those of anybody on the machine (ip(7)).
  const bool ipv6 = at.family() == Family::ipv6;
  if (result == 0) {
    result = ipv6 ? posix::set_int(fd.get(), IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
                  : posix::set_int(fd.get(), IPPROTO_IP, IP_MULTICAST_ALL, 0);
  }
  if (result == 0 && ::bind(fd.get(), reinterpret_cast<sockaddr*>(scratch), size) != 0) {
    result = -errno;
  }
  if (result != 0) return refused("bind", result);
  return fd.release();
}

Expected<void> KernelDatagrams::adopt(int fd, Family family) noexcept {
  const int found = family_of(fd);
  if (found == -EBADF) return failure({.code = errno_code(EBADF), .syscall = "bind"});
  const bool fits = found == posix::system_family(family) &&
                    get_int(fd, SO_TYPE) == SOCK_DGRAM &&
                    posix::address_of(fd, End::local).port() != 0;
  if (!fits) return failure({.code = Mistake::bad_fd_type});
  posix::make_nonblocking(fd);
  return {};
}

// Without a peer again the kernel forgets a port that it had chosen itself: it is asked for the
// same one.
int KernelDatagrams::connect(int fd, const Address& peer) noexcept {
  ++counters_.system_calls;
  const Address before = posix::address_of(fd, End::local);
  sockaddr_storage storage{};
  storage.ss_family = AF_UNSPEC;
  const bool connects = peer.family() != Family::none;
  if (connects) put(storage, peer.ip());
  const auto* system = reinterpret_cast<const std::byte*>(&storage);
  const int result = posix::connect(fd, system, sizeof storage);
  if (result != 0 || connects) return result;
  Address now = posix::address_of(fd, End::local);
  if (now.port() != 0) return 0;
  now.set_port(before.port());
  put(storage, now.ip());
  const auto* address = reinterpret_cast<const sockaddr*>(&storage);
  return ::bind(fd, address, sizeof storage) == 0 ? 0 : -errno;
}

int KernelDatagrams::set(int fd, DatagramOption option, int value) noexcept {
  const bool ipv6 = family_of(fd) == AF_INET6;
  const int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
  switch (option) {
    case DatagramOption::broadcast: return posix::set_int(fd, SOL_SOCKET, SO_BROADCAST, value);
    case DatagramOption::ttl:
      // Where IPv6 has a number for the kernel's default.
      if (value < 1) return -EINVAL;
      return posix::set_int(fd, level, ipv6 ? IPV6_UNICAST_HOPS : IP_TTL, value);
    case DatagramOption::multicast_ttl:
      if (value < 0) return -EINVAL;
      return posix::set_int(fd, level, ipv6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, value);
    case DatagramOption::multicast_loop:
      return posix::set_int(fd, level, ipv6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, value);
    case DatagramOption::receive_buffer: return posix::set_int(fd, SOL_SOCKET, SO_RCVBUF, value);
    case DatagramOption::send_buffer: return posix::set_int(fd, SOL_SOCKET, SO_SNDBUF, value);
    case DatagramOption::coalesce: return posix::set_int(fd, SOL_UDP, UDP_GRO, value);
    case DatagramOption::segment: return posix::set_int(fd, SOL_UDP, UDP_SEGMENT, value);
  }
  return -EINVAL;
}

int KernelDatagrams::get(int fd, DatagramFact fact) const noexcept {
  switch (fact) {
    case DatagramFact::receive_buffer: return get_int(fd, SO_RCVBUF);
    case DatagramFact::send_buffer: return get_int(fd, SO_SNDBUF);
    case DatagramFact::dropped: return dropped_by(fd);
  }
  return -EINVAL;
}

int KernelDatagrams::set_multicast_interface(int fd, const IpEndpoint& interface) noexcept {
  if (family_of(fd) != posix::system_family(interface.family)) return -EINVAL;
  if (interface.family == Family::ipv6) {
    const int index = static_cast<int>(interface.scope);
    return posix::set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
  }
  return request(fd, IPPROTO_IP, IP_MULTICAST_IF, ipv4_of(interface));
}

int KernelDatagrams::join(int fd, const Membership& membership) noexcept {
  return change_membership(fd, membership, true);
}

int KernelDatagrams::leave(int fd, const Membership& membership) noexcept {
  return change_membership(fd, membership, false);
}

Datagrams::Received KernelDatagrams::receive(int fd, std::size_t most, bool coalesced) noexcept {
  if (inbox_ == nullptr) inbox_.reset(new (std::nothrow) Inbox());
  if (inbox_ == nullptr || inbox_->memory == nullptr) {
    inbox_.reset();
    return {.entries = {}, .segments = {}, .error = -ENOMEM};
  }
  Inbox& inbox = *inbox_;
  most = std::min(most, Inbox::kCount);
  if (inbox.controlled != coalesced) inbox.take_control(coalesced);
  int count = 0;
  do {
    ++counters_.system_calls;
    count = ::recvmmsg(fd, inbox.headers.data(), static_cast<unsigned>(most), MSG_DONTWAIT,
                       nullptr);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return {.entries = {}, .segments = {}, .error = -errno};
  return inbox.take(static_cast<std::size_t>(count));
}

int KernelDatagrams::send(int fd, std::span<const DatagramOut> batch) noexcept {
  if (outbox_ == nullptr) outbox_.reset(new (std::nothrow) Outbox());
  if (outbox_ == nullptr) return -ENOMEM;
  Outbox& outbox = *outbox_;
  const std::size_t count = std::min(batch.size(), Outbox::kCount);
  for (std::size_t i = 0; i < count; ++i) {
    const DatagramOut& datagram = batch[i];
    msghdr& header = outbox.headers[i].msg_hdr;
    header = {};
    if (datagram.to != nullptr) {
      put(outbox.names[i], *datagram.to);
      header.msg_name = &outbox.names[i];
      header.msg_namelen =
          datagram.to->family == Family::ipv4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    }
    header.msg_iov = const_cast<iovec*>(datagram.pieces.data());
    header.msg_iovlen = datagram.pieces.size();
    if (datagram.segment == 0) continue;
    header.msg_control = &outbox.controls[i];
    header.msg_controllen = sizeof outbox.controls[i];
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const auto segment = static_cast<std::uint16_t>(datagram.segment);
    std::memcpy(CMSG_DATA(control), &segment, sizeof segment);
  }
  int sent = 0;
  do {
    ++counters_.system_calls;
    sent = ::sendmmsg(fd, outbox.headers.data(), static_cast<unsigned>(count),
                      MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

}  // namespace weir::inline v1
