// What a request says about a file: its path, the ranges and the conditions, dates among them. The
// input's lines are a path, a Range, an If-Range, a date and then fields. No path leaves the root,
// ranges lie within the file, and plain readers, written down here a second time, find the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "weir/http/byte_ranges.h"
#include "weir/http/date.h"
#include "weir/http/field_value.h"
#include "weir/http/limits.h"
#include "weir/http/media_type.h"
#include "weir/http/preconditions.h"
#include "weir/http/static_path.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using http::Precondition;

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

// ---- Paths ----

std::optional<std::string> read_path(std::string_view path, bool hidden) {
  constexpr std::string_view kHex = "0123456789abcdefABCDEF";
  std::vector<std::string> components(1);
  std::size_t size = 0;
  for (std::size_t i = 0; i < path.size(); ++i, ++size) {
    char byte = path[i];
    if (byte == '/') {
      components.emplace_back();
      continue;
    }
    if (byte == '%') {
      const std::string digits(path.substr(i + 1, 2));
      if (digits.size() != 2 || digits.find_first_not_of(kHex) != digits.npos) return {};
      byte = static_cast<char>(std::stoi(digits, nullptr, 16));
      if (byte == '/') return {};
      i += 2;
    }
    if (byte == '\0') return {};
    components.back() += byte;
  }
  if (size > http::limits::kFileNameBytesMax) return {};
  std::string name;
  for (std::size_t i = 0; i < components.size(); ++i) {
    const std::string& component = components[i];
    const bool is_last = i + 1 == components.size();
    if (component.empty() && !is_last) return {};
    if (component == "." || component == "..") return {};
    if (!hidden && component.starts_with('.')) return {};
    name += component + (is_last ? "" : "/");
  }
  return name;
}

void try_path(std::string_view path) {
  for (const bool hidden : {false, true}) {
    const auto name = http::file_name_of(path, hidden);
    WEIR_ASSERT(name == read_path(path, hidden));
    if (!name) continue;
    WEIR_ASSERT(http::is_served(*name, hidden) && http::is_served(*name, true));
    // Whatever resolves it, it stays below the root, and no C function sees another name.
    const std::filesystem::path whole = "/root/" + *name;
    WEIR_ASSERT(whole.lexically_normal() == whole && whole.string().starts_with("/root/"));
    WEIR_ASSERT(name->find('\0') == name->npos);
    std::string escaped;
    for (std::string_view rest = *name;;) {
      const std::size_t slash = rest.find('/');
      escaped += http::escape_component(rest.substr(0, slash));
      if (slash == rest.npos) break;
      escaped += '/';
      rest.remove_prefix(slash + 1);
    }
    WEIR_ASSERT(escaped.find_first_of("\"<>&'?# \\") == escaped.npos);
    WEIR_ASSERT(http::file_name_of(escaped, hidden) == name);
    const std::string_view type = http::media_type_of(*name);
    WEIR_ASSERT(type.find('/') != type.npos && http::is_field_value(type));
  }
}

// ---- Ranges ----

using Wide = unsigned __int128;

std::optional<Wide> read_number(std::string_view digits) {
  if (digits.empty()) return {};
  Wide value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return {};
    value = value * 10 + static_cast<unsigned>(c - '0');
    value = std::min<Wide>(value, std::numeric_limits<std::uint64_t>::max());
  }
  return value;
}

// The first byte and the one behind the last, as far as there are such bytes.
std::optional<std::pair<Wide, Wide>> read_range(std::string_view spec, Wide size) {
  const std::size_t dash = spec.find('-');
  if (dash == spec.npos) return {};
  const auto first = read_number(spec.substr(0, dash));
  const auto last = read_number(spec.substr(dash + 1));
  const bool is_open = dash + 1 == spec.size();
  if (dash == 0) {
    if (!last) return {};
    return std::pair(size - std::min(*last, size), size);
  }
  if (!first || (!last && !is_open)) return {};
  if (last && *last < *first) return {};
  const Wide end = is_open ? size : std::min(*last + 1, size);
  return std::pair(std::min(*first, size), end);
}

http::AskedRanges read_ranges(std::string_view field, std::uint64_t size, std::size_t most) {
  http::AskedRanges asked;
  if (field.size() < 7 || !http::equals_lower(field.substr(0, 6), "bytes=")) return asked;
  std::size_t count = 0;
  Wide total = 0;
  bool all_of_nothing = false;
  for (std::string_view rest = field.substr(6); !rest.empty();) {
    const std::string_view spec = http::trim_blanks(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(rest.find(','), rest.size() - 1) + 1);
    if (spec.empty()) continue;
    const auto range = read_range(spec, size);
    if (!range) return {};
    ++count;
    // The last bytes of an empty file are all of it, unless none were asked for.
    if (size == 0 && spec[0] == '-' && read_number(spec.substr(1)) != Wide{0}) {
      all_of_nothing = true;
    }
    if (range->second <= range->first) continue;
    total += range->second - range->first;
    asked.ranges.push_back({.first = static_cast<std::uint64_t>(range->first),
                            .size = static_cast<std::uint64_t>(range->second - range->first)});
  }
  if (count == 0 || count > most || total > size || all_of_nothing) return {};
  using Kind = http::AskedRanges::Kind;
  asked.kind = asked.ranges.empty() ? Kind::unsatisfiable : Kind::some;
  return asked;
}

void try_ranges(std::string_view field) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1000},
                                   kLargest - 1, kLargest}) {
    for (const std::size_t most : {1, 16}) {
      const auto asked = http::parse_byte_ranges(field, size, most);
      const auto plain = read_ranges(field, size, most);
      WEIR_ASSERT(asked.kind == plain.kind);
      if (asked.kind != http::AskedRanges::Kind::some) continue;
      WEIR_ASSERT(asked.ranges == plain.ranges);
      for (const http::ByteRange& range : asked.ranges) {
        WEIR_ASSERT(range.size > 0 && range.first < size && range.size <= size - range.first);
      }
    }
  }
}

// ---- Dates ----

constexpr std::int64_t kNow = 1'700'000'000;  // 2023

std::string written(const char* format, const std::tm& time) {
  char text[64] = {};
  return {text, std::strftime(text, sizeof text, format, &time)};
}

std::string in_format(int index, std::int64_t seconds) {
  const auto clock = static_cast<std::time_t>(seconds);
  std::tm time = {};
  gmtime_r(&clock, &time);
  const int year = time.tm_year + 1900;
  std::string digits = std::to_string(year);
  digits.insert(0, 4 - std::min<std::size_t>(4, digits.size()), '0');
  if (index == 0) {
    return written("%a, %d %b ", time) + digits + written(" %H:%M:%S GMT", time);
  }
  if (index == 1) {
    return written("%A, %d-%b-", time) + digits.substr(2) + written(" %H:%M:%S GMT", time);
  }
  return written("%a %b %e %H:%M:%S ", time) + digits;
}

// What is read is what the system's calendar writes, in one of the three formats.
void try_date(std::string_view text) {
  const auto seconds = http::parse_date(text, kNow);
  if (!seconds) return;
  const auto formatted = http::format_date(*seconds);
  const std::string whole(formatted.data(), formatted.size());
  WEIR_ASSERT(whole == in_format(0, *seconds));
  WEIR_ASSERT(http::parse_date(whole, kNow) == seconds);
  std::string no_leap(text);
  // The second before it counts.
  if (const std::size_t leap = no_leap.find(":60 "); leap != no_leap.npos) no_leap[leap + 1] = '5';
  if (no_leap != text) no_leap[no_leap.find(":50 ") + 2] = '9';
  bool same = false;
  for (int i = 0; i < 3; ++i) same = same || in_format(i, *seconds) == no_leap;
  if (text.find("  ") == text.npos) {
    // asctime pads its day with a blank or, by some, with a zero.
    std::string padded = in_format(2, *seconds);
    if (padded[8] == ' ') padded[8] = '0';
    same = same || padded == no_leap;
  }
  WEIR_ASSERT(same);
}

// Any second has its date, and any date of it is read.
void try_second(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char c : digits) value = value * 131 + static_cast<unsigned char>(c);
  constexpr std::int64_t kFirst = -62'167'219'200;  // year 0
  constexpr std::int64_t kLast = 253'402'300'799;   // year 9999
  const auto seconds = kFirst + static_cast<std::int64_t>(value % (kLast - kFirst + 1));
  WEIR_ASSERT(http::parse_date(in_format(0, seconds), kNow) == seconds);
  WEIR_ASSERT(http::parse_date(in_format(2, seconds), kNow) == seconds);
  const auto short_year = http::parse_date(in_format(1, seconds), seconds);
  WEIR_ASSERT(!short_year || *short_year == seconds || in_format(1, *short_year) ==
                                                           in_format(1, seconds));
  const auto beyond = http::format_date(static_cast<std::int64_t>(value));
  WEIR_ASSERT(http::parse_date({beyond.data(), beyond.size()}, kNow).has_value());
}

// ---- Conditions ----

// The tags of a list, up to what is none.
std::vector<std::string> read_tags(std::string_view list) {
  std::vector<std::string> tags;
  for (std::size_t at = 0;;) {
    while (at < list.size() && (list[at] == ',' || list[at] == ' ' || list[at] == '\t')) ++at;
    std::size_t open = at;
    if (list.substr(at, 2) == "W/") open += 2;
    if (open >= list.size() || list[open] != '"') return tags;
    const std::size_t close = list.find('"', open + 1);
    if (close == list.npos) return tags;
    tags.emplace_back(list.substr(at, close + 1 - at));
    at = close + 1;
  }
}

bool has_match(const std::vector<std::string_view>& values, const std::string& etag, bool weak) {
  for (const std::string_view value : values) {
    if (http::trim_blanks(value) == "*") return true;
    for (std::string tag : read_tags(value)) {
      std::string own = etag;
      if (!weak && (own.starts_with('W') || tag.starts_with('W'))) continue;
      if (own.starts_with('W')) own.erase(0, 2);
      if (tag.starts_with('W')) tag.erase(0, 2);
      if (own == tag) return true;
    }
  }
  return false;
}

std::vector<std::string_view> values_of(const std::vector<http::Field>& fields,
                                        std::string_view name) {
  std::vector<std::string_view> values;
  for (const http::Field& field : fields) {
    if (http::equals_lower(field.name, name)) values.push_back(field.value);
  }
  return values;
}

// RFC 9110, section 13.2.2, step by step.
Precondition read_conditions(const std::vector<http::Field>& fields,
                             const http::Validators& validators) {
  const auto date_of = [&](std::string_view name) -> std::optional<std::int64_t> {
    const auto values = values_of(fields, name);
    return values.size() == 1 ? http::parse_date(values[0], kNow) : std::nullopt;
  };
  const std::string etag(validators.etag);
  const auto match = values_of(fields, "if-match");
  if (!match.empty()) {
    if (!has_match(match, etag, false)) return Precondition::failed;
  } else if (const auto date = date_of("if-unmodified-since")) {
    if (validators.modified > *date) return Precondition::failed;
  }
  const auto none_match = values_of(fields, "if-none-match");
  if (!none_match.empty()) {
    return has_match(none_match, etag, true) ? Precondition::not_modified : Precondition::holds;
  }
  const auto date = date_of("if-modified-since");
  return date && validators.modified <= *date ? Precondition::not_modified : Precondition::holds;
}

void try_conditions(std::string_view if_range, std::string_view rest) {
  std::vector<http::Field> fields;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    const std::size_t colon = line.find(':');
    if (colon == line.npos) continue;
    fields.push_back({line.substr(0, colon), http::trim_blanks(line.substr(colon + 1))});
  }
  for (const std::string_view etag : {"\"a\"", "W/\"a\"", "\"\"", "\"a,b\""}) {
    for (const std::int64_t modified : {std::int64_t{784'111'777}, kNow - 1, std::int64_t{0}}) {
      const http::Validators validators{.etag = etag, .modified = modified};
      WEIR_ASSERT(http::check_preconditions(fields, validators, kNow) ==
                  read_conditions(fields, validators));
      const bool same_date =
          modified < kNow - 1 && http::parse_date(if_range, kNow) == modified;
      const bool strong = !etag.starts_with('W');
      WEIR_ASSERT(http::if_range_holds(if_range, validators, kNow) ==
                  (strong && (if_range == etag || same_date)));
    }
  }
}

void try_bytes(std::string_view bytes) {
  const ExactBytes exact(bytes);
  std::string_view rest = exact.view();
  const std::string_view path = take_line(rest);
  try_path(path);
  try_ranges(take_line(rest));
  const std::string_view if_range = take_line(rest);
  try_date(if_range);
  try_date(take_line(rest));
  try_second(path);
  try_conditions(if_range, rest);
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
