#include "weir/http/query.h"

#include <algorithm>

#include "weir/net/encoding.h"

namespace weir::inline v1::http {
namespace {

// 0..15, or -1.
constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_kept(char c) noexcept {
  constexpr std::string_view kMarks = "-_.!~*'()";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kMarks.contains(c);
}

}  // namespace

std::optional<QueryPair> QueryPairs::next() noexcept {
  while (!rest_.empty() && pairs_left_ != 0) {
    const std::size_t end = rest_.find('&');
    const std::string_view pair = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (pair.empty()) continue;
    --pairs_left_;
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return QueryPair{.name = pair, .value = ""};
    return QueryPair{.name = pair.substr(0, equals), .value = pair.substr(equals + 1)};
  }
  return std::nullopt;
}

bool is_plain_query(std::string_view text) noexcept {
  for (const char c : text) {
    if (c == '+' || c == '%' || static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

std::string decode_percent(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const int high = text.size() > 2 && text[0] == '%' ? hex_value(text[1]) : -1;
    const int low = high < 0 ? -1 : hex_value(text[2]);
    if (low >= 0) {
      bytes += static_cast<char>(high << 4 | low);
      text.remove_prefix(3);
    } else {
      bytes += text[0];
      text.remove_prefix(1);
    }
  }
  return bytes;
}

std::string decode_query(std::string_view text) {
  if (is_plain_query(text)) return std::string(text);
  std::string bytes(text);
  std::ranges::replace(bytes, '+', ' ');
  bytes = decode_percent(bytes);
  net::TextDecoder decoder(net::Encoding::utf8);
  if (decoder.passes_through(bytes)) return bytes;
  std::string decoded;
  decoder.decode(bytes, decoded);
  decoder.finish(decoded);
  return decoded;
}

std::vector<QueryValue> parse_query(std::string_view query, std::size_t pairs_max) {
  std::vector<QueryValue> values;
  QueryPairs pairs(query, pairs_max);
  while (const auto pair = pairs.next()) {
    values.push_back({.name = decode_query(pair->name), .value = decode_query(pair->value)});
  }
  return values;
}

std::optional<std::string> find_in_query(std::string_view query, std::string_view name) {
  QueryPairs pairs(query);
  while (const auto pair = pairs.next()) {
    const bool found =
        is_plain_query(pair->name) ? pair->name == name : decode_query(pair->name) == name;
    if (found) return decode_query(pair->value);
  }
  return std::nullopt;
}

std::string escape_query(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    if (is_kept(c)) {
      escaped += c;
      continue;
    }
    const unsigned value = static_cast<unsigned char>(c);
    escaped += '%';
    escaped += kDigits[value >> 4];
    escaped += kDigits[value & 15];
  }
  return escaped;
}

std::string stringify_query(const std::vector<QueryValue>& values) {
  std::string text;
  for (const QueryValue& value : values) {
    if (!text.empty()) text += '&';
    text += escape_query(value.name);
    text += '=';
    text += escape_query(value.value);
  }
  return text;
}

}  // namespace weir::inline v1::http
