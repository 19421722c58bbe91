#include "weir/http/host.h"

#include <array>
#include <cstddef>

#include "weir/http/limits.h"

namespace weir::inline v1::http {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_hex_digit(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// unreserved and sub-delims, but no comma.
constexpr std::array<bool, 256> make_name_bytes() {
  std::array<bool, 256> bytes{};
  for (const char c : std::string_view("-._~!$&'()*+;=0123456789abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    bytes[static_cast<unsigned char>(c)] = true;
  }
  return bytes;
}
constexpr std::array<bool, 256> kNameBytes = make_name_bytes();

bool is_name(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (kNameBytes[static_cast<unsigned char>(text[i])]) continue;
    const bool escape = text[i] == '%' && text.size() - i > 2 && is_hex_digit(text[i + 1]) &&
                        is_hex_digit(text[i + 2]);
    if (!escape) return false;
    i += 2;
  }
  return !text.empty();
}

// Four decimal numbers up to 255, without leading zeros.
bool is_dotted_quad(std::string_view text) noexcept {
  for (int part = 0; part < 4; ++part) {
    std::size_t digits = 0;
    int value = 0;
    while (digits < text.size() && digits < 3 && is_digit(text[digits])) {
      value = value * 10 + (text[digits++] - '0');
    }
    if (digits == 0 || value > 255 || (digits > 1 && text[0] == '0')) return false;
    text.remove_prefix(digits);
    if (part == 3) break;
    if (!text.starts_with('.')) return false;
    text.remove_prefix(1);
  }
  return text.empty();
}

// As net::is_ipv6, but without zones, which have no meaning to a server, and without allocating.
bool is_ipv6(std::string_view text) noexcept {
  int groups = 0;
  bool has_gap = text.starts_with("::");
  if (has_gap) text.remove_prefix(2);
  if (has_gap && text.empty()) return true;
  while (groups < 8) {
    if (groups <= 6 && is_dotted_quad(text)) {
      groups += 2;
      text = {};
      break;
    }
    std::size_t digits = 0;
    while (digits < text.size() && is_hex_digit(text[digits])) ++digits;
    if (digits == 0 || digits > 4) return false;
    text.remove_prefix(digits);
    ++groups;
    if (text.empty()) break;
    if (text.starts_with("::")) {
      if (has_gap) return false;
      has_gap = true;
      text.remove_prefix(2);
      if (text.empty()) break;
    } else if (text.size() > 1 && text.front() == ':') {
      text.remove_prefix(1);
    } else {
      return false;
    }
  }
  return text.empty() && (has_gap ? groups <= 7 : groups == 8);
}

bool is_bracketed_ipv6(std::string_view text) noexcept {
  return text.size() > 2 && text.back() == ']' && is_ipv6(text.substr(1, text.size() - 2));
}

bool is_port(std::string_view text) noexcept {
  unsigned port = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    port = port * 10 + static_cast<unsigned>(c - '0');
    if (port > 65535) return false;
  }
  return true;
}

}  // namespace

bool parse_authority(std::string_view text, Authority& authority) noexcept {
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
  if (bracket == std::string_view::npos) return false;
  const std::size_t colon = text.find(':', bracket);
  authority.host = text.substr(0, colon);
  authority.port = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (!is_port(authority.port)) return false;
  return text.starts_with('[') ? is_bracketed_ipv6(authority.host) : is_name(authority.host);
}

std::string host_field(std::string_view host, int port) {
  std::string text;
  if (host.contains(':')) {
    text.append("[").append(host).append("]");
  } else {
    text = host;
  }
  if (port != limits::kPortDefault) text.append(":").append(std::to_string(port));
  return text;
}

}  // namespace weir::inline v1::http
