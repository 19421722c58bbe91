#include "bench/udp_receiver.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

UdpBoard own_board;
UdpBoard* board = &own_board;

UdpMark mark_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {.time_ns = monotonic_now(),
          .cpu_ns = nanoseconds(CLOCK_PROCESS_CPUTIME_ID),
          .datagrams = board->datagrams(),
          .bytes = board->bytes(),
          .receives = board->receives(),
          .sleeps = static_cast<std::uint64_t>(usage.ru_nvcsw)};
}

void take_mark(int) {
  const int error = errno;
  board->put(mark_now());
  errno = error;
}

// The handler ends the process on the spot: a receiver owns nothing that the kernel does not take
// back. Whole numbers only: those are printed without any memory of the heap.
void leave(int) {
  const UdpMark mark = mark_now();
  dprintf(STDOUT_FILENO, "datagrams %llu bytes %llu CPU seconds %lld.%06lld\n",
          static_cast<unsigned long long>(mark.datagrams),
          static_cast<unsigned long long>(mark.bytes),
          static_cast<long long>(mark.cpu_ns / 1'000'000'000),
          static_cast<long long>(mark.cpu_ns / 1000 % 1'000'000));
  _exit(0);
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, nullptr);
}

}  // namespace

void describe_udp_receiver(CLI::App& app, UdpReceiverOptions& options) {
  app.add_option("--receive-buffer", options.receive_buffer,
                 "bytes to ask for by SO_RCVBUF; 0: the kernel's default");
  app.add_option("--board", options.board, "file that holds the driver's board");
}

std::optional<int> parse_udp_receiver(CLI::App& app, int argc, char** argv) {
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

UdpBoard* open_udp_board(const UdpReceiverOptions& options) {
  if (!options.board.empty()) {
    const int fd = open(options.board.c_str(), O_RDWR | O_CLOEXEC);
    void* memory = mmap(nullptr, sizeof(UdpBoard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
      std::fprintf(stderr, "%s: %s\n", options.board.c_str(), std::strerror(errno));
      return nullptr;
    }
    close(fd);
    board = static_cast<UdpBoard*>(memory);
  }
  handle(SIGUSR1, take_mark);
  handle(SIGTERM, leave);
  handle(SIGINT, leave);
  return board;
}

void announce_udp_receiver(int port, const std::string& kind, int receive_buffer) {
  std::printf("listening on 127.0.0.1:%d\nbackend %s: receive buffer %d\n", port, kind.c_str(),
              receive_buffer);
  std::fflush(stdout);
}

}  // namespace weir::bench
