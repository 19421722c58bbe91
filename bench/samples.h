#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

// What the samples of some rounds say together.
namespace weir::bench {

// 0 of none.
inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Here and below `value` is a member of a sample: a number, or a function without arguments.
template <class Sample, class Value>
std::vector<double> values_of(const std::vector<Sample>& samples, Value value) {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(std::invoke(value, sample));
  return values;
}

template <class Sample, class Value>
double median_of(const std::vector<Sample>& samples, Value value) {
  return median(values_of(samples, value));
}

// The median, and between what the middle half of the values lies.
struct Middle {
  double median = 0;
  double low = 0;
  double high = 0;
};

inline Middle middle_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t outside = values.size() / 4;
  return {median(values), values[outside], values[values.size() - 1 - outside]};
}

// Of each round. It compares neighbours in time, so that it survives what the machine does between
// rounds.
template <class Sample, class Value>
std::vector<double> ratios_of(const std::vector<Sample>& samples, const std::vector<Sample>& to,
                              Value value) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(samples.size(), to.size()); ++i) {
    ratios.push_back(std::invoke(value, samples[i]) / std::invoke(value, to[i]));
  }
  return ratios;
}

}  // namespace weir::bench
