// A backend whose datagrams leave only when they are let.
#pragma once

#include <algorithm>
#include <cerrno>
#include <memory>
#include <span>
#include <utility>

#include "tests/relay_backend.h"
#include "weir/reactor/datagrams.h"

namespace weir::test {

// Lets so many through, then says EAGAIN, or once something else.
class GatedDatagrams final : public Datagrams {
 public:
  explicit GatedDatagrams(Datagrams& behind) : behind_(behind) {}

  Expected<int> open(const Address& at, const OpenDatagram& options) noexcept override {
    return behind_.open(at, options);
  }
  Expected<void> adopt(int fd, Family family) noexcept override {
    return behind_.adopt(fd, family);
  }
  int connect(int fd, const Address& peer) noexcept override { return behind_.connect(fd, peer); }
  int set(int fd, DatagramOption option, int value) noexcept override {
    return behind_.set(fd, option, value);
  }
  int get(int fd, DatagramFact fact) const noexcept override { return behind_.get(fd, fact); }
  int join(int fd, const Membership& membership) noexcept override {
    return behind_.join(fd, membership);
  }
  int leave(int fd, const Membership& membership) noexcept override {
    return behind_.leave(fd, membership);
  }
  int set_multicast_interface(int fd, const IpEndpoint& interface) noexcept override {
    return behind_.set_multicast_interface(fd, interface);
  }
  Received receive(int fd, std::size_t most, bool coalesced) noexcept override {
    return behind_.receive(fd, most, coalesced);
  }
  int send(int fd, std::span<const DatagramOut> batch) noexcept override {
    ++sends;
    if (const int refused = std::exchange(refuse_next, 0); refused != 0) return refused;
    if (entries_max == 0) return -EAGAIN;
    const int count = behind_.send(fd, batch.first(std::min(batch.size(), entries_max)));
    const auto entries = static_cast<std::size_t>(std::max(count, 0));
    for (const DatagramOut& one : batch.first(entries)) taken += one.pieces.size();
    if (!once_each && entries_max != SIZE_MAX) entries_max -= entries;
    return count;
  }

  std::size_t entries_max = SIZE_MAX;  // still let through
  bool once_each = false;              // entries_max counts for each call anew
  int refuse_next = 0;                 // -errno for the next call
  int sends = 0;
  std::size_t taken = 0;  // datagrams

 private:
  Datagrams& behind_;
};

class GatedBackend final : public RelayBackend {
 public:
  explicit GatedBackend(std::unique_ptr<Backend> behind)
      : RelayBackend(std::move(behind)), gate(RelayBackend::datagrams()) {}
  Datagrams& datagrams() noexcept override { return gate; }

  GatedDatagrams gate;
};

}  // namespace weir::test
