// What names a server: the Host field and the authority of a target (RFC 3986, section 3.2).
#pragma once

#include <string>
#include <string_view>

namespace weir::inline v1::http {

struct Authority {
  std::string_view host;  // a name, an IPv4 address or an IPv6 one in brackets
  std::string_view port;  // digits up to 65535; empty when there is none
};

// Host, or host and port. False for anything else: user names, blanks, an empty host. Two things
// that the grammar has are refused as well: a comma in a name, since a list of two hosts would be
// one name then, and IPvFuture, which does not exist.
bool parse_authority(std::string_view text, Authority& authority) noexcept;

// What a client says in Host: "example.com:8080", "[::1]", without the port that http has anyway.
// `host` is a name or an address, an IPv6 one without brackets.
std::string host_field(std::string_view host, int port);

}  // namespace weir::inline v1::http
