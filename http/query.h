// Query strings as Node's querystring has them (contract 4.8). Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/limits.h"

namespace weir::inline v1::http {

struct QueryPair {
  std::string_view name;
  std::string_view value;
};

// The pairs of a query, in order, as they stand there; nothing is copied or decoded.
//
//     QueryPairs pairs(query);
//     while (const auto pair = pairs.next()) ...
//
// '&' separates, the first '=' splits, no '=' means an empty value, empty pairs are passed over.
class QueryPairs {
 public:
  // At most `pairs_max` are given; 0 means no limit.
  explicit QueryPairs(std::string_view query,
                      std::size_t pairs_max = limits::kQueryPairsMaxDefault) noexcept
      : rest_(query), pairs_left_(pairs_max == 0 ? std::string_view::npos : pairs_max) {}

  std::optional<QueryPair> next() noexcept;

 private:
  std::string_view rest_;
  std::size_t pairs_left_;
};

// The bytes that a text stands for: %XX is a byte, an invalid escape stays as it is.
std::string decode_percent(std::string_view text);
// What a name or value stands for: '+' is a blank, %XX a byte, an invalid escape stays as it is,
// invalid UTF-8 becomes U+FFFD.
std::string decode_query(std::string_view text);
// True when decode_query() would give the same text, so that the view will do.
bool is_plain_query(std::string_view text) noexcept;

// A query, decoded.
struct QueryValue {
  std::string name;
  std::string value;
};
std::vector<QueryValue> parse_query(std::string_view query,
                                    std::size_t pairs_max = limits::kQueryPairsMaxDefault);
// The first value of that (decoded) name; absent when the query has no such name.
std::optional<std::string> find_in_query(std::string_view query, std::string_view name);

// Percent-encodes all but letters, digits and -_.!~*'(). A blank becomes %20.
std::string escape_query(std::string_view text);
// name=value&name=value, escaped; what parse_query() reads back.
std::string stringify_query(const std::vector<QueryValue>& values);

}  // namespace weir::inline v1::http
