// Threads for the few things that the system only offers as blocking calls.
#pragma once

#include <memory>

namespace weir::inline v1 {

// Runs on a thread of the pool and is destroyed there: what it shares with its asker must outlive
// both.
class BlockingJob {
 public:
  virtual ~BlockingJob() = default;
  virtual void run() noexcept = 0;
};

// Any thread. At most limits::kBlockingThreadsMax threads serve the whole process; they are
// detached, take no signals, and end when idle for a while: nothing ever waits for a job that
// hangs. False, and `job` untouched: kBlockingJobsMax jobs wait, or no thread can be started.
[[nodiscard]] bool run_blocking(std::unique_ptr<BlockingJob>& job) noexcept;

}  // namespace weir::inline v1
