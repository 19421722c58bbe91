#include "reactor/sim_datagrams.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "weir/reactor/limits.h"
#include "weir/reactor/sim_backend.h"

namespace weir::inline v1::sim {
namespace {

constexpr std::size_t kPayloadMaxIpv4 = 65507;
constexpr std::size_t kPayloadMaxIpv6 = 65527;
constexpr std::size_t kDatagramsMax = 256;

bool is_group(const Address& given) noexcept {
  const Address address = unmapped(given);
  const std::uint8_t first = address.ip().bytes[0];
  if (address.family() == Family::ipv4) return first >= 224 && first < 240;
  return address.family() == Family::ipv6 && first == 0xff;
}

bool is_broadcast(const Address& given) noexcept {
  const Address address = unmapped(given);
  const auto& bytes = address.ip().bytes;
  return address.family() == Family::ipv4 &&
         std::all_of(bytes.begin(), bytes.begin() + 4, [](auto byte) { return byte == 255; });
}

bool same_host(const IpEndpoint& a, const Address& b) noexcept {
  return a.bytes == unmapped(b).ip().bytes;
}

bool is_member(const Socket& socket, const Address& group, const Address& from) noexcept {
  return std::any_of(socket.memberships.begin(), socket.memberships.end(),
                     [&](const Membership& one) {
                       const bool source = one.source.family == Family::none ||
                                           same_host(one.source, from);
                       return source && same_host(one.group, group);
                     });
}

bool same(const Membership& a, const Membership& b) noexcept {
  return a.group.bytes == b.group.bytes && a.source.bytes == b.source.bytes;
}

}  // namespace

// ---- The network's part ----

Expected<int> Network::open_datagram(std::uint32_t number, const Address& at,
                                     const OpenDatagram& options) {
  Machine& owner = machine(number);
  const auto refuse = [&](int error) {
    return failure({.code = errno_code(error), .syscall = "bind", .address = at});
  };
  const bool shared = options.reuse_address || options.reuse_port;
  if (!owns(owner, at) && !is_group(at)) return refuse(EADDRNOTAVAIL);
  if (at.port() != 0 && taken(owner, at, true, options.ipv6_only, shared)) {
    return refuse(EADDRINUSE);
  }
  Socket& made = add(number, std::make_unique<Socket>());
  made.datagram = true;
  made.ipv6_only = options.ipv6_only;
  made.reuse_port = options.reuse_port;
  made.shared = shared;
  made.local = at;
  if (at.port() == 0) made.local.set_port(free_port(owner));
  owner.listeners.push_back(&made);
  return made.fd;
}

int Network::send_datagram(Socket& from, std::string_view bytes, const Address& given) noexcept {
  if (from.error != 0) return -std::exchange(from.error, 0);
  const Address& to = given.family() == Family::none ? from.remote : given;
  if (to.family() == Family::none) return -EDESTADDRREQ;
  if (from.local.family() == Family::ipv4 && to.family() == Family::ipv6) return -EAFNOSUPPORT;
  const bool ipv6 = unmapped(to).family() == Family::ipv6;
  if (bytes.size() > (ipv6 ? kPayloadMaxIpv6 : kPayloadMaxIpv4)) return -EMSGSIZE;
  if (is_broadcast(to) && !from.broadcast) return -EACCES;
  const int size = static_cast<int>(bytes.size());
  if (!machine(from.machine).up) return size;
  Datagram datagram{.from = unmapped(from.local), .bytes = std::string(bytes)};
  if (is_wildcard(from.local)) {
    datagram.from = unmapped(address_towards(from.machine, to));
    datagram.from.set_port(from.local.port());
  }
  if (is_group(to) || is_broadcast(to)) {
    for (std::uint32_t number = 0; number < machines_.size(); ++number) {
      const bool own = number == from.machine;
      if (!own || is_broadcast(to) || from.multicast_loop) {
        carry_datagram(from.machine, number, to, datagram);
      }
    }
    return size;
  }
  const int number = is_black_hole(to) ? -1 : machine_of(from.machine, to);
  if (number >= 0) {
    carry_datagram(from.machine, static_cast<std::uint32_t>(number), to, std::move(datagram));
  }
  return size;
}

void Network::carry_datagram(std::uint32_t from, std::uint32_t to, const Address& at,
                             Datagram datagram) {
  if (from == to) return arrive_datagram(from, to, at, std::move(datagram));
  const Link& link = way(from, to).link;
  if (!passable(from, to) || random_.chance(link.loss)) return;
  const int copies = random_.chance(link.duplicate) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const Instant arrival = arrival_time(from, to, datagram.bytes.size());
    call_at(arrival, boxed([this, from, to, at, datagram]() mutable {
              arrive_datagram(from, to, at, std::move(datagram));
            }));
  }
}

void Network::arrive_datagram(std::uint32_t from, std::uint32_t to, const Address& at,
                              Datagram datagram) {
  if (!passable(from, to)) return;
  if (!is_group(at) && !is_broadcast(at)) {
    Socket* socket = find_receiver(to, at, datagram.from);
    if (socket != nullptr) return queue_datagram(*socket, std::move(datagram));
    if (from == to) return report_unreachable(from, datagram.from, at);
    return call_at(arrival_time(to, from, 0), boxed([this, from, sender = datagram.from, at] {
                     report_unreachable(from, sender, at);
                   }));
  }
  const std::vector<Socket*> bound = machine(to).listeners;
  for (Socket* socket : bound) {
    if (!socket->datagram || socket->local.port() != at.port()) continue;
    const bool other_peer =
        socket->remote.family() != Family::none && unmapped(socket->remote) != datagram.from;
    const bool here = is_wildcard(socket->local) || same_host(unmapped(at).ip(), socket->local);
    const bool wanted = is_broadcast(at) ? socket->local.family() == Family::ipv4
                                         : is_member(*socket, at, datagram.from);
    if (here && wanted && !other_peer) queue_datagram(*socket, datagram);
  }
}

// A connected socket gets what its peer sends, before others on the address, and nothing else.
// Several on one port take turns.
Socket* Network::find_receiver(std::uint32_t number, const Address& to,
                               const Address& from) noexcept {
  Machine& owner = machine(number);
  const Address at = unmapped(to);
  std::vector<Socket*> open;
  for (Socket* socket : owner.listeners) {
    const Address& local = socket->local;
    if (!socket->datagram || local.port() != at.port()) continue;
    const bool covers = is_wildcard(local) && (local.family() == at.family() ||
                                               (local.family() == Family::ipv6 &&
                                                !socket->ipv6_only));
    if (unmapped(local).ip().bytes != at.ip().bytes && !covers) continue;
    const bool connected = socket->remote.family() != Family::none;
    if (connected && unmapped(socket->remote) == from) return socket;
    if (!connected) open.push_back(socket);
  }
  if (open.empty()) return nullptr;
  return open.front()->reuse_port ? open[owner.next_listener++ % open.size()] : open.back();
}

void Network::queue_datagram(Socket& socket, Datagram datagram) {
  if (socket.datagrams.size() >= kDatagramsMax) {
    ++socket.dropped;
    return;
  }
  note(socket, "datagram", static_cast<std::int64_t>(datagram.bytes.size()));
  if (socket.local.family() == Family::ipv6) datagram.from = mapped(datagram.from);
  socket.datagrams.push_back(std::move(datagram));
  SimBackend::touch(socket);
}

// Nobody has the port that it was sent to (ICMP): a connected sender learns of it.
void Network::report_unreachable(std::uint32_t number, const Address& from,
                                 const Address& to) noexcept {
  for (Socket* socket : machine(number).listeners) {
    const bool is_sender = socket->datagram && socket->local.port() == from.port() &&
                           socket->remote.family() != Family::none &&
                           unmapped(socket->remote) == unmapped(to);
    if (!is_sender) continue;
    socket->error = ECONNREFUSED;
    SimBackend::touch(*socket);
  }
}

// ---- The backend's part ----

Socket& SimDatagrams::socket(int fd) const noexcept {
  Socket* found = network_.find(machine_, fd);
  WEIR_ASSERT(found != nullptr && found->datagram);
  return *found;
}

Expected<int> SimDatagrams::open(const Address& at, const OpenDatagram& options) noexcept {
  if (network_.random().chance(network_.faults().no_descriptors)) {
    return failure({.code = errno_code(EMFILE), .syscall = "socket", .address = at});
  }
  return network_.open_datagram(machine_, at, options);
}

Expected<void> SimDatagrams::adopt(int fd, Family family) noexcept {
  const Socket* given = network_.find(machine_, fd);
  if (given == nullptr) return failure({.code = errno_code(EBADF), .syscall = "bind"});
  if (!given->datagram || given->local.family() != family) {
    return failure({.code = Mistake::bad_fd_type});
  }
  return {};
}

int SimDatagrams::connect(int fd, const Address& peer) noexcept {
  Socket& mine = socket(fd);
  if (mine.local.family() == Family::ipv4 && peer.family() == Family::ipv6) return -EAFNOSUPPORT;
  mine.error = 0;
  if (mine.remote.family() != Family::none) mine.local = mine.bound;
  mine.bound = mine.local;
  mine.remote = peer;
  if (peer.family() == Family::none || !is_wildcard(mine.local)) return 0;
  mine.local = network_.address_towards(machine_, peer);
  mine.local.set_port(mine.bound.port());
  return 0;
}

int SimDatagrams::set(int fd, DatagramOption option, int value) noexcept {
  Socket& mine = socket(fd);
  switch (option) {
    case DatagramOption::broadcast: mine.broadcast = value != 0; return 0;
    case DatagramOption::ttl: return value < 1 || value > 255 ? -EINVAL : 0;
    case DatagramOption::multicast_ttl: return value < 0 || value > 255 ? -EINVAL : 0;
    case DatagramOption::multicast_loop: mine.multicast_loop = value != 0; return 0;
    case DatagramOption::receive_buffer: mine.receive_buffer = 2 * value; return 0;
    case DatagramOption::send_buffer: mine.send_buffer = 2 * value; return 0;
    case DatagramOption::coalesce:
    case DatagramOption::segment: break;
  }
  return -ENOPROTOOPT;
}

int SimDatagrams::get(int fd, DatagramFact fact) const noexcept {
  const Socket& mine = socket(fd);
  switch (fact) {
    case DatagramFact::receive_buffer: return mine.receive_buffer;
    case DatagramFact::send_buffer: return mine.send_buffer;
    case DatagramFact::dropped: return mine.dropped;
  }
  return -EINVAL;
}

// Every machine has one interface, and that of its loopback addresses: all reach all groups.
int SimDatagrams::set_multicast_interface(int fd, const IpEndpoint& interface) noexcept {
  if (interface.family != socket(fd).local.family()) return -EINVAL;
  return network_.owns(network_.machine(machine_), Address(interface)) ? 0 : -EADDRNOTAVAIL;
}

int SimDatagrams::join(int fd, const Membership& membership) noexcept {
  Socket& mine = socket(fd);
  const bool any_source = membership.source.family == Family::none;
  const Family family = mine.local.family();
  const bool fits = membership.group.family == family &&
                    (any_source || membership.source.family == family);
  if (!is_group(Address(membership.group)) || !fits) return -EINVAL;
  if (!network_.owns(network_.machine(machine_), Address(membership.interface))) return -ENODEV;
  for (const Membership& one : mine.memberships) {
    if (same(one, membership)) return any_source ? -EADDRINUSE : -EADDRNOTAVAIL;
  }
  mine.memberships.push_back(membership);
  return 0;
}

int SimDatagrams::leave(int fd, const Membership& membership) noexcept {
  Socket& mine = socket(fd);
  if (!is_group(Address(membership.group))) return -EINVAL;
  const std::size_t left = std::erase_if(
      mine.memberships, [&](const Membership& one) { return same(one, membership); });
  if (left != 0) return 0;
  const bool any_source = membership.source.family == Family::none;
  const bool joined = std::any_of(
      mine.memberships.begin(), mine.memberships.end(),
      [&](const Membership& one) { return one.group.bytes == membership.group.bytes; });
  return any_source || joined ? -EADDRNOTAVAIL : -EINVAL;
}

Datagrams::Received SimDatagrams::receive(int fd, std::size_t most, bool) noexcept {
  Socket& mine = socket(fd);
  taken_.clear();
  entries_.clear();
  if (mine.error != 0) {
    return {.entries = {}, .segments = {}, .error = -std::exchange(mine.error, 0)};
  }
  most = std::min(most, limits::kDatagramsPerReceive);
  while (taken_.size() < most && !mine.datagrams.empty()) {
    taken_.push_back(std::move(mine.datagrams.front()));
    mine.datagrams.pop_front();
  }
  if (taken_.empty()) return {.entries = {}, .segments = {}, .error = -EAGAIN};
  for (const Datagram& one : taken_) {
    entries_.push_back({.bytes = one.bytes, .from = one.from.ip()});
  }
  return {.entries = entries_, .segments = {}, .error = 0};
}

int SimDatagrams::send(int fd, std::span<const DatagramOut> batch) noexcept {
  Socket& mine = socket(fd);
  int sent = 0;
  for (const DatagramOut& one : batch) {
    if (sent == static_cast<int>(limits::kDatagramsPerSend)) break;
    if (network_.random().chance(network_.faults().again)) return sent > 0 ? sent : -EAGAIN;
    std::string bytes;
    for (const iovec& piece : one.pieces) {
      bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    const int result =
        network_.send_datagram(mine, bytes, one.to == nullptr ? Address() : Address(*one.to));
    if (result < 0) return sent > 0 ? sent : result;
    ++sent;
  }
  return sent;
}

}  // namespace weir::inline v1::sim
