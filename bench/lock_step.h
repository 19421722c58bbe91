// Batches of requests in lock step, for counting instructions: clients and server share one thread,
// so that each turn of the server finds the same, and two runs of one program execute the same
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

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace weir::bench {

// What a client sends, and when it has its answer.
struct LockStepScript {
  std::string message;
  bool (*is_answered)(std::string_view received, const std::string& message);
};

inline LockStepScript echo_script() {
  return {std::string(64, 'e'), [](std::string_view received, const std::string& message) {
            return received == message;
          }};
}

// Buffers are made, and functions found by the dynamic linker, in the first batches.
constexpr int kLockStepWarmup = 64;

// Connections to a server in this thread, and what goes through them.
class LockStepClients {
 public:
  LockStepClients(std::uint16_t port, int count, LockStepScript script)
      : script_(std::move(script)), clients_(static_cast<std::size_t>(count)) {
    for (Client& one : clients_) one.fd = connect_to(port);
  }
  ~LockStepClients() {
    for (const Client& one : clients_) close(one.fd);
  }
  LockStepClients(const LockStepClients&) = delete;
  LockStepClients& operator=(const LockStepClients&) = delete;

  void send() {
    for (Client& one : clients_) {
      one.received.clear();
      const std::string& message = script_.message;
      if (write(one.fd, message.data(), message.size()) != std::ssize(message)) fail("write");
    }
  }

  // True when every answer has come.
  bool has_all() {
    bool all = true;
    for (Client& one : clients_) {
      std::array<char, 1 << 16> bytes;
      const ssize_t got = recv(one.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got > 0) one.received.append(bytes.data(), static_cast<std::size_t>(got));
      all = script_.is_answered(one.received, script_.message) && all;
    }
    return all;
  }

 private:
  struct Client {
    int fd = -1;
    std::string received = {};
  };

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

  LockStepScript script_;
  std::vector<Client> clients_;
};

// `turn` handles what is there without waiting; `measured` does the same, and is what counts. Exits
// with 1 when the server does not answer.
template <class Turn, class Measured>
void run_lock_step(LockStepClients& clients, int batches, Turn turn, Measured measured) {
  constexpr int kTurnsMax = 1000;
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
