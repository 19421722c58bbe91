#include "weir/http/status/accept.h"

#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

constexpr int kMost = 1000;

// "0.5" is 500: at most three decimals, and at most 1.
int parse_quality(std::string_view text) noexcept {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return 0;
  int value = (text[0] - '0') * kMost;
  if (text.size() > 1 && text[1] != '.') return 0;
  if (text.size() > 5) return 0;
  int unit = kMost / 10;
  for (const char c : text.substr(text.size() > 1 ? 2 : 1)) {
    if (c < '0' || c > '9') return 0;
    value += (c - '0') * unit;
    unit /= 10;
  }
  return value <= kMost ? value : 0;
}

struct Range {
  int specificity = -1;  // -1: does not match; 0: */*, 1: type/*, 2: type/subtype
  int quality = kMost;
};

bool same(std::string_view a, std::string_view lower) noexcept { return equals_lower(a, lower); }

Range read_range(std::string_view text, std::string_view media_type) noexcept {
  Range range;
  bool first = true;
  while (!text.empty() || first) {
    const std::size_t end = text.find(';');
    const std::string_view part = trim_blanks(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (!first) {
      const bool is_q = part.size() > 1 && (part[0] == 'q' || part[0] == 'Q') && part[1] == '=';
      if (is_q) range.quality = parse_quality(part.substr(2));
      continue;
    }
    first = false;
    const std::string_view type = media_type.substr(0, media_type.find('/') + 1);
    if (same(part, media_type)) range.specificity = 2;
    if (part.size() == type.size() + 1 && part.ends_with('*') &&
        same(part.substr(0, type.size()), type)) {
      range.specificity = 1;
    }
    if (part == "*/*") range.specificity = 0;
  }
  return range;
}

}  // namespace

int quality_of(std::string_view media_type, std::span<const std::string_view> accept) noexcept {
  Range best{.quality = 0};
  bool any = false;
  for (const std::string_view line : accept) {
    for (ListElements list(line); const auto element = list.next();) {
      if (element.text.empty()) continue;
      any = true;
      const Range range = read_range(element.text, media_type);
      if (range.specificity > best.specificity) best = range;
    }
  }
  return any ? best.quality : kMost;
}

bool prefers_html(std::span<const std::string_view> accept) noexcept {
  return quality_of("text/html", accept) > quality_of("text/plain", accept);
}

}  // namespace weir::inline v1::http
