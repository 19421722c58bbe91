// Texts as addresses and as what a service manager leaves in the environment. The input's lines are
// texts; each is taken for an address, and in turn they make the rules of a block list. What the
// system's own functions say of an address, and a block list of numbers of 128 bits, agree.
#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "weir/net/activation.h"
#include "weir/net/block_list.h"
#include "weir/net/ip.h"
#include "weir/reactor/address.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using Number = unsigned __int128;

struct Plain {
  int version = 0;
  Number value = 0;  // IPv4 in 32 bits
};

// Of a text with or without a zone, in which nothing but its characters is looked at.
Plain read_ip(std::string_view text) {
  const std::size_t percent = text.find('%');
  const std::string_view zone = percent == text.npos ? "0" : text.substr(percent + 1);
  constexpr std::string_view kZone =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.:";
  if (zone.empty() || zone.find_first_not_of(kZone) != zone.npos) return {};
  const std::string address(text.substr(0, percent));
  if (address.find('\0') != address.npos) return {};
  unsigned char bytes[16] = {};
  Plain plain;
  if (percent == text.npos && inet_pton(AF_INET, address.c_str(), bytes) == 1) plain.version = 4;
  if (plain.version == 0 && inet_pton(AF_INET6, address.c_str(), bytes) == 1) plain.version = 6;
  const int size = plain.version == 4 ? 4 : plain.version == 6 ? 16 : 0;
  for (int i = 0; i < size; ++i) plain.value = plain.value << 8 | bytes[i];
  return plain;
}

// IPv4 as ::ffff:0:0/96.
Number mapped(const Plain& ip) {
  return ip.version == 4 ? Number{0xffff} << 32 | ip.value : ip.value;
}
bool is_mapped(Number value) { return value >> 32 == 0xffff; }

void try_text(std::string_view text) {
  const Plain plain = read_ip(text);
  WEIR_ASSERT(net::is_ip(text) == plain.version);
  WEIR_ASSERT(net::is_ipv4(text) == (plain.version == 4));
  WEIR_ASSERT(net::is_ipv6(text) == (plain.version == 6));
  const auto address = Address::parse_ip(text, 8080);
  if (!address) {
    // It is one for all but the zone, of which there is no such interface.
    WEIR_ASSERT(plain.version == 0 || text.find('%') != text.npos);
    return;
  }
  WEIR_ASSERT(address->port() == 8080 && !address->is_unix());
  const bool has_zone = text.find('%') != text.npos;
  // Interfaces may have names that Node's rule for zones does not know.
  WEIR_ASSERT(plain.version != 0 || has_zone);
  WEIR_ASSERT((address->ip().scope != 0) == has_zone);
  if (plain.version == 0) return;
  WEIR_ASSERT(address->family() == (plain.version == 4 ? Family::ipv4 : Family::ipv6));
  const auto again = Address::parse_ip(address->host(), 8080);
  WEIR_ASSERT(again == address);
  const std::string whole = plain.version == 4 ? address->host() : "[" + address->host() + "]";
  WEIR_ASSERT(address->to_string() == whole + ":8080");
  WEIR_ASSERT(net::is_ip(address->host()) == plain.version);
}

void try_path(std::string_view text) {
  const Address address = Address::unix_path(text);
  WEIR_ASSERT(address.is_unix() == !text.empty() && address.path() == text);
  WEIR_ASSERT(address.host().empty() && address.port() == 0);
  if (text.empty()) return;
  const bool is_abstract = text[0] == '\0';
  WEIR_ASSERT(address.to_string() ==
              (is_abstract ? "@" + std::string(text.substr(1)) : std::string(text)));
}

// ---- Block lists ----

struct Rule {
  Number first = 0;
  Number last = 0;
  bool has_ipv4 = true;
};

std::optional<Rule> read_subnet(const Plain& ip, int prefix) {
  const int bits = ip.version == 4 ? 32 : 128;
  if (ip.version == 0 || prefix < 0 || prefix > bits) return std::nullopt;
  const int rest = bits - prefix;
  const Number mask = rest == 128 ? ~Number{0} : (Number{1} << rest) - 1;
  return Rule{.first = mapped(ip) & ~mask, .last = mapped(ip) | mask};
}

std::optional<Rule> read_range(const Plain& low, const Plain& high) {
  if (low.version == 0 || low.version != high.version || low.value > high.value) return {};
  const Number first = mapped(low);
  const Number last = mapped(high);
  return Rule{.first = first, .last = last, .has_ipv4 = is_mapped(first) && is_mapped(last)};
}

void try_rules(const std::vector<std::string_view>& texts) {
  net::BlockList list;
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Plain ip = read_ip(texts[i]);
    const std::string_view next = texts[(i + 1) % texts.size()];
    std::optional<Rule> rule;
    bool added = false;
    switch ((i + texts[0].size()) % 3) {
      case 0:
        added = list.add_address(texts[i]).has_value();
        if (ip.version != 0) rule = Rule{.first = mapped(ip), .last = mapped(ip)};
        break;
      case 1:
        added = list.add_range(texts[i], next).has_value();
        rule = read_range(ip, read_ip(next));
        break;
      default: {
        const int prefix = static_cast<int>(next.size() * 7 % 135) - 3;
        added = list.add_subnet(texts[i], prefix).has_value();
        rule = read_subnet(ip, prefix);
      }
    }
    WEIR_ASSERT(added == rule.has_value());
    if (rule) rules.push_back(*rule);
  }
  WEIR_ASSERT(list.rules().size() == rules.size());
  for (const std::string_view text : texts) {
    const Plain ip = read_ip(text);
    const Number value = mapped(ip);
    const bool wanted = ip.version != 0 && std::ranges::any_of(rules, [&](const Rule& rule) {
      return (ip.version == 6 || rule.has_ipv4) && rule.first <= value && value <= rule.last;
    });
    WEIR_ASSERT(list.check(text) == wanted);
    const auto address = Address::parse_ip(text, 1);
    if (address && ip.version != 0) WEIR_ASSERT(list.check(*address) == wanted);
  }
}

// ---- Activation ----

// Digits, as a whole; none for what is no number that counts descriptors.
std::optional<int> read_number(const std::string& text) {
  // from_chars() takes "-0".
  std::string digits = text;
  if (digits.starts_with('-')) digits.erase(0, 1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return {};
  while (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  if (digits.size() > 10 || std::stoll(digits) > 2147483647) return {};
  if (digits != "0" && text.starts_with('-')) return {};
  return std::stoi(digits);
}

std::string name_at(std::string_view names, std::size_t index) {
  for (; index > 0; --index) {
    const std::size_t colon = names.find(':');
    if (colon == names.npos) return {};
    names.remove_prefix(colon + 1);
  }
  return std::string(names.substr(0, names.find(':')));
}

void try_activation(const std::vector<std::string_view>& texts) {
  const auto text_at = [&](std::size_t index) {
    // What an environment can hold.
    std::string text(index < texts.size() ? texts[index] : "");
    return std::string(text.c_str());
  };
  const std::string own = std::to_string(getpid());
  const std::string pid = text_at(0) == "me" ? own : text_at(0);
  const std::string count = text_at(1);
  const std::string names = text_at(2);
  setenv("LISTEN_PID", pid.c_str(), 1);
  setenv("LISTEN_FDS", count.c_str(), 1);
  setenv("LISTEN_FDNAMES", names.c_str(), 1);
  const auto found = net::inherited_descriptors();
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    WEIR_ASSERT(std::getenv(name) == nullptr);
  }
  WEIR_ASSERT(net::inherited_descriptors()->empty());
  if (count.empty() || read_number(pid) != getpid()) {
    WEIR_ASSERT(found.has_value() && found->empty());
    return;
  }
  const auto number = read_number(count);
  int open = 0;
  while (number && open < *number && fcntl(3 + open, F_GETFD) >= 0) ++open;
  WEIR_ASSERT(found.has_value() == (number && open == *number));
  if (!found) return;
  WEIR_ASSERT(found->size() == static_cast<std::size_t>(*number));
  for (std::size_t i = 0; i < found->size(); ++i) {
    const int fd = 3 + static_cast<int>(i);
    WEIR_ASSERT((*found)[i].fd == fd && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    WEIR_ASSERT((*found)[i].name == name_at(names, i));
  }
}

void try_bytes(std::string_view bytes) {
  const ExactBytes exact(bytes);
  std::vector<std::string_view> texts;
  for (std::string_view rest = exact.view(); texts.size() < 16;) {
    const std::size_t end = rest.find('\n');
    texts.push_back(rest.substr(0, end));
    if (end == rest.npos) break;
    rest.remove_prefix(end + 1);
  }
  for (const std::string_view text : texts) {
    try_text(text);
    try_path(text);
  }
  try_rules(texts);
  try_activation(texts);
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
