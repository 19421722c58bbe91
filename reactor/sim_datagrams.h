// UDP of the simulated kernel, as a backend offers it. Private to this package.
#pragma once

#include <vector>

#include "weir/reactor/datagrams.h"
#include "reactor/sim_network.h"

namespace weir::inline v1::sim {

// Of one reactor of a machine. The network keeps no UDP_SEGMENT and no UDP_GRO.
class SimDatagrams final : public Datagrams {
 public:
  SimDatagrams(Network& network, std::uint32_t machine) noexcept
      : network_(network), machine_(machine) {}

  Expected<int> open(const Address& at, const OpenDatagram& options) noexcept override;
  Expected<void> adopt(int fd, Family family) noexcept override;
  int connect(int fd, const Address& peer) noexcept override;
  int set(int fd, DatagramOption option, int value) noexcept override;
  int get(int fd, DatagramFact fact) const noexcept override;
  int set_multicast_interface(int fd, const IpEndpoint& interface) noexcept override;
  int join(int fd, const Membership& membership) noexcept override;
  int leave(int fd, const Membership& membership) noexcept override;
  Received receive(int fd, std::size_t most, bool coalesced) noexcept override;
  int send(int fd, std::span<const DatagramOut> batch) noexcept override;

 private:
  Socket& socket(int fd) const noexcept;

  Network& network_;
  std::uint32_t machine_;
  std::vector<Datagram> taken_;  // by the last receive
  std::vector<weir::Datagram> entries_;
};

}  // namespace weir::inline v1::sim
