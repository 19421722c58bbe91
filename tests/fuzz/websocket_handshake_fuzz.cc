// Any values of fields: the checks of handshakes agree with each other. The input's lines are
// field lines; those of Sec-WebSocket-Extensions are tried as an offer and as an answer.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/field_value.h"
#include "weir/http/websocket/extensions.h"
#include "weir/http/websocket/handshake.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

namespace websocket = http::websocket;
using http::Field;
using websocket::DeflateAnswer;
using websocket::DeflateNegotiation;
using websocket::DeflateOptions;
using websocket::HandshakeError;

std::vector<Field> fields_of(std::string_view text) {
  std::vector<Field> fields;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() == text.size() ? line.size() : line.size() + 1);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    fields.push_back({line.substr(0, colon), http::trim_blanks(line.substr(colon + 1))});
  }
  return fields;
}

void check_bounds(const websocket::DeflateAgreement& agreement, const DeflateOptions& options) {
  WEIR_ASSERT(agreement.server_max_window_bits >= 8 && agreement.server_max_window_bits <= 15);
  WEIR_ASSERT(agreement.client_max_window_bits >= 8 && agreement.client_max_window_bits <= 15);
  WEIR_ASSERT(agreement.server_max_window_bits <= options.server_max_window_bits);
  WEIR_ASSERT(agreement.server_no_context_takeover || !options.server_no_context_takeover);
  WEIR_ASSERT(agreement.client_no_context_takeover || !options.client_no_context_takeover);
}

bool is_malformed(const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    if (!http::equals_lower(field.name, "sec-websocket-extensions")) continue;
    websocket::ExtensionList list(field.value);
    using Kind = websocket::ExtensionList::Item::Kind;
    // An item has a byte at least.
    for (std::size_t left = field.value.size() + 1;; --left) {
      WEIR_ASSERT(left > 0);
      const auto item = list.next();
      if (item.kind == Kind::end) break;
      if (item.kind == Kind::malformed) return true;
      WEIR_ASSERT(http::is_token(item.extension));
      WEIR_ASSERT(item.parameter.empty() || http::is_token(item.parameter));
      WEIR_ASSERT(!item.has_value || !item.is_plain || http::is_token(item.value));
    }
  }
  return false;
}

void try_extensions(const std::vector<Field>& fields, const DeflateOptions& options) {
  const bool malformed = is_malformed(fields);
  const DeflateNegotiation offered = websocket::accept_deflate(fields, options);
  WEIR_ASSERT((offered.answer == DeflateAnswer::malformed) == malformed);
  if (offered.answer == DeflateAnswer::agreed) {
    check_bounds(offered.agreement, options);
    const Field answer[] = {{"Sec-WebSocket-Extensions", offered.field}};
    const DeflateOptions any;
    // It is an answer that a client with any offer may get.
    WEIR_ASSERT(websocket::check_deflate(answer, &any).answer == DeflateAnswer::agreed);
  }
  const DeflateNegotiation answered = websocket::check_deflate(fields, &options);
  if (malformed) WEIR_ASSERT(answered.answer == DeflateAnswer::malformed);
  if (answered.answer == DeflateAnswer::agreed) {
    check_bounds(answered.agreement, options);
    WEIR_ASSERT(answered.agreement.client_max_window_bits <= options.client_max_window_bits);
  }
  WEIR_ASSERT(websocket::check_deflate(fields, nullptr).answer != DeflateAnswer::agreed);
}

void try_bytes(std::string_view bytes) {
  const std::vector<Field> fields = fields_of(bytes);
  const DeflateOptions strict{.server_no_context_takeover = true,
                              .client_no_context_takeover = true,
                              .server_max_window_bits = 10,
                              .client_max_window_bits = 9};
  try_extensions(fields, {});
  try_extensions(fields, strict);
  const auto request = websocket::check_request("GET", 1, fields);
  if (request.error == HandshakeError::none) {
    WEIR_ASSERT(websocket::is_valid_key(request.key) && !is_malformed(fields));
    std::vector<std::string_view> names;
    websocket::find_subprotocol(fields, [&](std::string_view name) {
      names.push_back(name);
      return false;
    });
    WEIR_ASSERT(websocket::are_valid_subprotocols(names));
    const std::string_view last[] = {names.empty() ? "none" : names.back()};
    WEIR_ASSERT(websocket::choose_subprotocol(fields, last) == (names.empty() ? "" : last[0]));
  }
  const std::string_view offered[] = {"chat", "superchat"};
  const auto response =
      websocket::check_response(101, fields, "dGhlIHNhbXBsZSBub25jZQ==", offered);
  if (response.error == HandshakeError::none) {
    WEIR_ASSERT(response.subprotocol.empty() || response.subprotocol == offered[0] ||
                response.subprotocol == offered[1]);
  }
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
