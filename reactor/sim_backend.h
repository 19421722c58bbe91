// The simulated backend: a virtual clock and an in-memory network, public, so that users test
// their services with it as weir tests itself.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "weir/reactor/backend.h"
#include "weir/reactor/buffer_pool.h"

namespace weir::inline v1 {

// How the simulator finds names; others are ENOTFOUND. Addresses are numeric.
using SimHosts = std::map<std::string, std::vector<std::string>, std::less<>>;

struct SimOptions {
  std::size_t window_bytes = 256 * 1024;  // received but unread bytes that a socket holds
  std::size_t receive_memory_max = limits::kReceiveMemoryMaxDefault;
  Instant start{};
  std::int64_t unix_seconds_at_start = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
  SimHosts hosts = {{"localhost", {"127.0.0.1", "::1"}}};
};

// Everything happens in the order in which it was asked for, so the same program gives the same
// events. The clock moves only when nothing can happen before the next deadline; then it jumps. The
// network is perfect: nothing is late, cut short or lost. It has TCP with a receive window, FIN,
// RST and half-open connections, and Unix sockets; connecting to 192.0.2.0/24 (RFC 5737) is never
// answered. Names come from a host table. Its fds are numbers of its own.
//
// Owner thread only, but for wake(). With no deadline and nothing to do, poll() waits for wake().
class SimBackend final : public Backend {
 public:
  explicit SimBackend(SimOptions options = {});
  ~SimBackend() override;

  BackendKind kind() const noexcept override { return BackendKind::sim; }
  void submit(Op& op) noexcept override;
  void cancel(Op& op) noexcept override;
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override;
  void wake() noexcept override;
  Instant now() const noexcept override { return now_; }
  std::int64_t unix_seconds() const noexcept override {
    return options_.unix_seconds_at_start +
           std::chrono::duration_cast<std::chrono::seconds>(now_ - options_.start).count();
  }
  Expected<int> open(const Address& peer, const Address& local) noexcept override;
  Expected<int> listen(const Address& at, const ListenOptions& options) noexcept override;
  Expected<void> adopt_stream(int fd) noexcept override;
  Expected<void> adopt_listener(int fd, int backlog) noexcept override;
  Address address(int fd, End end) const noexcept override;
  Expected<PeerCredentials> peer_credentials(int fd) const noexcept override;
  std::int32_t receive_with_descriptors(int fd, std::span<char> room,
                                        std::vector<int>& descriptors) noexcept override;
  int set(int fd, SocketOption option, int value) noexcept override;
  int get(int fd, SocketFact fact) const noexcept override;
  void shutdown(int fd, Direction direction) noexcept override;
  void remove_path(const std::string& path) noexcept override;
  void release(int fd) noexcept override;
  void close(int fd) noexcept override;
  int event_fd() noexcept override { return -1; }
  void prepare(Instant) noexcept override {}
  std::size_t live_chunks() const noexcept override { return pool_->live_chunks(); }
  bool memory_in_demand() const noexcept override { return pool_->in_demand(); }

  // Two connected stream sockets, like socketpair(2), for programs that play a foreign library.
  std::pair<int, int> make_pair();
  // Plain non-blocking calls on a simulated fd: bytes moved, 0 at the end, -EAGAIN, -ECONNRESET.
  int read(int fd, std::span<char> room) noexcept;
  int write(int fd, std::string_view bytes) noexcept;
  // What host names mean from now on.
  void set_hosts(SimHosts hosts) { options_.hosts = std::move(hosts); }
  // Sockets and listeners that are open.
  std::size_t open_fds() const noexcept { return sockets_.size(); }

 private:
  struct Socket;
  struct Disown {
    void operator()(BufferPool* pool) const noexcept { pool->disown(); }
  };

  Socket& socket(int fd) const noexcept;
  Socket* peer_of(const Socket& socket) const noexcept;
  int new_fd(std::unique_ptr<Socket> socket);
  std::uint16_t free_port() noexcept;
  Socket* find_listener(const Address& at) const noexcept;
  void connect_pair(Socket& a, Socket& b) noexcept;
  void touch(Socket& socket) noexcept;
  bool attempt(Op& op, Completion& out) noexcept;
  bool attempt_accept(Op& op, Socket& socket, Completion& out) noexcept;
  bool attempt_connect(ConnectOp& op, Socket& socket, Completion& out) noexcept;
  bool attempt_recv(Op& op, Socket& socket, Completion& out) noexcept;
  bool attempt_send(SendOp& op, Socket& socket, Completion& out) noexcept;
  bool attempt_poll(PollOp& op, Socket& socket, Completion& out) noexcept;
  bool attempt_resolve(ResolveOp& op, Completion& out) noexcept;
  std::int32_t put(Socket& from, std::span<const iovec> pieces) noexcept;
  void pass(Socket& from, int fd, std::uint64_t position);
  void drop_passed(Socket& socket) noexcept;
  void reset_peer(Socket& socket) noexcept;
  bool last(Op& op, std::int32_t result, Completion& out) noexcept;

  SimOptions options_;
  Instant now_;
  std::unique_ptr<BufferPool, Disown> pool_;
  ReceiveArena arena_;
  std::map<int, std::unique_ptr<Socket>> sockets_;
  std::map<std::string, int> paths_;  // files of Unix sockets; the fd of the listener, or -1
  IntrusiveList<Op> attempts_;
  IntrusiveList<Op> starved_;
  IntrusiveList<Op> blocked_connects_;  // to listeners whose backlog is full
  std::uint64_t returned_seen_ = 0;
  static constexpr std::uint16_t kFirstFreePort = 40000;
  std::uint16_t next_port_ = kFirstFreePort;

  std::mutex wake_mutex_;
  std::condition_variable woken_;
  bool wake_pending_ = false;
};

}  // namespace weir::inline v1
