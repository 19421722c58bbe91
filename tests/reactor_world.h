// A reactor on the backend of the running case, with the backend at hand.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "tests/backends.h"

namespace weir::test {

// The longest that a test waits for an event that must come; reaching it is a failure, never a
// result. Virtual on the simulator.
inline const Duration kReactorPatience = patience(std::chrono::seconds(20));

class ReactorTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (!IsSkipped()) remake({});
  }

  // A new reactor, with options of its own.
  void remake(ReactorOptions options) {
    reactor_.reset();
    std::unique_ptr<Backend> backend = make_backend();
    sim_ = dynamic_cast<SimBackend*>(backend.get());
    reactor_ = std::make_unique<Reactor>(std::move(backend), std::move(options));
  }

  Reactor& reactor() { return *reactor_; }
  void destroy_reactor() { reactor_.reset(); }

  // Turns until `done` says so. False when that takes too long.
  bool run_until(const std::function<bool()>& done) {
    const Instant end = reactor().now() + kReactorPatience;
    while (!done()) {
      if (reactor().now() >= end) return false;
      reactor().run_once(end);
    }
    return true;
  }

  // What a foreign library does with its fds: sockets of the kernel, or of the simulator.
  std::pair<int, int> make_pair() {
    if (sim_ != nullptr) return sim_->make_pair();
    int fds[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    return {fds[0], fds[1]};
  }
  std::ptrdiff_t read_some(int fd, std::span<char> room) {
    if (sim_ != nullptr) return sim_->read(fd, room);
    const ssize_t size = ::read(fd, room.data(), room.size());
    return size < 0 ? -errno : size;
  }
  std::ptrdiff_t write_some(int fd, std::string_view bytes) {
    if (sim_ != nullptr) return sim_->write(fd, bytes);
    const ssize_t size = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return size < 0 ? -errno : size;
  }
  void close_fd(int fd) {
    if (sim_ != nullptr) {
      sim_->close(fd);
    } else {
      ::close(fd);
    }
  }

  SimBackend* sim_ = nullptr;

 private:
  std::unique_ptr<Reactor> reactor_;
};

}  // namespace weir::test
