#pragma once

#include <string>
#include <vector>

// What the benchmark must know about the machine to say what its numbers are worth.
namespace weir::bench {

// Cores that this process may use.
int usable_cpus();

// The `index`-th of them, or -1.
int usable_cpu(int index);

// Where what is measured runs, and what drives it: two cores, or anywhere (negative) when there is
// one only.
struct Cores {
  int server = -1;
  int load = -1;
};
Cores two_cores();

// Keeps the calling thread, and those it starts, on one core.
void pin_to_cpu(int cpu);

// Nanoseconds for a cache line to go from one core to the other and back. On a virtual machine
// this is the quickest way to see that the host has moved a core: half of an echo's cost is
// memory that the other core has just written.
double core_round_trip_ns(int first_cpu, int second_cpu);

// Empty if the kernel lets this process have an io_uring with the flags that weir needs
// (Linux 6.1), else the kernel's reason.
std::string io_uring_refusal();

// For example `Linux 6.12.3 x86_64`.
std::string kernel_name();

// What stands above a table: the kernel, what runs on which core, by these two names, and a warning
// when this was compiled without optimisation.
std::vector<std::string> machine_lines(const Cores& cores, const std::string& server,
                                       const std::string& load);

}  // namespace weir::bench
