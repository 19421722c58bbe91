// The fields of a message that is to be sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "weir/http/field.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

// Field lines in the order in which their names were first set; names are found in any case and
// sent as they were set last (RFC 9110, section 5). The lines of one name lie side by side.
//
//     arena  [Content-Type|text/plain|Set-Cookie|a=1|b=2|.....]     bytes, copied once
//     lines  [name, value] [name, value] [same name, value]         offsets into it
//
// Nothing gets in that could end a line: a name is a token, a value has no control byte but HTAB
// and loses the blanks around it, as its reader takes them away too. 0x80-0xff are bytes without
// meaning.
//
// Owner: the message; one thread. Arguments are copied, and may be views of this object. Views that
// it gives are good until its next change. Bounds: limits::kSentFieldsMax lines with
// limits::kSentFieldBytesMax bytes; memory is used again from message to message, and given back by
// clear() when it is large.
// Errors, after which nothing has changed: Mistake::invalid_http_token (name), invalid_char
// (value), out_of_range (bounds), ENOMEM.
class Fields {
 public:
  Fields() noexcept = default;
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  ~Fields();

  // In place of all lines of this name.
  Expected<void> set(std::string_view name, std::string_view value) noexcept;
  // One line each; no value at all: as remove().
  Expected<void> set(std::string_view name, std::span<const std::string_view> values) noexcept;
  Expected<void> set(std::string_view name,
                     std::initializer_list<std::string_view> values) noexcept {
    return set(name, std::span(values.begin(), values.size()));
  }
  // One more line behind those of this name, with the name as it is there.
  Expected<void> append(std::string_view name, std::string_view value) noexcept;
  // set() for each name of `other`; into an empty one it is a copy. After an error some may be set.
  Expected<void> merge(const Fields& other) noexcept;
  // The same with lines, of which those of one name stay together. After an error in one of them
  // none is set.
  Expected<void> merge(std::span<const Field> lines) noexcept;
  // True when there was such a line. Removing Date, Connection, Content-Length, Transfer-Encoding
  // or Host, there or not, also keeps it from being added when the head is sent.
  bool remove(std::string_view name) noexcept;
  // Empty as when it was made; memory beyond limits::kFieldsKept and kHeldBytesKept is given back.
  void clear() noexcept;

  bool has(std::string_view name) const noexcept { return find(name).count != 0; }
  // The first line's value.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  // Each line's.
  std::vector<std::string_view> values(std::string_view name) const;
  // Each name once, in order, in its case.
  std::vector<std::string_view> names() const;

  // Lines.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  // Precondition: index < size().
  Field at(std::size_t index) const noexcept;
  // Removed and not set since: one of the five above, in lower case.
  bool is_suppressed(std::string_view lower) const noexcept {
    return suppressed_ != 0 && (suppressed_ & bit_of(lower)) != 0;
  }
  // "Name: value CRLF" for each line. Into a TextCounter or a TextSink.
  template <class Sink>
  void write(Sink& sink) const noexcept;
  // How many bytes write() writes.
  std::size_t text_size() const noexcept;

 private:
  struct Line {
    std::uint32_t name_at = 0;
    std::uint32_t name_size = 0;
    std::uint32_t value_at = 0;
    std::uint32_t value_size = 0;
  };
  // Lines [first, first + count), one name's. Not found: behind the last line, none.
  struct Group {
    std::size_t first;
    std::size_t count;
  };
  // Memory that was replaced and may still be read from; released with this.
  class Replaced;

  std::string_view name_of(const Line& line) const noexcept {
    return {arena_ + line.name_at, line.name_size};
  }
  std::string_view value_of(const Line& line) const noexcept {
    return {arena_ + line.value_at, line.value_size};
  }
  // In suppressed_, of an automatic field; 0 for any other.
  static std::uint8_t bit_of(std::string_view name) noexcept;
  Group find(std::string_view name) const noexcept;
  std::size_t live_bytes(Group group) const noexcept;
  bool reserve_lines(std::size_t count) noexcept;
  bool reserve_bytes(std::size_t size, Replaced& replaced) noexcept;
  std::uint32_t copy_in(std::string_view text) noexcept;
  void splice(Group old, std::size_t count) noexcept;
  Expected<void> copy(const Fields& other) noexcept;
  Expected<void> append_all(std::span<const Field> lines) noexcept;
  void note_presence(std::string_view name, bool removed) noexcept;
  Expected<void> add_lines(std::string_view name, std::span<const std::string_view> values,
                           bool keep_old) noexcept;

  char* arena_ = nullptr;
  std::size_t arena_used_ = 0;
  std::size_t arena_room_ = 0;
  std::size_t live_ = 0;  // bytes of the arena that lines refer to
  Line* lines_ = nullptr;
  std::size_t size_ = 0;
  std::size_t lines_room_ = 0;
  std::uint8_t suppressed_ = 0;  // a bit for each automatic field
};

}  // namespace weir::inline v1::http
