// Batches of echoes in lock step, for counting instructions: clients and server share one thread, so
// that each turn of the server finds the same, and two runs of one program execute the same
// instructions. Shared by servers on any library; nothing here comes from one.
//
// What counts is what is below measured_turn(), by which the server handles what is there:
//
//   valgrind --tool=callgrind --toggle-collect=measured_turn PROGRAM ... BATCH BATCHES
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace weir::bench {

constexpr int kLockStepMessage = 64;
// Buffers are made, and functions found by the dynamic linker, in the first batches.
constexpr int kLockStepWarmup = 64;

// Connections to a server in this thread, and what goes through them.
class LockStepClients {
 public:
  LockStepClients(std::uint16_t port, int count) {
    for (int i = 0; i < count; ++i) sockets_.push_back(connect_to(port));
  }
  ~LockStepClients() {
    for (const int fd : sockets_) close(fd);
  }
  LockStepClients(const LockStepClients&) = delete;
  LockStepClients& operator=(const LockStepClients&) = delete;

  void send() {
    for (const int fd : sockets_) {
      if (write(fd, message_.data(), message_.size()) != std::ssize(message_)) fail("write");
    }
    waiting_ = sockets_;
  }

  // True when every message has come back.
  bool has_all() {
    std::erase_if(waiting_, [this](int fd) {
      std::array<char, kLockStepMessage + 1> bytes;
      const ssize_t got = recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got < 0) return false;
      if (got != std::ssize(message_) || !std::equal(message_.begin(), message_.end(), bytes.begin()))
        fail("an echo is not what was sent");
      return true;
    });
    return waiting_.empty();
  }

 private:
  [[noreturn]] static void fail(const char* what) {
    std::perror(what);
    std::exit(1);
  }

  // The kernel completes the connection before anybody accepts it.
  static int connect_to(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) {
      fail("connect");
    }
    return fd;
  }

  std::vector<int> sockets_;
  std::vector<int> waiting_;
  std::array<char, kLockStepMessage> message_{"the same in every batch"};
};

// `turn` handles what is there without waiting; `measured` does the same, and is what counts. Exits
// with 1 when the server does not answer.
template <class Turn, class Measured>
void run_lock_step(std::uint16_t port, int batch, int batches, Turn turn, Measured measured) {
  constexpr int kTurnsMax = 1000;
  LockStepClients clients(port, batch);
  for (int i = 0; i < kLockStepWarmup + batches; ++i) {
    clients.send();
    int turns = 0;
    do {
      if (++turns > kTurnsMax) {
        std::fprintf(stderr, "no answer to batch %d\n", i);
        std::exit(1);
      }
      i < kLockStepWarmup ? turn() : measured();
    } while (!clients.has_all());
  }
}

}  // namespace weir::bench
