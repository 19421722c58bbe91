#include "reactor/blocking_pool.h"

#include <condition_variable>
#include <deque>
#include <mutex>

#include "reactor/posix_threads.h"
#include "weir/reactor/limits.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1 {
namespace {

struct Pool {
  std::mutex mutex;
  std::condition_variable work;
  std::deque<std::unique_ptr<BlockingJob>> jobs;
  std::size_t threads = 0;
  std::size_t idle = 0;
};

Pool* current = nullptr;

void make_pool() { current = new Pool(); }

// Never destroyed: a job may outlive main(). A forked child has none of the threads, and perhaps a
// locked mutex: it begins with a pool of its own.
Pool& pool() noexcept {
  static std::once_flag first;
  std::call_once(first, [] {
    make_pool();
    posix::in_forked_child(make_pool);
  });
  return *current;
}

void serve(void* its_pool) noexcept {
  Pool& mine = *static_cast<Pool*>(its_pool);
  std::unique_lock lock(mine.mutex);
  for (;;) {
    ++mine.idle;
    const bool found =
        mine.work.wait_for(lock, limits::kBlockingThreadIdle, [&] { return !mine.jobs.empty(); });
    --mine.idle;
    if (!found) break;
    std::unique_ptr<BlockingJob> job = std::move(mine.jobs.front());
    mine.jobs.pop_front();
    lock.unlock();
    job->run();
    job.reset();
    lock.lock();
  }
  --mine.threads;
}

}  // namespace

bool run_blocking(std::unique_ptr<BlockingJob>& job) noexcept {
  Pool& mine = pool();
  const std::lock_guard lock(mine.mutex);
  if (mine.jobs.size() >= limits::kBlockingJobsMax) return false;
  const bool all_busy = mine.idle <= mine.jobs.size();
  if (all_busy && mine.threads < limits::kBlockingThreadsMax) {
    if (posix::start_detached_thread(serve, &mine)) ++mine.threads;
  }
  if (mine.threads == 0) return false;
  mine.jobs.push_back(std::move(job));
  mine.work.notify_one();
  return true;
}

}  // namespace weir::inline v1
