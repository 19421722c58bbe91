// What names and values of fields are made of (RFC 9110, section 5). Pure.
#pragma once

#include <string_view>

namespace weir::inline v1::http {

// ASCII case only. `lower` is in lower case already.
bool has_same_letters(const char* text, std::string_view lower) noexcept;  // as many as `lower` has
inline bool equals_lower(std::string_view text, std::string_view lower) noexcept {
  return text.size() == lower.size() && has_same_letters(text.data(), lower);
}
constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }
// Without blanks (SP, HTAB) at both ends.
constexpr std::string_view trim_blanks(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}
// One or more tchar.
bool is_token(std::string_view text) noexcept;
// May stand in a field line as it is: no control byte but HTAB, no blank at either end.
bool is_field_value(std::string_view text) noexcept;

// A weight (RFC 9110, section 12.4.2) in thousandths, 500 of "0.5"; 0 for what is none.
inline constexpr int kWeightMax = 1000;
int parse_weight(std::string_view text) noexcept;

// The elements of a list of tokens, separated by commas and blanks:
//
//     for (ListElements list(value); const auto element = list.next();) ...
//
// Empty elements come too, as RFC 9110, section 5.6.1.2, leaves it to the recipient what to do with
// them. A comma in a quoted string separates as well, so this is for lists without such strings.
class ListElements {
 public:
  explicit ListElements(std::string_view value) noexcept : rest_(value) {}

  // The next one, trimmed; false behind the last.
  struct Element {
    std::string_view text;
    bool valid = false;
    explicit operator bool() const noexcept { return valid; }
  };
  Element next() noexcept;

 private:
  std::string_view rest_;
  bool done_ = false;
};

// Whether a list of tokens has this one, in any case. `lower` is in lower case.
bool list_has(std::string_view value, std::string_view lower) noexcept;

}  // namespace weir::inline v1::http
