// Another backend, with one or two calls replaced by those of a test.
#pragma once

#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "weir/reactor/backend.h"

namespace weir::test {

class RelayBackend : public Backend {
 public:
  explicit RelayBackend(std::unique_ptr<Backend> behind) : behind_(std::move(behind)) {}

  BackendKind kind() const noexcept override { return behind_->kind(); }
  void submit(Op& op) noexcept override { behind_->submit(op); }
  void cancel(Op& op) noexcept override { behind_->cancel(op); }
  // All sends go through submit(), where a test may hold them.
  std::size_t send_or_submit(SendOp& op) noexcept override {
    submit(op);
    return 0;
  }
  std::int32_t send_at_once(int, std::string_view) noexcept override { return -EAGAIN; }
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override {
    return behind_->poll(until, batch);
  }
  void run_begins() noexcept override { behind_->run_begins(); }
  void run_ends() noexcept override { behind_->run_ends(); }
  void wake() noexcept override { behind_->wake(); }
  Instant now() const noexcept override { return behind_->now(); }
  std::int64_t unix_seconds() const noexcept override { return behind_->unix_seconds(); }
  void random(std::span<std::uint8_t> into) noexcept override { behind_->random(into); }
  Expected<int> open(const Address& peer, const Address& local) noexcept override {
    return behind_->open(peer, local);
  }
  Expected<int> listen(const Address& at, const ListenOptions& options) noexcept override {
    return behind_->listen(at, options);
  }
  Expected<void> adopt_stream(int fd) noexcept override { return behind_->adopt_stream(fd); }
  Expected<void> adopt_listener(int fd, int backlog) noexcept override {
    return behind_->adopt_listener(fd, backlog);
  }
  Address address(int fd, End end) const noexcept override { return behind_->address(fd, end); }
  Expected<PeerCredentials> peer_credentials(int fd) const noexcept override {
    return behind_->peer_credentials(fd);
  }
  std::int32_t receive_with_descriptors(int fd, std::span<char> room,
                                        std::vector<int>& descriptors) noexcept override {
    return behind_->receive_with_descriptors(fd, room, descriptors);
  }
  int set(int fd, SocketOption option, int value) noexcept override {
    return behind_->set(fd, option, value);
  }
  int get(int fd, SocketFact fact) const noexcept override { return behind_->get(fd, fact); }
  std::int32_t shutdown(int fd, Direction direction) noexcept override {
    return behind_->shutdown(fd, direction);
  }
  void remove_path(const std::string& path) noexcept override { behind_->remove_path(path); }
  void release(int fd) noexcept override { behind_->release(fd); }
  void close(int fd) noexcept override { behind_->close(fd); }
  Datagrams& datagrams() noexcept override { return behind_->datagrams(); }
  void close_file(int fd) noexcept override { behind_->close_file(fd); }
  int event_fd() noexcept override { return behind_->event_fd(); }
  void prepare(Instant until) noexcept override { behind_->prepare(until); }
  std::size_t live_chunks() const noexcept override { return behind_->live_chunks(); }
  bool memory_in_demand() const noexcept override { return behind_->memory_in_demand(); }
  void trim_memory() noexcept override { behind_->trim_memory(); }

 private:
  std::unique_ptr<Backend> behind_;
};

}  // namespace weir::test
