// The part of the door to the kernel that is for UDP: plain calls that never block, many datagrams
// at a time. When to make them says a PollOp.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/reactor/address.h"
#include "weir/reactor/error.h"

namespace weir::inline v1 {

struct OpenDatagram {
  bool reuse_address = false;  // SO_REUSEADDR: sockets of a multicast group share a port
  bool reuse_port = false;     // SO_REUSEPORT: the kernel spreads what comes
  bool ipv6_only = false;
};

// One datagram that has come.
struct Datagram {
  std::string_view bytes;
  IpEndpoint from;
};

// What is to be sent: one datagram, or with UDP_SEGMENT several to one peer, each of `segment`
// bytes but for the last one, which may be shorter.
struct DatagramOut {
  std::span<const iovec> pieces;
  std::uint32_t segment = 0;
  const IpEndpoint* to = nullptr;  // null: the peer of a connected socket
};

enum class DatagramOption : std::uint8_t {
  broadcast,       // 0 or 1 (SO_BROADCAST)
  ttl,             // 1..255, of unicast (IP_TTL, IPV6_UNICAST_HOPS)
  multicast_ttl,   // 0..255
  multicast_loop,  // 0 or 1: what is sent to a group comes to this machine's members, too
  receive_buffer,  // bytes (SO_RCVBUF; the kernel doubles it)
  send_buffer,     // bytes (SO_SNDBUF; likewise)
  coalesce,        // 0 or 1 (UDP_GRO): a receive may bring several datagrams
  segment,         // 0: is UDP_SEGMENT there? Changes nothing
};

enum class DatagramFact : std::uint8_t {
  receive_buffer,  // as the kernel counts it
  send_buffer,
  dropped,  // datagrams that found the receive queue full, modulo 2^31 (SO_MEMINFO)
};

// A group, and whose datagrams to it are wanted; none: anybody's (RFC 4607). The interface is the
// one that has this address (IPv4), or of this scope (IPv6); none: the kernel's choice.
struct Membership {
  IpEndpoint group;
  IpEndpoint source = {};
  IpEndpoint interface = {};
};

// Owner thread. Results below 0 are -errno.
class Datagrams {
 public:
  // A datagram socket bound to `at`, non-blocking and close-on-exec.
  virtual Expected<int> open(const Address& at, const OpenDatagram& options) noexcept = 0;
  // Makes somebody else's fd one for this backend: a bound UDP socket of the family, else
  // ERR_INVALID_FD_TYPE, and nothing is changed.
  virtual Expected<void> adopt(int fd, Family family) noexcept = 0;
  // From now on only this peer's datagrams come, and errors that it reports (ICMP); Family::none
  // takes that back.
  virtual int connect(int fd, const Address& peer) noexcept = 0;
  virtual int set(int fd, DatagramOption option, int value) noexcept = 0;
  virtual int get(int fd, DatagramFact fact) const noexcept = 0;
  virtual int set_multicast_interface(int fd, const IpEndpoint& interface) noexcept = 0;
  virtual int join(int fd, const Membership& membership) noexcept = 0;
  virtual int leave(int fd, const Membership& membership) noexcept = 0;

  // At most `most` entries, and at most kDatagramsPerReceive; fewer: the queue was empty.
  // `coalesced` goes with the option. Entries, segments and bytes are the backend's, until the next
  // receive or poll().
  struct Received {
    std::span<const Datagram> entries;
    // With UDP_GRO an entry may be several datagrams of one sender, of so many bytes each but for
    // the last one; 0: it is one. Empty: each is one.
    std::span<const std::uint32_t> segments;
    int error = 0;  // -EAGAIN, or what the peer has reported; then there are no entries
  };
  virtual Received receive(int fd, std::size_t most, bool coalesced) noexcept = 0;
  // How many of the front entries the kernel has taken, at least one; or why not the first one.
  virtual int send(int fd, std::span<const DatagramOut> batch) noexcept = 0;

 protected:
  ~Datagrams() = default;
};

}  // namespace weir::inline v1
