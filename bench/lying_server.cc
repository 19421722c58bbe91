// A test's echo server that breaks its word in one chosen way, to prove that the load generator and
// the soak see it. It prints what the other servers print and has a thread for each connection.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "bench/floor_common.h"

namespace weir::bench {
namespace {

// Late enough to lie beyond the first message, early enough to be reached at once.
constexpr std::size_t kLiePosition = 1000;
constexpr std::size_t kLeakedBytes = 256 * 1024;
constexpr int kSlowMs = 20;
constexpr int kStallMs = 300;
// Of so many connections, one has its answers late.
constexpr std::size_t kLateOneIn = 10;
constexpr int kLateMs = 200;

// Applies the lie to the bytes that follow `position` in the stream. False: close now.
bool tell(const std::string& lie, std::size_t position, std::vector<char>& data) {
  if (kLiePosition < position || kLiePosition >= position + data.size()) return true;
  const auto at = data.begin() + static_cast<std::ptrdiff_t>(kLiePosition - position);
  if (lie == "flip") *at = static_cast<char>(*at ^ 1);
  if (lie == "drop") data.erase(at);
  if (lie == "double") data.insert(at, *at);
  while (lie == "hang") pause();
  if (lie == "stall") poll(nullptr, 0, kStallMs);
  return lie != "close";
}

void send_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

// What each connection leaves behind.
void leak(const std::string& lie) {
  if (lie == "leak-descriptor") open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (lie == "leak-memory") {
    static std::atomic<char*> last;
    last = new char[kLeakedBytes];
    for (std::size_t i = 0; i < kLeakedBytes; ++i) last[i] = 'x';
  }
}

// `number` of the connection, in the order in which they came.
void serve(int fd, std::size_t number, const std::string& lie) {
  const bool late = lie == "tenth" && number % kLateOneIn == 0;
  std::vector<char> data;
  std::size_t position = 0;
  for (;;) {
    data.resize(4096);
    const ssize_t received = recv(fd, data.data(), data.size(), 0);
    if (received <= 0) break;
    data.resize(static_cast<std::size_t>(received));
    if (!tell(lie, position, data)) break;
    if (lie == "slow") poll(nullptr, 0, kSlowMs);
    if (late) poll(nullptr, 0, kLateMs);
    send_all(fd, data.data(), data.size());
    position += static_cast<std::size_t>(received);
  }
  // One byte more than was asked for, where only the check after the last message can see it.
  if (lie == "extra") send_all(fd, "x", 1);
  leak(lie);
  while (lie == "stay") pause();
  close(fd);
}

void spin() {
  for (std::atomic<unsigned> turns = 0;;) ++turns;
}

int run(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr,
                 "usage: lying_server flip|drop|double|close|extra|hang|stall|slow|tenth|"
                 "stay|leak-descriptor|leak-memory|spin|exit|none\n");
    return 2;
  }
  exit_on_signals();
  const std::string lie = argv[1];
  if (lie == "exit") signal(SIGTERM, [](int) { _exit(3); });
  if (lie == "spin") std::thread(spin).detach();
  const int listener = open_floor_listener({});
  if (listener < 0) return 1;
  announce_floor(listener, "blocking");
  // The listener comes non-blocking, but here nothing else is to be done meanwhile.
  fcntl(listener, F_SETFL, 0);
  for (std::size_t number = 0;;) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd >= 0) std::thread(serve, fd, number++, lie).detach();
  }
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
