// UDP of the kernel backends: recvmmsg(2) and sendmmsg(2). Private to this package.
#pragma once

#include <sys/socket.h>

#include <memory>

#include "weir/reactor/backend.h"
#include "weir/reactor/datagrams.h"

namespace weir::inline v1 {

// Owner thread. The memory for receives and sends is made with the first of them.
class KernelDatagrams : public Datagrams {
 public:
  // For UDP_GRO, behind what options of an adopted socket put in front (timestamps, drops).
  static constexpr std::size_t kControlBytes = 256;

  explicit KernelDatagrams(BackendCounters& counters) noexcept;
  KernelDatagrams(const KernelDatagrams&) = delete;
  KernelDatagrams& operator=(const KernelDatagrams&) = delete;
  ~KernelDatagrams();

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

 protected:
  BackendCounters& counters() noexcept { return counters_; }
  // The size of the datagrams that a receive has put together, from its control data; 0: it is one.
  static std::uint32_t segment_of(void* control, std::size_t length) noexcept;

 private:
  struct Inbox;
  struct Outbox;

  BackendCounters& counters_;
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<Outbox> outbox_;
};

}  // namespace weir::inline v1
