// Many connections to an echo server at once, each with bytes of its own in random pieces, that end
// in every way; what comes back is compared byte for byte.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/random.h"
#include "tests/raw_client.h"

namespace weir::test {

struct TrafficOptions {
  std::size_t connections = 1000;
  std::uint64_t bytes = 0;        // it ends when so many have come back, and `until` says so too
  std::size_t size_max = 64 << 10;  // of a connection
  std::size_t piece_max = 16 << 10;
  bool resets = true;             // by the client, now and then
};

class EchoTraffic {
 public:
  EchoTraffic(std::uint16_t port, const TrafficOptions& options, Random& random)
      : port_(port), options_(options), random_(random) {
    source_.resize(kSourceBytes + options.size_max);
    for (char& byte : source_) byte = static_cast<char>(random.next());
    room_.resize(options.piece_max);
  }

  // Until enough has come back; then every connection is finished. False behind the first mistake.
  template <class Until>
  bool run(Until&& until) {
    for (std::size_t i = 0; i < options_.connections; ++i) talks_.push_back(begin());
    std::vector<pollfd> set;
    while (!talks_.empty()) {
      set.clear();
      for (const auto& talk : talks_) set.push_back(talk->interest());
      if (poll(set.data(), set.size(), 20'000) <= 0) return fail("nothing moves any more");
      const bool enough = bytes_ >= options_.bytes && until();
      for (std::size_t i = talks_.size(); i-- > 0;) {
        if (set[i].revents != 0 && !step(*talks_[i], set[i].revents)) return false;
        if (!talks_[i]->over) continue;
        ++ended_;
        if (enough) {
          std::swap(talks_[i], talks_.back());
          talks_.pop_back();
        } else {
          talks_[i] = begin();
        }
      }
    }
    return true;
  }
  bool run() {
    return run([] { return true; });
  }

  // Any thread. That came back, all of them right.
  std::uint64_t bytes() const { return bytes_; }
  // Connections that are over: ended in order, and reset.
  std::size_t ended() const { return ended_; }
  std::size_t reset() const { return reset_; }

 private:
  static constexpr std::size_t kSourceBytes = 1 << 20;

  struct Talk {
    RawClient client;
    const char* bytes;
    std::size_t size;
    std::size_t reset_at;  // of received bytes; beyond size: never
    std::size_t sent = 0;
    std::size_t received = 0;
    bool over = false;

    pollfd interest() const {
      const int events = sent < size ? POLLIN | POLLOUT : POLLIN;
      return {.fd = client.fd(), .events = static_cast<short>(events), .revents = 0};
    }
  };

  std::unique_ptr<Talk> begin() {
    RawClient client(port_);
    EXPECT_TRUE(client.connected()) << errno;
    fcntl(client.fd(), F_SETFL, O_NONBLOCK);
    const std::size_t size = random_.below(options_.size_max) + 1;
    const bool is_reset = options_.resets && random_.once_in(4);
    auto talk = std::make_unique<Talk>(std::move(client),
                                       source_.data() + random_.below(kSourceBytes), size,
                                       is_reset ? random_.below(size) : size + 1);
    send_some(*talk);
    return talk;
  }

  void send_some(Talk& talk) {
    const std::size_t most = random_.once_in(4) ? 64 : options_.piece_max;
    const std::size_t piece = std::min(1 + random_.below(most), talk.size - talk.sent);
    const ssize_t now =
        send(talk.client.fd(), talk.bytes + talk.sent, piece, MSG_NOSIGNAL);
    if (now > 0) talk.sent += static_cast<std::size_t>(now);
    // The FIN goes out while the server still has bytes to send.
    if (talk.sent == talk.size) talk.client.end();
  }

  bool step(Talk& talk, short events) {
    if ((events & POLLOUT) != 0 && talk.sent < talk.size) send_some(talk);
    if ((events & (POLLIN | POLLERR | POLLHUP)) == 0) return true;
    const std::size_t piece = 1 + random_.below(room_.size());
    const ssize_t now = recv(talk.client.fd(), room_.data(), piece, 0);
    if (now < 0) return errno == EAGAIN || fail(std::string("recv: ") + std::strerror(errno));
    if (now == 0) {
      talk.over = true;
      return talk.received == talk.size ||
             fail("the end after " + std::to_string(talk.received) + " bytes of " +
                  std::to_string(talk.size));
    }
    const auto size = static_cast<std::size_t>(now);
    if (size > talk.sent - talk.received ||
        std::memcmp(room_.data(), talk.bytes + talk.received, size) != 0) {
      return fail("wrong bytes behind " + std::to_string(talk.received));
    }
    talk.received += size;
    bytes_ += size;
    if (talk.received > talk.reset_at) {
      talk.client.reset();
      talk.over = true;
      ++reset_;
    }
    return true;
  }

  static bool fail(const std::string& why) {
    ADD_FAILURE() << why;
    return false;
  }

  const std::uint16_t port_;
  const TrafficOptions options_;
  Random& random_;
  std::string source_;
  std::string room_;
  std::vector<std::unique_ptr<Talk>> talks_;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::size_t ended_ = 0;
  std::size_t reset_ = 0;
};

}  // namespace weir::test
