#include "bench/kernel_memory.h"

#include <unistd.h>

#include <fstream>
#include <string>

namespace weir::bench {

KernelMemory kernel_memory() {
  KernelMemory memory;
  std::ifstream facts("/proc/meminfo");
  for (std::string word; facts >> word;) {
    if (word != "MemAvailable:" && word != "Slab:") continue;
    std::size_t kilobytes = 0;
    facts >> kilobytes;
    (word == "Slab:" ? memory.slab : memory.available) = kilobytes * 1024;
  }
  std::ifstream sockets("/proc/net/sockstat");
  bool tcp = false;
  for (std::string word; sockets >> word;) {
    if (word.ends_with(':')) tcp = word == "TCP:";
    if (!tcp || word != "mem") continue;
    std::size_t pages = 0;
    sockets >> pages;
    memory.tcp = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
  return memory;
}

std::size_t free_files() {
  std::ifstream facts("/proc/sys/fs/file-nr");
  std::size_t open = 0;
  std::size_t unused = 0;
  std::size_t most = 0;
  facts >> open >> unused >> most;
  return most > open ? most - open : 0;
}

}  // namespace weir::bench
