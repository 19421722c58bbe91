// The fields of a received message, kept for as long as the message is.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/field.h"

namespace weir::inline v1::http {

// Fields and their text, copied once into one piece of memory, which is used again:
//
//     memory  [Field][Field]...[text]
//
// Owner: the message. One thread. Views are good until the next keep() or clear().
class FieldStore {
 public:
  FieldStore() noexcept = default;
  FieldStore(const FieldStore&) = delete;
  FieldStore& operator=(const FieldStore&) = delete;
  ~FieldStore();

  // Names and values all lie in `text`. Where its copy begins; null: memory was refused.
  const char* keep(std::span<const Field> fields, std::string_view text) noexcept;
  // With the text from the first byte of a name or value to the last. False: memory was refused.
  bool keep(std::span<const Field> fields) noexcept;
  // Gives memory beyond limits::kHeldBytesKept back.
  void clear() noexcept;

  std::span<const Field> fields() const noexcept { return fields_; }

 private:
  std::span<const Field> fields_;
  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

// The first line of that name, in any case of letters.
std::optional<std::string_view> find_field(std::span<const Field> fields,
                                           std::string_view name) noexcept;
// Each line's.
std::vector<std::string_view> find_fields(std::span<const Field> fields, std::string_view name);
// All lines of a name as one value, the way Node has them in `headers`: joined with ", ", Cookie
// with "; ", and of what may stand only once the first.
std::optional<std::string> combine_fields(std::span<const Field> fields, std::string_view name);

}  // namespace weir::inline v1::http
