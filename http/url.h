// The parts of a request target (contract 4.8). Pure.
#pragma once

#include <optional>
#include <string_view>

namespace weir::inline v1::http {

// Views of the target, undecoded.
//
//     http://host:80/path?a=1&b#part      /path?a=1        *
//            authority path query hash    path  query      path
struct Url {
  std::string_view scheme;     // "http" of an absolute form, as sent, else empty
  std::string_view authority;  // of an absolute form, else empty
  std::string_view path;       // "//x" is one; "" of "http://host" and "?a"
  std::optional<std::string_view> query;  // behind the first '?'; absent without one
  std::optional<std::string_view> hash;   // behind the first '#'
};

Url split_url(std::string_view target) noexcept;

}  // namespace weir::inline v1::http
