#include "weir/net/ip.h"

#include <algorithm>
#include <cstddef>

#include "weir/reactor/address.h"

namespace weir::inline v1::net {
namespace {

// "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255": a longer one is not even copied.
constexpr std::size_t kLongestAddress = 45;

// Of a text without a zone: for one parse_ip() would ask the system.
Family family_of(std::string_view text) {
  if (text.size() > kLongestAddress || text.contains('%')) return Family::none;
  const auto address = Address::parse_ip(text, 0);
  return address ? address->family() : Family::none;
}

bool is_zone_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '.' || c == ':';
}

}  // namespace

bool is_ipv4(std::string_view text) { return family_of(text) == Family::ipv4; }

bool is_ipv6(std::string_view text) {
  const std::size_t percent = text.find('%');
  if (percent != std::string_view::npos) {
    const std::string_view zone = text.substr(percent + 1);
    if (zone.empty() || !std::ranges::all_of(zone, is_zone_character)) return false;
  }
  return family_of(text.substr(0, percent)) == Family::ipv6;
}

int is_ip(std::string_view text) {
  if (is_ipv4(text)) return 4;
  return is_ipv6(text) ? 6 : 0;
}

}  // namespace weir::inline v1::net
