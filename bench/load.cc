#include "bench/load.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
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
#include "bench/load_worker.h"

namespace weir::bench {
namespace {

constexpr int kConnectSeconds = 5;
constexpr auto kProgressInterval = std::chrono::milliseconds(250);

struct Target {
  int family = AF_UNSPEC;
  sockaddr_storage address{};
  socklen_t length = 0;
  // For messages.
  std::string name;
};

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

std::expected<Target, std::string> unix_target(const std::string& path) {
  Target target{.family = AF_UNIX, .name = path};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return std::unexpected("the path of the Unix socket is too long: " + path);
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  std::memcpy(&target.address, &address, sizeof(address));
  target.length = sizeof(address);
  return target;
}

std::expected<Target, std::string> resolve(const LoadOptions& options) {
  if (!options.unix_path.empty()) return unix_target(options.unix_path);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  const std::string port = std::to_string(options.port);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(options.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return std::unexpected(options.host + ": " + gai_strerror(error));
  Target target{.family = found->ai_family, .name = options.host + ":" + port};
  std::memcpy(&target.address, found->ai_addr, found->ai_addrlen);
  target.length = found->ai_addrlen;
  freeaddrinfo(found);
  return target;
}

// A connected, non-blocking socket, or -1 and errno.
int connect_one(const Target& target) {
  const int fd = socket(target.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // Bounds the connect below; the non-blocking socket does not heed it afterwards.
  const timeval limit{kConnectSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (target.family != AF_UNIX) {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    // bbr paces, which on loopback halves a stream; see the servers.
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic"));
  }
  const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
  int result = connect(fd, address, target.length);
  // An interrupted connect goes on by itself; calling again waits for it.
  while (result != 0 && errno == EINTR) result = connect(fd, address, target.length);
  if (result != 0) {
    // How an exceeded time limit shows.
    if (errno == EINPROGRESS || errno == EAGAIN) errno = ETIMEDOUT;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

std::expected<void, std::string> connect_all(const Target& target, int count,
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
        options, shared, i, begin,
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
