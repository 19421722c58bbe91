#include "bench/file_servers.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

namespace weir::bench {
namespace {

namespace files = std::filesystem;

// How often nginx is looked at for a worker, and how long is waited in between.
constexpr int kLooks = 5000;
constexpr int kLookEveryMs = 1;

// The first child of a process.
std::optional<pid_t> child_of(pid_t parent) {
  const std::string id = std::to_string(parent);
  std::ifstream children("/proc/" + id + "/task/" + id + "/children");
  pid_t child = 0;
  if (!(children >> child)) return std::nullopt;
  return child;
}

std::optional<pid_t> wait_for_child(pid_t parent) {
  for (int i = 0; i < kLooks; ++i) {
    if (const auto child = child_of(parent)) return child;
    // Nothing tells when a process of another has a child.
    poll(nullptr, 0, kLookEveryMs);
  }
  return std::nullopt;
}

bool is_listening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

// pidfd_getfd(2): a parent may have the descriptors of its child.
std::expected<void, std::string> ask_for_cubic(pid_t pid) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  bool found = false;
  int error = 0;
  for (const auto& entry : files::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    const std::string name = entry.path().filename();
    int number = -1;
    std::from_chars(name.data(), name.data() + name.size(), number);
    const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, handle, number, 0));
    if (fd < 0) {
      error = errno;
      continue;
    }
    if (is_listening(fd)) {
      found = true;
      if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic")) != 0) {
        error = errno;
      }
    }
    close(fd);
  }
  if (handle >= 0) close(handle);
  if (error != 0) return std::unexpected(std::string("cubic: ") + std::strerror(error));
  if (!found) return std::unexpected("cubic: it has no listening socket");
  return {};
}

}  // namespace

std::expected<RunningFileServer, std::string> start_file_server(const FileServer& server,
                                                                int cpu) {
  auto process = ServerProcess::start(server.command, cpu);
  if (!process) return std::unexpected(process.error());
  const pid_t pid = process->pid();
  if (server.nginx) {
    const auto worker = wait_for_child(pid);
    if (!worker) return std::unexpected("nginx has started no worker");
    return RunningFileServer{std::move(*process), *worker};
  }
  if (const auto set = ask_for_cubic(pid); !set) return std::unexpected(set.error());
  return RunningFileServer{std::move(*process), pid};
}

std::string find_nginx() {
  for (const char* directory : {"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"}) {
    const std::string path = std::string(directory) + "/nginx";
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

}  // namespace weir::bench
