// Threads and the processors that they run on. Beside posix.h, private to the library.
#pragma once

#include <memory>
#include <vector>

namespace weir::inline v1::posix {

// With every signal blocked: handlers run on the program's own threads. False: refused.
bool start_detached_thread(void (*run)(void*) noexcept, void* argument) noexcept;

// Likewise, and waited for: destroyed after join(), or when it has not started.
class Thread {
 public:
  Thread() noexcept;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread();

  bool start(void (*run)(void*) noexcept, void* argument) noexcept;
  void join() noexcept;  // harmless when it has not started, or is joined already

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

// On which the calling thread may run (sched_getaffinity(2)), in ascending order. Empty: the kernel
// does not say, as with more than 1024 of them.
std::vector<int> usable_cpus();

// Keeps the calling thread on one processor until this goes, and then where it was before. Where
// that is refused it changes nothing.
class Pin {
 public:
  explicit Pin(int cpu) noexcept;
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin();

 private:
  std::vector<int> before_;  // empty: nothing to put back
};

}  // namespace weir::inline v1::posix
