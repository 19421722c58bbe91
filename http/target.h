// Request targets (RFC 9112, section 3.2).
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/http/method.h"

namespace weir::inline v1::http {

// "/path?query", "http://host/path?query", "host:port" (CONNECT only), "*" (OPTIONS only).
enum class TargetForm : std::uint8_t { origin, absolute, authority, asterisk };

struct Target {
  TargetForm form = TargetForm::origin;
  std::string_view authority;  // of an absolute or authority form: host and port as sent
};

// False when the target is malformed or `method` does not go with its form. Stricter than the
// grammar: an absolute form is http or https and has no user name, and a path has no %00. Less
// strict: a path or query may have { | } ^ ` [ ], and a query a backslash, as browsers send them,
// and '%' may stand alone, as querystring leaves it.
bool parse_target(Method method, std::string_view text, Target& target) noexcept;

}  // namespace weir::inline v1::http
