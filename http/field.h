// One field line of a head or a trailer section.
#pragma once

#include <string_view>

namespace weir::inline v1::http {

// As sent: the name in its case, the value without the blanks around it, bytes 0x80-0xff as they
// are. Views of somebody else's bytes.
struct Field {
  std::string_view name;
  std::string_view value;
};

}  // namespace weir::inline v1::http
