// The lines that most heads of a second have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "weir/http/date.h"

namespace weir::inline v1::http {

// Date (an IMF-fixdate, RFC 9110, section 5.6.7), Connection and Keep-Alive of a response behind
// which the connection stays. Owner: one a server; one thread. Views are of this object and good
// until the next renew().
class HeadLines {
 public:
  // What Keep-Alive says; 0: nothing, and there are no usual lines.
  explicit HeadLines(std::uint32_t keep_alive_seconds)
      : text_("Date: " + std::string(kDateBytes, ' ') +
              "\r\nConnection: keep-alive\r\nKeep-Alive: timeout=" +
              std::to_string(keep_alive_seconds) + "\r\n"),
        keep_alive_seconds_(keep_alive_seconds) {}

  // The time, in seconds as for format_date(). Writes the text once for each.
  void renew(std::int64_t seconds) noexcept {
    if (seconds_ == seconds) return;
    std::ranges::copy(format_date(seconds), text_.begin() + kDateAt);
    seconds_ = seconds;
  }

  std::uint32_t keep_alive_seconds() const noexcept { return keep_alive_seconds_; }
  std::string_view date() const noexcept { return {text_.data() + kDateAt, kDateBytes}; }
  // The three of them, each with its CRLF.
  std::string_view usual() const noexcept {
    return keep_alive_seconds_ == 0 ? std::string_view() : text_;
  }

 private:
  static constexpr std::size_t kDateAt = std::string_view("Date: ").size();

  std::string text_;
  std::uint32_t keep_alive_seconds_;
  std::optional<std::int64_t> seconds_;
};

}  // namespace weir::inline v1::http
