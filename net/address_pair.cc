#include "weir/net/address_pair.h"

#include <algorithm>
#include <new>

#include "weir/reactor/memory.h"

namespace weir::inline v1::net {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

AddressPair& AddressPair::operator=(AddressPair&& other) noexcept {
  if (this == &other) return *this;
  clear();
  short_ = other.short_;
  ports_ = other.ports_;
  kind_ = std::exchange(other.kind_, Kind::none);
  return *this;
}

void AddressPair::clear() noexcept {
  if (std::exchange(kind_, Kind::none) == Kind::elsewhere) memory::release(elsewhere_);
}

AddressPair::Kind AddressPair::kind_of(const IpEndpoint& end) noexcept {
  if (end.family == Family::none) return Kind::none;
  if (end.family == Family::ipv4) return Kind::ipv4;
  const bool mapped = end.scope == 0 && std::equal(kMapped.begin(), kMapped.end(),
                                                   end.bytes.begin());
  return mapped ? Kind::mapped : Kind::elsewhere;
}

bool AddressPair::set(const IpEndpoint& local, const IpEndpoint& remote) noexcept {
  clear();
  const Kind kind = kind_of(local);
  if (kind != kind_of(remote) || kind == Kind::elsewhere) {
    void* room = memory::allocate(sizeof(Two));
    if (room == nullptr) return false;
    elsewhere_ = ::new (room) Two{local, remote};
    kind_ = Kind::elsewhere;
    return true;
  }
  const auto* first = kind == Kind::mapped ? &local.bytes[kMapped.size()] : local.bytes.data();
  const auto* second = kind == Kind::mapped ? &remote.bytes[kMapped.size()] : remote.bytes.data();
  std::copy_n(first, short_[0].size(), short_[0].begin());
  std::copy_n(second, short_[1].size(), short_[1].begin());
  ports_ = {local.port, remote.port};
  kind_ = kind;
  return true;
}

IpEndpoint AddressPair::end(std::size_t which) const noexcept {
  if (kind_ == Kind::none) return {};
  if (kind_ == Kind::elsewhere) return (*elsewhere_)[which];
  IpEndpoint end{.port = ports_[which], .family = Family::ipv4};
  auto* first = end.bytes.data();
  if (kind_ == Kind::mapped) {
    end.family = Family::ipv6;
    first = std::copy(kMapped.begin(), kMapped.end(), first);
  }
  std::copy(short_[which].begin(), short_[which].end(), first);
  return end;
}

}  // namespace weir::inline v1::net
