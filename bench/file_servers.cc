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

namespace weir::bench {
namespace {

namespace files = std::filesystem;

constexpr int kLooks = 5000;
constexpr int kLookEveryMs = 1;

bool is_listening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

struct Outcome {
  bool found = false;
  int error = 0;
};

// Sets cubic on the listening sockets of a child: pidfd_getfd(2) gives its descriptors to a parent.
Outcome look_for_listener(int handle, pid_t pid) {
  Outcome outcome;
  for (const auto& entry : files::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    const std::string name = entry.path().filename();
    int number = -1;
    std::from_chars(name.data(), name.data() + name.size(), number);
    const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, handle, number, 0));
    // It may have closed it meanwhile.
    if (fd < 0 && errno != EBADF) outcome.error = errno;
    if (fd < 0) continue;
    if (is_listening(fd)) {
      outcome.found = true;
      if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic")) != 0) {
        outcome.error = errno;
      }
    }
    close(fd);
  }
  return outcome;
}

std::expected<void, std::string> ask_for_cubic(pid_t pid) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  Outcome outcome;
  for (int i = 0; i < kLooks && !outcome.found && outcome.error == 0; ++i) {
    // Nothing tells when another process listens.
    if (i > 0) poll(nullptr, 0, kLookEveryMs);
    outcome = look_for_listener(handle, pid);
  }
  close(handle);
  if (outcome.error != 0) {
    return std::unexpected(std::string("cubic: ") + std::strerror(outcome.error));
  }
  if (!outcome.found) return std::unexpected("it does not listen");
  return {};
}

}  // namespace

std::expected<ServerProcess, std::string> start_file_server(const FileServer& server, int cpu) {
  auto process = ServerProcess::start(server.command, cpu);
  if (!process) return process;
  if (const auto set = ask_for_cubic(process->pid()); !set) return std::unexpected(set.error());
  return process;
}

std::string find_nginx() {
  for (const char* directory : {"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"}) {
    const std::string path = std::string(directory) + "/nginx";
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

}  // namespace weir::bench
