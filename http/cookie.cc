#include "weir/http/cookie.h"

#include <cstddef>

#include "weir/http/field_value.h"

namespace weir::inline v1::http {

std::optional<Cookie> Cookies::next() noexcept {
  while (!rest_.empty()) {
    const std::size_t end = rest_.find(';');
    const std::string_view pair = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = trim_blanks(pair.substr(0, equals));
    std::string_view value = trim_blanks(pair.substr(equals + 1));
    if (name.empty()) continue;
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return Cookie{.name = name, .value = value};
  }
  return std::nullopt;
}

std::optional<std::string_view> find_cookie(std::string_view value,
                                            std::string_view name) noexcept {
  Cookies cookies(value);
  while (const auto cookie = cookies.next()) {
    if (cookie->name == name) return cookie->value;
  }
  return std::nullopt;
}

}  // namespace weir::inline v1::http
