// UDP on io_uring: multishot recvmsg into buffers of its own. Private to this package.
#pragma once

#include <liburing.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "reactor/kernel_backend.h"
#include "reactor/kernel_datagrams.h"

namespace weir::inline v1 {

// The kernel puts each datagram of an armed socket into the next free buffer; take() notes it, and
// receive() hands the notes out. Their buffers are taken back with the next receive, or by
// reclaim(). All sockets of a ring share the buffers. Where the kernel has no multishot recvmsg
// (before Linux 6.0) a poll takes its place, and receive() is a plain call.
class UringDatagrams final : public KernelDatagrams {
 public:
  UringDatagrams(BackendCounters& counters, bool multishot) noexcept;
  ~UringDatagrams();

  // Precondition: not dry().
  void prepare(io_uring& ring, io_uring_sqe* sqe, int fd) noexcept;
  // A request made now would find no buffer. Passes with reclaim(), or when those in the inboxes
  // are received: their owners know.
  bool dry() const noexcept { return multishot_ && buffers_ != nullptr && free_ == 0; }
  // Takes back what was handed out. Precondition: no handler is looking at it.
  void reclaim() noexcept;

  enum class Taken : std::uint8_t {
    news,     // there is something for receive(), and the owner does not know yet
    nothing,  // there is, and it does; or the request is to be made again
    failed    // the socket cannot be received from
  };
  Taken take(int fd, const io_uring_cqe& cqe) noexcept;
  // What was received on the fd and nobody has asked for is gone.
  void forget(int fd) noexcept;

  Received receive(int fd, std::size_t most, bool coalesced) noexcept override;

 private:
  static constexpr std::uint16_t kGroup = 1;  // BufferRing is 0
  static constexpr unsigned kCount = limits::kDatagramsPerReceive;
  struct Buffers;
  struct Inbox {
    std::vector<std::uint16_t> ids;  // of buffers, in the order of arrival
    std::size_t next = 0;
    int error = 0;
    bool polled = false;  // by a request without buffers
  };

  bool make_buffers(io_uring& ring) noexcept;
  void give_back(std::uint16_t id) noexcept;

  bool multishot_;
  std::unique_ptr<Buffers> buffers_;
  unsigned free_ = 0;
  PagedTable<Inbox> inboxes_;
  std::vector<std::uint16_t> handed_out_;
  std::array<Datagram, kCount> entries_{};
  std::array<std::uint32_t, kCount> segments_{};
};

}  // namespace weir::inline v1
