// Any text as a URL, a request target, a Host field and a query: what is taken apart can be put
// together again, the readers agree with each other, and plain ones, written down here a second
// time, find the same.
#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "weir/http/host.h"
#include "weir/http/http_url.h"
#include "weir/http/query.h"
#include "weir/http/target.h"
#include "weir/http/url.h"
#include "weir/net/encoding.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using http::Authority;
using http::Target;
using http::TargetForm;

bool is_one_of(std::string_view bytes, char c) { return bytes.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_one_of("0123456789abcdefABCDEF", c); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// ---- Authorities ----

bool is_plain_port(std::string_view text) {
  std::string digits(text);
  while (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  if (digits.size() > 5) return false;
  for (const char c : digits) {
    if (!is_digit(c)) return false;
  }
  return digits.empty() || std::stoi(digits) <= 65535;
}

// inet_pton() is the other opinion. It knows no zones, which is as it should be here.
bool is_plain_ipv6(std::string_view text) {
  unsigned char bytes[16];
  return text.size() < 64 && !is_one_of(text, '\0') &&
         inet_pton(AF_INET6, std::string(text).c_str(), bytes) == 1;
}

bool is_plain_name(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
    } else if (!is_letter(text[i]) && !is_digit(text[i]) &&
               !is_one_of("-._~!$&'()*+;=", text[i])) {
      return false;
    }
  }
  return !text.empty();
}

std::optional<Authority> read_authority(std::string_view text) {
  // Outside of brackets there is one colon at most, and it is in front of the port.
  const std::size_t bracket = text.rfind(']');
  const std::size_t from = text.starts_with('[') && bracket != text.npos ? bracket : 0;
  const std::size_t colon = text.find(':', from);
  Authority parts{.host = text.substr(0, colon), .port = {}};
  if (colon != text.npos) parts.port = text.substr(colon + 1);
  if (!is_plain_port(parts.port)) return std::nullopt;
  const bool is_bracketed = parts.host.size() > 2 && parts.host.front() == '[' &&
                            parts.host.back() == ']';
  const bool good = is_bracketed ? is_plain_ipv6(parts.host.substr(1, parts.host.size() - 2))
                                 : is_plain_name(parts.host);
  return good ? std::optional(parts) : std::nullopt;
}

void try_authority(std::string_view text) {
  Authority parts;
  const bool good = http::parse_authority(text, parts);
  const auto plain = read_authority(text);
  WEIR_ASSERT(good == plain.has_value());
  if (!good) return;
  WEIR_ASSERT(parts.host == plain->host && parts.port == plain->port);
  const bool has_colon = text.size() > parts.host.size();
  WEIR_ASSERT(std::string(parts.host) + (has_colon ? ":" : "") + std::string(parts.port) == text);
}

// ---- Targets ----

bool is_plain_path_and_query(std::string_view text) {
  bool in_query = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    in_query = in_query || text[i] == '?';
    if (text[i] <= ' ' || text[i] >= 0x7f || is_one_of("\"#<>", text[i])) return false;
    if (in_query) continue;
    if (text[i] == '\\' || text.substr(i, 3) == "%00") return false;
  }
  return true;
}

std::optional<Target> read_target(http::Method method, std::string_view text) {
  if (method == http::Method::connect) {
    const auto parts = read_authority(text);
    if (!parts || parts->port.empty()) return std::nullopt;
    return Target{TargetForm::authority, text};
  }
  if (text == "*" && method == http::Method::options) return Target{TargetForm::asterisk, {}};
  if (text.starts_with('/')) {
    if (!is_plain_path_and_query(text)) return std::nullopt;
    return Target{TargetForm::origin, {}};
  }
  std::string lower(text.substr(0, text.find("//")));
  for (char& c : lower) c = is_letter(c) ? static_cast<char>(c | 0x20) : c;
  if (lower != "http:" && lower != "https:") return std::nullopt;
  if (lower.size() == text.size()) return std::nullopt;
  const std::string_view rest = text.substr(lower.size() + 2);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  if (!read_authority(authority)) return std::nullopt;
  if (!is_plain_path_and_query(rest.substr(authority.size()))) return std::nullopt;
  return Target{TargetForm::absolute, authority};
}

void try_target(std::string_view text) {
  for (const auto method : {http::Method::get, http::Method::options, http::Method::connect}) {
    Target target;
    const bool good = http::parse_target(method, text, target);
    const auto plain = read_target(method, text);
    WEIR_ASSERT(good == plain.has_value());
    if (!good) continue;
    WEIR_ASSERT(target.form == plain->form && target.authority == plain->authority);
  }
}

// ---- URLs ----

void try_split(std::string_view text) {
  const http::Url url = http::split_url(text);
  std::string whole;
  if (!url.scheme.empty()) whole.append(url.scheme).append("://").append(url.authority);
  whole.append(url.path);
  if (url.query) whole.append("?").append(*url.query);
  if (url.hash) whole.append("#").append(*url.hash);
  WEIR_ASSERT(whole == text);
  WEIR_ASSERT(url.path.find_first_of("?#") == text.npos);
  WEIR_ASSERT(!url.query || !is_one_of(*url.query, '#'));
  WEIR_ASSERT(url.authority.find_first_of("/?#") == text.npos);
  WEIR_ASSERT(url.authority.empty() || !url.scheme.empty());
}

// What a client makes of a URL reads as that URL again, and its Host field names its host.
void check_url(const http::HttpUrl& url) {
  WEIR_ASSERT(url.port > 0 && url.port <= 65535);
  WEIR_ASSERT(url.target.starts_with('/'));
  const std::string host = http::host_field(url.host, url.port);
  Authority parts;
  WEIR_ASSERT(http::parse_authority(host, parts));
  const bool is_ipv6 = is_one_of(url.host, ':');
  WEIR_ASSERT(parts.host == (is_ipv6 ? "[" + url.host + "]" : url.host));
  WEIR_ASSERT((parts.port.empty() ? "80" : parts.port) == std::to_string(url.port));
  const std::string text =
      "http://" + (url.userinfo.empty() ? "" : url.userinfo + "@") + host + url.target;
  const auto again = http::parse_http_url(text);
  if (text.size() > http::limits::kSentRequestLineBytesMax) return;
  WEIR_ASSERT(again.has_value());
  WEIR_ASSERT(again->host == url.host && again->port == url.port);
  WEIR_ASSERT(again->target == url.target && again->userinfo == url.userinfo);
}

void check_credentials(std::string_view userinfo) {
  const std::string text = http::basic_credentials(userinfo);
  WEIR_ASSERT(text.starts_with("Basic ") && text.size() % 4 == 2);
  std::string decoded = http::decode_percent(userinfo);
  if (!is_one_of(userinfo, ':')) decoded += ':';
  WEIR_ASSERT(net::to_bytes(text.substr(6), net::Encoding::base64) == decoded);
}

// A URL that a client takes is an absolute target that a server takes, and the other way round, but
// for what only one of them has: user names, escapes in hosts, port 0, fragments and https.
void try_url(std::string_view text) {
  const auto url = http::parse_http_url(text);
  if (url) {
    check_url(*url);
    check_credentials(url->userinfo);
  }
  const std::string_view rest = text.substr(0, text.find_first_of("/?", 7));
  Target target;
  const bool is_target = http::parse_target(http::Method::get, text, target);
  if (is_target && target.form == TargetForm::absolute && (text[4] | 0x20) != 's') {
    Authority parts;
    WEIR_ASSERT(http::parse_authority(target.authority, parts));
    const bool no_port = !parts.port.empty() && std::stoi(std::string(parts.port)) == 0;
    const bool too_long = text.size() > http::limits::kSentRequestLineBytesMax;
    WEIR_ASSERT(url.has_value() == !(no_port || too_long || is_one_of(parts.host, '%')));
  }
  if (!url || is_one_of(rest, '@') || !is_plain_path_and_query(text.substr(rest.size()))) return;
  if (!is_one_of(text, '#')) WEIR_ASSERT(is_target && target.form == TargetForm::absolute);
}

// ---- Queries ----

std::string decode_plainly(std::string_view text, bool is_query) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(i + 1, 2);
    if (text[i] == '%' && digits.size() == 2 && is_hex(digits[0]) && is_hex(digits[1])) {
      bytes += static_cast<char>(std::stoi(std::string(digits), nullptr, 16));
      i += 2;
    } else {
      bytes += is_query && text[i] == '+' ? ' ' : text[i];
    }
  }
  return bytes;
}

std::string with_replacements(const std::string& bytes) {
  net::TextDecoder decoder(net::Encoding::utf8);
  std::string text;
  decoder.decode(bytes, text);
  decoder.finish(text);
  return text;
}

std::vector<http::QueryValue> read_query(std::string_view text, std::size_t pairs_max) {
  std::vector<http::QueryValue> values;
  for (std::size_t at = 0; at <= text.size() && (pairs_max == 0 || values.size() < pairs_max);) {
    std::size_t end = at;
    while (end < text.size() && text[end] != '&') ++end;
    std::size_t equals = at;
    while (equals < end && text[equals] != '=') ++equals;
    const auto decode = [&](std::size_t from, std::size_t to) {
      if (from >= to) return std::string();
      return with_replacements(decode_plainly(text.substr(from, to - from), true));
    };
    if (end > at) values.push_back({decode(at, equals), decode(equals + 1, end)});
    at = end + 1;
  }
  return values;
}

bool are_equal(const std::vector<http::QueryValue>& a, const std::vector<http::QueryValue>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].name != b[i].name || a[i].value != b[i].value) return false;
  }
  return true;
}

void try_query(std::string_view text) {
  WEIR_ASSERT(http::decode_percent(text) == decode_plainly(text, false));
  const std::string decoded = http::decode_query(text);
  WEIR_ASSERT(decoded == with_replacements(decode_plainly(text, true)));
  if (http::is_plain_query(text)) WEIR_ASSERT(decoded == text);
  const std::string escaped = http::escape_query(text);
  WEIR_ASSERT(escaped.empty() || is_plain_name(escaped));
  WEIR_ASSERT(escaped.find_first_of("&+=") == escaped.npos);
  WEIR_ASSERT(http::decode_percent(escaped) == text);
  for (const std::size_t pairs_max : {0, 1, 2, 1000}) {
    WEIR_ASSERT(are_equal(http::parse_query(text, pairs_max), read_query(text, pairs_max)));
  }
  const auto values = http::parse_query(text);
  WEIR_ASSERT(are_equal(http::parse_query(http::stringify_query(values)), values));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::size_t first = 0;
    while (values[first].name != values[i].name) ++first;
    WEIR_ASSERT(http::find_in_query(text, values[i].name) == values[first].value);
  }
}

void try_bytes(std::string_view bytes) {
  const ExactBytes exact(bytes);
  const std::string_view text = exact.view();
  try_authority(text);
  try_target(text);
  try_split(text);
  try_url(text);
  if (text.size() < 500) try_query(text);  // each name is looked for
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
