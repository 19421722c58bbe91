#include "weir/http/url.h"

#include <cstddef>

#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

// Cuts the text at the first `mark` and returns what is behind it.
std::optional<std::string_view> cut(std::string_view& text, char mark) noexcept {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view behind = text.substr(at + 1);
  text = text.substr(0, at);
  return behind;
}

}  // namespace

Url split_url(std::string_view target) noexcept {
  Url url;
  url.hash = cut(target, '#');
  url.query = cut(target, '?');
  const std::size_t scheme = target.find("://");
  const bool is_absolute = scheme != std::string_view::npos && is_token(target.substr(0, scheme));
  if (is_absolute) {
    url.scheme = target.substr(0, scheme);
    target.remove_prefix(scheme + 3);
    url.authority = target.substr(0, target.find('/'));
    target.remove_prefix(url.authority.size());
  }
  url.path = target;
  return url;
}

}  // namespace weir::inline v1::http
