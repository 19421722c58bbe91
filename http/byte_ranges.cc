#include "weir/http/byte_ranges.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

// A position of any number of digits; what exceeds 64 bits lies behind every end.
std::optional<std::uint64_t> parse_position(std::string_view digits) {
  if (digits.empty()) return {};
  std::uint64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value);
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument) return {};
  return parsed.ec == std::errc::result_out_of_range ? UINT64_MAX : value;
}

// The bytes of one range-spec; none (size 0) when it is unsatisfiable, nothing when it is wrong.
std::optional<ByteRange> parse_range(std::string_view text, std::uint64_t size) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return {};
  const std::string_view behind = text.substr(dash + 1);
  if (dash == 0) {
    const auto suffix = parse_position(behind);
    if (!suffix) return {};
    const std::uint64_t taken = std::min(*suffix, size);
    return ByteRange{.first = size - taken, .size = taken};
  }
  const auto first = parse_position(text.substr(0, dash));
  const auto last = behind.empty() ? UINT64_MAX : parse_position(behind);
  if (!first || !last || *last < *first) return {};
  if (*first >= size) return ByteRange{};
  return ByteRange{.first = *first, .size = std::min(*last, size - 1) - *first + 1};
}

}  // namespace

AskedRanges parse_byte_ranges(std::string_view field, std::uint64_t size, std::size_t ranges_max) {
  constexpr std::string_view kUnit = "bytes";
  if (field.size() <= kUnit.size() || field[kUnit.size()] != '=') return {};
  if (!equals_lower(field.substr(0, kUnit.size()), kUnit)) return {};
  AskedRanges asked;
  std::size_t count = 0;
  std::uint64_t left = size;
  for (ListElements list(field.substr(kUnit.size() + 1)); const auto element = list.next();) {
    if (element.text.empty()) continue;
    const auto range = parse_range(element.text, size);
    if (!range || ++count > ranges_max || range->size > left) return {};
    // The last bytes of nothing are all of it.
    const bool is_suffix = element.text.starts_with('-');
    if (size == 0 && is_suffix && element.text.find_first_of("123456789") != field.npos) return {};
    left -= range->size;
    if (range->size != 0) asked.ranges.push_back(*range);
  }
  if (count == 0) return {};
  asked.kind =
      asked.ranges.empty() ? AskedRanges::Kind::unsatisfiable : AskedRanges::Kind::some;
  return asked;
}

}  // namespace weir::inline v1::http
