#include "weir/http/framing.h"

#include <cstddef>
#include <limits>

#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

constexpr std::string_view kContentLength = "content-length";
constexpr std::string_view kTransferEncoding = "transfer-encoding";

Framing refuse(ParseError error) noexcept { return {.kind = Framing::Kind::error, .error = error}; }

// What the Transfer-Encoding fields say together.
struct Codings {
  std::size_t fields = 0;
  std::size_t others = 0;   // before chunked
  std::size_t chunked = 0;  // times it was there
  bool malformed = false;   // no token, or something behind chunked

  void add(std::string_view value) noexcept {
    ++fields;
    ListElements list(value);
    while (const auto element = list.next()) {
      if (chunked != 0 || !is_token(element.text)) malformed = true;
      ++(equals_lower(element.text, "chunked") ? chunked : others);
    }
  }
};

Framing framing_of(const Codings& codings, int version_minor) noexcept {
  if (version_minor == 0) return refuse(ParseError::coding_in_http_1_0);
  if (codings.malformed || codings.chunked != 1) return refuse(ParseError::transfer_encoding);
  if (codings.others != 0) return refuse(ParseError::transfer_coding_unknown);
  return {.kind = Framing::Kind::chunked};
}

// Equal, where an underscore equals a hyphen.
bool equals_blurred(std::string_view name, std::string_view lower) noexcept {
  if (name.size() != lower.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i] == '_' ? '-' : name[i];
    if (!equals_lower({&c, 1}, lower.substr(i, 1))) return false;
  }
  return true;
}

}  // namespace

bool parse_content_length(std::string_view text, std::uint64_t& length) noexcept {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (length > (kMax - digit) / 10) return false;
    length = length * 10 + digit;
  }
  return true;
}

bool looks_like_framing(std::string_view name) noexcept {
  return name.contains('_') &&
         (equals_blurred(name, kContentLength) || equals_blurred(name, kTransferEncoding));
}

Framing message_framing(int version_minor, std::span<const Field> fields) noexcept {
  const Field* length_field = nullptr;
  bool length_repeated = false;
  Codings codings;
  for (const Field& field : fields) {
    const bool may_be_framing =
        field.name.size() == kContentLength.size() || field.name.size() == kTransferEncoding.size();
    if (!may_be_framing) continue;
    if (equals_lower(field.name, kContentLength)) {
      length_repeated = length_repeated || length_field != nullptr;
      length_field = &field;
    } else if (equals_lower(field.name, kTransferEncoding)) {
      codings.add(field.value);
    } else if (looks_like_framing(field.name)) {
      return refuse(ParseError::framing_look_alike);
    }
  }
  if (codings.fields != 0 && length_field != nullptr) {
    return refuse(ParseError::length_and_coding);
  }
  if (codings.fields != 0) return framing_of(codings, version_minor);
  if (length_field == nullptr) return {};
  if (length_repeated) return refuse(ParseError::content_length_repeated);
  Framing framing{.kind = Framing::Kind::length};
  if (parse_content_length(length_field->value, framing.length)) return framing;
  return refuse(ParseError::content_length_malformed);
}

BodyFraming response_framing(const Framing& said, int status, Answers answers) noexcept {
  const bool has_none = answers == Answers::head || status < 200 || status == 204 ||
                        status == 304 || (answers == Answers::connect && status < 300);
  if (has_none) return {};
  if (said.kind == Framing::Kind::none) return {.kind = BodyFraming::Kind::until_close};
  return body_framing(said);
}

}  // namespace weir::inline v1::http
