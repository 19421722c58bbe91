#include "bench/udp_floor_uring.h"

#include <liburing.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace weir::bench {
namespace {

// Room for the kernel's header, the sender's address and the bytes. More buffers than the kernel
// fills in a turn, and few enough to stay in the cache.
constexpr std::uint32_t kBufferSize = 2048;
constexpr std::uint16_t kBufferCount = 256;
constexpr std::uint16_t kBufferGroup = 0;
constexpr unsigned kSubmissions = 8;
constexpr unsigned kCompletions = 1024;

class MultishotReceiver {
 public:
  MultishotReceiver(int fd, UdpBoard& board) : fd_(fd), board_(board) {
    message_.msg_namelen = sizeof(sockaddr_in);
  }

  // 0, or the error number of the kernel's refusal.
  int open() {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    params.cq_entries = kCompletions;
    if (const int result = io_uring_queue_init_params(kSubmissions, &ring_, &params); result < 0) {
      return -result;
    }
    // Saves a look-up in each system call; without it everything works the same.
    io_uring_register_ring_fd(&ring_);
    entries_ = static_cast<io_uring_buf*>(map(kBufferCount * sizeof(io_uring_buf)));
    memory_ = static_cast<char*>(map(std::size_t{kBufferCount} * kBufferSize));
    if (entries_ == nullptr || memory_ == nullptr) return ENOMEM;
    io_uring_buf_reg wanted{};
    wanted.ring_addr = reinterpret_cast<std::uint64_t>(entries_);
    wanted.ring_entries = kBufferCount;
    wanted.bgid = kBufferGroup;
    if (const int result = io_uring_register_buf_ring(&ring_, &wanted, 0); result < 0) {
      return -result;
    }
    for (std::uint16_t i = 0; i < kBufferCount; ++i) give_back(i);
    publish();
    return 0;
  }

  // Returns the error number that ended it.
  int run() {
    arm();
    for (;;) {
      const int result = io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR) return -result;
      if (const int error = take_turn(); error != 0) return error;
    }
  }

 private:
  int take_turn() {
    std::uint64_t datagrams = 0;
    std::uint64_t bytes = 0;
    unsigned head = 0;
    unsigned seen = 0;
    bool ended = false;
    int error = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++seen;
      ended |= (cqe->flags & IORING_CQE_F_MORE) == 0;
      if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        const auto id = static_cast<std::uint16_t>(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        const auto* out = reinterpret_cast<const io_uring_recvmsg_out*>(at(id));
        ++datagrams;
        bytes += out->payloadlen;
        give_back(id);
      } else if (cqe->res < 0 && cqe->res != -ENOBUFS) {
        error = -cqe->res;
      }
    }
    if (datagrams > 0) board_.add(datagrams, bytes);
    publish();
    io_uring_cq_advance(&ring_, seen);
    // It ends when the buffers run out, too; they are back by now.
    if (ended) arm();
    return error;
  }

  void arm() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_recvmsg_multishot(sqe, fd_, &message_, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = kBufferGroup;
  }

  void give_back(std::uint16_t id) {
    io_uring_buf& entry = entries_[tail_++ % kBufferCount];
    entry.addr = reinterpret_cast<std::uint64_t>(at(id));
    entry.len = kBufferSize;
    entry.bid = id;
  }

  // The ring's tail lies in the first entry's unused field. It is reached through an entry because
  // in C++ the system header's `io_uring_buf_ring::bufs` is eight bytes off.
  void publish() { __atomic_store_n(&entries_[0].resv, tail_, __ATOMIC_RELEASE); }

  char* at(std::uint16_t id) const { return memory_ + std::size_t{id} * kBufferSize; }

  static void* map(std::size_t size) {
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
  }

  int fd_;
  UdpBoard& board_;
  io_uring ring_{};
  // Only says how much room an address gets.
  msghdr message_{};
  io_uring_buf* entries_ = nullptr;
  char* memory_ = nullptr;
  std::uint16_t tail_ = 0;
};

}  // namespace

int run_udp_multishot(int fd, UdpBoard& board, void (*ready)(int fd)) {
  MultishotReceiver receiver(fd, board);
  if (const int error = receiver.open(); error != 0) {
    std::fprintf(stderr, "udp_floor: io_uring refused: %s\n", std::strerror(error));
    return 1;
  }
  ready(fd);
  std::fprintf(stderr, "udp_floor: multishot receive: %s\n", std::strerror(receiver.run()));
  return 1;
}

}  // namespace weir::bench
