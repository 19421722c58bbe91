// Any bytes as the value of a field: cookies, lists, weights of codings, lengths, options of a
// connection. Plain readers, written down here a second time, find the same; and the vector
// versions of scan.h stop where the definition of each class does, from every byte on.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/http_trace.h"
#include "weir/http/accepted_codings.h"
#include "weir/http/connection_options.h"
#include "weir/http/cookie.h"
#include "weir/http/field_value.h"
#include "weir/http/framing.h"
#include "weir/http/scan.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using http::ContentCoding;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

std::vector<std::string> split(std::string_view text, char mark) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == mark) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// ---- Classes of bytes ----

bool is_token(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_target(char c) {
  return c > ' ' && c < 0x7f && std::string_view("\"#<>").find(c) == std::string_view::npos;
}
bool is_plain_target(char c) { return is_target(c) && c != '?' && c != '%' && c != '\\'; }
bool is_no_control(char c) {
  return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

template <class Is>
void try_scan(std::string_view text, Is is, std::size_t (*scan)(std::string_view, std::size_t),
              std::size_t (*scalar)(std::string_view, std::size_t)) {
  std::size_t end = text.size();
  for (std::size_t from = text.size();; --from) {
    WEIR_ASSERT(scan(text, from) == end && scalar(text, from) == end);
    if (from == 0) return;
    if (!is(text[from - 1])) end = from - 1;
  }
}

void try_classes(std::string_view text) {
  namespace scan = http::scan;
  try_scan(text, is_token, scan::token, scan::scalar::token);
  try_scan(text, is_target, scan::target, scan::scalar::target);
  try_scan(text, is_plain_target, scan::plain_target, scan::scalar::plain_target);
  try_scan(text, is_no_control, scan::control, scan::scalar::control);
  bool all_token = !text.empty();
  bool no_control = true;
  for (const char c : text) {
    WEIR_ASSERT(scan::is_token_byte(c) == is_token(c));
    all_token = all_token && is_token(c);
    no_control = no_control && is_no_control(c);
  }
  WEIR_ASSERT(http::is_token(text) == all_token);
  WEIR_ASSERT(http::trim_blanks(text) == trim(text));
  WEIR_ASSERT(http::is_field_value(text) == (no_control && trim(text) == text));
  WEIR_ASSERT(http::equals_lower(text, lower(text)));
  const std::string_view half = text.substr(0, text.size() / 2);
  const std::string other = lower(text.substr(text.size() - half.size()));
  WEIR_ASSERT(http::equals_lower(half, other) == (lower(half) == other));
}

// ---- Lists ----

void try_list(std::string_view text) {
  std::vector<std::string> elements;
  http::ListElements list(text);
  while (const auto element = list.next()) elements.emplace_back(element.text);
  WEIR_ASSERT(!list.next());
  http::ConnectionOptions wanted;
  std::vector<std::string> plain = split(text, ',');
  for (std::string& element : plain) {
    element = trim(element);
    WEIR_ASSERT(http::list_has(text, lower(element)));
    wanted.close = wanted.close || lower(element) == "close";
    wanted.keep_alive = wanted.keep_alive || lower(element) == "keep-alive";
    wanted.upgrade = wanted.upgrade || lower(element) == "upgrade";
  }
  WEIR_ASSERT(elements == plain);
  http::ConnectionOptions options;
  options.add(text);
  WEIR_ASSERT(options.close == wanted.close && options.keep_alive == wanted.keep_alive);
  WEIR_ASSERT(options.upgrade == wanted.upgrade);
  WEIR_ASSERT(http::list_has(text, "close") == wanted.close);
}

// ---- Content-Length ----

std::optional<std::uint64_t> read_length(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  unsigned __int128 value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
    if (value > std::numeric_limits<std::uint64_t>::max()) return std::nullopt;
  }
  return static_cast<std::uint64_t>(value);
}

void try_length(std::string_view text) {
  const auto plain = read_length(text);
  std::uint64_t length = 0;
  const bool good = http::parse_content_length(text, length);
  WEIR_ASSERT(good == plain.has_value());
  if (good) WEIR_ASSERT(length == *plain);
}

// ---- Cookies ----

void try_cookies(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> plain;
  for (const std::string& part : split(text, ';')) {
    const std::size_t equals = part.find('=');
    if (equals == part.npos) continue;
    const std::string name = trim(std::string_view(part).substr(0, equals));
    std::string value = trim(std::string_view(part).substr(equals + 1));
    if (value.size() > 1 && value.starts_with('"') && value.ends_with('"')) {
      value = value.substr(1, value.size() - 2);
    }
    if (!name.empty()) plain.emplace_back(name, value);
  }
  http::Cookies cookies(text);
  for (const auto& [name, value] : plain) {
    const auto cookie = cookies.next();
    WEIR_ASSERT(cookie.has_value() && cookie->name == name && cookie->value == value);
    std::size_t first = 0;
    while (plain[first].first != name) ++first;
    WEIR_ASSERT(http::find_cookie(text, name) == plain[first].second);
  }
  WEIR_ASSERT(!cookies.next().has_value() && !cookies.next().has_value());
}

// ---- Accept-Encoding ----

// In thousandths, by the grammar of RFC 9110, section 12.4.2: "0" [ "." 0*3DIGIT ], or "1" with
// zeros. 0 for all else.
int plain_weight(const std::string& parameter) {
  const std::size_t equals = parameter.find('=');
  if (equals == parameter.npos) return 0;
  if (lower(trim(std::string_view(parameter).substr(0, equals))) != "q") return 0;
  std::string number = trim(std::string_view(parameter).substr(equals + 1));
  if (number.size() == 1) number += '.';
  while (number.size() < 5) number += '0';
  if (number.size() > 5 || number[1] != '.' || (number[0] != '0' && number[0] != '1')) return 0;
  number.erase(1, 1);
  if (number.find_first_not_of("0123456789") != number.npos) return 0;
  const int weight = std::stoi(number);
  return weight > 1000 ? 0 : weight;
}

void try_codings(std::string_view text, std::string_view more) {
  std::optional<int> weights[3];  // as ContentCoding is numbered
  std::optional<int> others;
  for (const std::string_view line : {text, more}) {
    for (const std::string& element : split(line, ',')) {
      const std::size_t semicolon = element.find(';');
      const std::string name = lower(trim(std::string_view(element).substr(0, semicolon)));
      const int weight =
          semicolon == element.npos ? 1000 : plain_weight(element.substr(semicolon + 1));
      if (name == "identity") weights[0] = weight;
      if (name == "br") weights[1] = weight;
      if (name == "gzip" || name == "x-gzip") weights[2] = weight;
      if (name == "*") others = weight;
    }
  }
  const int brotli = weights[1].value_or(others.value_or(0));
  const int gzip = weights[2].value_or(others.value_or(0));
  const int identity = weights[0].value_or(0);
  std::vector<ContentCoding> plain;
  if (brotli > 0 && brotli >= identity) plain.push_back(ContentCoding::brotli);
  if (gzip > 0 && gzip >= identity) {
    plain.insert(gzip > brotli ? plain.begin() : plain.end(), ContentCoding::gzip);
  }
  const http::Field fields[] = {
      {"Accept-Encoding", text}, {"Accept", "gzip"}, {"ACCEPT-encoding", more}};
  const http::AcceptedCodings accepted = http::accepted_codings(fields);
  const std::vector<ContentCoding> best(accepted.best.begin(),
                                        accepted.best.begin() +
                                            static_cast<std::ptrdiff_t>(accepted.count));
  WEIR_ASSERT(best == plain);
}

void try_bytes(std::string_view bytes) {
  const ExactBytes exact(bytes.substr(0, 1000));  // each byte is a beginning
  const std::string_view text = exact.view();
  try_classes(text);
  try_list(text);
  try_length(text);
  try_cookies(text);
  const std::size_t line = text.find('\n');
  try_codings(text.substr(0, line), line == text.npos ? "" : text.substr(line + 1));
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
