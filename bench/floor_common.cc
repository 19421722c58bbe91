#include "bench/floor_common.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace weir::bench {
namespace {

constexpr int kBacklog = 4096;

int listener_error(int fd, const char* what) {
  std::fprintf(stderr, "cannot listen: %s: %s\n", what, std::strerror(errno));
  if (fd >= 0) close(fd);
  return -1;
}

}  // namespace

std::optional<int> parse_floor_flags(int argc, char** argv, const char* description,
                                     FloorOptions& options) {
  CLI::App app{description};
  app.add_option("--host", options.host, "IPv4 address to listen on")
      ->check(CLI::ValidIPV4)
      ->capture_default_str();
  app.add_option("--port", options.port, "TCP port; 0 lets the kernel pick one")
      ->capture_default_str();
  app.add_flag("--spin", options.spin, "ask again instead of waiting");
  if (!options.loop.empty()) {
    app.add_option("--loop", options.loop, "which of the bare loops")
        ->check(CLI::IsMember({"epoll", "io_uring"}))
        ->capture_default_str();
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 2;
  }
  return std::nullopt;
}

int open_floor_listener(const FloorOptions& options) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1) {
    errno = EINVAL;
    return listener_error(-1, options.host.c_str());
  }
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return listener_error(fd, "socket");

  // Accepted sockets inherit both options, which saves two system calls for each of them. cubic
  // because bbr paces: on loopback it halves a stream's throughput and the pacing is what would
  // be measured. A kernel without cubic keeps its default.
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic"));

  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return listener_error(fd, "bind");
  }
  if (listen(fd, kBacklog) != 0) return listener_error(fd, "listen");
  return fd;
}

void announce_floor(int listener, const char* backend) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  std::array<char, INET_ADDRSTRLEN> host{};
  inet_ntop(AF_INET, &address.sin_addr, host.data(), host.size());
  std::printf("listening on %s:%u\nbackend %s: floor\n", host.data(),
              static_cast<unsigned>(ntohs(address.sin_port)), backend);
  std::fflush(stdout);
}

void exit_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { _exit(0); };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace weir::bench
