// The request methods that exist here. All others get a 400.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::inline v1::http {

// Node's list. PRI is not in it: it opens HTTP/2.
enum class Method : std::uint8_t {
  get, post, head, put, delete_, options, patch, connect, trace,  // RFC 9110 and RFC 5789
  query,
  copy, lock, mkcol, move, propfind, proppatch, search, unlock,   // WebDAV and its additions
  bind, rebind, unbind, acl, report, mkactivity, checkout, merge, mkcalendar,
  m_search, notify, subscribe, unsubscribe,                       // UPnP
  purge, link, unlink, source,
};

// As it stands in a request line; of static storage duration.
std::string_view name_of(Method method) noexcept;
// Methods are case-sensitive.
std::optional<Method> find_method(std::string_view name) noexcept;

}  // namespace weir::inline v1::http
