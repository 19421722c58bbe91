// Metrics as Prometheus reads them: the text format 0.0.4.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace weir::inline v1::http {

inline constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

enum class MetricType : std::uint8_t { counter, gauge, histogram };

struct MetricLabel {
  std::string_view name;
  std::string_view value;  // any text
};

// Values up to and with `most`, those of smaller buckets among them.
struct MetricBucket {
  double most;
  std::uint64_t count;
};

// Writes a text, family by family. Pure. Names are the program's own, so what the format forbids is
// asserted: a name other than [a-zA-Z_:][a-zA-Z0-9_:]* or, of a label, [a-zA-Z_][a-zA-Z0-9_]*; a
// counter whose name does not end in _total.
class MetricsText {
 public:
  using Labels = std::initializer_list<MetricLabel>;

  // What follows belongs to it. `help` is one sentence.
  void family(std::string_view name, MetricType type, std::string_view help);
  void sample(Labels labels, std::uint64_t value);
  void sample(Labels labels, double value);
  void sample(std::uint64_t value) { sample({}, value); }
  // Of a histogram: `buckets` by rising bounds, without the last one, whose bound is +Inf and whose
  // count is `count`.
  void histogram(Labels labels, std::span<const MetricBucket> buckets, double sum,
                 std::uint64_t count);

  const std::string& text() const noexcept { return text_; }
  std::string take() noexcept { return std::move(text_); }

 private:
  void begin(std::string_view suffix, Labels labels, const MetricLabel* last = nullptr);
  void end(std::uint64_t value);
  void end(double value);

  std::string text_;
  std::string name_;
};

}  // namespace weir::inline v1::http
