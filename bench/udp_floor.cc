// The least that a program does to receive UDP datagrams and to know who sent each: one thread, no
// library, nothing but the system calls. What weir costs is the distance to these loops.
//
//   recvfrom        a system call a datagram
//   recvmmsg        a blocking call takes what is there, up to a batch
//   recvmmsg_epoll  the same in a program that has other descriptors to wait for
//   gro             recvmmsg and UDP_GRO: what the sender cut comes in one piece
//   multishot       io_uring delivers into provided buffers until it is told to stop

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/udp_floor_uring.h"
#include "bench/udp_receiver.h"

namespace weir::bench {
namespace {

// As fast as it goes, batches of 32 and 256, and rooms of 64 KiB, cost the same within 1 %.
constexpr std::size_t kBatch = 64;
constexpr std::size_t kRoom = 2048;
// What was sent in one piece needs room in one piece.
constexpr std::size_t kCoalescedBatch = 16;
constexpr std::size_t kCoalescedRoom = 64 * 1024;

enum class Loop { recvfrom, recvmmsg, recvmmsg_epoll, gro, multishot };

const std::map<std::string, Loop> kLoops = {{"recvfrom", Loop::recvfrom},
                                            {"recvmmsg", Loop::recvmmsg},
                                            {"recvmmsg_epoll", Loop::recvmmsg_epoll},
                                            {"gro", Loop::gro},
                                            {"multishot", Loop::multishot}};

struct Options {
  Loop loop = Loop::recvmmsg;
  UdpReceiverOptions receiver;
};

Options options;
UdpBoard* board = nullptr;

const char* name_of(Loop loop) {
  for (const auto& [name, value] : kLoops) {
    if (value == loop) return name.c_str();
  }
  return "";
}

int fail(const char* what) {
  std::fprintf(stderr, "udp_floor: %s: %s\n", what, std::strerror(errno));
  return 1;
}

// Bound to a free port of 127.0.0.1; -1 with the reason on stderr.
int open_socket() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  if (options.loop == Loop::gro && setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) != 0) {
    fail("UDP_GRO refused");
    return -1;
  }
  const int buffer = options.receiver.receive_buffer;
  const bool good =
      fd >= 0 &&
      (buffer == 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)) == 0) &&
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  if (good) return fd;
  fail("cannot open the socket");
  return -1;
}

void announce(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  int buffer = 0;
  length = sizeof(buffer);
  getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, &length);
  announce_udp_receiver(ntohs(address.sin_port), name_of(options.loop), buffer);
}

int run_recvfrom(int fd) {
  std::array<char, kRoom> bytes;
  sockaddr_in from{};
  for (;;) {
    socklen_t length = sizeof(from);
    const ssize_t size =
        recvfrom(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0 && errno != EINTR) return fail("recvfrom");
    if (size >= 0) board->add(1, static_cast<std::uint64_t>(size));
  }
}

// Rooms for a batch, set up once: the kernel changes nothing in the headers but what it reports.
class Batch {
 public:
  Batch(std::size_t count, std::size_t room)
      : bytes_(std::make_unique_for_overwrite<char[]>(count * room)),
        headers_(count),
        pieces_(count),
        senders_(count),
        controls_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      pieces_[i] = {bytes_.get() + i * room, room};
      msghdr& header = headers_[i].msg_hdr;
      header.msg_name = &senders_[i];
      header.msg_namelen = sizeof(sockaddr_in);
      header.msg_iov = &pieces_[i];
      header.msg_iovlen = 1;
    }
  }

  // How many came, or -1.
  int receive(int fd, int flags) {
    return recvmmsg(fd, headers_.data(), static_cast<unsigned>(headers_.size()), flags, nullptr);
  }

  // Room for the size of a segment; before each receive, because the kernel shortens it.
  void expect_segments(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      headers_[i].msg_hdr.msg_control = controls_[i].data();
      headers_[i].msg_hdr.msg_controllen = controls_[i].size();
    }
  }

  std::size_t size() const { return headers_.size(); }

  void count(std::size_t received) const {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < received; ++i) bytes += headers_[i].msg_len;
    board->add(received, bytes);
  }

  void count_segments(std::size_t received) {
    std::uint64_t datagrams = 0;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < received; ++i) {
      const std::uint64_t length = headers_[i].msg_len;
      const std::uint64_t segment = segment_of(headers_[i].msg_hdr);
      datagrams += segment == 0 ? 1 : (length + segment - 1) / segment;
      bytes += length;
    }
    board->add(datagrams, bytes);
  }

 private:
  using Control = std::array<char, CMSG_SPACE(sizeof(int))>;

  // 0: it is one datagram.
  static std::uint64_t segment_of(msghdr& header) {
    const cmsghdr* control = CMSG_FIRSTHDR(&header);
    if (control == nullptr || control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) {
      return 0;
    }
    int segment = 0;
    std::memcpy(&segment, CMSG_DATA(control), sizeof(segment));
    return static_cast<std::uint64_t>(segment);
  }

  std::unique_ptr<char[]> bytes_;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> pieces_;
  std::vector<sockaddr_in> senders_;
  std::vector<Control> controls_;
};

int run_recvmmsg(int fd) {
  Batch batch(kBatch, kRoom);
  for (;;) {
    const int received = batch.receive(fd, MSG_WAITFORONE);
    if (received < 0 && errno != EINTR) return fail("recvmmsg");
    if (received > 0) batch.count(static_cast<std::size_t>(received));
  }
}

// Edge-triggered: a batch that is not full has emptied the queue, and what comes after it is a new
// edge.
int run_recvmmsg_epoll(int fd) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event interest{};
  interest.events = EPOLLIN | EPOLLET;
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest) != 0) return fail("epoll");
  Batch batch(kBatch, kRoom);
  for (;;) {
    epoll_event event{};
    if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR) return fail("epoll_wait");
    int received = 0;
    do {
      received = batch.receive(fd, MSG_DONTWAIT);
      if (received < 0 && errno != EAGAIN) return fail("recvmmsg");
      if (received > 0) batch.count(static_cast<std::size_t>(received));
    } while (received == static_cast<int>(batch.size()));
  }
}

int run_gro(int fd) {
  Batch batch(kCoalescedBatch, kCoalescedRoom);
  std::size_t used = batch.size();
  for (;;) {
    batch.expect_segments(used);
    const int received = batch.receive(fd, MSG_WAITFORONE);
    if (received < 0 && errno != EINTR) return fail("recvmmsg");
    used = received > 0 ? static_cast<std::size_t>(received) : 0;
    if (used > 0) batch.count_segments(used);
  }
}

int run(int argc, char** argv) {
  CLI::App app{"Bare UDP receiver"};
  app.add_option("--loop", options.loop, "how to receive")
      ->transform(CLI::CheckedTransformer(kLoops));
  describe_udp_receiver(app, options.receiver);
  if (const auto code = parse_udp_receiver(app, argc, argv)) return *code;
  const int fd = open_socket();
  board = open_udp_board(options.receiver);
  if (fd < 0 || board == nullptr) return 1;
  if (options.loop == Loop::multishot) return run_udp_multishot(fd, *board, announce);
  announce(fd);
  switch (options.loop) {
    case Loop::recvfrom:
      return run_recvfrom(fd);
    case Loop::recvmmsg:
      return run_recvmmsg(fd);
    case Loop::recvmmsg_epoll:
      return run_recvmmsg_epoll(fd);
    default:
      return run_gro(fd);
  }
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
