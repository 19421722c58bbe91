#include "net/candidates.h"

#include <algorithm>

namespace weir::inline v1::net {

std::vector<Address> candidates_of(const std::vector<IpEndpoint>& found, std::uint16_t port,
                                   Family family, bool all) {
  std::vector<Address> first;   // of the family that was found first
  std::vector<Address> second;
  for (IpEndpoint ip : found) {
    if (family != Family::none && ip.family != family) continue;
    ip.port = port;
    const Address address(ip);
    auto& kind = first.empty() || first.front().family() == ip.family ? first : second;
    if (std::find(kind.begin(), kind.end(), address) == kind.end()) kind.push_back(address);
  }
  if (!all && !first.empty()) return {first.front()};
  std::vector<Address> candidates;
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) candidates.push_back(first[i]);
    if (i < second.size()) candidates.push_back(second[i]);
  }
  return candidates;
}

}  // namespace weir::inline v1::net
