#include "weir/http/field_store.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "weir/http/field_value.h"
#include "weir/http/limits.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::http {
namespace {

// ASCII letters in either case.
bool is_same_name(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// Fields of which Node keeps the first line only (RFC 9110 gives them one).
constexpr std::string_view kSingleFields[] = {
    "age",           "authorization",       "content-length", "content-type",
    "etag",          "expires",             "from",           "host",
    "if-modified-since", "if-unmodified-since", "last-modified", "location",
    "max-forwards",  "proxy-authorization", "referer",        "retry-after",
    "server",        "user-agent"};

bool stands_once(std::string_view name) noexcept {
  return std::ranges::any_of(kSingleFields, [&](std::string_view known) {
    return equals_lower(name, known);
  });
}

}  // namespace

FieldStore::~FieldStore() { memory::release(memory_); }

const char* FieldStore::keep(std::span<const Field> fields, std::string_view text) noexcept {
  const std::size_t size = fields.size() * sizeof(Field) + text.size();
  if (size > size_) {
    memory::release(memory_);
    size_ = std::max(size, limits::kHeldBytesFirst);
    memory_ = memory::allocate(size_);
    if (memory_ == nullptr) {
      size_ = 0;
      fields_ = {};
      return nullptr;
    }
  }
  auto* copies = static_cast<Field*>(memory_);
  char* to = reinterpret_cast<char*>(copies + fields.size());
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  const auto moved = [&](std::string_view view) {
    return view.empty() ? std::string_view()
                        : std::string_view(to + (view.data() - text.data()), view.size());
  };
  for (std::size_t i = 0; i < fields.size(); ++i) {
    ::new (copies + i) Field{moved(fields[i].name), moved(fields[i].value)};
  }
  fields_ = {copies, fields.size()};
  return to;
}

bool FieldStore::keep(std::span<const Field> fields) noexcept {
  if (fields.empty()) {
    fields_ = {};
    return true;
  }
  const char* first = fields.front().name.data();
  const char* last = first;
  for (const Field& field : fields) {
    first = std::min(first, field.name.data());
    last = std::max({last, field.name.data() + field.name.size(),
                     field.value.data() + field.value.size()});
  }
  return keep(fields, {first, static_cast<std::size_t>(last - first)}) != nullptr;
}

void FieldStore::clear() noexcept {
  fields_ = {};
  if (size_ <= limits::kHeldBytesKept) return;
  memory::release(memory_);
  memory_ = nullptr;
  size_ = 0;
}

std::optional<std::string_view> find_field(std::span<const Field> fields,
                                           std::string_view name) noexcept {
  for (const Field& field : fields) {
    if (is_same_name(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::vector<std::string_view> find_fields(std::span<const Field> fields, std::string_view name) {
  std::vector<std::string_view> values;
  for (const Field& field : fields) {
    if (is_same_name(field.name, name)) values.push_back(field.value);
  }
  return values;
}

std::optional<std::string> combine_fields(std::span<const Field> fields, std::string_view name) {
  const std::vector<std::string_view> values = find_fields(fields, name);
  if (values.empty()) return std::nullopt;
  std::string all(values.front());
  if (stands_once(name)) return all;
  const std::string_view separator = equals_lower(name, "cookie") ? "; " : ", ";
  for (std::size_t i = 1; i < values.size(); ++i) all.append(separator).append(values[i]);
  return all;
}

}  // namespace weir::inline v1::http
