#include "bench/soak_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

// A slow reader's: so little so often, into so small a buffer that the server feels it.
constexpr std::size_t kSip = 2048;
constexpr std::int64_t kSipEvery = 20'000'000;
constexpr int kSlowReceiveBuffer = 16 * 1024;

}  // namespace

void SoakStream::start() {
  if (!connect(is_slow() ? kSlowReceiveBuffer : 0)) return;
  if (is_slow()) crowd().wake(*this, monotonic_now() + kSipEvery);
  if (leaves()) crowd().wake(*this, stay_.leaves_at);
}

void SoakStream::on_ready(std::uint32_t events) {
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) read_to_end_ = true;
  if (is_slow() && monotonic_now() < stay_.slow_until) {
    send_more();
  } else {
    pump();
  }
}

void SoakStream::on_time() {
  const std::int64_t now = monotonic_now();
  if (leaves() && now >= stay_.leaves_at) return depart();
  if (now < stay_.slow_until) return sip();
  pump();
}

void SoakStream::wind_up() {
  if (leaves()) return depart();
  stay_.slow_until = std::min(stay_.slow_until, monotonic_now());
  pump();
}

void SoakStream::pump() {
  for (bool more = !leaves();; more = receive(SoakCrowd::kBufferSize)) {
    if (!gone()) send_more();
    if (!gone()) settle();
    if (gone() || !more) return;
  }
}

void SoakStream::sip() {
  send_more();
  if (!gone()) receive(kSip);
  if (!gone()) crowd().wake(*this, monotonic_now() + kSipEvery);
}

void SoakStream::depart() {
  abandon();
  stay_.resets ? reset() : leave();
}

// True when there may be more. A receive that does not fill the buffer has emptied the socket.
bool SoakStream::receive(std::size_t most) {
  const ssize_t got = recv(fd(), crowd().buffer(), most, 0);
  if (got < 0) {
    if (errno != EAGAIN) fail_errno("receive");
    return false;
  }
  if (got == 0) {
    at_end();
    return false;
  }
  const auto size = static_cast<std::size_t>(got);
  take({crowd().buffer(), size});
  if (gone()) return false;
  crowd().tally().bytes += size;
  return size == most || read_to_end_;
}

std::size_t SoakStream::send_some(std::string_view bytes) {
  const ssize_t sent = send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  // Also while it is not connected.
  if (errno != EAGAIN) fail_errno("send");
  return 0;
}

}  // namespace weir::bench
