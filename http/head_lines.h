// The text of a Date field, made once a second.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "weir/http/date.h"

namespace weir::inline v1::http {

// IMF-fixdate (RFC 9110, section 5.6.7) of the time that the caller gives.
// Owner: one a server; one thread.
class HeadDate {
 public:
  // As for format_date(). A view of this object, good until the next call.
  std::string_view text(std::int64_t seconds) noexcept {
    if (seconds_ != seconds) {
      text_ = format_date(seconds);
      seconds_ = seconds;
    }
    return {text_.data(), text_.size()};
  }

 private:
  std::optional<std::int64_t> seconds_;
  std::array<char, kDateBytes> text_ = {};
};

}  // namespace weir::inline v1::http
