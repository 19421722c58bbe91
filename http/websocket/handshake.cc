#include "weir/http/websocket/handshake.h"

#include <algorithm>
#include <string_view>

#include "weir/http/connection_options.h"
#include "weir/http/field_value.h"
#include "weir/http/websocket/extensions.h"
#include "weir/http/websocket/limits.h"
#include "weir/http/websocket/sha1.h"

namespace weir::inline v1::http::websocket {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
// RFC 6455, section 1.3.
constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

constexpr std::string_view kSubprotocolField = "sec-websocket-protocol";

// `out` has 4 bytes for each 3 that have begun.
void to_base64(std::span<const std::uint8_t> bytes, char* out) noexcept {
  for (; !bytes.empty(); bytes = bytes.subspan(std::min<std::size_t>(3, bytes.size()))) {
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < bytes.size() ? bytes[i] : 0);
    for (std::size_t i = 0; i < 4; ++i) {
      *out++ = i > bytes.size() ? '=' : kAlphabet[group >> (18 - 6 * i) & 63];
    }
  }
}

// The fields of a name: how many, and the value of the first.
struct Found {
  std::size_t count = 0;
  std::string_view value;
};

Found find(std::span<const Field> fields, std::string_view lower) noexcept {
  Found found;
  for (const Field& field : fields) {
    if (equals_lower(field.name, lower) && found.count++ == 0) found.value = field.value;
  }
  return found;
}

bool has_element(std::span<const Field> fields, std::string_view name,
                 std::string_view element) noexcept {
  return std::ranges::any_of(fields, [&](const Field& field) {
    return equals_lower(field.name, name) && list_has(field.value, element);
  });
}

bool asks_upgrade(std::span<const Field> fields) noexcept {
  ConnectionOptions options;
  for (const Field& field : fields) {
    if (equals_lower(field.name, "connection")) options.add(field.value);
  }
  return options.upgrade;
}

HandshakeError check_version(std::span<const Field> fields) noexcept {
  const Found version = find(fields, "sec-websocket-version");
  if (version.count > 1) return HandshakeError::version_repeated;
  return version.value == "13" ? HandshakeError::none : HandshakeError::version;
}

// Tokens, each of them once. Quadratic, so their number is bounded.
bool are_good_subprotocols(std::span<const Field> fields) noexcept {
  detail::SubprotocolCursor cursor;
  std::size_t count = 0;
  for (std::string_view name; detail::next_subprotocol(fields, cursor, name);) {
    if (!is_token(name) || ++count > limits::kSubprotocolsMax) return false;
    detail::SubprotocolCursor other = cursor;
    for (std::string_view later; detail::next_subprotocol(fields, other, later);) {
      if (later == name) return false;
    }
  }
  return count != 0 || find(fields, kSubprotocolField).count == 0;
}

bool are_good_extensions(std::span<const Field> fields) noexcept {
  using Kind = ExtensionList::Item::Kind;
  for (const Field& field : fields) {
    if (!equals_lower(field.name, "sec-websocket-extensions")) continue;
    ExtensionList list(field.value);
    ExtensionList::Item item = list.next();
    while (item.kind == Kind::item) item = list.next();
    if (item.kind == Kind::malformed) return false;
  }
  return true;
}

}  // namespace

// ---- Keys ----

std::array<char, kKeyBytes> make_key(std::span<const std::uint8_t, 16> random) noexcept {
  std::array<char, kKeyBytes> key;
  to_base64(random, key.data());
  return key;
}

bool is_valid_key(std::string_view key) noexcept {
  if (key.size() != kKeyBytes || !key.ends_with("==")) return false;
  key.remove_suffix(2);
  for (const char c : key) {
    if (!kAlphabet.contains(c)) return false;
  }
  // The last character has two bits of the sixteenth byte, and four that are zero.
  return kAlphabet.find(key.back()) % 16 == 0;
}

std::array<char, kAcceptBytes> accept_key(std::string_view key) noexcept {
  std::array<char, kAcceptBytes> accept;
  char text[kKeyBytes + kGuid.size()];
  const std::size_t size = key.copy(text, kKeyBytes);
  kGuid.copy(text + size, kGuid.size());
  to_base64(sha1({text, size + kGuid.size()}), accept.data());
  return accept;
}

// ---- Subprotocols ----

namespace detail {

bool next_subprotocol(std::span<const Field> fields, SubprotocolCursor& cursor,
                      std::string_view& name) noexcept {
  while (cursor.field < fields.size()) {
    const Field& field = fields[cursor.field];
    if (!equals_lower(field.name, kSubprotocolField) || cursor.at > field.value.size()) {
      ++cursor.field;
      cursor.at = 0;
      continue;
    }
    const std::string_view rest = field.value.substr(cursor.at);
    const std::size_t comma = std::min(rest.find(','), rest.size());
    cursor.at += comma + 1;
    name = trim_blanks(rest.substr(0, comma));
    if (!name.empty()) return true;
  }
  return false;
}

}  // namespace detail

std::string_view choose_subprotocol(std::span<const Field> fields,
                                    std::span<const std::string_view> ours) noexcept {
  return find_subprotocol(fields, [ours](std::string_view name) {
    return std::ranges::find(ours, name) != ours.end();
  });
}

bool are_valid_subprotocols(std::span<const std::string_view> names) noexcept {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!is_token(names[i])) return false;
    if (std::ranges::find(names.subspan(i + 1), names[i]) != names.end()) return false;
  }
  return true;
}

// ---- Checks ----

CheckedRequest check_request(std::string_view method, int version_minor,
                             std::span<const Field> fields) noexcept {
  if (method != "GET") return {.error = HandshakeError::method};
  if (version_minor < 1) return {.error = HandshakeError::http_version};
  if (!has_element(fields, "upgrade", "websocket")) return {.error = HandshakeError::upgrade};
  if (!asks_upgrade(fields)) return {.error = HandshakeError::connection};
  // Before the key: what another version has for one is not known here.
  const HandshakeError version = check_version(fields);
  if (version != HandshakeError::none) return {.error = version};
  const Found key = find(fields, "sec-websocket-key");
  if (key.count != 1 || !is_valid_key(key.value)) return {.error = HandshakeError::key};
  if (!are_good_subprotocols(fields)) return {.error = HandshakeError::subprotocols};
  if (!are_good_extensions(fields)) return {.error = HandshakeError::extensions};
  return {.key = key.value};
}

CheckedResponse check_response(int status, std::span<const Field> fields, std::string_view key,
                               std::span<const std::string_view> offered) noexcept {
  if (status != 101) return {.error = HandshakeError::status};
  const Found upgrade = find(fields, "upgrade");
  if (upgrade.count != 1 || !equals_lower(upgrade.value, "websocket")) {
    return {.error = HandshakeError::answer_upgrade};
  }
  if (!asks_upgrade(fields)) return {.error = HandshakeError::answer_connection};
  const Found accept = find(fields, "sec-websocket-accept");
  const auto wanted = accept_key(key);
  if (accept.count != 1 || accept.value != std::string_view(wanted.data(), wanted.size())) {
    return {.error = HandshakeError::accept};
  }
  const Found subprotocol = find(fields, kSubprotocolField);
  if (subprotocol.count > 1 ||
      (subprotocol.count == 1 && std::ranges::find(offered, subprotocol.value) == offered.end())) {
    return {.error = HandshakeError::answer_subprotocol};
  }
  return {.subprotocol = subprotocol.value};
}

}  // namespace weir::inline v1::http::websocket
