#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

// The sender of the UDP benchmark: datagrams of one size to one port of this machine, from one
// connected socket.
namespace weir::bench {

struct UdpLoad {
  std::uint16_t port = 0;
  std::size_t size = 64;
  // 1: sendmmsg, many datagrams a call. More: each call sends this many in one piece, which the
  // kernel cuts (UDP_SEGMENT).
  std::size_t segments = 1;
  // Datagrams a second; 0: as fast as they go.
  double rate = 0;
};

class UdpSender {
 public:
  // The error names the refused call.
  static std::expected<UdpSender, std::string> open(const UdpLoad& load);
  UdpSender(UdpSender&& other) noexcept;
  UdpSender& operator=(UdpSender&&) = delete;
  ~UdpSender();

  // One call, if the rate allows one by `now` (monotonic). The error is the kernel's.
  std::expected<void, std::string> send(std::int64_t now);

  // Datagrams that the kernel has taken.
  std::uint64_t sent() const { return sent_; }

 private:
  explicit UdpSender(const UdpLoad& load);
  std::expected<void, std::string> prepare();

  UdpLoad load_;
  int fd_ = -1;
  std::uint64_t sent_ = 0;
  std::int64_t next_ = 0;
  std::vector<char> bytes_;
  iovec piece_{};
  std::vector<mmsghdr> batch_;
};

// Empty if the kernel sends with UDP_SEGMENT, else its reason.
std::string segment_refusal();

}  // namespace weir::bench
