// What the Connection fields of a message ask for (RFC 9110, section 7.6.1).
#pragma once

#include <string_view>

#include "weir/http/field_value.h"

namespace weir::inline v1::http {

struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;

  // The value of one more such field.
  void add(std::string_view value) noexcept {
    ListElements list(value);
    while (const auto option = list.next()) {
      close = close || equals_lower(option.text, "close");
      keep_alive = keep_alive || equals_lower(option.text, "keep-alive");
      upgrade = upgrade || equals_lower(option.text, "upgrade");
    }
  }
};

}  // namespace weir::inline v1::http
