#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

// What the kernel says of a process. 0 where it says nothing, as of one that is gone.
namespace weir::bench {

// What its descriptors lead to, sorted, as "socket:[123]". Of each file below `directory`, one does
// not count: a server may keep it open; nor does one pipe of which the process has both ends, as it
// may have to send them. Empty: all count.
std::vector<std::string> open_descriptors(pid_t pid, const std::string& directory = {});

// Of its threads, those that run, want to, or wait for a disk; one that is about to end runs.
std::size_t threads_at_work(pid_t pid);

// Exact: what /proc/PID/statm says may be off by some pages for each core.
std::size_t resident_bytes(pid_t pid);

// Of those, what is its own and no file's: heap and stacks.
std::size_t anonymous_bytes(pid_t pid);

// The most that it was.
std::size_t resident_bytes_max(pid_t pid);

}  // namespace weir::bench
