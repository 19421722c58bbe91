// The addresses of a connection's two ends, in little room.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "weir/reactor/address.h"

namespace weir::inline v1::net {

// IPv4, also as an IPv6 socket sees it (::ffff:192.0.2.1), takes nothing more; other addresses
// 48 bytes elsewhere.
class AddressPair {
 public:
  AddressPair() noexcept : elsewhere_(nullptr) {}
  AddressPair(const AddressPair&) = delete;
  AddressPair& operator=(AddressPair&& other) noexcept;
  ~AddressPair() { clear(); }

  // False when memory was refused: then there are none.
  [[nodiscard]] bool set(const IpEndpoint& local, const IpEndpoint& remote) noexcept;
  void clear() noexcept;
  // Family::none where there is none, as on Unix sockets.
  IpEndpoint local() const noexcept { return end(0); }
  IpEndpoint remote() const noexcept { return end(1); }

 private:
  enum class Kind : std::uint8_t { none, ipv4, mapped, elsewhere };
  using Two = std::array<IpEndpoint, 2>;
  using Short = std::array<std::uint8_t, 4>;

  static Kind kind_of(const IpEndpoint& end) noexcept;
  IpEndpoint end(std::size_t which) const noexcept;

  union {
    Two* elsewhere_;
    std::array<Short, 2> short_;
  };
  std::array<std::uint16_t, 2> ports_{};
  Kind kind_ = Kind::none;
};
static_assert(sizeof(AddressPair) == 16);

}  // namespace weir::inline v1::net
