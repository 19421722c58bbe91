// Where a UDP socket is: binding, connecting, host names, options and groups.
#include <cerrno>
#include <utility>

#include "net/udp_core.h"
#include "weir/net/block_list.h"

namespace weir::inline v1::net {
namespace {

Error mistake(Mistake code, std::string detail = {}) {
  return {.code = code, .detail = std::move(detail)};
}

Error bad_port(int port, int lowest) {
  return mistake(Mistake::bad_port, std::to_string(port) + " is not a port: it must be in " +
                                        std::to_string(lowest) + "..65535");
}

Address any(Family family, int port) {
  const auto number = static_cast<std::uint16_t>(port);
  return family == Family::ipv6 ? Address::any_ipv6(number) : Address::any_ipv4(number);
}

Address with_port(IpEndpoint ip, int port) {
  ip.port = static_cast<std::uint16_t>(port);
  return Address(ip);
}

}  // namespace

// What is wrong with a socket that an option is set on.
Error UdpCore::unusable(const char* syscall) const {
  if (closing_) return mistake(Mistake::datagram_not_running);
  return {.code = errno_code(EBADF), .syscall = syscall};
}

bool UdpCore::is_pending(Purpose purpose) const noexcept {
  for (const Resolving& one : resolving_) {
    if (one.purpose == purpose) return true;
  }
  return false;
}

// ---- Binding ----

Expected<Address> UdpCore::bind(const UdpAt& at, Function<void(UdpSocket&)> once_listening) {
  if (closing_) return failure(mistake(Mistake::datagram_not_running));
  if (fd_ >= 0 || is_pending(Purpose::bind)) return failure(mistake(Mistake::already_bound));
  if (at.port < 0 || at.port > 65535) return failure(bad_port(at.port, 0));
  const auto numeric = Address::parse_ip(at.host, static_cast<std::uint16_t>(at.port));
  const bool named = !at.host.empty() && !numeric;
  const auto begun = named ? start_lookup(Purpose::bind, at)
                           : open(at.host.empty() ? any(options_.family, at.port) : *numeric);
  if (!begun) return failure(begun.error());
  if (once_listening) once_listening_ = events.listening.add(std::move(once_listening), true);
  return named ? Address() : reactor_.backend().address(fd_, End::local);
}

Expected<Address> UdpCore::bind_fd(int fd, Function<void(UdpSocket&)> once_listening) {
  if (closing_) return failure(mistake(Mistake::datagram_not_running));
  if (fd_ >= 0 || is_pending(Purpose::bind)) return failure(mistake(Mistake::already_bound));
  const auto adopted = kernel_.adopt(fd, options_.family);
  if (!adopted) return failure(adopted.error());
  use(fd);
  connected_ = reactor_.backend().address(fd, End::peer).family() != Family::none;
  if (once_listening) once_listening_ = events.listening.add(std::move(once_listening), true);
  return reactor_.backend().address(fd, End::local);
}

Expected<void> UdpCore::ensure_bound() {
  if (fd_ >= 0 || is_pending(Purpose::bind)) return {};
  return open(any(options_.family, 0));
}

Expected<void> UdpCore::open(const Address& at) {
  if (at.family() != options_.family) {
    return failure({.code = errno_code(EINVAL),
                    .syscall = "bind",
                    .address = at,
                    .detail = "the address is not of the socket's family"});
  }
  const auto fd = kernel_.open(at, {.reuse_address = options_.reuse_address,
                                    .reuse_port = options_.reuse_port,
                                    .ipv6_only = options_.ipv6_only});
  if (!fd) return failure(fd.error());
  use(*fd);
  return {};
}

void UdpCore::use(int fd) {
  fd_ = receiving_.fd = writable_.fd = fd;
  const auto set = [&](DatagramOption option, int value) {
    return kernel_.set(fd, option, value) == 0;
  };
  if (options_.receive_buffer > 0) set(DatagramOption::receive_buffer, options_.receive_buffer);
  if (options_.send_buffer > 0) set(DatagramOption::send_buffer, options_.send_buffer);
  coalesced_ = options_.coalesce && set(DatagramOption::coalesce, 1);
  const bool segments = options_.segment && set(DatagramOption::segment, 0);
  segment_max_ = segments ? std::uint32_t{weir::limits::kSegmentedBytesMax} : 0;
  listening_due_ = true;
  hold_reactor();
  start_receiving();
  reactor_.schedule(*this);
}

// ---- Connecting ----

Expected<void> UdpCore::connect(const UdpAt& peer, Function<void(UdpSocket&)> once_connected) {
  if (closing_) return failure(mistake(Mistake::datagram_not_running));
  if (connected_ || connect_when_bound_ || is_pending(Purpose::connect)) {
    return failure(mistake(Mistake::datagram_connected));
  }
  if (peer.port < 1 || peer.port > 65535) return failure(bad_port(peer.port, 1));
  if (const auto bound = ensure_bound(); !bound) return failure(bound.error());
  const bool ipv6 = options_.family == Family::ipv6;
  const std::string host = !peer.host.empty() ? peer.host : ipv6 ? "::1" : "127.0.0.1";
  const auto numeric = Address::parse_ip(host, static_cast<std::uint16_t>(peer.port));
  if (fd_ < 0) {
    connect_when_bound_ = peer;
  } else {
    const auto begun = numeric ? connect_to(*numeric) : start_lookup(Purpose::connect, peer);
    if (!begun) return failure(begun.error());
  }
  if (once_connected) once_connected_ = events.connect.add(std::move(once_connected), true);
  return {};
}

Expected<void> UdpCore::connect_to(const Address& peer) {
  IpEndpoint to = peer.ip();
  if (const auto fits = fit_family(to, "connect"); !fits) return failure(fits.error());
  if (options_.send_block_list != nullptr && options_.send_block_list->check(peer)) {
    return failure({.code = Mistake::ip_blocked, .address = peer});
  }
  const int result = kernel_.connect(fd_, Address(to));
  if (result != 0) {
    return failure({.code = errno_code(result), .syscall = "connect", .address = peer});
  }
  connected_ = connect_due_ = true;
  reactor_.schedule(*this);
  return {};
}

Expected<void> UdpCore::disconnect() {
  if (closing_) return failure(mistake(Mistake::datagram_not_running));
  if (!connected_) return failure(mistake(Mistake::datagram_not_connected));
  const IpEndpoint peer = reactor_.backend().address(fd_, End::peer).ip();
  const int result = kernel_.connect(fd_, Address());
  connected_ = connect_due_ = false;
  events.connect.remove(std::exchange(once_connected_, ListenerId::none));
  // What is queued is still for that peer.
  for (std::size_t i = sent_; i < queue_.size(); ++i) {
    if (queue_[i].to.family == Family::none) queue_[i].to = peer;
  }
  // It has no peer, but somebody else has its port meanwhile.
  if (result != 0) return failure({.code = errno_code(result), .syscall = "disconnect"});
  return {};
}

// ---- Host names ----

Expected<void> UdpCore::start_lookup(Purpose purpose, const UdpAt& at, Outgoing outgoing) {
  Resolving& one = resolving_.emplace_back(*this, purpose, at);
  one.lookup = Lookup::start(net_, at.host, options_.family, options_.resolver, one);
  if (one.lookup == nullptr) {
    resolving_.pop_back();
    return failure({.code = ResolveError::no_memory, .syscall = "getaddrinfo", .host = at.host});
  }
  one.outgoing = std::move(outgoing);
  hold_reactor();
  return {};
}

void UdpCore::resolved(Resolving& which, std::error_code code, std::vector<IpEndpoint> found) {
  std::list<Resolving> ended;
  for (auto one = resolving_.begin(); one != resolving_.end(); ++one) {
    if (&*one != &which) continue;
    ended.splice(ended.begin(), resolving_, one);
    break;
  }
  const IpEndpoint first = code ? IpEndpoint{} : found.front();
  switch (which.purpose) {
    case Purpose::bind: resolved_bind(which.at, code, first); break;
    case Purpose::connect: resolved_connect(which.at, code, first); break;
    case Purpose::send: resolved_send(which.outgoing, which.at, code, first); break;
  }
  if (!is_active()) let_reactor_go();
}

void UdpCore::resolved_send(Outgoing& outgoing, const UdpAt& at, std::error_code code,
                            const IpEndpoint& found) {
  --resolving_sends_;
  Error error{.code = code, .syscall = "getaddrinfo", .host = at.host};
  if (!code) {
    outgoing.to = with_port(found, at.port).ip();
    const bool blocked = options_.send_block_list != nullptr &&
                         options_.send_block_list->check(Address(outgoing.to));
    if (blocked) error = {.code = Mistake::ip_blocked, .address = Address(outgoing.to)};
    // A bind() may have failed meanwhile.
    const auto bound = ensure_bound();
    if (!bound) error = bound.error();
  }
  if (error.code) {
    ++counters_.send_errors;
    return finish(outgoing, error);
  }
  queue_.push_back(std::move(outgoing));
  reactor_.schedule(*this);
}

void UdpCore::resolved_bind(const UdpAt& at, std::error_code code, const IpEndpoint& found) {
  Error error{.code = code, .syscall = "getaddrinfo", .host = at.host};
  if (!code) {
    const auto opened = open(with_port(found, at.port));
    if (opened) {
      if (connect_when_bound_) {
        const UdpAt peer = *std::exchange(connect_when_bound_, std::nullopt);
        const auto begun = connect(peer, {});
        if (begun) return;
        events.connect.remove(std::exchange(once_connected_, ListenerId::none));
        report(begun.error());
      }
      return;
    }
    error = opened.error();
  }
  events.listening.remove(std::exchange(once_listening_, ListenerId::none));
  events.connect.remove(std::exchange(once_connected_, ListenerId::none));
  connect_when_bound_.reset();
  forget_queue(error);
  report(std::move(error));
}

void UdpCore::resolved_connect(const UdpAt& at, std::error_code code, const IpEndpoint& found) {
  Error error{.code = code, .syscall = "getaddrinfo", .host = at.host};
  if (!code) {
    const auto begun = connect_to(with_port(found, at.port));
    if (begun) return;
    error = begun.error();
  }
  events.connect.remove(std::exchange(once_connected_, ListenerId::none));
  report(std::move(error));
}

// ---- Options and groups ----

Expected<void> UdpCore::set(DatagramOption option, int value, const char* syscall) {
  if (fd_ < 0 || closing_) return failure(unusable(syscall));
  const int result = kernel_.set(fd_, option, value);
  if (result != 0) return failure({.code = errno_code(result), .syscall = syscall});
  return {};
}

Expected<int> UdpCore::get(DatagramFact fact, const char* syscall) const {
  if (fd_ < 0 || closing_) return failure(unusable(syscall));
  const int result = kernel_.get(fd_, fact);
  if (result < 0) return failure({.code = errno_code(result), .syscall = syscall});
  return result;
}

Expected<void> UdpCore::set_multicast_interface(std::string_view interface) {
  constexpr const char* kSyscall = "setMulticastInterface";
  if (fd_ < 0 || closing_) return failure(unusable(kSyscall));
  const auto address = Address::parse_ip(interface, 0);
  const int result = address ? kernel_.set_multicast_interface(fd_, address->ip()) : -EINVAL;
  if (result != 0) return failure({.code = errno_code(result), .syscall = kSyscall});
  return {};
}

Expected<void> UdpCore::change_membership(const Group& group, bool join, const char* syscall) {
  if (closing_) return failure(unusable(syscall));
  if (group.group.empty()) {
    return failure(
        mistake(Mistake::missing_arguments, "the address of a multicast group is needed"));
  }
  if (const auto bound = ensure_bound(); !bound) return failure(bound.error());
  if (fd_ < 0) return failure(unusable(syscall));
  bool valid = true;
  const auto parsed = [&valid](std::string_view text) {
    if (text.empty()) return IpEndpoint{};
    const auto address = Address::parse_ip(text, 0);
    valid = valid && address;
    return address ? address->ip() : IpEndpoint{};
  };
  const Membership membership{.group = parsed(group.group),
                              .source = parsed(group.source),
                              .interface = parsed(group.interface)};
  int result = -EINVAL;
  if (valid) result = join ? kernel_.join(fd_, membership) : kernel_.leave(fd_, membership);
  if (result != 0) return failure({.code = errno_code(result), .syscall = syscall});
  return {};
}

// ---- Facts ----

Expected<Address> UdpCore::address() const {
  if (fd_ < 0 || closing_) return failure(unusable("getsockname"));
  return reactor_.backend().address(fd_, End::local);
}

Expected<Address> UdpCore::remote_address() const {
  if (closing_) return failure(mistake(Mistake::datagram_not_running));
  if (!connected_) return failure(mistake(Mistake::datagram_not_connected));
  return reactor_.backend().address(fd_, End::peer);
}

UdpCounters UdpCore::counters() const {
  UdpCounters counters = counters_;
  const int dropped = fd_ < 0 ? 0 : kernel_.get(fd_, DatagramFact::dropped);
  if (dropped > 0) counters.dropped_receives = static_cast<std::uint64_t>(dropped);
  return counters;
}

}  // namespace weir::inline v1::net
