#include "bench/udp_sample.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <optional>

#include "bench/load_clock.h"
#include "bench/server_process.h"
#include "bench/udp_board.h"

namespace weir::bench {
namespace {

// For a mark, and for the receiver to empty its queue.
constexpr std::int64_t kPatience = 2'000'000'000;
// A queue that is not empty by then has dropped something.
constexpr std::int64_t kDrainPatience = 20'000'000;

using Error = std::unexpected<std::string>;
using Done = std::expected<void, std::string>;

// The board, in a file of memory that the receiver finds by a name.
class BoardFile {
 public:
  BoardFile() : fd_(memfd_create("board", MFD_CLOEXEC)) {
    if (ftruncate(fd_, sizeof(UdpBoard)) != 0) return;
    void* memory = mmap(nullptr, sizeof(UdpBoard), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory != MAP_FAILED) board_ = static_cast<UdpBoard*>(memory);
  }
  BoardFile(const BoardFile&) = delete;
  BoardFile& operator=(const BoardFile&) = delete;
  ~BoardFile() {
    if (board_ != nullptr) munmap(board_, sizeof(UdpBoard));
    if (fd_ >= 0) close(fd_);
  }

  const UdpBoard* board() const { return board_; }
  std::string path() const {
    return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_);
  }

 private:
  int fd_;
  UdpBoard* board_ = nullptr;
};

// Datagrams that found the receive queue full, by the kernel's table of UDP sockets. No value if
// the port is not there.
std::optional<std::uint64_t> drops_of(std::uint16_t port) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> table(std::fopen("/proc/net/udp", "r"),
                                                              std::fclose);
  if (!table) return std::nullopt;
  std::array<char, 512> line;
  while (std::fgets(line.data(), line.size(), table.get()) != nullptr) {
    unsigned local = 0;
    std::uint64_t drops = 0;
    if (std::sscanf(line.data(),
                    "%*d: %*x:%x %*x:%*x %*x %*x:%*x %*x:%*x %*x %*u %*u %*u %*u %*x %" SCNu64,
                    &local, &drops) == 2 &&
        local == port) {
      return drops;
    }
  }
  return std::nullopt;
}

// A receiver that runs, and what is sent to it.
class Measurement {
 public:
  Measurement(const UdpRun& run, ServerProcess& process, UdpSender& sender, const UdpBoard& board)
      : run_(run), process_(process), sender_(sender), board_(board) {}

  std::expected<UdpSample, std::string> take(int receive_buffer) {
    receive_buffer_ = receive_buffer;
    if (Done good = send_for(run_.warmup_seconds); !good) return Error(good.error());
    if (Done good = mark(1); !good) return Error(good.error());
    if (Done good = send_for(run_.duration_seconds); !good) return Error(good.error());
    if (Done good = mark(2); !good) return Error(good.error());
    if (Done good = settle(); !good) return Error(good.error());
    if (Done good = process_.stop(); !good) return Error(good.error());
    return sample();
  }

 private:
  Done send_for(double seconds) {
    std::int64_t now = monotonic_now();
    const std::int64_t end = now + static_cast<std::int64_t>(seconds * 1e9);
    for (; now < end; now = monotonic_now()) {
      const Done sent = run_.pace == UdpPace::in_turn ? fill_and_drain() : sender_.send(now);
      if (!sent) return sent;
    }
    return {};
  }

  Done fill_and_drain() {
    const pid_t pid = process_.pid();
    siginfo_t state{};
    kill(pid, SIGSTOP);
    // Whether it stopped or died is left for the process's owner to see.
    waitid(P_PID, static_cast<id_t>(pid), &state, WSTOPPED | WEXITED | WNOWAIT);
    const std::uint64_t goal = sender_.sent() + queue_room();
    Done sent;
    while (sent && sender_.sent() < goal) sent = sender_.send(monotonic_now());
    kill(pid, SIGCONT);
    const std::int64_t deadline = monotonic_now() + kDrainPatience;
    while (board_.datagrams() + lost_ < sender_.sent()) {
      if (monotonic_now() > deadline) return count_lost();
    }
    return sent;
  }

  // Datagrams that surely find room, at most half as many as the kernel's own book-keeping lets in.
  std::uint64_t queue_room() const {
    return static_cast<std::uint64_t>(receive_buffer_) / (2 * run_.load.size + 1024);
  }

  Done count_lost() {
    const auto drops = drops_of(run_.load.port);
    if (!drops) return Error("the socket is not in /proc/net/udp");
    lost_ = *drops * (run_.coalesces ? run_.load.segments : 1);
    return {};
  }

  // Asks for the `count`-th mark and waits for it.
  Done mark(std::uint32_t count) {
    kill(process_.pid(), SIGUSR1);
    const std::int64_t deadline = monotonic_now() + kPatience;
    while (board_.marks() < count) {
      if (monotonic_now() > deadline) return Error("it does not answer SIGUSR1");
    }
    return {};
  }

  // Waits until what was sent is either received or dropped.
  Done settle() {
    const std::int64_t deadline = monotonic_now() + kPatience;
    for (;;) {
      if (Done counted = count_lost(); !counted) return counted;
      const std::uint64_t known = board_.datagrams() + lost_;
      if (known == sender_.sent()) break;
      if (known > sender_.sent() || monotonic_now() > deadline) return unaccounted();
    }
    if (board_.mark(1).datagrams == board_.mark(0).datagrams) return unaccounted();
    if (board_.bytes() != board_.datagrams() * run_.load.size) {
      return Error("it has received other bytes than were sent");
    }
    return {};
  }

  Done unaccounted() const {
    return Error(std::to_string(sender_.sent()) + " datagrams were sent, " +
                 std::to_string(board_.datagrams()) + " received and " + std::to_string(lost_) +
                 " dropped; " +
                 std::to_string(board_.mark(1).datagrams - board_.mark(0).datagrams) +
                 " while measured");
  }

  UdpSample sample() const {
    const UdpMark& begin = board_.mark(0);
    const UdpMark& end = board_.mark(1);
    return {.seconds = static_cast<double>(end.time_ns - begin.time_ns) / 1e9,
            .cpu_seconds = static_cast<double>(end.cpu_ns - begin.cpu_ns) / 1e9,
            .datagrams = static_cast<double>(end.datagrams - begin.datagrams),
            .receives = static_cast<double>(end.receives - begin.receives),
            .sleeps = static_cast<double>(end.sleeps - begin.sleeps),
            .sent = sender_.sent(),
            .received = board_.datagrams(),
            .lost = lost_,
            .receive_buffer = receive_buffer_};
  }

  const UdpRun& run_;
  ServerProcess& process_;
  UdpSender& sender_;
  const UdpBoard& board_;
  int receive_buffer_ = 0;
  // Up to the last look; a datagram lost is one that no receiver will count.
  std::uint64_t lost_ = 0;
};

// The number at the end of the receiver's second line.
std::expected<int, std::string> receive_buffer_of(const std::string& banner,
                                                  const std::string& kind) {
  const std::string wanted = "backend " + kind + ": receive buffer ";
  int bytes = 0;
  if (banner.starts_with(wanted) &&
      std::from_chars(banner.data() + wanted.size(), banner.data() + banner.size(), bytes).ec ==
          std::errc()) {
    return bytes;
  }
  return Error("it printed `" + banner + "`, not `" + wanted + "...`");
}

}  // namespace

std::expected<UdpSample, std::string> take_udp_sample(const UdpRun& run) {
  const BoardFile file;
  if (file.board() == nullptr) return Error("no memory for the board");
  UdpRun mine = run;
  mine.command.insert(mine.command.end(), {"--board", file.path()});
  auto process = ServerProcess::start(mine.command, mine.receiver_cpu);
  if (!process) return Error(process.error());
  const auto receive_buffer = receive_buffer_of(process->backend(), mine.kind);
  if (!receive_buffer) return Error(receive_buffer.error());
  mine.load.port = process->port();
  auto sender = UdpSender::open(mine.load);
  if (!sender) return Error(sender.error());
  return Measurement(mine, *process, *sender, *file.board()).take(*receive_buffer);
}

}  // namespace weir::bench
