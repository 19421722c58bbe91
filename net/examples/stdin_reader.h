// Standard input for a reactor's program, whatever it is: a terminal, a pipe or a file.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "weir/reactor/reactor.h"

namespace weir::example {

// A thread reads with read(2), which blocks, and posts the bytes. The descriptor is left as it is:
// O_NONBLOCK would hit everybody who shares it, the shell for one, and epoll refuses files.
// One piece is under way at a time, so what the program does not take stays where it comes from.
//
// Owner and thread: the reactor's; it goes before the reactor, and not in its own handler. The
// thread may be left waiting for input that never comes, and then ends with the process.
class StdinReader {
 public:
  // Keeps run() going until the input has ended. It reads `fd`, for tests another than 0.
  StdinReader(Reactor& reactor, Function<void(std::string)> on_input, int fd = STDIN_FILENO)
      : on_input_(std::move(on_input)), keep_(reactor) {
    shared_->reader = this;
    shared_->reactor = &reactor;
    shared_->fd = fd;
    std::thread(&StdinReader::read_all, shared_).detach();
  }
  ~StdinReader() { close(); }
  StdinReader(const StdinReader&) = delete;
  StdinReader& operator=(const StdinReader&) = delete;

  // To be set before run().
  void on_end(Function<void()> call) { on_end_ = std::move(call); }
  // No input after pause() has returned.
  void pause() { set_paused(true); }
  void resume() { set_paused(false); }
  void close() {
    keep_.reset();
    const std::lock_guard lock(shared_->mutex);
    shared_->reader = nullptr;
    shared_->changed.notify_all();
  }

 private:
  static constexpr std::size_t kPieceBytes = 65536;

  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    StdinReader* reader;  // null: closed, and the reactor may be gone
    Reactor* reactor;
    int fd;
    std::string piece;    // under way; empty: the input has ended
    bool under_way = false;
    bool paused = false;
  };

  void set_paused(bool paused) {
    const std::lock_guard lock(shared_->mutex);
    shared_->paused = paused;
    shared_->changed.notify_all();
  }

  static void read_all(std::shared_ptr<Shared> shared) {
    bool more = true;
    while (more) {
      std::string piece = read_some(shared->fd);
      more = !piece.empty() && hand_over(shared, std::move(piece));
    }
    hand_over(shared, {});
  }

  // Waits for input; empty at its end, which an error is, too.
  static std::string read_some(int fd) {
    std::string piece(kPieceBytes, '\0');
    for (;;) {
      const ssize_t size = ::read(fd, piece.data(), piece.size());
      if (size >= 0) return piece.substr(0, static_cast<std::size_t>(size));
      if (errno == EAGAIN) {  // somebody else has made it non-blocking
        pollfd readable = {.fd = fd, .events = POLLIN, .revents = 0};
        ::poll(&readable, 1, -1);
      } else if (errno != EINTR) {
        return {};
      }
    }
  }

  // On the thread: returns when the program has had the piece, false when it wants no more.
  static bool hand_over(const std::shared_ptr<Shared>& shared, std::string piece) {
    std::unique_lock lock(shared->mutex);
    const auto closed = [&] { return shared->reader == nullptr; };
    shared->changed.wait(lock, [&] { return closed() || !shared->paused; });
    shared->piece = std::move(piece);
    shared->under_way = true;
    // A full queue says nothing when it has room again.
    while (!closed() && !shared->reactor->post([shared] { take(*shared); })) {
      shared->changed.wait_for(lock, std::chrono::milliseconds(1), closed);
    }
    shared->changed.wait(lock, [&] { return closed() || !shared->under_way; });
    return !closed();
  }

  // On the reactor's thread.
  static void take(Shared& shared) {
    std::unique_lock lock(shared.mutex);
    StdinReader* const reader = shared.reader;
    if (reader == nullptr) return;
    std::string piece = std::move(shared.piece);
    lock.unlock();
    if (piece.empty()) {
      reader->keep_.reset();
      if (reader->on_end_) reader->on_end_();
    } else {
      reader->on_input_(std::move(piece));
    }
    lock.lock();
    shared.under_way = false;
    shared.changed.notify_all();
  }

  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  Function<void(std::string)> on_input_;
  Function<void()> on_end_;
  std::optional<WorkGuard> keep_;
};

}  // namespace weir::example
