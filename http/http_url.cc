#include "weir/http/http_url.h"

#include <charconv>
#include <cstddef>

#include "weir/http/field_value.h"
#include "weir/http/host.h"
#include "weir/http/query.h"
#include "weir/http/request_head.h"
#include "weir/http/url.h"
#include "weir/net/encoding.h"

namespace weir::inline v1::http {
namespace {

std::unexpected<Error> mistake(Mistake code, const char* detail) {
  return failure({.code = code, .detail = detail});
}

// Cuts the userinfo off. What RFC 3986, section 3.2.1, has no place for is refused: another '@', or
// a backslash, of which some believe that the host ends before it.
bool take_userinfo(std::string_view& authority, std::string& userinfo) {
  const std::size_t at = authority.find('@');
  if (at == std::string_view::npos) return true;
  userinfo = authority.substr(0, at);
  authority.remove_prefix(at + 1);
  return !authority.contains('@') &&
         userinfo.find_first_of("\\[]\"<>^`{|}") == std::string::npos;
}

// Good but for what is behind the last colon.
bool has_bad_port(std::string_view authority) noexcept {
  const std::size_t colon = authority.rfind(':');
  Authority parts;
  return colon != std::string_view::npos && parse_authority(authority.substr(0, colon), parts) &&
         parts.host.size() == colon;
}

Expected<void> take_authority(std::string_view authority, HttpUrl& url) {
  Authority parts;
  const bool good = take_userinfo(authority, url.userinfo);
  if (!good || authority.contains('%')) {
    return mistake(Mistake::bad_argument, "a malformed host in a URL");
  }
  if (!parse_authority(authority, parts)) {
    if (has_bad_port(authority)) return mistake(Mistake::bad_port, "a malformed port in a URL");
    return mistake(Mistake::bad_argument, "a malformed host in a URL");
  }
  const bool is_ipv6 = parts.host.starts_with('[');
  url.host = is_ipv6 ? parts.host.substr(1, parts.host.size() - 2) : parts.host;
  if (parts.port.empty()) return {};
  std::from_chars(parts.port.data(), parts.port.data() + parts.port.size(), url.port);
  if (url.port == 0) return mistake(Mistake::bad_port, "nothing listens on port 0");
  return {};
}

}  // namespace

Expected<HttpUrl> parse_http_url(std::string_view text) {
  if (auto good = check_target(text); !good) return std::unexpected(good.error());
  const Url parts = split_url(text);
  if (parts.scheme.empty()) {
    return mistake(Mistake::bad_argument, "a URL begins with http:// and has a host");
  }
  if (!equals_lower(parts.scheme, "http")) {
    return mistake(Mistake::invalid_protocol, "only http:// is spoken here");
  }
  HttpUrl url;
  if (auto good = take_authority(parts.authority, url); !good) {
    return std::unexpected(good.error());
  }
  url.target = parts.path.empty() ? "/" : parts.path;
  if (parts.query.has_value()) url.target.append("?").append(*parts.query);
  return url;
}

std::string basic_credentials(std::string_view userinfo) {
  std::string decoded = decode_percent(userinfo);
  if (!userinfo.contains(':')) decoded += ':';
  std::string text = "Basic ";
  net::TextDecoder base64(net::Encoding::base64);
  base64.decode(decoded, text);
  base64.finish(text);
  return text;
}

}  // namespace weir::inline v1::http
