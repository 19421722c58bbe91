#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace weir::bench {

// A server in a process of its own, from its first lines of output to its exit.
//
// The server must print `listening on HOST:PORT`, or the path of its Unix socket in their place,
// and then a line that names its backend. Its stderr is read as well, so that a refusal can be
// quoted. It is killed with its parent.
class ServerProcess {
 public:
  // `cpu` is the core to pin the process to; negative leaves it free. The error is the last line
  // that the program wrote on stderr before it failed, or what else went wrong.
  static std::expected<ServerProcess, std::string> start(const std::vector<std::string>& command,
                                                         int cpu);
  ServerProcess(ServerProcess&& other) noexcept;
  ServerProcess& operator=(ServerProcess&&) = delete;
  ~ServerProcess();

  pid_t pid() const { return pid_; }
  // 0: it has a Unix socket.
  std::uint16_t port() const { return port_; }
  // The second line: `backend NAME: REASON`.
  const std::string& backend() const { return backend_; }

  // What it has printed behind its first two lines, or on stderr, and nobody has taken yet. Who
  // lets it run for long takes it now and then, for a full pipe would stop it.
  std::string take_output();
  std::string take_errors();

  // Asks the server to leave by SIGTERM. The error says how it left instead of exiting with 0.
  std::expected<void, std::string> stop();

 private:
  ServerProcess() = default;
  std::expected<void, std::string> read_banner();
  std::string last_error_line();
  void kill_now();

  pid_t pid_ = -1;
  int output_ = -1;
  int errors_ = -1;
  std::uint16_t port_ = 0;
  std::string backend_;
  // Came with the first two lines.
  std::string rest_;
};

}  // namespace weir::bench
