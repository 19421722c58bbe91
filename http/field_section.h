// The lines of a head or of a trailer section, in whatever pieces they come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/parse_error.h"
#include "weir/http/scan.h"

namespace weir::inline v1::http {

// A line of fields: name, colon, value. `line` has no control byte but HTAB.
ParseError parse_field_line(std::string_view line, Field& field) noexcept;

// Fields in a place of the owner's, or beyond it in memory of their own.
class FieldList {
 public:
  // `place` outlives this; it may be empty. Others may have the same one, and use it as soon as
  // what is there is done with, or has been kept.
  explicit FieldList(std::span<Field> place) noexcept
      : place_(place), fields_(place.data()), room_(place.size()) {}
  FieldList(const FieldList&) = delete;
  FieldList& operator=(const FieldList&) = delete;
  ~FieldList();

  // Each false when memory was refused.
  [[nodiscard]] bool add(const Field& field) noexcept;
  // In memory of their own from now on.
  [[nodiscard]] bool keep() noexcept;
  std::span<const Field> view() const noexcept { return {fields_, size_}; }
  std::size_t size() const noexcept { return size_; }
  // Forgets all, and gives memory beyond limits::kFieldsKept back.
  void clear() noexcept;
  // The bytes that the fields view are now at `to` instead of `from`; both still exist.
  void move_views(const char* from, const char* to) noexcept;

 private:
  void release() noexcept;
  bool grow(std::size_t room) noexcept;

  std::span<Field> place_;
  Field* fields_;
  std::size_t size_ = 0;
  std::size_t room_;
};

// The text of one section and the fields in it.
//
//     first piece in one part:   input  [GET / HTTP/1.1 | Host: a | ...]   fields view the input
//     else:                      held   [GET / HTTP/1.1 | Ho] + [st: a | ...]   fields view this
//
// A round is: open(input), next_line() and add_field() until a line is missing, then hold(). Every
// byte is scanned once, however the section is cut. At most bytes_max bytes are held.
class FieldSection {
 public:
  enum class Got : std::uint8_t { line, need_more, control_byte, too_large };
  struct Line {
    Got got;
    std::string_view text;  // without its CRLF; good until the next open() or hold()
  };

  explicit FieldSection(std::span<Field> place) noexcept : fields_(place) {}
  FieldSection(const FieldSection&) = delete;
  FieldSection& operator=(const FieldSection&) = delete;
  ~FieldSection();

  // Begins anew. Views of the section before end here.
  void reset() noexcept;

  // `input` follows what is held. False when memory was refused.
  [[nodiscard]] bool open(std::string_view input, std::size_t bytes_max) noexcept;
  Line next_line() noexcept;
  ParseError add_field(std::string_view line, std::size_t fields_max) noexcept;
  // All of the input that was opened belongs to the section and will go, and so will what is in the
  // place for fields if that is shared. False: memory was refused.
  [[nodiscard]] bool hold(bool is_place_shared) noexcept;

  // The section as far as it is known, from its first byte.
  std::string_view text() const noexcept { return text_; }
  // How much of it is in whole lines.
  std::size_t line_bytes() const noexcept { return line_start_; }
  // How much of the input that was opened belongs to these lines. For a section that has ended.
  std::size_t taken() const noexcept { return line_start_ - held_size_; }
  // True when the limit is reached, so that what is missing will not fit.
  bool full() const noexcept { return text_.size() == bytes_max_; }
  std::span<const Field> fields() const noexcept { return fields_.view(); }

 private:
  bool reserve(std::size_t size) noexcept;

  FieldList fields_;
  std::string_view text_;  // a prefix of the input, or of held_
  std::size_t bytes_max_ = 0;
  std::size_t line_start_ = 0;
  std::size_t scanned_ = 0;  // from line_start_ on: what has no control byte
  char* held_ = nullptr;
  std::size_t held_size_ = 0;
  std::size_t held_room_ = 0;
};

inline FieldSection::Line FieldSection::next_line() noexcept {
  const std::string_view text = text_;
  const auto follows = [&](std::size_t at) { return text[at] == '\r' && text[at + 1] == '\n'; };
  std::size_t end = line_start_;
  const bool is_empty = end + 1 < text.size() && follows(end);  // the last one: nothing to scan
  if (!is_empty) {
    end = scanned_ = scan::control(text, scanned_);
    const Got missing = full() ? Got::too_large : Got::need_more;
    if (end == text.size()) return {missing, {}};
    if (text[end] != '\r') return {Got::control_byte, {}};
    if (end + 1 == text.size()) return {missing, {}};
    if (!follows(end)) return {Got::control_byte, {}};
  }
  const std::string_view line = text.substr(line_start_, end - line_start_);
  line_start_ = scanned_ = end + 2;
  return {Got::line, line};
}

}  // namespace weir::inline v1::http
