// Where a socket is bound or connected: a value without any system type in it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::inline v1 {

enum class Family : std::uint8_t { none, ipv4, ipv6, local };

// An IP address and port, 24 bytes, trivially copyable. `bytes` is in network order; IPv4 uses the
// first four. `scope` is the interface index of a link-local IPv6 address, else 0.
struct IpEndpoint {
  std::array<std::uint8_t, 16> bytes{};
  std::uint32_t scope = 0;
  std::uint16_t port = 0;
  Family family = Family::none;

  // The address without its port: "127.0.0.1", "::1", "fe80::1%2"; empty for Family::none.
  std::string ip() const;
  friend bool operator==(const IpEndpoint&, const IpEndpoint&) = default;
};

// An IP endpoint or the path of a Unix socket. An abstract Unix name (unix(7)) begins with a NUL
// byte and counts in full length.
class Address {
 public:
  Address() = default;
  explicit Address(const IpEndpoint& ip) : ip_(ip) {}

  // Numeric IPv4 ("127.0.0.1") or IPv6 ("::1", "fe80::1%eth0"), without brackets; names are not
  // looked up. Nothing when the text is neither.
  static std::optional<Address> parse_ip(std::string_view text, std::uint16_t port);
  // `path` may be at most 108 bytes to be usable (sun_path); listen and connect check.
  static Address unix_path(std::string_view path);
  static Address any_ipv4(std::uint16_t port);
  static Address any_ipv6(std::uint16_t port);
  static Address loopback_ipv4(std::uint16_t port);

  Family family() const noexcept { return path_.empty() ? ip_.family : Family::local; }
  bool is_unix() const noexcept { return !path_.empty(); }
  const IpEndpoint& ip() const noexcept { return ip_; }
  // The IP address as text, without the port; empty when there is none.
  std::string host() const { return ip_.ip(); }
  std::uint16_t port() const noexcept { return ip_.port; }
  void set_port(std::uint16_t port) noexcept { ip_.port = port; }
  const std::string& path() const noexcept { return path_; }

  // "127.0.0.1:80", "[::1]:80", "/run/x.sock", "@name" for an abstract name, "" for none.
  std::string to_string() const;
  friend bool operator==(const Address&, const Address&) = default;

 private:
  IpEndpoint ip_;
  std::string path_;
};

}  // namespace weir::inline v1
