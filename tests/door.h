// The backend of the running case without a reactor: operations that note what became of them, and
// means to turn the crank until something has happened.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/backends.h"
#include "weir/reactor/backend.h"

namespace weir::test {

// Bytes that look random; the same seed gives the same ones.
inline std::string noise(std::size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  unsigned state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

// Byte number `at` of an endless stream, so that any part of it can be made and checked.
inline char stream_byte(std::size_t at) {
  return static_cast<char>((at * 2654435761U) >> 13 ^ at);
}

inline std::string stream_part(std::size_t from, std::size_t size) {
  std::string part(size, '\0');
  for (std::size_t i = 0; i < size; ++i) part[i] = stream_byte(from + i);
  return part;
}

inline bool is_stream_part(std::string_view bytes, std::size_t from) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != stream_byte(from + i)) return false;
  }
  return true;
}

// An operation that keeps its results, and fails the test when one comes after the last.
template <class Base>
struct Noted : Base {
  Noted() : Base(on_done) {}

  static void on_done(Op& op, Completion& completion) noexcept {
    auto& mine = static_cast<Noted&>(static_cast<Base&>(op));
    EXPECT_FALSE(mine.ended) << "a result after the last";
    mine.ended = !completion.more;
    mine.results.push_back(completion.result);
    if (mine.handle) mine.handle(completion);
  }

  int last() const { return results.empty() ? 1 : results.back(); }
  // Before it is submitted once more.
  void renew() {
    results.clear();
    ended = false;
  }

  std::vector<int> results;
  bool ended = false;
  std::function<void(Completion&)> handle;
};

using Accept = Noted<AcceptOp>;
using Connect = Noted<ConnectOp>;
using Send = Noted<SendOp>;
using Poll = Noted<PollOp>;

struct ZeroCopySend : Noted<ZeroCopySendOp> {
  bool awaits_release() const { return results.size() == 1 && !ended; }
};

struct Receive : Noted<RecvOp> {
  Receive() {
    handle = [this](Completion& completion) {
      if (completion.result <= 0) {
        EXPECT_FALSE(completion.more);
        return;
      }
      EXPECT_TRUE(completion.more);
      EXPECT_EQ(completion.buffer.size(), static_cast<std::size_t>(completion.result));
      total += completion.buffer.size();
      if (keep_bytes) bytes += completion.buffer.view();
      if (hold) held.push_back(std::move(completion.buffer));
    };
  }
  std::string bytes;
  std::size_t total = 0;
  bool keep_bytes = true;
  bool hold = false;
  std::vector<Buffer> held;
};

// One stream, two ends.
struct Ends {
  int a = -1;
  int b = -1;
};

class DoorTest : public BackendTest {
 protected:
  // The longest wait for what must come; reaching it is a failure. Virtual on the simulator.
  static inline const Duration kPatience = patience(std::chrono::seconds(10));

  void SetUp() override {
    BackendTest::SetUp();
    if (!IsSkipped()) start(GetParam().options);
  }

  void start(const BackendOptions& options) {
    auto chosen = choose_backend(options);
    ASSERT_TRUE(chosen.has_value()) << chosen.error().message();
    backend_ = std::move(chosen->backend);
  }

  // Every operation ends, every fd closes; else the backend is left as it is, and the test fails.
  void TearDown() override {
    if (backend_ == nullptr) return;
    for_all([this](auto& op) {
      op.handle = nullptr;
      backend_->cancel(op);
    });
    for (ZeroCopySend& op : zero_copies_) {
      op.handle = nullptr;
      backend_->cancel(op);
    }
    for (Accept& op : accepts_) {
      op.handle = [this](Completion& completion) {
        if (completion.result >= 0) own(completion.result);
      };
    }
    const bool done = run_until([this] {
      bool idle = true;
      for_all([&](auto& op) { idle = idle && op.idle(); });
      for (const ZeroCopySend& op : zero_copies_) {
        idle = idle && (op.idle() || op.awaits_release());
      }
      return idle;
    });
    if (!done) {
      ADD_FAILURE() << "operations are in flight after cancel()";
      (void)backend_.release();
      return;
    }
    const std::set<int> open = fds_;
    // A reset makes the kernel let go of what it was lent.
    for (const int fd : open) {
      if (zero_copies_.empty()) {
        close(fd);
      } else {
        reset(fd);
      }
    }
    EXPECT_TRUE(run_until([this] {
      return std::ranges::all_of(zero_copies_, [](ZeroCopySend& op) { return op.idle(); });
    })) << "the kernel does not let go of what a reset connection was to send";
    receives_.clear();
    backend_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  Backend& door() { return *backend_; }

  // One poll; hands every completion to its operation.
  std::size_t turn(Instant until = Instant::min()) {
    std::vector<Completion> batch(batch_size_);
    const std::size_t count = backend_->poll(until, batch);
    EXPECT_LE(count, batch_size_);
    for (std::size_t i = 0; i < count; ++i) {
      Completion& completion = batch[i];
      if (!completion.more) completion.op->state = OpState::idle;
      completion.op->done(*completion.op, completion);
    }
    return count;
  }

  [[nodiscard]] bool run_until(const std::function<bool()>& done) {
    const Instant end = backend_->now() + kPatience;
    while (!done()) {
      if (backend_->now() >= end) return false;
      turn(end);
    }
    return true;
  }

  // Polls until several polls in a row have had nothing: whatever was on its way is there. A poll
  // may take no system call, so that the kernel's own threads get their turn by another.
  void settle() {
    for (int quiet = 0; quiet < 50; ++quiet) {
      if (turn() != 0) quiet = 0;
      std::this_thread::yield();
    }
  }

  template <class Kind>
  Kind& submit(Kind& op, int fd) {
    op.fd = fd;
    op.renew();
    backend_->submit(op);
    return op;
  }
  Accept& accept(int fd) { return submit(accepts_.emplace_back(), fd); }
  Receive& receive(int fd) { return submit(receives_.emplace_back(), fd); }
  Connect& connect(int fd, const Address& peer) {
    Connect& op = connects_.emplace_back();
    op.peer = peer;
    return submit(op, fd);
  }
  Poll& watch_hangup(int fd) {
    Poll& op = polls_.emplace_back();
    op.watch_hangup = true;
    return submit(op, fd);
  }
  Poll& poll_once(int fd, std::uint8_t wanted) {
    Poll& op = polls_.emplace_back();
    op.wanted = {wanted};
    return submit(op, fd);
  }
  // The bytes stay the caller's until the result is there.
  Send& send(int fd, std::string_view bytes) {
    Send& op = sends_.emplace_back();
    resend(op, fd, bytes);
    return op;
  }
  void resend(Send& op, int fd, std::string_view bytes) {
    point(op, bytes);
    submit(op, fd);
  }
  // Not submitted.
  Send& prepared_send(int fd, std::string_view bytes) {
    Send& op = sends_.emplace_back();
    point(op, bytes);
    op.fd = fd;
    return op;
  }
  void point(Send& op, std::string_view bytes) {
    iovec& piece = pieces_[&op];
    piece = {.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
    op.pieces = {&piece, 1};
  }
  Send& send_pieces(int fd, std::span<const iovec> pieces) {
    Send& op = sends_.emplace_back();
    op.pieces = pieces;
    return submit(op, fd);
  }

  // The pieces and their bytes stay the caller's until the release.
  ZeroCopySend& zero_copy(int fd, std::span<const iovec> pieces) {
    ZeroCopySend& op = zero_copies_.emplace_back();
    op.pieces = pieces;
    return submit(op, fd);
  }

  int own(int fd) {
    EXPECT_TRUE(fds_.insert(fd).second) << "fd " << fd << " was given out twice";
    return fd;
  }
  int open(const Address& peer) {
    auto fd = backend_->open(peer, {});
    EXPECT_TRUE(fd.has_value()) << fd.error().message();
    return fd ? own(*fd) : -1;
  }
  int listen(const Address& at, int backlog = 511) {
    auto fd = backend_->listen(at, {.backlog = backlog});
    EXPECT_TRUE(fd.has_value()) << fd.error().message();
    return fd ? own(*fd) : -1;
  }
  int listen_tcp(int backlog = 511) { return listen(Address::loopback_ipv4(0), backlog); }
  void close(int fd) {
    EXPECT_EQ(fds_.erase(fd), 1U);
    backend_->close(fd);
  }
  void reset(int fd) {
    EXPECT_EQ(backend_->set(fd, SocketOption::reset_on_close, 1), 0);
    close(fd);
  }

  // Two connected sockets; over a Unix socket when `local`.
  Ends connected(bool local = false) {
    int& listener = local ? local_listener_ : tcp_listener_;
    Accept*& acceptor = local ? local_acceptor_ : tcp_acceptor_;
    if (listener < 0) {
      listener = local ? listen(Address::unix_path(socket_path())) : listen_tcp();
      acceptor = &accept(listener);
    }
    const Address peer = backend_->address(listener, End::local);
    Ends ends{.a = open(peer)};
    const std::size_t before = acceptor->results.size();
    Connect& connecting = connect(ends.a, peer);
    EXPECT_TRUE(run_until(
        [&] { return connecting.ended && acceptor->results.size() > before; }));
    EXPECT_EQ(connecting.last(), 0);
    if (acceptor->results.size() > before) ends.b = own(acceptor->last());
    if (connecting.ended) connects_.pop_back();
    return ends;
  }

  // Sends it all, however many operations that takes.
  [[nodiscard]] bool send_all(int fd, std::string_view bytes) {
    Send& op = sends_.emplace_back();
    while (!bytes.empty()) {
      resend(op, fd, bytes);
      if (!run_until([&] { return op.ended; }) || op.last() < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(op.last()));
    }
    return true;
  }

  std::string socket_path() {
    if (directory_.empty()) {
      char name[] = "/tmp/weir-door-XXXXXX";
      directory_ = mkdtemp(name);
    }
    return directory_ + "/s" + std::to_string(++paths_);
  }

  std::size_t batch_size_ = limits::kCompletionsPerTurnMax;

 private:
  template <class Call>
  void for_all(Call call) {
    for (auto& op : accepts_) call(op);
    for (auto& op : connects_) call(op);
    for (auto& op : receives_) call(op);
    for (auto& op : sends_) call(op);
    for (auto& op : polls_) call(op);
  }

  std::unique_ptr<Backend> backend_;
  std::deque<Accept> accepts_;
  std::deque<Connect> connects_;
  std::deque<Receive> receives_;
  std::deque<Send> sends_;
  std::deque<Poll> polls_;
  std::deque<ZeroCopySend> zero_copies_;
  std::map<const Send*, iovec> pieces_;
  std::set<int> fds_;
  int tcp_listener_ = -1;
  int local_listener_ = -1;
  Accept* tcp_acceptor_ = nullptr;
  Accept* local_acceptor_ = nullptr;
  std::string directory_;
  int paths_ = 0;
};

}  // namespace weir::test
