#include "bench/compare_workloads.h"

#include <fstream>
#include <utility>

#include "bench/file_load.h"
#include "bench/http_load.h"
#include "bench/load.h"

namespace weir::bench {
namespace {

constexpr double kMebibyte = 1 << 20;

struct Pace {
  double warmup = 0;
  double window = 0;
};

CompareSample sample_of(const LoadResult& result) {
  return {.per_second = result.messages_per_second(),
          .cpu_us = result.server_cpu_us_per_message(),
          .p50_us = static_cast<double>(result.latency.percentile(50)) / 1e3,
          .p99_us = static_cast<double>(result.latency.percentile(99)) / 1e3,
          .cpu_percent = result.server_cpu_percent()};
}

CompareSample sample_of(const HttpLoadResult& result) {
  return {.per_second = result.requests_per_second(),
          .cpu_us = result.cpu_us_per_request(),
          .p50_us = result.p50_us(),
          .p99_us = result.p99_us(),
          .cpu_percent = result.cpu_percent()};
}

// Its latencies are not taken.
CompareSample sample_of(const FileLoadResult& result) {
  return {.per_second = result.requests_per_second(),
          .cpu_us = result.cpu_us_per_request(),
          .p50_us = 0,
          .p99_us = 0,
          .cpu_percent = result.cpu_percent()};
}

template <class Result>
std::expected<CompareSample, std::string> to_sample(
    const std::expected<Result, std::string>& result) {
  if (!result) return std::unexpected(result.error());
  return sample_of(*result);
}

CompareWorkload echo(std::string name, LoadOptions load, Pace pace) {
  // A round of all connections takes its time.
  const double longer = load.connections > 1000 ? 4 : 1;
  load.warmup_seconds = longer * pace.warmup;
  load.duration_seconds = longer * pace.window;
  CompareWorkload one;
  one.name = std::move(name);
  one.unit = load.size == kMebibyte ? "MiB" : "message";
  one.run = [load](const CompareTarget& target) {
    LoadOptions options = load;
    options.port = target.port;
    options.unix_path = target.unix_path;
    options.server_pid = target.pid;
    return to_sample(run_load(options));
  };
  return one;
}

CompareWorkload http(std::string name, HttpLoadOptions load, Pace pace) {
  load.warmup_seconds = pace.warmup;
  load.duration_seconds = pace.window;
  CompareWorkload one;
  one.name = std::move(name);
  one.speaks = Speaks::http;
  one.unit = "request";
  one.has_floor = load.script == HttpScript::hello;
  one.dynamic = load.script != HttpScript::hello && load.script != HttpScript::brief;
  one.run = [load](const CompareTarget& target) {
    HttpLoadOptions options = load;
    options.port = target.port;
    options.server_pid = target.pid;
    return to_sample(run_http_load(options));
  };
  return one;
}

std::string file_bytes(std::size_t kilobytes) {
  std::string bytes(kilobytes * 1024, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

constexpr std::size_t kFileKilobytes[] = {1, 16, 64, 256, 1024};

CompareWorkload file(std::size_t kilobytes, Pace pace) {
  CompareWorkload one;
  const std::string name = std::to_string(kilobytes);
  one.name = "file of " + name + " KiB x 32";
  one.speaks = Speaks::http;
  one.unit = "request";
  one.has_floor = false;
  one.files = true;
  one.run = [name, bytes = file_bytes(kilobytes), pace](const CompareTarget& target) {
    FileLoadOptions options;
    options.port = target.port;
    options.target = "/static/" + name + "k.bin";
    options.file = bytes;
    options.connections = 32;
    options.warmup_seconds = pace.warmup;
    options.duration_seconds = pace.window;
    options.server_pid = target.pid;
    return to_sample(run_file_load(options));
  };
  return one;
}

std::vector<CompareWorkload> echo_workloads(Pace pace) {
  constexpr std::uint64_t kMiB = 1 << 20;
  std::vector<CompareWorkload> all;
  const auto add = [&](std::string name, int connections, std::uint64_t size,
                       int LoadOptions::*more = nullptr, int value = 0) {
    LoadOptions load;
    load.connections = connections;
    load.size = size;
    if (more != nullptr) load.*more = value;
    all.push_back(echo(std::move(name), std::move(load), pace));
  };
  add("64 B x 1", 1, 64);
  add("64 B x 1, spinning", 1, 64);
  all.back().spinning = true;
  add("64 B x 10", 10, 64);
  add("64 B x 100", 100, 64);
  add("64 B x 1000", 1000, 64);
  add("64 B x 10 000", 10'000, 64);
  add("64 B x 100, pipeline 16", 100, 64, &LoadOptions::pipeline, 16);
  add("16 KiB x 100", 100, 16 << 10);
  add("1 MiB x 1", 1, kMiB);
  add("1 MiB x 10", 10, kMiB);
  add("64 B x 100, a connection for each", 100, 64, &LoadOptions::messages_per_connection, 1);
  add("64 B x 100, Unix socket", 100, 64);
  all.back().over_unix = true;
  all.back().has_floor = false;
  return all;
}

std::vector<CompareWorkload> http_workloads(Pace pace) {
  std::vector<CompareWorkload> all;
  const auto add = [&](std::string name, HttpScript script, int connections, int pipeline = 1) {
    HttpLoadOptions load;
    load.script = script;
    load.connections = connections;
    load.pipeline = pipeline;
    all.push_back(http(std::move(name), load, pace));
  };
  add("hello x 100", HttpScript::hello, 100);
  add("hello x 1000", HttpScript::hello, 1000);
  add("hello x 100, pipeline 16", HttpScript::hello, 100, 16);
  add("GET, sized POST, chunked POST x 100", HttpScript::mixed, 100);
  add("10 requests a connection x 100", HttpScript::brief, 100);
  add("4 chunks of 1 KiB x 100", HttpScript::chunked, 100);
  add("uploads of 20 MB x 4", HttpScript::upload, 4);
  for (const std::size_t kilobytes : kFileKilobytes) all.push_back(file(kilobytes, pace));
  return all;
}

}  // namespace

bool CompareWorkload::takes(const Contender& one) const {
  if (one.command(speaks).empty() || (spinning && one.spin.empty())) return false;
  if (one.kind == Contender::Kind::floor) return has_floor;
  if (dynamic && one.name == "nginx") return false;
  return !files || one.has_files;
}

bool write_compare_files(const std::string& root) {
  for (const std::size_t kilobytes : kFileKilobytes) {
    std::ofstream out(root + "/" + std::to_string(kilobytes) + "k.bin", std::ios::binary);
    if (!(out << file_bytes(kilobytes) << std::flush)) return false;
  }
  return true;
}

std::vector<CompareWorkload> compare_workloads(bool quick) {
  const Pace pace =
      quick ? Pace{.warmup = 0.05, .window = 0.05} : Pace{.warmup = 0.2, .window = 0.4};
  std::vector<CompareWorkload> all = echo_workloads(pace);
  for (CompareWorkload& one : http_workloads(pace)) all.push_back(std::move(one));
  return all;
}

}  // namespace weir::bench
