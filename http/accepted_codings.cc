#include "weir/http/accepted_codings.h"

#include <algorithm>
#include <optional>

#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

// Of "q=0.5"; another parameter counts as 0.
int weight_of(std::string_view text) noexcept {
  const std::size_t equal = text.find('=');
  if (equal == std::string_view::npos || !equals_lower(trim_blanks(text.substr(0, equal)), "q")) {
    return 0;
  }
  return parse_weight(trim_blanks(text.substr(equal + 1)));
}

struct Weights {
  std::optional<int> identity;
  std::optional<int> brotli;
  std::optional<int> gzip;
  std::optional<int> others;

  void add(std::string_view element) {
    const std::size_t semicolon = element.find(';');
    const std::string_view coding = trim_blanks(element.substr(0, semicolon));
    const int weight = semicolon == std::string_view::npos
                           ? kWeightMax
                           : weight_of(trim_blanks(element.substr(semicolon + 1)));
    if (equals_lower(coding, "br")) {
      brotli = weight;
    } else if (equals_lower(coding, "gzip") || equals_lower(coding, "x-gzip")) {
      gzip = weight;
    } else if (equals_lower(coding, "identity")) {
      identity = weight;
    } else if (coding == "*") {
      others = weight;
    }
  }
};

}  // namespace

AcceptedCodings accepted_codings(std::span<const Field> fields) noexcept {
  Weights weights;
  for (const Field& field : fields) {
    if (!equals_lower(field.name, "accept-encoding")) continue;
    for (ListElements list(field.value); const auto element = list.next();) {
      weights.add(element.text);
    }
  }
  const int otherwise = weights.others.value_or(0);
  const int brotli = weights.brotli.value_or(otherwise);
  const int gzip = weights.gzip.value_or(otherwise);
  // What is not named is what is sent when nothing better is there.
  const int identity = weights.identity.value_or(0);
  AcceptedCodings accepted;
  const auto add = [&](ContentCoding coding, int weight) {
    if (weight > 0 && weight >= identity) accepted.best[accepted.count++] = coding;
  };
  if (gzip <= brotli) add(ContentCoding::brotli, brotli);
  add(ContentCoding::gzip, gzip);
  if (gzip > brotli) add(ContentCoding::brotli, brotli);
  return accepted;
}

}  // namespace weir::inline v1::http
