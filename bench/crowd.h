#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>

namespace weir::bench {

// Clients in a process of their own, for as many connections as a process may have. They share no
// code with the library, and go with their parent.
class Crowd {
 public:
  // `connections` to an echo server. The process is pinned to `cpu`; negative leaves it free.
  static std::expected<Crowd, std::string> start(const std::string& host, std::uint16_t port,
                                                 std::size_t connections, int cpu);
  Crowd(Crowd&& other) noexcept;
  Crowd& operator=(Crowd&&) = delete;
  ~Crowd();

  pid_t pid() const { return pid_; }

  // Each of these is begun, and then waited for with finish(), so that several crowds work at a
  // time. A few connections come all at once, have their message echoed, and go: what the server
  // makes once, it has made then.
  void begin_warm_up() { send_command('w'); }
  // The connections come, each has a message echoed, and they stay.
  void begin_hold() { send_command('h'); }
  // Nothing has come since and none has ended; each has one more message echoed.
  void begin_check() { send_command('c'); }
  // The error says which connection was refused or lost, or had a wrong byte.
  std::expected<void, std::string> finish();

 private:
  Crowd() = default;
  void send_command(char command);

  pid_t pid_ = -1;
  int channel_ = -1;
};

}  // namespace weir::bench
