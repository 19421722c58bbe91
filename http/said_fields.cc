#include "weir/http/said_fields.h"

#include <cstddef>

#include "weir/http/field_value.h"
#include "weir/http/framing.h"

namespace weir::inline v1::http {

void SaidFields::take_codings(std::string_view value) noexcept {
  ListElements list(value);
  while (const auto element = list.next()) {
    ++codings;
    chunked_last = equals_lower(element.text, "chunked");
    if (chunked_last) ++chunked;
    malformed = malformed || element.text.empty();
  }
}

void SaidFields::take(const Field& field) noexcept {
  const auto [name, value] = field;
  switch (name.size()) {
    case 4:
      if (equals_lower(name, "host")) ++hosts;
      date = date || equals_lower(name, "date");
      break;
    case 6:
      if (!equals_lower(name, "expect")) break;
      expects_continue = expects_continue || equals_lower(value, "100-continue");
      break;
    case 7:
      trailer = trailer || equals_lower(name, "trailer");
      if (equals_lower(name, "upgrade")) upgrade = upgrade || !value.empty();
      break;
    case 10:
      parameters = parameters || equals_lower(name, "keep-alive");
      if (!equals_lower(name, "connection")) break;
      has_connection = true;
      connection.add(value);
      break;
    case 14:
      if (!equals_lower(name, "content-length")) break;
      ++lengths;
      malformed = !parse_content_length(value, length) || malformed;
      break;
    case 17:
      if (equals_lower(name, "transfer-encoding")) take_codings(value);
      break;
    default:
      break;
  }
}

SaidFields SaidFields::read(const Fields* fields) noexcept {
  SaidFields said;
  for (std::size_t i = 0; fields != nullptr && i < fields->size(); ++i) said.take(fields->at(i));
  return said;
}

Expected<void> SaidFields::check_framing() const noexcept {
  const auto refuse = [](const char* detail) {
    return failure({.code = Mistake::bad_argument, .detail = detail});
  };
  if (lengths != 0 && codings != 0) {
    return refuse("both Content-Length and Transfer-Encoding are set");
  }
  if (malformed || lengths > 1) {
    return refuse("Content-Length or Transfer-Encoding is malformed");
  }
  if (chunked > 1 || (chunked == 1 && !chunked_last)) {
    return refuse("chunked must be the last coding, and there once");
  }
  return {};
}

}  // namespace weir::inline v1::http
