// Backends on io_uring, and schedules of single faults.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <string_view>

#include "tests/backends.h"
#include "tests/uring_faults.h"

namespace weir::test {

// The same operation, each time that it is submitted; one of these times it fails.
class OneFails : public UringSchedule {
 public:
  // nth from 1 on; 0: none fails, they are counted.
  OneFails(unsigned opcode, std::uint64_t nth, int error) noexcept
      : opcode_(opcode), nth_(nth), error_(error) {}

  void on_entry(UringEntry& entry) override {
    if (entry.request().opcode == opcode_ && ++uses_ == nth_) entry.fail(error_);
  }
  std::uint64_t uses() const noexcept { return uses_; }

 private:
  unsigned opcode_;
  std::uint64_t nth_;
  int error_;
  std::uint64_t uses_ = 0;
};

// The one of kernel_backends() with this name.
inline BackendCase uring_backend(std::string_view name) {
  for (const BackendCase& one : kernel_backends()) {
    if (one.name == name) return one;
  }
  ADD_FAILURE() << "no backend is called " << name;
  return {};
}

inline void skip_without_faults() {
  if (!uring_works()) GTEST_SKIP() << "io_uring is not available here";
  if (!uring_faults_work()) GTEST_SKIP() << "this kernel has no NOPs that fail (Linux 6.10)";
}

inline std::ptrdiff_t open_descriptors() {
  const std::filesystem::directory_iterator fds("/proc/self/fd");
  return std::distance(begin(fds), end(fds));
}

}  // namespace weir::test
