#include "weir/http/websocket/extensions.h"

#include <cstddef>
#include <optional>

#include "weir/http/field_value.h"
#include "weir/http/scan.h"

namespace weir::inline v1::http::websocket {
namespace {

constexpr std::string_view kField = "sec-websocket-extensions";
constexpr std::string_view kDeflate = "permessage-deflate";
constexpr std::string_view kServerNoTakeover = "server_no_context_takeover";
constexpr std::string_view kClientNoTakeover = "client_no_context_takeover";
constexpr std::string_view kServerBits = "server_max_window_bits";
constexpr std::string_view kClientBits = "client_max_window_bits";

using Item = ExtensionList::Item;

void skip_blanks(std::string_view& text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
}

bool take(std::string_view& text, char wanted) noexcept {
  skip_blanks(text);
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(1);
  skip_blanks(text);
  return true;
}

std::string_view take_token(std::string_view& text) noexcept {
  const std::string_view token = text.substr(0, scan::token(text));
  text.remove_prefix(token.size());
  return token;
}

// What stands between quotes, and is a token when its backslashes are taken away (RFC 6455, section
// 9.1).
bool take_quoted(std::string_view& text, Item& item) noexcept {
  text.remove_prefix(1);
  std::size_t at = 0;
  for (; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') {
      item.is_plain = false;
      ++at;
    }
    if (at >= text.size() || !scan::is_token_byte(text[at])) return false;
  }
  if (at == 0 || at >= text.size()) return false;
  item.value = text.substr(0, at);
  text.remove_prefix(at + 1);
  return true;
}

}  // namespace

// ---- The grammar ----

Item ExtensionList::next() noexcept {
  if (malformed_) return {.kind = Item::Kind::malformed};
  Item item{.kind = Item::Kind::item};
  if (!in_extension_) {
    do skip_blanks(rest_);
    while (take(rest_, ','));
    if (rest_.empty()) return {.kind = Item::Kind::end};
    extension_ = take_token(rest_);
    if (extension_.empty()) return malformed();
    item.starts = true;
  }
  item.extension = extension_;
  if (take(rest_, ';') && !read_parameter(item)) return malformed();
  skip_blanks(rest_);
  in_extension_ = rest_.starts_with(';');
  if (!in_extension_ && !rest_.empty() && rest_.front() != ',') return malformed();
  return item;
}

bool ExtensionList::read_parameter(Item& item) noexcept {
  item.parameter = take_token(rest_);
  if (item.parameter.empty()) return false;
  if (!take(rest_, '=')) return true;
  item.has_value = true;
  if (rest_.starts_with('"')) return take_quoted(rest_, item);
  item.value = take_token(rest_);
  return !item.value.empty();
}

Item ExtensionList::malformed() noexcept {
  malformed_ = true;
  return {.kind = Item::Kind::malformed};
}

// ---- permessage-deflate ----

namespace {

// The parameters of one offer or answer, as they stand there.
struct Parameters {
  bool server_no_takeover = false;
  bool client_no_takeover = false;
  bool has_client_bits = false;
  std::optional<int> server_bits;
  std::optional<int> client_bits;
  bool good = true;  // every parameter is known, there once, and with the value that it must have

  void add(const Item& item, bool is_offer) noexcept;
};

// 8 to 15, without a leading zero (RFC 7692, section 7.1.2).
std::optional<int> window_bits(const Item& item) noexcept {
  const std::string_view text = item.value;
  if (!item.has_value || !item.is_plain) return std::nullopt;
  if (text == "8" || text == "9") return text[0] - '0';
  if (text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5') {
    return 10 + text[1] - '0';
  }
  return std::nullopt;
}

bool set_once(bool& flag) noexcept {
  const bool was = flag;
  flag = true;
  return !was;
}

void Parameters::add(const Item& item, bool is_offer) noexcept {
  if (item.parameter.empty()) return;
  if (item.parameter == kServerNoTakeover) {
    good = good && set_once(server_no_takeover) && !item.has_value;
  } else if (item.parameter == kClientNoTakeover) {
    good = good && set_once(client_no_takeover) && !item.has_value;
  } else if (item.parameter == kServerBits) {
    good = good && !server_bits.has_value();
    server_bits = window_bits(item);
    good = good && server_bits.has_value();
  } else if (item.parameter == kClientBits) {
    good = good && set_once(has_client_bits);
    client_bits = window_bits(item);
    // An offer may be without a value: "ask me for any".
    good = good && (client_bits.has_value() || (is_offer && !item.has_value));
  } else {
    good = false;
  }
}

int smaller(int ours, std::optional<int> theirs) noexcept {
  return theirs.has_value() && *theirs < ours ? *theirs : ours;
}

DeflateAgreement agree(const Parameters& offer, const DeflateOptions& options) noexcept {
  DeflateAgreement agreement;
  agreement.server_no_context_takeover =
      offer.server_no_takeover || options.server_no_context_takeover;
  // Only a hint when it is offered, but one that spares memory here.
  agreement.client_no_context_takeover =
      offer.client_no_takeover || options.client_no_context_takeover;
  agreement.server_max_window_bits = smaller(options.server_max_window_bits, offer.server_bits);
  if (offer.has_client_bits) {
    agreement.client_max_window_bits = smaller(options.client_max_window_bits, offer.client_bits);
  }
  return agreement;
}

void append_bits(std::string& text, std::string_view name, int bits) {
  text.append("; ").append(name).append("=").append(std::to_string(bits));
}

std::string answer_of(const DeflateAgreement& agreement, const Parameters& offer) {
  std::string text(kDeflate);
  if (agreement.server_no_context_takeover) text.append("; ").append(kServerNoTakeover);
  if (agreement.client_no_context_takeover) text.append("; ").append(kClientNoTakeover);
  if (offer.server_bits.has_value() || agreement.server_max_window_bits < limits::kWindowBitsMax) {
    append_bits(text, kServerBits, agreement.server_max_window_bits);
  }
  if (agreement.client_max_window_bits < limits::kWindowBitsMax) {
    append_bits(text, kClientBits, agreement.client_max_window_bits);
  }
  return text;
}

// Calls element(name, parameters) for each extension of each field, until one says false. False
// when a field is malformed.
template <class Element>
bool for_each_extension(std::span<const Field> fields, bool is_offer, Element&& element) {
  for (const Field& field : fields) {
    if (!equals_lower(field.name, kField)) continue;
    ExtensionList list(field.value);
    Parameters parameters;
    Item item = list.next();
    while (item.kind == Item::Kind::item) {
      if (item.starts) parameters = {};
      parameters.add(item, is_offer);
      const std::string_view name = item.extension;
      item = list.next();
      const bool complete = item.kind == Item::Kind::end || item.starts;
      if (complete && !element(name, parameters)) return true;
    }
    if (item.kind == Item::Kind::malformed) return false;
  }
  return true;
}

bool fits(const Parameters& answer, const DeflateOptions& offer) noexcept {
  if (!answer.good) return false;
  if (offer.server_no_context_takeover && !answer.server_no_takeover) return false;
  // Asked for, it must be answered with as much or less (RFC 7692, section 7.1.2.1).
  if (offer.server_max_window_bits < limits::kWindowBitsMax &&
      answer.server_bits.value_or(limits::kWindowBitsMax) > offer.server_max_window_bits) {
    return false;
  }
  return answer.client_bits.value_or(limits::kWindowBitsMin) <= offer.client_max_window_bits;
}

}  // namespace

DeflateNegotiation accept_deflate(std::span<const Field> request_fields,
                                  const DeflateOptions& options) {
  DeflateNegotiation result;
  const auto consider = [&](std::string_view name, const Parameters& offer) {
    if (result.answer == DeflateAnswer::none && name == kDeflate && offer.good) {
      result.answer = DeflateAnswer::agreed;
      result.agreement = agree(offer, options);
      result.field = answer_of(result.agreement, offer);
    }
    return true;  // the rest must be well formed too
  };
  if (!for_each_extension(request_fields, true, consider)) {
    return {.answer = DeflateAnswer::malformed};
  }
  return result;
}

std::string offer_deflate(const DeflateOptions& options) {
  std::string text(kDeflate);
  if (options.server_no_context_takeover) text.append("; ").append(kServerNoTakeover);
  if (options.client_no_context_takeover) text.append("; ").append(kClientNoTakeover);
  if (options.server_max_window_bits < limits::kWindowBitsMax) {
    append_bits(text, kServerBits, options.server_max_window_bits);
  }
  if (options.client_max_window_bits < limits::kWindowBitsMax) {
    append_bits(text, kClientBits, options.client_max_window_bits);
  } else {
    text.append("; ").append(kClientBits);
  }
  return text;
}

DeflateNegotiation check_deflate(std::span<const Field> response_fields,
                                 const DeflateOptions* offer) {
  DeflateNegotiation result;
  bool good = true;
  const auto consider = [&](std::string_view name, const Parameters& answer) {
    good = offer != nullptr && result.answer == DeflateAnswer::none && name == kDeflate &&
           fits(answer, *offer);
    if (!good) return false;
    result.answer = DeflateAnswer::agreed;
    result.agreement.server_no_context_takeover = answer.server_no_takeover;
    // What we have offered to do we do, whether the server says so or not.
    result.agreement.client_no_context_takeover =
        answer.client_no_takeover || offer->client_no_context_takeover;
    result.agreement.server_max_window_bits =
        answer.server_bits.value_or(limits::kWindowBitsMax);
    result.agreement.client_max_window_bits =
        smaller(offer->client_max_window_bits, answer.client_bits);
    return true;
  };
  good = for_each_extension(response_fields, false, consider) && good;
  if (!good) return {.answer = DeflateAnswer::malformed};
  return result;
}

}  // namespace weir::inline v1::http::websocket
