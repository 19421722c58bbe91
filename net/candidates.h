// Which addresses of a name are tried, and in which order. Pure; private to net.
#pragma once

#include <vector>

#include "weir/reactor/address.h"

namespace weir::inline v1::net {

// Those of `family` (none: all), each once, with `port`. All of them: families take turns, that of
// the first answer first (RFC 8305, section 4). Else only the first one.
std::vector<Address> candidates_of(const std::vector<IpEndpoint>& found, std::uint16_t port,
                                   Family family, bool all);

}  // namespace weir::inline v1::net
