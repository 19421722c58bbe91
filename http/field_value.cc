#include "weir/http/field_value.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "weir/http/scan.h"

namespace weir::inline v1::http {
namespace {

// The bytes of a word side by side. A letter and its capital differ in the bit 0x20, by which no
// other byte may differ.
template <class Word>
bool is_same_word(const char* text, const char* lower) noexcept {
  constexpr auto each = [](unsigned byte) {
    return static_cast<Word>(static_cast<Word>(~Word{0}) / 0xff * byte);
  };
  Word a;
  Word b;
  std::memcpy(&a, text, sizeof a);
  std::memcpy(&b, lower, sizeof b);
  // The highest bit of each byte says whether it is in 'a' to 'z'.
  const Word low = b & each(0x7f);
  const Word from_a = low + each(0x80 - 'a');
  const Word behind_z = low + each(0x7f - 'z');
  const Word letters = from_a & ~behind_z & ~b & each(0x80);
  return ((a ^ b) & ~(letters >> 2)) == 0;
}

// Words, of which the last overlaps the one before it.
template <class Word>
bool are_same_words(const char* text, std::string_view lower) noexcept {
  const std::size_t last = lower.size() - sizeof(Word);
  for (std::size_t at = 0; at < last; at += sizeof(Word)) {
    if (!is_same_word<Word>(text + at, lower.data() + at)) return false;
  }
  return is_same_word<Word>(text + last, lower.data() + last);
}

}  // namespace

bool has_same_letters(const char* text, std::string_view lower) noexcept {
  if (lower.size() >= 8) return are_same_words<std::uint64_t>(text, lower);
  if (lower.size() >= 4) return are_same_words<std::uint32_t>(text, lower);
  return lower.empty() || are_same_words<std::uint8_t>(text, lower);
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
