// The parts of the page. Private to this package.
#pragma once

#include <string_view>

namespace weir::inline v1::http {

extern const std::string_view kPageStyle;
extern const std::string_view kPageBody;  // with {{name}} and {{events}}
extern const std::string_view kPageScript;

}  // namespace weir::inline v1::http
