#include "weir/net/block_list.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "weir/net/ip.h"

namespace weir::inline v1::net {
namespace {

std::unexpected<Error> mistake(Mistake code, std::string detail) {
  return failure({.code = code, .address = {}, .detail = std::move(detail)});
}

// Without port and zone.
Expected<IpEndpoint> parse(std::string_view text) {
  if (is_ip(text) == 0) {
    return mistake(Mistake::bad_ip_address,
                   "\"" + std::string(text) + "\" is not a numeric IPv4 or IPv6 address");
  }
  return Address::parse_ip(text.substr(0, text.find('%')), 0)->ip();
}

// "IPv4 1.2.3.4"
std::string named(const IpEndpoint& ip) {
  return (ip.family == Family::ipv4 ? "IPv4 " : "IPv6 ") + ip.ip();
}

}  // namespace

BlockList::Key BlockList::key_of(const IpEndpoint& ip) noexcept {
  if (ip.family == Family::ipv6) return ip.bytes;
  Key key{};
  key[10] = key[11] = 0xff;
  std::copy_n(ip.bytes.begin(), 4, key.begin() + 12);
  return key;
}

bool BlockList::is_mapped(const Key& key) noexcept {
  constexpr Key kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(key.begin(), key.begin() + 12, kMapped.begin());
}

Expected<void> BlockList::add_address(std::string_view address) {
  const auto ip = parse(address);
  if (!ip) return failure(ip.error());
  const Key key = key_of(*ip);
  rules_.push_back({key, key, true, "Address: " + named(*ip)});
  return {};
}

Expected<void> BlockList::add_range(std::string_view start, std::string_view end) {
  const auto low = parse(start);
  if (!low) return failure(low.error());
  const auto high = parse(end);
  if (!high) return failure(high.error());
  if (low->family != high->family) {
    return mistake(Mistake::bad_argument,
                   named(*low) + " and " + named(*high) + " are of two families");
  }
  const std::string range = named(*low) + "-" + high->ip();
  const Key first = key_of(*low);
  const Key last = key_of(*high);
  if (first > last) {
    return mistake(Mistake::bad_argument, "the start of " + range + " is above its end");
  }
  rules_.push_back({first, last, is_mapped(first) && is_mapped(last), "Range: " + range});
  return {};
}

Expected<void> BlockList::add_subnet(std::string_view network, int prefix) {
  const auto ip = parse(network);
  if (!ip) return failure(ip.error());
  const int bits = ip->family == Family::ipv4 ? 32 : 128;
  if (prefix < 0 || prefix > bits) {
    return mistake(Mistake::out_of_range, "the prefix of " + named(*ip) + " must be in 0.." +
                                              std::to_string(bits) + ", not " +
                                              std::to_string(prefix));
  }
  Rule rule = {key_of(*ip), key_of(*ip), true,
               "Subnet: " + named(*ip) + "/" + std::to_string(prefix)};
  for (int bit = 128 - bits + prefix; bit < 128; ++bit) {
    const auto index = static_cast<std::size_t>(bit / 8);
    const auto mask = static_cast<std::uint8_t>(0x80 >> bit % 8);
    rule.first[index] &= static_cast<std::uint8_t>(~mask);
    rule.last[index] |= mask;
  }
  rules_.push_back(std::move(rule));
  return {};
}

bool BlockList::check(const Address& address) const noexcept {
  const Family family = address.family();
  if (family != Family::ipv4 && family != Family::ipv6) return false;
  const Key key = key_of(address.ip());
  return std::ranges::any_of(rules_, [&](const Rule& rule) {
    return (family == Family::ipv6 || rule.has_ipv4) && rule.first <= key && key <= rule.last;
  });
}

bool BlockList::check(std::string_view address) const {
  const auto ip = parse(address);
  return ip && check(Address(*ip));
}

std::vector<std::string> BlockList::rules() const {
  std::vector<std::string> texts;
  texts.reserve(rules_.size());
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) texts.push_back(rule->text);
  return texts;
}

}  // namespace weir::inline v1::net
