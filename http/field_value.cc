#include "weir/http/field_value.h"

#include <cstddef>

#include "weir/http/scan.h"

namespace weir::inline v1::http {
namespace {

constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

}  // namespace

bool has_same_letters(const char* text, std::string_view lower) noexcept {
  for (std::size_t i = 0; i < lower.size(); ++i) {
    if (to_lower(text[i]) != lower[i]) return false;
  }
  return true;
}

bool is_token(std::string_view text) noexcept {
  return !text.empty() && scan::token(text) == text.size();
}

bool is_field_value(std::string_view text) noexcept {
  return scan::control(text) == text.size() && trim_blanks(text).size() == text.size();
}

// At most three decimals, and at most 1.
int parse_weight(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  if (text.size() > 1 && text[1] != '.') return 0;
  int weight = (text[0] - '0') * kWeightMax;
  int scale = kWeightMax / 10;
  for (std::size_t i = 2; i < text.size(); ++i, scale /= 10) {
    if (text[i] < '0' || text[i] > '9') return 0;
    weight += (text[i] - '0') * scale;
  }
  return weight <= kWeightMax ? weight : 0;
}

ListElements::Element ListElements::next() noexcept {
  if (done_) return {};
  const std::size_t comma = rest_.find(',');
  const std::string_view element = rest_.substr(0, comma);
  done_ = comma == std::string_view::npos;
  if (!done_) rest_.remove_prefix(comma + 1);
  return {trim_blanks(element), true};
}

bool list_has(std::string_view value, std::string_view lower) noexcept {
  ListElements list(value);
  while (const auto element = list.next()) {
    if (equals_lower(element.text, lower)) return true;
  }
  return false;
}

}  // namespace weir::inline v1::http
