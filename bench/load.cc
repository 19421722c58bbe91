#include "bench/load.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/load_clock.h"
#include "bench/load_connect.h"
#include "bench/load_worker.h"

namespace weir::bench {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(250);

// Closes sockets that no worker took over.
struct SocketList {
  std::vector<int> sockets;
  SocketList() = default;
  SocketList(const SocketList&) = delete;
  SocketList& operator=(const SocketList&) = delete;
  ~SocketList() {
    for (const int fd : sockets) close(fd);
  }
};

std::expected<void, std::string> connect_all(const LoadTarget& target, int count,
                                             std::vector<int>& sockets) {
  for (int i = 0; i < count; ++i) {
    const int fd = connect_one(target);
    if (fd < 0) {
      return std::unexpected("cannot connect to " + target.name + " (connection " +
                             std::to_string(i) + "): " + std::strerror(errno));
    }
    sockets.push_back(fd);
  }
  return {};
}

// Tells the progress from a thread of its own, so that the workers never wait for a terminal.
class ProgressTeller {
 public:
  ProgressTeller(const LoadShared& shared, const LoadProgress& progress) {
    if (!progress) return;
    thread_ = std::jthread([this, &shared, &progress](const std::stop_token& stop) {
      const std::int64_t begin = monotonic_now();
      std::unique_lock lock(mutex_);
      while (!wake_.wait_for(lock, stop, kProgressInterval, [] { return false; })) {
        if (stop.stop_requested()) return;
        progress(shared.total_messages(), static_cast<double>(monotonic_now() - begin) / 1e9);
      }
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace

std::expected<LoadResult, std::string> run_load(const LoadOptions& options,
                                                const LoadProgress& progress) {
  const auto target = resolve(options);
  if (!target) return std::unexpected(target.error());
  SocketList unused;
  if (auto connected = connect_all(*target, options.connections, unused.sockets); !connected) {
    return std::unexpected(connected.error());
  }

  const int workers = std::min(options.threads, options.connections);
  LoadShared shared(workers);
  std::vector<std::unique_ptr<LoadWorker>> all;
  for (int i = 0; i < workers; ++i) {
    const int begin = options.connections * i / workers;
    const int end = options.connections * (i + 1) / workers;
    all.push_back(std::make_unique<LoadWorker>(
        options, *target, shared, i, begin,
        std::vector<int>(unused.sockets.begin() + begin, unused.sockets.begin() + end)));
  }
  unused.sockets.clear();
  {
    const ProgressTeller teller(shared, progress);
    std::vector<std::jthread> threads;
    for (const auto& worker : all) threads.emplace_back([&worker] { worker->run(); });
  }

  if (shared.failed.load()) return std::unexpected(shared.error);
  LoadResult result = all.front()->window();
  for (const auto& worker : all) result.latency.merge(worker->latency());
  if (result.messages == 0) {
    return std::unexpected("no message came back within the measuring window");
  }
  return result;
}

}  // namespace weir::bench
