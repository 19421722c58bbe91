// Is a text a numeric IP address? Node's net.isIP and its like.
#pragma once

#include <string_view>

namespace weir::inline v1::net {

// Decimal dotted quad, without leading zeros and without shorthand.
bool is_ipv4(std::string_view text);
// With or without "::", an embedded dotted quad, and a zone: '%' and at least one of the characters
// 0-9 a-z A-Z '-' '.' ':'. Whether there is an interface of that name is not asked. No brackets.
bool is_ipv6(std::string_view text);
// 4, 6, or 0 for neither.
int is_ip(std::string_view text);

}  // namespace weir::inline v1::net
