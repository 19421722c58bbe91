#include "weir/http/fields.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>

#include "weir/http/field_value.h"
#include "weir/http/limits.h"
#include "weir/http/scan.h"
#include "weir/http/text_sink.h"
#include "weir/reactor/assert.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::http {
namespace {

constexpr std::string_view kAutomatic[] = {"date", "connection", "content-length",
                                           "transfer-encoding", "host"};

// How much of a name an error quotes.
constexpr std::size_t kQuotedMax = 64;

constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

bool equal_in_any_case(std::string_view a, std::string_view b) noexcept {
  const auto same = [](char x, char y) { return to_lower(x) == to_lower(y); };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same);
}

std::unexpected<Error> mistake(Mistake code, std::string detail) {
  return failure({.code = code, .detail = std::move(detail)});
}

Expected<void> check(std::string_view name, std::span<const std::string_view> values) {
  if (!is_token(name)) return mistake(Mistake::invalid_http_token, "a field name must be a token");
  for (const std::string_view value : values) {
    if (scan::control(value) == value.size()) continue;
    const std::string quoted(name.substr(0, kQuotedMax));
    return mistake(Mistake::invalid_char, "a control character in the value of " + quoted);
  }
  return {};
}

}  // namespace

class Fields::Replaced {
 public:
  Replaced() noexcept = default;
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;
  ~Replaced() { memory::release(memory_); }
  void hold(void* memory) noexcept { memory_ = memory; }

 private:
  void* memory_ = nullptr;
};

Fields::~Fields() {
  memory::release(arena_);
  memory::release(lines_);
}

// ---- Lookup ----

Fields::Group Fields::find(std::string_view name) const noexcept {
  std::size_t first = 0;
  while (first < size_ && !equal_in_any_case(name_of(lines_[first]), name)) ++first;
  std::size_t end = first;
  while (end < size_ && lines_[end].name_at == lines_[first].name_at) ++end;
  return {first, end - first};
}

std::optional<std::string_view> Fields::get(std::string_view name) const noexcept {
  const Group group = find(name);
  if (group.count == 0) return std::nullopt;
  return value_of(lines_[group.first]);
}

std::vector<std::string_view> Fields::values(std::string_view name) const {
  std::vector<std::string_view> all;
  const Group group = find(name);
  all.reserve(group.count);
  for (std::size_t i = 0; i < group.count; ++i) all.push_back(value_of(lines_[group.first + i]));
  return all;
}

std::vector<std::string_view> Fields::names() const {
  std::vector<std::string_view> all;
  for (std::size_t i = 0; i < size_; ++i) {
    if (i == 0 || lines_[i].name_at != lines_[i - 1].name_at) all.push_back(name_of(lines_[i]));
  }
  return all;
}

Field Fields::at(std::size_t index) const noexcept {
  WEIR_ASSERT(index < size_);
  return {.name = name_of(lines_[index]), .value = value_of(lines_[index])};
}

template <class Sink>
void Fields::write(Sink& sink) const noexcept {
  for (const Line& line : std::span(lines_, size_)) {
    put_field(sink, name_of(line), value_of(line));
  }
}
template void Fields::write(TextCounter& counter) const noexcept;
template void Fields::write(TextSink& sink) const noexcept;

std::size_t Fields::text_size() const noexcept {
  std::size_t size = size_ * std::string_view(": \r\n").size();
  for (const Line& line : std::span(lines_, size_)) size += line.name_size + line.value_size;
  return size;
}

// ---- Automatic fields ----

std::uint8_t Fields::bit_of(std::string_view name) noexcept {
  for (std::size_t i = 0; i < std::size(kAutomatic); ++i) {
    if (equals_lower(name, kAutomatic[i])) return static_cast<std::uint8_t>(1U << i);
  }
  return 0;
}

void Fields::note_presence(std::string_view name, bool removed) noexcept {
  // Setting a field only ever ends its suppression.
  if (!removed && suppressed_ == 0) return;
  const std::uint8_t bit = bit_of(name);
  suppressed_ = static_cast<std::uint8_t>(removed ? suppressed_ | bit : suppressed_ & ~bit);
}

// ---- Memory ----

// What the arena holds for these lines: their name once, and each value.
std::size_t Fields::live_bytes(Group group) const noexcept {
  if (group.count == 0) return 0;
  std::size_t bytes = lines_[group.first].name_size;
  for (std::size_t i = 0; i < group.count; ++i) bytes += lines_[group.first + i].value_size;
  return bytes;
}

bool Fields::reserve_lines(std::size_t count) noexcept {
  if (count <= lines_room_) return true;
  const std::size_t room = std::max(std::bit_ceil(count), limits::kSentFieldsFirst);
  auto* wider = static_cast<Line*>(memory::allocate(room * sizeof(Line)));
  if (wider == nullptr) return false;
  std::uninitialized_copy_n(lines_, size_, wider);
  memory::release(lines_);
  lines_ = wider;
  lines_room_ = room;
  return true;
}

// Room for `size` bytes more. A new arena gets what is live only, and enough room beyond it that
// setting a field again and again does not come here each time.
bool Fields::reserve_bytes(std::size_t size, Replaced& replaced) noexcept {
  if (size <= arena_room_ - arena_used_) return true;
  const std::size_t room =
      std::max(std::bit_ceil(live_ + live_ / 2 + size), limits::kSentFieldBytesFirst);
  auto* wider = static_cast<char*>(memory::allocate(room));
  if (wider == nullptr) return false;
  char* const old = arena_;
  replaced.hold(old);
  arena_ = wider;
  arena_room_ = room;
  arena_used_ = 0;
  std::size_t group_from = 0;  // where the name of the line before was
  std::uint32_t group_to = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    Line& line = lines_[i];
    if (i == 0 || line.name_at != group_from) {
      group_from = line.name_at;
      group_to = copy_in({old + line.name_at, line.name_size});
    }
    line.name_at = group_to;
    line.value_at = copy_in({old + line.value_at, line.value_size});
  }
  return true;
}

// There is room.
std::uint32_t Fields::copy_in(std::string_view text) noexcept {
  const std::size_t at = arena_used_;
  WEIR_ASSERT(text.size() <= arena_room_ - at);
  if (!text.empty()) std::memcpy(arena_ + at, text.data(), text.size());
  arena_used_ += text.size();
  return static_cast<std::uint32_t>(at);
}

// Makes `count` lines of those; the ones that are new have no content yet. There is room.
void Fields::splice(Group old, std::size_t count) noexcept {
  const std::size_t behind = size_ - old.first - old.count;
  if (behind != 0) {
    Line* const at = lines_ + old.first;
    std::memmove(at + count, at + old.count, behind * sizeof(Line));
  }
  size_ += count;
  size_ -= old.count;
}

void Fields::clear() noexcept {
  size_ = live_ = arena_used_ = 0;
  suppressed_ = 0;
  if (arena_room_ > limits::kHeldBytesKept) {
    memory::release(arena_);
    arena_ = nullptr;
    arena_room_ = 0;
  }
  if (lines_room_ > limits::kFieldsKept) {
    memory::release(lines_);
    lines_ = nullptr;
    lines_room_ = 0;
  }
}

// ---- Changes ----

Expected<void> Fields::add_lines(std::string_view name, std::span<const std::string_view> values,
                                 bool keep_old) noexcept {
  if (auto checked = check(name, values); !checked) return checked;
  const Group old = find(name);
  const bool joins = keep_old && old.count != 0;
  std::size_t added = joins ? 0 : name.size();
  for (const std::string_view value : values) added += trim_blanks(value).size();
  const std::size_t dropped_bytes = joins ? 0 : live_bytes(old);
  const std::size_t dropped_lines = joins ? 0 : old.count;
  if (size_ - dropped_lines + values.size() > limits::kSentFieldsMax) {
    return mistake(Mistake::out_of_range, "too many fields in one message");
  }
  if (live_ - dropped_bytes + added > limits::kSentFieldBytesMax) {
    return mistake(Mistake::out_of_range, "too many bytes of fields in one message");
  }
  Replaced replaced;  // the arguments may view it
  if (!reserve_lines(size_ + values.size()) || !reserve_bytes(added, replaced)) {
    return failure({.code = errno_code(ENOMEM)});
  }
  const Group gap = joins ? Group{old.first + old.count, 0} : old;
  Line line = {.name_at = 0, .name_size = static_cast<std::uint32_t>(name.size())};
  line.name_at = joins ? lines_[old.first].name_at : copy_in(name);
  splice(gap, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string_view value = trim_blanks(values[i]);
    line.value_size = static_cast<std::uint32_t>(value.size());
    line.value_at = copy_in(value);
    lines_[gap.first + i] = line;
  }
  live_ = live_ - dropped_bytes + added;
  note_presence(name_of(line), false);
  return {};
}

Expected<void> Fields::set(std::string_view name, std::string_view value) noexcept {
  return add_lines(name, {&value, 1}, false);
}

Expected<void> Fields::set(std::string_view name,
                           std::span<const std::string_view> values) noexcept {
  if (!values.empty()) return add_lines(name, values, false);
  if (auto checked = check(name, values); !checked) return checked;
  (void)remove(name);
  return {};
}

Expected<void> Fields::append(std::string_view name, std::string_view value) noexcept {
  return add_lines(name, {&value, 1}, true);
}

// There is nothing yet. Offsets stay what they are, so that all of the arena is taken.
Expected<void> Fields::copy(const Fields& other) noexcept {
  Replaced replaced;
  if (!reserve_lines(other.size_) || !reserve_bytes(other.arena_used_, replaced)) {
    return failure({.code = errno_code(ENOMEM)});
  }
  copy_in({other.arena_, other.arena_used_});
  std::uninitialized_copy_n(other.lines_, other.size_, lines_);
  size_ = other.size_;
  live_ = other.live_;
  return {};
}

Expected<void> Fields::merge(const Fields& other) noexcept {
  if (&other == this) return {};
  if (empty() && suppressed_ == 0) return copy(other);
  for (std::size_t i = 0; i < other.size_; ++i) {
    const Line& line = other.lines_[i];
    const bool first = i == 0 || other.lines_[i - 1].name_at != line.name_at;
    const std::string_view value = other.value_of(line);
    if (auto set = add_lines(other.name_of(line), {&value, 1}, !first); !set) return set;
  }
  return {};
}

Expected<void> Fields::append_all(std::span<const Field> lines) noexcept {
  for (const Field& line : lines) {
    if (auto set = append(line.name, line.value); !set) return set;
  }
  return {};
}

Expected<void> Fields::merge(std::span<const Field> lines) noexcept {
  if (empty() && suppressed_ == 0) {
    auto set = append_all(lines);
    if (!set) clear();
    return set;
  }
  Fields given;
  if (auto set = given.append_all(lines); !set) return set;
  return merge(given);
}

bool Fields::remove(std::string_view name) noexcept {
  note_presence(name, true);
  const Group group = find(name);
  if (group.count == 0) return false;
  live_ -= live_bytes(group);
  splice(group, 0);
  if (size_ == 0) arena_used_ = 0;
  return true;
}

}  // namespace weir::inline v1::http
