#include "weir/http/accepted_codings.h"

#include <algorithm>
#include <optional>

#include "weir/http/field_value.h"

namespace weir::inline v1::http {
namespace {

constexpr int kWeightMax = 1000;

// "q=0.5" in thousandths; what is wrong counts as 0.
int weight_of(std::string_view text) {
  const std::size_t equal = text.find('=');
  if (equal == std::string_view::npos || !equals_lower(trim_blanks(text.substr(0, equal)), "q")) {
    return 0;
  }
  text = trim_blanks(text.substr(equal + 1));
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  int weight = (text[0] - '0') * kWeightMax;
  if (text.size() > 1 && text[1] != '.') return 0;
  int scale = 100;
  for (std::size_t i = 2; i < text.size(); ++i, scale /= 10) {
    if (text[i] < '0' || text[i] > '9') return 0;
    weight += (text[i] - '0') * scale;
  }
  return weight <= kWeightMax ? weight : 0;
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
