// Which peers are not wanted: addresses, ranges and subnets, as Node's net.BlockList.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weir/reactor/address.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::net {

// A value. IPv4 and IPv6 are told apart by the texts; zones ("%eth0") and ports count for nothing.
// An IPv4 address and its IPv4-mapped IPv6 form are the same, with one exception (Node's): IPv4
// addresses are in a range of IPv6 addresses only when both of its ends are mapped.
//
// Thread: any number may check while none adds. Bounds: as many rules as were added, one that is
// added twice counts twice; check() looks at each of them.
class BlockList {
 public:
  // Errors of all three: bad_ip_address for a text that is_ip() does not know.
  Expected<void> add_address(std::string_view address);
  // Both ends belong to it. bad_argument when they are of two families or `start` is above `end`.
  Expected<void> add_range(std::string_view start, std::string_view end);
  // The addresses that share the first `prefix` bits with `network`, whose other bits may be set.
  // out_of_range unless `prefix` is in 0..32, for IPv6 in 0..128.
  Expected<void> add_subnet(std::string_view network, int prefix);

  // True when a rule has the address in it. Never for a Unix address.
  bool check(const Address& address) const noexcept;
  // Never for a text that is no IP address.
  bool check(std::string_view address) const;

  // "Address: IPv4 1.2.3.4", "Range: IPv6 ::1-::9", "Subnet: IPv4 10.0.0.0/8"; newest first.
  std::vector<std::string> rules() const;

 private:
  // In network order, IPv4 as ::ffff:0:0/96: so they compare as the addresses do.
  using Key = std::array<std::uint8_t, 16>;
  struct Rule {
    Key first;
    Key last;
    bool has_ipv4;  // false: passed over for IPv4 addresses
    std::string text;
  };

  static Key key_of(const IpEndpoint& ip) noexcept;
  static bool is_mapped(const Key& key) noexcept;

  std::vector<Rule> rules_;
};

}  // namespace weir::inline v1::net
