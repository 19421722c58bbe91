#include "weir/http/field_section.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>

#include "weir/http/field_value.h"
#include "weir/http/limits.h"
#include "weir/http/scan.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::http {

// RFC 9112, section 5: no blank before the colon, no folded line.
ParseError parse_field_line(std::string_view line, Field& field) noexcept {
  const std::size_t colon = scan::token(line);
  const bool has_colon = colon < line.size() && line[colon] == ':';
  if (!has_colon || colon == 0) {
    if (colon == line.size() || (line[colon] != ' ' && line[colon] != '\t')) {
      return ParseError::field_name;
    }
    return colon == 0 ? ParseError::folded_line : ParseError::blank_before_colon;
  }
  field.name = line.substr(0, colon);
  field.value = trim_blanks(line.substr(colon + 1));
  return ParseError::none;
}

// ---- FieldList ----

namespace {
constexpr std::size_t kFirst = 8;  // how many fields memory of a list's own has room for at first
}  // namespace

FieldList::~FieldList() { release(); }

void FieldList::release() noexcept {
  if (fields_ != place_.data()) memory::release(fields_);
  fields_ = place_.data();
  room_ = place_.size();
}

void FieldList::clear() noexcept {
  size_ = 0;
  if (room_ > limits::kFieldsKept) release();
}

bool FieldList::grow(std::size_t room) noexcept {
  auto* wider = static_cast<Field*>(memory::allocate(room * sizeof(Field)));
  if (wider == nullptr) return false;
  std::uninitialized_copy_n(fields_, size_, wider);
  release();
  fields_ = wider;
  room_ = room;
  return true;
}

bool FieldList::keep() noexcept {
  return size_ == 0 || fields_ != place_.data() || grow(std::bit_ceil(std::max(size_, kFirst)));
}

bool FieldList::add(const Field& field) noexcept {
  if (size_ == room_ && !grow(std::max(2 * room_, kFirst))) return false;
  ::new (static_cast<void*>(&fields_[size_])) Field(field);
  ++size_;
  return true;
}

void FieldList::move_views(const char* from, const char* to) noexcept {
  const auto moved = [&](std::string_view view) {
    return std::string_view(to + (view.data() - from), view.size());
  };
  for (Field& field : std::span(fields_, size_)) {
    field = {.name = moved(field.name), .value = moved(field.value)};
  }
}

// ---- FieldSection ----

FieldSection::~FieldSection() { memory::release(held_); }

void FieldSection::reset() noexcept {
  fields_.clear();
  text_ = {};
  line_start_ = scanned_ = held_size_ = 0;
  if (held_room_ <= limits::kHeldBytesKept) return;
  memory::release(held_);
  held_ = nullptr;
  held_room_ = 0;
}

bool FieldSection::reserve(std::size_t size) noexcept {
  if (size <= held_room_) return true;
  const std::size_t doubled = std::max(std::bit_ceil(size), limits::kHeldBytesFirst);
  const std::size_t room = std::max(size, std::min(doubled, bytes_max_));
  auto* wider = static_cast<char*>(memory::allocate(room));
  if (wider == nullptr) return false;
  if (held_size_ != 0) {
    std::memcpy(wider, held_, held_size_);
    fields_.move_views(held_, wider);
  }
  memory::release(held_);
  held_ = wider;
  held_room_ = room;
  return true;
}

bool FieldSection::open(std::string_view input, std::size_t bytes_max) noexcept {
  bytes_max_ = std::max(bytes_max, held_size_);  // a limit may be lowered meanwhile
  if (held_size_ == 0) {
    text_ = input.substr(0, bytes_max_);
    return true;
  }
  const std::string_view fresh = input.substr(0, bytes_max_ - held_size_);
  if (!reserve(held_size_ + fresh.size())) return false;
  if (!fresh.empty()) std::memcpy(held_ + held_size_, fresh.data(), fresh.size());
  text_ = {held_, held_size_ + fresh.size()};
  return true;
}

bool FieldSection::hold(bool is_place_shared) noexcept {
  if (held_size_ == 0 && !text_.empty()) {
    if (!reserve(text_.size())) return false;
    std::memcpy(held_, text_.data(), text_.size());
    fields_.move_views(text_.data(), held_);
    text_ = {held_, text_.size()};
  }
  if (is_place_shared && !fields_.keep()) return false;
  held_size_ = text_.size();
  return true;
}

ParseError FieldSection::add_field(std::string_view line, std::size_t fields_max) noexcept {
  Field field;
  if (const ParseError error = parse_field_line(line, field); error != ParseError::none) {
    return error;
  }
  if (fields_.size() >= fields_max) return ParseError::fields_too_many;
  return fields_.add(field) ? ParseError::none : ParseError::no_memory;
}

}  // namespace weir::inline v1::http
