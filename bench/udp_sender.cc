#include "bench/udp_sender.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

constexpr std::size_t kDatagramsPerCall = 64;

std::unexpected<std::string> refused(const char* what) {
  return std::unexpected(std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

UdpSender::UdpSender(const UdpLoad& load) : load_(load), bytes_(load.size * load.segments, 'w') {}

std::expected<UdpSender, std::string> UdpSender::open(const UdpLoad& load) {
  UdpSender sender(load);
  if (auto good = sender.prepare(); !good) return std::unexpected(good.error());
  return sender;
}

std::expected<void, std::string> UdpSender::prepare() {
  fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return refused("socket");
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(load_.port);
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) != 0) {
    return refused("connect");
  }
  if (load_.segments > 1) {
    const int size = static_cast<int>(load_.size);
    if (setsockopt(fd_, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)) != 0) {
      return refused("UDP_SEGMENT");
    }
  }
  return {};
}

std::expected<void, std::string> UdpSender::send(std::int64_t now) {
  if (now < next_) return {};
  std::uint64_t taken = 0;
  if (load_.segments > 1) {
    if (::send(fd_, bytes_.data(), bytes_.size(), 0) < 0) return refused("send with UDP_SEGMENT");
    taken = load_.segments;
  } else {
    piece_ = {bytes_.data(), bytes_.size()};
    if (batch_.empty()) batch_.resize(kDatagramsPerCall);
    for (mmsghdr& one : batch_) {
      one.msg_hdr.msg_iov = &piece_;
      one.msg_hdr.msg_iovlen = 1;
    }
    const int count = sendmmsg(fd_, batch_.data(), static_cast<unsigned>(batch_.size()), 0);
    if (count < 0) return refused("sendmmsg");
    taken = static_cast<std::uint64_t>(count);
  }
  sent_ += taken;
  if (load_.rate > 0) {
    // Counted from the instant at which it was due; who is late by more does not catch up.
    constexpr std::int64_t kCatchUp = 1'000'000;
    next_ = std::max(next_, now - kCatchUp) +
            static_cast<std::int64_t>(static_cast<double>(taken) * 1e9 / load_.rate);
  }
  return {};
}

UdpSender::UdpSender(UdpSender&& other) noexcept
    : load_(other.load_),
      fd_(std::exchange(other.fd_, -1)),
      sent_(other.sent_),
      next_(other.next_),
      bytes_(std::move(other.bytes_)),
      piece_(other.piece_),
      batch_(std::move(other.batch_)) {}

UdpSender::~UdpSender() {
  if (fd_ >= 0) close(fd_);
}

std::string segment_refusal() {
  // Port 9 is nobody's: that the kernel cuts the datagrams is what counts.
  auto sender = UdpSender::open({.port = 9, .size = 64, .segments = 2});
  if (!sender) return sender.error();
  const auto sent = sender->send(monotonic_now());
  return sent ? std::string() : sent.error();
}

}  // namespace weir::bench
