#include "bench/soak_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/samples.h"
#include "bench/file_servers.h"
#include "bench/load_clock.h"
#include "bench/process_facts.h"

namespace weir::bench {
namespace {

constexpr int kCalibrations = 3;
// In the warm-up more comes together than ever later, so that what a server keeps for the next time
// is at its most before its memory is looked at.
constexpr double kWarmupHaste = 12;
constexpr std::size_t kLinesSaidMax = 5;
constexpr int kLookEveryMs = 2;

// All that comes in answer to a request that ends its connection; nothing if that takes too long.
std::string ask(std::uint16_t port, std::string_view request, double patience_seconds) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = static_cast<time_t>(patience_seconds) + 1, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
    std::array<char, 4096> buffer;
    for (ssize_t got; (got = recv(fd, buffer.data(), buffer.size(), 0)) > 0;) {
      answer.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  close(fd);
  return answer;
}

// The number behind `name`, with or without labels.
std::string metric(const std::string& text, std::string_view name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string_view found = std::string_view(line).substr(0, line.find_first_of(" {"));
    if (found == name) return line.substr(line.rfind(' ') + 1);
  }
  return "no number";
}

// What must be there while nothing goes on but the question itself.
constexpr std::pair<std::string_view, std::string_view> kAtRest[] = {
    {"weir_http_requests_in_flight", "1"}, {"weir_http_connections", "1"},
    {"weir_http_queue_bytes", "0"},        {"weir_reactor_sockets", "1"},
    {"weir_reactor_queue_bytes", "0"},     {"weir_reactor_posted_tasks", "0"},
};

}  // namespace

SoakServer::SoakServer(const SoakRunOptions& options, const SoakServerSpec& spec)
    : options_(options), spec_(spec) {
  record_.name = spec.name;
  record_.judged = spec.judged;
}

bool SoakServer::start() {
  auto started = start_file_server({spec_.name, spec_.command}, options_.cores.server);
  if (!started) {
    record_.trouble = started.error();
    return false;
  }
  process_.emplace(std::move(*started));
  if (!process_->backend().starts_with("backend " + spec_.backend)) {
    record_.trouble = "it printed `" + process_->backend() + "`";
    return false;
  }
  descriptors_begin_ = open_descriptors(process_->pid(), spec_.directory);
  record_.descriptors_begin = descriptors_begin_.size();
  record_.rate = options_.rate;
  return true;
}

bool SoakServer::calibrate(std::uint64_t seed) {
  if (options_.rate > 0) return true;
  std::vector<double> answers;
  for (int i = 0; i < kCalibrations; ++i) {
    const SoakSlice slice = run_slice(seed + static_cast<std::uint64_t>(i), 0,
                                      options_.calibration_seconds, 1);
    if (!come_to_rest(slice)) return false;
    answers.push_back(slice.per_second());
  }
  record_.capacity = median(std::move(answers));
  record_.rate = options_.load * record_.capacity;
  return true;
}

bool SoakServer::load(std::uint64_t seed, bool counts) {
  const SoakSlice slice =
      run_slice(seed, record_.rate, options_.slice_seconds, counts ? 1 : kWarmupHaste);
  if (!come_to_rest(slice)) return false;
  if (!counts) return true;
  const auto us = [&](double percent) {
    return static_cast<double>(slice.latency.percentile(percent)) / 1e3;
  };
  const auto answers = static_cast<double>(std::max<std::uint64_t>(slice.latency.count(), 1));
  record_.points.push_back(
      {.per_second = slice.per_second(),
       .p50_us = us(50),
       .p99_us = us(99),
       .p999_us = us(99.9),
       .core = slice.core(),
       .cpu_us = slice.server_cpu_seconds * 1e6 / answers,
       .shed = static_cast<double>(slice.shed) /
               static_cast<double>(std::max<std::uint64_t>(slice.arrivals, 1)),
       .resident = resident_bytes(process_->pid())});
  return true;
}

SoakSlice SoakServer::run_slice(std::uint64_t seed, double rate, double seconds, double haste) {
  begin_slice();
  const SoakSlice slice = run_soak_slice({.kind = spec_.kind,
                                          .port = process_->port(),
                                          .server_pid = process_->pid(),
                                          .seed = seed,
                                          .rate = rate,
                                          .haste = haste,
                                          .seconds = seconds,
                                          .drain_seconds = options_.drain_seconds,
                                          .spins = options_.cores.load >= 0});
  record_.tally.add(slice.tally);
  record_.shed += slice.shed;
  return slice;
}

void SoakServer::begin_slice() {
  const auto clock = process_cpu_clock(process_->pid());
  if (idle_since_ == 0 || !clock) return;
  record_.idle_seconds += static_cast<double>(monotonic_now() - idle_since_) / 1e9;
  record_.idle_cpu_seconds += static_cast<double>(nanoseconds(*clock) - idle_cpu_) / 1e9;
}

// Looks at what it holds when all connections are gone. The last of them may have to be closed yet,
// and nothing tells when another process is done: hence the looking again.
bool SoakServer::come_to_rest(const SoakSlice& slice) {
  note_errors();
  if (slice.tally.wrong > 0 || slice.tally.unfinished() > 0) return false;
  const auto patience = static_cast<std::int64_t>(options_.drain_seconds * 1e9);
  const std::int64_t deadline = monotonic_now() + patience;
  record_.held = holdings();
  while (!record_.held.empty() && monotonic_now() < deadline) {
    poll(nullptr, 0, kLookEveryMs);
    record_.held = holdings();
  }
  // Asking has taken a connection, and perhaps all of that time.
  const bool rests = look_at_descriptors(monotonic_now() + patience);
  // The last descriptor goes before the last work does, of a thread that ends for example.
  const std::int64_t last_look = monotonic_now() + patience;
  while (threads_at_work(process_->pid()) > 0 && monotonic_now() < last_look) {
    poll(nullptr, 0, kLookEveryMs);
  }
  record_.resident_max = resident_bytes_max(process_->pid());
  idle_since_ = monotonic_now();
  if (const auto clock = process_cpu_clock(process_->pid())) idle_cpu_ = nanoseconds(*clock);
  return record_.held.empty() && rests;
}

bool SoakServer::look_at_descriptors(std::int64_t deadline) {
  std::vector<std::string> now = open_descriptors(process_->pid(), spec_.directory);
  while (now.size() != descriptors_begin_.size() && monotonic_now() < deadline) {
    poll(nullptr, 0, kLookEveryMs);
    now = open_descriptors(process_->pid(), spec_.directory);
  }
  record_.descriptors.push_back(now.size());
  if (now.size() == descriptors_begin_.size()) return true;
  std::vector<std::string> more;
  std::ranges::set_difference(now, descriptors_begin_, std::back_inserter(more));
  for (const std::string& one : more) record_.descriptors_more += "; " + one;
  return false;
}

// By its own account; empty: nothing.
std::string SoakServer::holdings() {
  if (!spec_.has_metrics) return {};
  constexpr std::string_view kRequest =
      "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const std::string text = ask(process_->port(), kRequest, options_.drain_seconds);
  for (const auto& [name, value] : kAtRest) {
    const std::string found = metric(text, name);
    if (found != value) return std::string(name) + " " + found;
  }
  return {};
}

void SoakServer::note_errors() {
  std::istringstream lines(process_->take_errors());
  for (std::string line; std::getline(lines, line); ++record_.lines_said) {
    if (record_.said.size() < kLinesSaidMax) record_.said.push_back(line);
  }
}

void SoakServer::stop() {
  if (!process_) return;
  const auto stopped = process_->stop();
  if (!stopped) record_.left = stopped.error();
  note_errors();
  // Of echo_server's --stats.
  constexpr std::string_view kQueue = " queue_bytes=";
  const std::string output = process_->take_output();
  const std::size_t at = output.find(kQueue);
  if (at != std::string::npos && output[at + kQueue.size()] != '0') {
    record_.left = "it left with" + output.substr(at, output.find('\n', at) - at);
  }
}

}  // namespace weir::bench
