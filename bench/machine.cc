#include "bench/machine.h"

#include <linux/io_uring.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

constexpr int kRoundTrips = 20'000;

cpu_set_t allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  return set;
}

}  // namespace

int usable_cpus() {
  const cpu_set_t set = allowed_cpus();
  return CPU_COUNT(&set);
}

int usable_cpu(int index) {
  const cpu_set_t set = allowed_cpus();
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set) && index-- == 0) return cpu;
  }
  return -1;
}

Cores two_cores() {
  if (usable_cpus() < 2) return {};
  return {usable_cpu(0), usable_cpu(1)};
}

void pin_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  sched_setaffinity(0, sizeof(set), &set);
}

double core_round_trip_ns(int first_cpu, int second_cpu) {
  // Odd: the other core's turn.
  alignas(64) std::atomic<int> turn{0};
  std::atomic<std::int64_t> elapsed{0};
  const std::jthread answering([&] {
    pin_to_cpu(first_cpu);
    for (int i = 0; i < kRoundTrips; ++i) {
      while (turn.load(std::memory_order_acquire) != 2 * i + 1) continue;
      turn.store(2 * i + 2, std::memory_order_release);
    }
  });
  std::jthread([&] {
    pin_to_cpu(second_cpu);
    const std::int64_t begin = monotonic_now();
    for (int i = 0; i < kRoundTrips; ++i) {
      turn.store(2 * i + 1, std::memory_order_release);
      while (turn.load(std::memory_order_acquire) != 2 * i + 2) continue;
    }
    elapsed = monotonic_now() - begin;
  }).join();
  return static_cast<double>(elapsed.load()) / kRoundTrips;
}

std::string io_uring_refusal() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  const long ring = syscall(SYS_io_uring_setup, 8, &params);
  if (ring < 0) return std::string("io_uring_setup: ") + std::strerror(errno);
  close(static_cast<int>(ring));
  return {};
}

std::string kernel_name() {
  utsname name{};
  uname(&name);
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

std::vector<std::string> machine_lines(const Cores& cores, const std::string& server,
                                       const std::string& load) {
  const std::string where = cores.server < 0
                                ? "nothing is pinned, " + server + " and " + load + " share it"
                                : server + " on " + std::to_string(cores.server) + ", " + load +
                                      " on " + std::to_string(cores.load);
  std::vector<std::string> lines = {"kernel    " + kernel_name(),
                                    "CPUs      " + std::to_string(usable_cpus()) + ": " + where};
#ifndef __OPTIMIZE__
  lines.push_back("warning   compiled without optimisation; use -c opt");
#endif
  return lines;
}

}  // namespace weir::bench
