#include "weir/reactor/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "weir/reactor/posix.h"

namespace weir::inline v1 {

std::string IpEndpoint::ip() const {
  if (family != Family::ipv4 && family != Family::ipv6) return {};
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(family == Family::ipv4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  std::string result = text;
  if (scope != 0) result += "%" + std::to_string(scope);
  return result;
}

std::optional<Address> Address::parse_ip(std::string_view text, std::uint16_t port) {
  // The C functions below would take what follows a NUL for nothing.
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  IpEndpoint ip;
  ip.port = port;
  const std::size_t percent = text.find('%');
  const std::string host(text.substr(0, percent));
  if (percent == std::string_view::npos &&
      inet_pton(AF_INET, host.c_str(), ip.bytes.data()) == 1) {
    ip.family = Family::ipv4;
    return Address(ip);
  }
  if (inet_pton(AF_INET6, host.c_str(), ip.bytes.data()) != 1) return std::nullopt;
  ip.family = Family::ipv6;
  if (percent != std::string_view::npos) {
    const std::string_view zone = text.substr(percent + 1);
    const auto [end, error] = std::from_chars(zone.begin(), zone.end(), ip.scope);
    if (error != std::errc() || end != zone.end()) ip.scope = posix::interface_index(zone);
    if (ip.scope == 0) return std::nullopt;
  }
  return Address(ip);
}

Address Address::unix_path(std::string_view path) {
  Address result;
  result.path_ = path;
  return result;
}

Address Address::any_ipv4(std::uint16_t port) {
  IpEndpoint ip;
  ip.family = Family::ipv4;
  ip.port = port;
  return Address(ip);
}

Address Address::any_ipv6(std::uint16_t port) {
  IpEndpoint ip;
  ip.family = Family::ipv6;
  ip.port = port;
  return Address(ip);
}

Address Address::loopback_ipv4(std::uint16_t port) {
  IpEndpoint ip;
  ip.family = Family::ipv4;
  ip.bytes = {127, 0, 0, 1};
  ip.port = port;
  return Address(ip);
}

std::string Address::to_string() const {
  if (is_unix()) return path_.front() == '\0' ? "@" + path_.substr(1) : path_;
  if (ip_.family == Family::none) return {};
  std::string text = ip_.ip();
  if (ip_.family == Family::ipv6) text.insert(0, 1, '[').append(1, ']');
  return text.append(1, ':').append(std::to_string(ip_.port));
}

}  // namespace weir::inline v1
