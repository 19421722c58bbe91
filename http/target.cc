#include "weir/http/target.h"

#include <cstddef>

#include "weir/http/field_value.h"
#include "weir/http/host.h"
#include "weir/http/scan.h"

namespace weir::inline v1::http {
namespace {

// In a path a backslash is another slash to every browser and to some file systems, and an escaped
// NUL ends it for whoever decodes it into a C string; nothing has such a name.
bool is_path_and_query(std::string_view text) noexcept {
  const std::size_t plain = scan::plain_target(text);
  if (plain == text.size()) return true;
  if (scan::target(text, plain) != text.size()) return false;
  const std::string_view path = text.substr(0, text.find('?'));
  return !path.contains('\\') && !path.contains("%00");
}

// The size of "http://" or "https://", or 0.
std::size_t scheme_size(std::string_view text) noexcept {
  if (equals_lower(text.substr(0, 7), "http://")) return 7;
  return equals_lower(text.substr(0, 8), "https://") ? 8 : 0;
}

}  // namespace

bool parse_target(Method method, std::string_view text, Target& target) noexcept {
  Authority authority;
  target = {};
  if (method == Method::connect) {
    target = {.form = TargetForm::authority, .authority = text};
    return parse_authority(text, authority) && !authority.port.empty();
  }
  if (text.starts_with('/')) return is_path_and_query(text);
  if (text == "*") {
    target.form = TargetForm::asterisk;
    return method == Method::options;
  }
  const std::size_t scheme = scheme_size(text);
  if (scheme == 0) return false;
  const std::string_view rest = text.substr(scheme);
  const std::size_t end = rest.find_first_of("/?");
  target = {.form = TargetForm::absolute, .authority = rest.substr(0, end)};
  if (!parse_authority(target.authority, authority)) return false;
  return end == std::string_view::npos || is_path_and_query(rest.substr(end));
}

}  // namespace weir::inline v1::http
