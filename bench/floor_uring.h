// The least that an io_uring server can do: one thread, liburing, no library. What weir's
// io_uring backend costs is the distance to this program.
//
// The choices, each of which measured as the cheapest of its kind:
//  * SINGLE_ISSUER | DEFER_TASKRUN, the ring's descriptor registered, one system call per turn
//    that submits and waits.
//  * Multishot accept and multishot receive into one ring of large incremental buffers: the
//    kernel packs what arrives for all connections one after the other, so a small message does
//    not use up a buffer and a stream is not cut into small pieces.
//  * What arrived for a connection in a turn is sent once at the turn's end, by a plain
//    non-blocking send straight out of the receive buffers: the kernel's immediate answer is
//    cheaper than a submission and its completion.
//
// What a plain send leaves over is copied aside and goes out as a send operation. While that is
// in flight the receive is cancelled, so a connection whose peer does not read holds at most
// what one turn brought. Needs Linux 6.12 for incremental buffers.
//
// What is answered is a parameter: an echo, or a fixed response to each request of HTTP.
#pragma once

#include <liburing.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "bench/floor_common.h"

namespace weir::bench {

// Linux 6.12; names of our own, so that they cannot collide with those of a newer liburing.
inline constexpr std::uint16_t kBufferRingIncremental = 2;      // IOU_PBUF_RING_INC
inline constexpr std::uint32_t kCompletionBufferMore = 1 << 4;  // IORING_CQE_F_BUF_MORE

// io_uring_buf_reg as of Linux 6.12: liburing 2.3 knows the field `flags` as padding only.
struct BufferRingRegistration {
  std::uint64_t address;
  std::uint32_t entries;
  std::uint16_t group;
  std::uint16_t flags;
  std::array<std::uint64_t, 3> reserved;
};
static_assert(sizeof(BufferRingRegistration) == sizeof(io_uring_buf_reg));

// The buffers that receives are served from. A buffer belongs to the kernel until it is full and
// the server has let go of it.
class FloorBufferRing {
 public:
  static constexpr std::uint16_t kGroup = 0;

  // 0, or the error number of the kernel's refusal.
  int open(io_uring* ring) {
    const std::size_t table = kBufferCount * sizeof(io_uring_buf);
    entries_ = static_cast<io_uring_buf*>(map(table));
    memory_ = static_cast<char*>(map(kBufferCount * kBufferSize));
    if (entries_ == nullptr || memory_ == nullptr) return ENOMEM;
    BufferRingRegistration wanted{};
    wanted.address = reinterpret_cast<std::uint64_t>(entries_);
    wanted.entries = kBufferCount;
    wanted.group = kGroup;
    wanted.flags = kBufferRingIncremental;
    auto registration = std::bit_cast<io_uring_buf_reg>(wanted);
    const int result = io_uring_register_buf_ring(ring, &registration, 0);
    if (result < 0) return -result;
    for (std::uint16_t i = 0; i < kBufferCount; ++i) full_.push_back(i);
    give_back_full();
    return 0;
  }

  // Where the bytes of the completion lie: the kernel fills a buffer from its start, for all
  // connections in the order of the completions.
  char* take(const io_uring_cqe& cqe) {
    const auto id = static_cast<std::uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    char* data = memory_ + id * kBufferSize + used_[id];
    if ((cqe.flags & kCompletionBufferMore) != 0) {
      used_[id] += static_cast<std::size_t>(cqe.res);
    } else {
      used_[id] = 0;
      full_.push_back(id);
    }
    return data;
  }

  // Only when nobody points into the buffers any more.
  void give_back_full() {
    for (const std::uint16_t id : full_) {
      io_uring_buf& entry = entries_[tail_ % kBufferCount];
      entry.addr = reinterpret_cast<std::uint64_t>(memory_ + id * kBufferSize);
      entry.len = kBufferSize;
      entry.bid = id;
      ++tail_;
    }
    full_.clear();
    // The ring's tail lies in the first entry's unused field. It is reached through an entry
    // because in C++ the system header's `io_uring_buf_ring::bufs` is eight bytes off.
    __atomic_store_n(&entries_[0].resv, tail_, __ATOMIC_RELEASE);
  }

 private:
  static constexpr std::size_t kBufferSize = 256 * 1024;
  static constexpr std::uint16_t kBufferCount = 16;

  static void* map(std::size_t size) {
    void* memory =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
  }

  io_uring_buf* entries_ = nullptr;
  char* memory_ = nullptr;
  std::uint16_t tail_ = 0;
  std::array<std::size_t, kBufferCount> used_{};
  std::vector<std::uint16_t> full_;
};

// `Answer` has a State for each connection, and by `answer(state, pieces)` replaces what has come
// in a turn by what to send for it, which may be the same. It is valid until it is asked again.
template <class Answer>
class UringFloor {
 public:
  // `program` is what its messages begin with.
  UringFloor(const char* program, int listener, bool spin)
      : program_(program), listener_(listener), spin_(spin) {}

  int run() {
    if (!open()) return 1;
    announce_floor(listener_, "io_uring");
    arm_accept();
    for (;;) {
      const int result =
          spin_ ? io_uring_submit_and_get_events(&ring_) : io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR) return refuse("wait", -result);
      unsigned head = 0;
      unsigned seen = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++seen;
        complete(*cqe);
      }
      io_uring_cq_advance(&ring_, seen);
      end_turn();
    }
  }

 private:
  static constexpr unsigned kSubmissions = 1024;
  static constexpr unsigned kCompletions = 8192;
  static constexpr std::size_t kMaxPieces = 64;

  enum class Kind : std::uint64_t { kAccept, kReceive, kSend, kCancel };
  static constexpr unsigned kKindBits = 2;

  static constexpr std::uint64_t tag(int fd, Kind kind) {
    return static_cast<std::uint64_t>(fd) << kKindBits | static_cast<std::uint64_t>(kind);
  }

  struct Connection {
    [[no_unique_address]] typename Answer::State state = {};
    // What this turn received, in the ring's buffers; empty between turns.
    std::vector<iovec> arrived;
    // Owned by the kernel while `sending`: what a plain send did not take.
    std::vector<char> in_flight;
    // What arrived while `sending`.
    std::vector<char> queued;
    // True exactly while the operation's last completion is outstanding.
    bool receiving = false;
    bool sending = false;
    bool cancelling = false;
    // True once the peer ended its stream: close when everything is sent.
    bool at_end = false;
    // True once the connection broke: close and send nothing more.
    bool broken = false;
    // True exactly while listed in UringFloor::dirty_.
    bool dirty = false;
  };

  bool open() {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    params.cq_entries = kCompletions;
    const int result = io_uring_queue_init_params(kSubmissions, &ring_, &params);
    if (result < 0) return refuse("io_uring_setup", -result) == 0;
    // Saves a look-up in each system call; without it everything works the same.
    io_uring_register_ring_fd(&ring_);
    const int error = buffers_.open(&ring_);
    return error == 0 || refuse("incremental buffer ring (Linux 6.12)", error) == 0;
  }

  int refuse(const char* what, int error) const {
    std::fprintf(stderr, "%s: io_uring refused: %s: %s\n", program_, what, std::strerror(error));
    return 1;
  }

  void complete(const io_uring_cqe& cqe) {
    const int fd = static_cast<int>(cqe.user_data >> kKindBits);
    switch (static_cast<Kind>(cqe.user_data & ((1U << kKindBits) - 1))) {
      case Kind::kAccept:
        return on_accept(cqe);
      case Kind::kReceive:
        return on_receive(fd, cqe);
      case Kind::kSend:
        return on_sent(fd, cqe.res);
      case Kind::kCancel:
        at(fd).cancelling = false;
        return touch(fd);
    }
  }

  void on_accept(const io_uring_cqe& cqe) {
    if (cqe.res >= 0) {
      const auto index = static_cast<std::size_t>(cqe.res);
      if (index >= connections_.size()) connections_.resize(2 * index + 64);
      touch(cqe.res);
    }
    if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
    // Out of descriptors: a new accept would fail at once, so a close starts it again.
    accept_waits_for_fd_ = cqe.res < 0 && cqe.res != -ECONNABORTED;
    if (!accept_waits_for_fd_) arm_accept();
  }

  void on_receive(int fd, const io_uring_cqe& cqe) {
    Connection& connection = at(fd);
    if (cqe.res > 0) {
      char* data = buffers_.take(cqe);
      const auto size = static_cast<std::size_t>(cqe.res);
      std::vector<iovec>& pieces = connection.arrived;
      if (!pieces.empty() && end_of(pieces.back()) == data) {
        pieces.back().iov_len += size;
      } else {
        pieces.push_back({data, size});
      }
    }
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
      connection.receiving = false;
      // Out of buffers and cancelled are no ends: the receive is armed again when it can be.
      const bool resumable = cqe.res > 0 || cqe.res == -ENOBUFS || cqe.res == -ECANCELED;
      connection.at_end |= !resumable;
      connection.broken |= !resumable && cqe.res < 0;
    }
    touch(fd);
  }

  void on_sent(int fd, int result) {
    Connection& connection = at(fd);
    connection.sending = false;
    // MSG_WAITALL: a short result means that the connection broke on the way.
    if (result < 0 || static_cast<std::size_t>(result) < connection.in_flight.size()) {
      connection.broken = true;
    }
    connection.in_flight.clear();
    if (!connection.broken && !connection.queued.empty()) {
      connection.in_flight.swap(connection.queued);
      arm_send(fd);
    }
    touch(fd);
  }

  void touch(int fd) {
    if (at(fd).dirty) return;
    at(fd).dirty = true;
    dirty_.push_back(fd);
  }

  // First all sends, because they read the buffers; then the buffers go back; then receives are
  // armed, which fail when they find no buffer.
  void end_turn() {
    for (const int fd : dirty_) send_arrived(fd);
    buffers_.give_back_full();
    for (const int fd : dirty_) settle(fd);
    dirty_.clear();
  }

  void send_arrived(int fd) {
    Connection& connection = at(fd);
    std::vector<iovec>& pieces = connection.arrived;
    if (pieces.empty()) return;
    answer_.answer(connection.state, pieces);
    std::size_t begin = 0;
    while (begin < pieces.size() && !connection.sending && !connection.broken) {
      const std::size_t count = std::min(pieces.size() - begin, kMaxPieces);
      const ssize_t sent = send_pieces(fd, pieces.data() + begin, count);
      if (sent < 0 && errno != EAGAIN) {
        connection.broken = true;
        break;
      }
      if (skip(pieces, begin, sent < 0 ? 0 : static_cast<std::size_t>(sent)) < count) {
        append(connection.in_flight, pieces, begin);
        begin = pieces.size();
        arm_send(fd);
      }
    }
    if (connection.sending) append(connection.queued, pieces, begin);
    pieces.clear();
  }

  static ssize_t send_pieces(int fd, iovec* pieces, std::size_t count) {
    constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (count == 1) return send(fd, pieces->iov_base, pieces->iov_len, kFlags);
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    return sendmsg(fd, &message, kFlags);
  }

  // Moves `begin` past the pieces that were sent whole, cuts the one that was sent in part, and
  // returns how many were sent whole.
  static std::size_t skip(std::vector<iovec>& pieces, std::size_t& begin, std::size_t sent) {
    std::size_t whole = 0;
    while (begin < pieces.size() && sent >= pieces[begin].iov_len) {
      sent -= pieces[begin].iov_len;
      ++begin;
      ++whole;
    }
    if (sent > 0) {
      iovec& piece = pieces[begin];
      piece = {static_cast<char*>(piece.iov_base) + sent, piece.iov_len - sent};
    }
    return whole;
  }

  static void append(std::vector<char>& out, const std::vector<iovec>& pieces, std::size_t begin) {
    for (std::size_t i = begin; i < pieces.size(); ++i) {
      out.insert(out.end(), static_cast<char*>(pieces[i].iov_base), end_of(pieces[i]));
    }
  }

  static char* end_of(const iovec& piece) {
    return static_cast<char*>(piece.iov_base) + piece.iov_len;
  }

  // Starts whatever the connection's state asks for, or closes it. A descriptor is closed only
  // when no operation is left on it, so its number cannot meet a late completion.
  void settle(int fd) {
    Connection& connection = at(fd);
    connection.dirty = false;
    const bool closing = connection.broken || (connection.at_end && !connection.sending);
    if (closing) {
      if (connection.receiving || connection.sending) {
        cancel(fd, connection);
      } else if (!connection.cancelling) {
        drop(fd);
      }
    } else if (connection.sending) {
      if (connection.receiving) cancel(fd, connection);
    } else if (!connection.receiving && !connection.cancelling) {
      arm_receive(fd);
    }
  }

  void cancel(int fd, Connection& connection) {
    if (connection.cancelling) return;
    connection.cancelling = true;
    const Kind victim = connection.receiving ? Kind::kReceive : Kind::kSend;
    io_uring_sqe* sqe = next_submission();
    io_uring_prep_cancel64(sqe, tag(fd, victim), 0);
    sqe->user_data = tag(fd, Kind::kCancel);
  }

  void drop(int fd) {
    close(fd);
    at(fd) = Connection{};
    if (accept_waits_for_fd_) {
      accept_waits_for_fd_ = false;
      arm_accept();
    }
  }

  void arm_accept() {
    io_uring_sqe* sqe = next_submission();
    io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
    sqe->user_data = tag(0, Kind::kAccept);
  }

  void arm_receive(int fd) {
    io_uring_sqe* sqe = next_submission();
    io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = FloorBufferRing::kGroup;
    sqe->user_data = tag(fd, Kind::kReceive);
    at(fd).receiving = true;
  }

  void arm_send(int fd) {
    const std::vector<char>& data = at(fd).in_flight;
    io_uring_sqe* sqe = next_submission();
    io_uring_prep_send(sqe, fd, data.data(), data.size(), MSG_WAITALL | MSG_NOSIGNAL);
    sqe->user_data = tag(fd, Kind::kSend);
    at(fd).sending = true;
  }

  io_uring_sqe* next_submission() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    return sqe;
  }

  Connection& at(int fd) { return connections_[static_cast<std::size_t>(fd)]; }

  const char* program_;
  int listener_;
  bool spin_;
  io_uring ring_{};
  FloorBufferRing buffers_;
  Answer answer_;
  // Indexed by descriptor.
  std::vector<Connection> connections_;
  // Connections that this turn's completions touched.
  std::vector<int> dirty_;
  // True exactly while the accept is off until a connection closes.
  bool accept_waits_for_fd_ = false;
};

}  // namespace weir::bench
