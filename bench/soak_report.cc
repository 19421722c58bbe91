#include "bench/soak_report.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "bench/demo_report.h"

namespace weir::bench {
namespace {

constexpr double kMebibyte = 1 << 20;

template <class Value>
std::vector<double> values_of(const SoakRecord& record, Value SoakPoint::* field) {
  std::vector<double> values;
  for (const SoakPoint& point : record.points) {
    values.push_back(static_cast<double>(point.*field));
  }
  return values;
}

void print_rows(const SoakRecord& record) {
  constexpr std::array kFields = {&SoakPoint::per_second, &SoakPoint::core, &SoakPoint::cpu_us,
                                  &SoakPoint::p50_us,     &SoakPoint::p99_us,
                                  &SoakPoint::p999_us,    &SoakPoint::shed};
  std::array<SoakDrift, kFields.size()> drifts;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    drifts[i] = drift_of(values_of(record, kFields[i]));
  }
  const SoakDrift memory = drift_of(values_of(record, &SoakPoint::resident));
  for (const auto& [when, half] : {std::pair{"first", &SoakDrift::first},
                                   std::pair{"last", &SoakDrift::last}}) {
    const auto value = [&](std::size_t i) { return drifts[i].*half; };
    std::printf("%-14s %-6s %9.0f %5.0f%% %7.2f %9.0f %9.0f %9.0f %6.2f%% %8.2f\n",
                half == &SoakDrift::first ? record.name.c_str() : "", when, value(0),
                100 * value(1), value(2), value(3), value(4), value(5), 100 * value(6),
                memory.*half / kMebibyte);
  }
}

const char* word_of(SoakOutcome outcome) {
  switch (outcome) {
    case SoakOutcome::pass: return "PASS";
    case SoakOutcome::fail: return "FAIL";
    case SoakOutcome::not_judged: break;
  }
  return "----";
}

void write_record(std::FILE* file, const SoakRecord& record) {
  const SoakTally& tally = record.tally;
  std::fprintf(file, "{\"server\":%s,\"capacity\":%.0f,\"rate\":%.0f,",
               json_string(record.name).c_str(), record.capacity, record.rate);
  const std::pair<const char*, std::uint64_t> counts[] = {
      {"connections", tally.connections}, {"resets", tally.resets},
      {"bytes", tally.bytes},             {"begun", tally.begun},
      {"completed", tally.completed},     {"abandoned", tally.abandoned},
      {"wrong", tally.wrong},             {"shed", record.shed},
      {"resident_max", record.resident_max}};
  for (const auto& [name, count] : counts) {
    std::fprintf(file, "\"%s\":%llu,", name, static_cast<unsigned long long>(count));
  }
  const std::vector<double> descriptors(record.descriptors.begin(), record.descriptors.end());
  write_json_numbers(file, "descriptors", descriptors);
  const std::pair<const char*, std::vector<double>> series[] = {
      {"per_second", values_of(record, &SoakPoint::per_second)},
      {"core", values_of(record, &SoakPoint::core)},
      {"cpu_us", values_of(record, &SoakPoint::cpu_us)},
      {"p50_us", values_of(record, &SoakPoint::p50_us)},
      {"p99_us", values_of(record, &SoakPoint::p99_us)},
      {"p99_9_us", values_of(record, &SoakPoint::p999_us)},
      {"resident", values_of(record, &SoakPoint::resident)}};
  for (const auto& [name, values] : series) {
    std::fputc(',', file);
    write_json_numbers(file, name, values);
  }
  std::fputc('}', file);
}

void write_verdict(std::FILE* file, const SoakVerdict& verdict) {
  std::fprintf(file, "{\"server\":%s,\"criterion\":%s,\"outcome\":%s,\"text\":%s}",
               json_string(verdict.server).c_str(), json_string(verdict.criterion).c_str(),
               json_string(verdict.outcome == SoakOutcome::not_judged ? "not judged"
                                                                      : word_of(verdict.outcome))
                   .c_str(),
               json_string(verdict.text).c_str());
}

template <class Items, class Write>
void write_list(std::FILE* file, const char* key, const Items& items, Write write) {
  std::fprintf(file, "\"%s\":[", key);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) std::fputc(',', file);
    write(items[i]);
  }
  std::fputc(']', file);
}

}  // namespace

void print_soak_table(const std::vector<SoakRecord>& records) {
  std::printf("%-14s %-6s %9s %6s %7s %9s %9s %9s %7s %8s\n", "", "", "answers/s", "core",
              "CPU us", "p50 us", "p99 us", "p99.9 us", "shed", "RSS MiB");
  for (const SoakRecord& record : records) {
    if (!record.points.empty()) print_rows(record);
  }
  std::printf("first, last: medians of the rounds' first and last quarter; CPU: the server's, for "
              "an answer;\nshed: arrivals that were not sent, for too much waited\n\n");
}

void print_soak_verdicts(const std::vector<SoakVerdict>& verdicts) {
  for (const SoakVerdict& verdict : verdicts) {
    std::printf("%s  %-13s %-12s %s\n", word_of(verdict.outcome), verdict.server.c_str(),
                verdict.criterion.c_str(), verdict.text.c_str());
  }
}

void print_soak_notes(const std::vector<SoakRecord>& records) {
  for (const SoakRecord& record : records) {
    if (record.lines_said == 0) continue;
    std::printf("note  %-13s %zu lines on stderr, such as: %s\n", record.name.c_str(),
                record.lines_said, record.said.front().c_str());
  }
}

bool write_soak_json(const std::string& path, const std::vector<std::string>& machine,
                     const std::vector<SoakRecord>& records,
                     const std::vector<SoakVerdict>& verdicts) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    std::fprintf(stderr, "soak: %s: %s\n", path.c_str(), std::strerror(errno));
    return false;
  }
  std::fputc('{', file);
  write_list(file, "machine", machine, [file](const std::string& line) {
    std::fputs(json_string(line).c_str(), file);
  });
  std::fputc(',', file);
  write_list(file, "servers", records,
             [file](const SoakRecord& record) { write_record(file, record); });
  std::fputc(',', file);
  write_list(file, "verdicts", verdicts,
             [file](const SoakVerdict& verdict) { write_verdict(file, verdict); });
  std::fputs("}\n", file);
  const bool written = std::ferror(file) == 0;
  if (std::fclose(file) == 0 && written) return true;
  std::fprintf(stderr, "soak: %s: %s\n", path.c_str(), std::strerror(errno));
  return false;
}

}  // namespace weir::bench
