#pragma once

#include <cstddef>

namespace weir::bench {

// What the kernel says of the machine's memory, bytes.
struct KernelMemory {
  std::size_t available = 0;  // to new programs (MemAvailable)
  std::size_t slab = 0;       // the kernel's own objects: sockets, files, polls
  std::size_t tcp = 0;        // what is in sockets' queues, both directions
};
KernelMemory kernel_memory();

// Descriptors that the whole system may have open and has not.
std::size_t free_files();

}  // namespace weir::bench
