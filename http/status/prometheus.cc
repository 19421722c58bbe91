#include "weir/http/status/prometheus.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "weir/reactor/assert.h"

namespace weir::inline v1::http {
namespace {

bool is_name(std::string_view name, bool colons) noexcept {
  const auto begins = [colons](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
  };
  const auto goes_on = [&](char c) { return begins(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && begins(name.front()) && std::ranges::all_of(name, goes_on);
}

std::string_view text_of(MetricType type) noexcept {
  switch (type) {
    case MetricType::counter: return "counter";
    case MetricType::gauge: return "gauge";
    case MetricType::histogram: break;
  }
  return "histogram";
}

// Of a help text only backslashes and newlines are escaped.
void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || (quotes && c == '"')) out += '\\';
    out += c;
  }
}

template <class Number>
void append_number(std::string& out, Number value) {
  std::array<char, 32> digits = {};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void append_value(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    append_number(out, value);
  }
}

}  // namespace

void MetricsText::family(std::string_view name, MetricType type, std::string_view help) {
  WEIR_ASSERT(is_name(name, true));
  WEIR_ASSERT(type != MetricType::counter || name.ends_with("_total"));
  name_ = name;
  text_.append("# HELP ").append(name).append(" ");
  append_escaped(text_, help, false);
  text_.append("\n# TYPE ").append(name).append(" ").append(text_of(type)).append("\n");
}

void MetricsText::begin(std::string_view suffix, Labels labels, const MetricLabel* last) {
  WEIR_ASSERT(!name_.empty());
  text_.append(name_).append(suffix);
  char before = '{';
  const auto append = [&](const MetricLabel& label) {
    WEIR_ASSERT(is_name(label.name, false));
    text_.append(1, before).append(label.name).append("=\"");
    append_escaped(text_, label.value, true);
    text_ += '"';
    before = ',';
  };
  std::ranges::for_each(labels, append);
  if (last != nullptr) append(*last);
  if (before == ',') text_ += '}';
  text_ += ' ';
}

void MetricsText::end(std::uint64_t value) {
  append_number(text_, value);
  text_ += '\n';
}

void MetricsText::end(double value) {
  append_value(text_, value);
  text_ += '\n';
}

void MetricsText::sample(Labels labels, std::uint64_t value) {
  begin("", labels);
  end(value);
}

void MetricsText::sample(Labels labels, double value) {
  begin("", labels);
  end(value);
}

void MetricsText::histogram(Labels labels, std::span<const MetricBucket> buckets, double sum,
                            std::uint64_t count) {
  const auto bucket = [&](std::string_view most, std::uint64_t so_many) {
    const MetricLabel bound{.name = "le", .value = most};
    begin("_bucket", labels, &bound);
    end(so_many);
  };
  std::string most;
  for (const MetricBucket& one : buckets) {
    most.clear();
    append_value(most, one.most);
    bucket(most, one.count);
  }
  bucket("+Inf", count);
  begin("_sum", labels);
  end(sum);
  begin("_count", labels);
  end(count);
}

}  // namespace weir::inline v1::http
