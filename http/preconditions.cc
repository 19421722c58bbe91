#include "weir/http/preconditions.h"

#include <optional>

#include "weir/http/date.h"
#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

constexpr std::string_view kWeak = "W/";

bool is_weak(std::string_view tag) { return tag.starts_with(kWeak); }

std::string_view opaque(std::string_view tag) {
  return is_weak(tag) ? tag.substr(kWeak.size()) : tag;
}

// The two comparisons of RFC 9110, section 8.8.3.2.
bool is_same_strongly(std::string_view a, std::string_view b) {
  return !is_weak(a) && !is_weak(b) && a == b;
}
bool is_same_weakly(std::string_view a, std::string_view b) { return opaque(a) == opaque(b); }

// The entity tag that `text` begins with; empty when it begins with none.
std::string_view tag_at(std::string_view text) {
  const std::size_t begin = is_weak(text) ? kWeak.size() : 0;
  if (text.size() <= begin || text[begin] != '"') return {};
  const std::size_t end = text.find('"', begin + 1);
  return end == std::string_view::npos ? std::string_view() : text.substr(0, end + 1);
}

// A list of entity tags, which may have commas in them, or "*". What comes behind something that is
// no tag is not looked at.
template <class Same>
bool has_tag(std::string_view list, std::string_view tag, Same same) {
  if (trim_blanks(list) == "*") return true;
  for (;;) {
    const std::size_t begin = list.find_first_not_of(", \t");
    if (begin == std::string_view::npos) return false;
    list.remove_prefix(begin);
    const std::string_view next = tag_at(list);
    if (next.empty()) return false;
    if (same(next, tag)) return true;
    list.remove_prefix(next.size());
  }
}

// The condition fields of one request, each of which may be absent.
struct Conditions {
  struct Tags {
    bool present = false;
    bool match = false;
  };
  struct Date {
    int lines = 0;
    std::string_view value;

    // Only one line of one date counts.
    std::optional<std::int64_t> seconds(std::int64_t now) const {
      return lines == 1 ? parse_date(value, now) : std::nullopt;
    }
  };

  Conditions(std::span<const Field> fields, std::string_view etag) {
    for (const Field& field : fields) {
      const std::string_view name = field.name;
      if (name.size() < 8 || (name.front() | 0x20) != 'i') continue;
      if (equals_lower(name, "if-match")) {
        match.present = true;
        match.match = match.match || has_tag(field.value, etag, is_same_strongly);
      } else if (equals_lower(name, "if-none-match")) {
        none_match.present = true;
        none_match.match = none_match.match || has_tag(field.value, etag, is_same_weakly);
      } else if (equals_lower(name, "if-modified-since")) {
        modified = {.lines = modified.lines + 1, .value = field.value};
      } else if (equals_lower(name, "if-unmodified-since")) {
        unmodified = {.lines = unmodified.lines + 1, .value = field.value};
      }
    }
  }

  Tags match;
  Tags none_match;
  Date modified;
  Date unmodified;
};

}  // namespace

Precondition check_preconditions(std::span<const Field> fields, const Validators& validators,
                                 std::int64_t now) noexcept {
  const Conditions conditions(fields, validators.etag);
  if (conditions.match.present) {
    if (!conditions.match.match) return Precondition::failed;
  } else if (const auto date = conditions.unmodified.seconds(now)) {
    if (validators.modified > *date) return Precondition::failed;
  }
  if (conditions.none_match.present) {
    return conditions.none_match.match ? Precondition::not_modified : Precondition::holds;
  }
  const auto date = conditions.modified.seconds(now);
  return date && validators.modified <= *date ? Precondition::not_modified : Precondition::holds;
}

bool if_range_holds(std::string_view value, const Validators& validators,
                    std::int64_t now) noexcept {
  if (is_weak(validators.etag)) return false;  // its date is no better
  if (const std::string_view tag = tag_at(value); !tag.empty()) {
    return tag == value && is_same_strongly(tag, validators.etag);
  }
  // A date of the last second may be that of two changes.
  return validators.modified < now - 1 && parse_date(value, now) == validators.modified;
}

}  // namespace weir::inline v1::http
