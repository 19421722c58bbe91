// Cookie fields of requests (RFC 6265, section 4.2). Pure.
#pragma once

#include <optional>
#include <string_view>

namespace weir::inline v1::http {

struct Cookie {
  std::string_view name;
  std::string_view value;  // without the quotes around it; not decoded
};

// The pairs of a Cookie field, in order, as views of it:
//
//     Cookies cookies(field.value);
//     while (const auto cookie = cookies.next()) ...
//
// ';' separates, the first '=' splits, blanks around names and values go; what has no '=' or no
// name is passed over.
class Cookies {
 public:
  explicit Cookies(std::string_view value) noexcept : rest_(value) {}
  std::optional<Cookie> next() noexcept;

 private:
  std::string_view rest_;
};

// The first one of that name.
std::optional<std::string_view> find_cookie(std::string_view value, std::string_view name) noexcept;

}  // namespace weir::inline v1::http
