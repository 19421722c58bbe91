#include "weir/http/status/accept.h"

#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

struct Range {
  int specificity = -1;  // -1: does not match; 0: */*, 1: type/*, 2: type/subtype
  int quality = kWeightMax;
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
      if (is_q) range.quality = parse_weight(part.substr(2));
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
  return any ? best.quality : kWeightMax;
}

bool prefers_html(std::span<const std::string_view> accept) noexcept {
  return quality_of("text/html", accept) > quality_of("text/plain", accept);
}

}  // namespace weir::inline v1::http
