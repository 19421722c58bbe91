// What a process of another program uses, and waiting for it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/types.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "tests/sanitized.h"

namespace weir::test {

inline constexpr std::size_t kMiB = std::size_t{1} << 20;

inline std::size_t open_fds(pid_t pid) {
  const std::filesystem::directory_iterator fds("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

// Pipes left out: a reactor that sends files has one when it last needed one.
inline std::size_t open_fds_but_pipes(pid_t pid) {
  const std::filesystem::directory_iterator fds("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::count_if(begin(fds), end(fds), [](const auto& fd) {
    std::error_code gone;
    return !std::filesystem::read_symlink(fd.path(), gone).native().starts_with("pipe:");
  }));
}

// A line of proc(5)'s status, "VmRSS" or "VmHWM" or "VmSize", in bytes.
inline std::size_t memory_of(pid_t pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stoull(line.substr(name.size() + 1)) * 1024;
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

inline std::size_t resident_bytes(pid_t pid) { return memory_of(pid, "VmRSS"); }

inline bool has_exited(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  return line.find(") Z ") != std::string::npos;
}

inline double cpu_seconds(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return -1;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// The share of one CPU that a process takes over this time, of 1.
inline double cpu_share(pid_t pid, std::chrono::milliseconds over) {
  const double before = cpu_seconds(pid);
  const Stopwatch watch;
  poll(nullptr, 0, static_cast<int>(over.count()));
  return (cpu_seconds(pid) - before) / watch.seconds();
}

// Waits for an event of another process, which nothing announces; gives up after 20 s.
template <class Condition>
bool eventually(Condition&& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    poll(nullptr, 0, 10);
  }
  return false;
}

// A sending server is at work; one whose sockets are all full waits. Looks until it has used next
// to nothing of the CPU between two looks.
inline bool until_it_waits(pid_t pid) {
  double used = 0;
  return eventually([&] {
    poll(nullptr, 0, 100);
    const double now = cpu_seconds(pid);
    return now - std::exchange(used, now) < 0.001;
  });
}

}  // namespace weir::test
