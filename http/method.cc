#include "weir/http/method.h"

#include <cstddef>
#include <iterator>

#include "weir/http/limits.h"

namespace weir::inline v1::http {
namespace {

// In the order of the enumeration.
constexpr std::string_view kNames[] = {
    "GET",      "POST",      "HEAD",        "PUT",      "DELETE", "OPTIONS",    "PATCH",
    "CONNECT",  "TRACE",     "QUERY",       "COPY",     "LOCK",   "MKCOL",      "MOVE",
    "PROPFIND", "PROPPATCH", "SEARCH",      "UNLOCK",   "BIND",   "REBIND",     "UNBIND",
    "ACL",      "REPORT",    "MKACTIVITY",  "CHECKOUT", "MERGE",  "MKCALENDAR", "M-SEARCH",
    "NOTIFY",   "SUBSCRIBE", "UNSUBSCRIBE", "PURGE",    "LINK",   "UNLINK",     "SOURCE"};
static_assert(std::size(kNames) == static_cast<std::size_t>(Method::source) + 1);

constexpr std::size_t longest() {
  std::size_t size = 0;
  for (const std::string_view name : kNames) size = name.size() > size ? name.size() : size;
  return size;
}
static_assert(longest() == limits::kMethodBytesMax);

}  // namespace

std::string_view name_of(Method method) noexcept {
  return kNames[static_cast<std::size_t>(method)];
}

std::optional<Method> find_method(std::string_view name) noexcept {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<Method>(i);
  }
  return std::nullopt;
}

}  // namespace weir::inline v1::http
