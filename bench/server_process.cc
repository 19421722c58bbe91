#include "bench/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

constexpr std::int64_t kStartLimitMs = 10'000;
constexpr std::int64_t kStopLimitMs = 10'000;

// Between fork and exec only what is safe there.
[[noreturn]] void become(const std::vector<char*>& arguments, int output, int errors, int cpu,
                         pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above took effect.
  if (getppid() != parent) _exit(127);
  if (cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    sched_setaffinity(0, sizeof(set), &set);
  }
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  execv(arguments[0], arguments.data());
  dprintf(STDERR_FILENO, "cannot execute %s: %s\n", arguments[0], std::strerror(errno));
  _exit(127);
}

std::int64_t deadline_in(std::int64_t milliseconds) {
  return monotonic_now() + milliseconds * 1'000'000;
}

// Signals are no reason to stop waiting.
bool wait_readable(int fd, std::int64_t deadline) {
  pollfd entry{fd, POLLIN, 0};
  int ready = -1;
  do {
    const std::int64_t left = (deadline - monotonic_now()) / 1'000'000;
    ready = poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

// Appends what can be read before the deadline. False at the end of the stream or the deadline.
bool read_more(int fd, std::string& text, std::int64_t deadline) {
  if (!wait_readable(fd, deadline)) return false;
  std::array<char, 512> buffer;
  const ssize_t size = read(fd, buffer.data(), buffer.size());
  if (size <= 0) return false;
  text.append(buffer.data(), static_cast<std::size_t>(size));
  return true;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

}  // namespace

std::expected<ServerProcess, std::string> ServerProcess::start(
    const std::vector<std::string>& command, int cpu) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::array<int, 2> output{-1, -1};
  std::array<int, 2> errors{-1, -1};
  if (pipe2(output.data(), O_CLOEXEC) != 0 || pipe2(errors.data(), O_CLOEXEC) != 0) {
    return std::unexpected(std::string("pipe: ") + std::strerror(errno));
  }
  const pid_t parent = getpid();
  ServerProcess server;
  server.pid_ = fork();
  if (server.pid_ == 0) become(arguments, output[1], errors[1], cpu, parent);
  close(output[1]);
  close(errors[1]);
  server.output_ = output[0];
  server.errors_ = errors[0];
  if (server.pid_ < 0) return std::unexpected(std::string("fork: ") + std::strerror(errno));
  if (auto banner = server.read_banner(); !banner) {
    server.kill_now();
    return std::unexpected(command[0] + ": " + banner.error());
  }
  return server;
}

std::expected<void, std::string> ServerProcess::read_banner() {
  std::string text;
  const std::int64_t deadline = deadline_in(kStartLimitMs);
  std::size_t second_end = std::string::npos;
  do {
    if (!read_more(output_, text, deadline)) return std::unexpected(last_error_line());
    const std::size_t first_end = text.find('\n');
    if (first_end != std::string::npos) second_end = text.find('\n', first_end + 1);
  } while (second_end == std::string::npos);

  const std::size_t first_end = text.find('\n');
  const std::string first = text.substr(0, first_end);
  backend_ = text.substr(first_end + 1, second_end - first_end - 1);
  rest_ = text.substr(second_end + 1);
  const bool is_unix = first.starts_with("listening on /");
  const std::size_t colon = first.rfind(':');
  const char* end = first.data() + first.size();
  const bool has_port = colon != std::string::npos &&
                        std::from_chars(first.data() + colon + 1, end, port_).ptr == end;
  if (!first.starts_with("listening on ") || !(is_unix || has_port) ||
      !backend_.starts_with("backend ")) {
    return std::unexpected("unexpected output: " + first + " / " + backend_);
  }
  return {};
}

std::string ServerProcess::last_error_line() {
  // Its end of the pipe must be closed for the reading to end.
  kill(pid_, SIGTERM);
  std::string text;
  const std::int64_t deadline = deadline_in(kStopLimitMs);
  while (read_more(errors_, text, deadline)) continue;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return "it did not print its address";
  const std::size_t line = text.rfind('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

std::string ServerProcess::take_output() {
  std::string text = std::exchange(rest_, {});
  while (read_more(output_, text, 0)) continue;
  return text;
}

std::string ServerProcess::take_errors() {
  std::string text;
  while (read_more(errors_, text, 0)) continue;
  return text;
}

std::expected<void, std::string> ServerProcess::stop() {
  kill(pid_, SIGTERM);
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  const bool left = handle >= 0 && wait_readable(handle, deadline_in(kStopLimitMs));
  if (handle >= 0) close(handle);
  if (!left) {
    kill_now();
    return std::unexpected("it did not leave after SIGTERM");
  }
  const int status = wait_for(std::exchange(pid_, -1));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return std::unexpected(WIFEXITED(status)
                             ? "it left with exit code " + std::to_string(WEXITSTATUS(status))
                             : "it was ended by signal " + std::to_string(WTERMSIG(status)));
}

void ServerProcess::kill_now() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  wait_for(std::exchange(pid_, -1));
}

ServerProcess::ServerProcess(ServerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::exchange(other.output_, -1)),
      errors_(std::exchange(other.errors_, -1)),
      port_(other.port_),
      backend_(std::move(other.backend_)),
      rest_(std::move(other.rest_)) {}

ServerProcess::~ServerProcess() {
  kill_now();
  if (output_ >= 0) close(output_);
  if (errors_ >= 0) close(errors_);
}

}  // namespace weir::bench
