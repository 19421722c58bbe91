// What the epoll and the io_uring backend have in common: the control plane, waking, embedding and
// completions that were ready without asking the kernel.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "weir/reactor/backend.h"
#include "weir/reactor/buffer_pool.h"
#include "weir/reactor/posix.h"
#include "reactor/file_operations.h"
#include "reactor/file_sends.h"
#include "reactor/name_lookups.h"
#include "reactor/zero_copy_sends.h"

namespace weir::inline v1 {

// One record for each fd, or each small number, at a fixed address, grown page by page.
template <class Record>
class PagedTable {
 public:
  Record& operator[](std::size_t number) {
    const std::size_t page = number / kPageRecords;
    const bool known = page < pages_.size() && pages_[page] != nullptr;
    Record* records = known ? pages_[page].get() : add(page);
    return records[number % kPageRecords];
  }

 private:
  static constexpr std::size_t kPageRecords = 256;

  // Apart, so that finding is a few instructions in place.
  [[gnu::noinline]] Record* add(std::size_t page) {
    if (page >= pages_.size()) pages_.resize(page + 1);
    pages_[page] = std::make_unique<Record[]>(kPageRecords);
    return pages_[page].get();
  }

  std::vector<std::unique_ptr<Record[]>> pages_;
};

// Completions that a backend has ready without the kernel, first in, first out.
class LocalCompletions {
 public:
  bool empty() const noexcept { return next_ == waiting_.size(); }
  void push(Completion completion) { waiting_.push_back(std::move(completion)); }
  // Moves at most as many as fit to the front of `batch`.
  std::size_t take(std::span<Completion> batch) noexcept;

 private:
  std::vector<Completion> waiting_;
  std::size_t next_ = 0;
};

class KernelBackend : public Backend {
 public:
  explicit KernelBackend(posix::Fd wake_fd)
      : wake_fd_(std::move(wake_fd)),
        lookups_(wake_fd_.get()),
        files_(*this, local_, wake_fd_.get()),
        file_sends_(*this, local_),
        zero_copy_(*this, local_) {}

  void wake() noexcept override { posix::signal_eventfd(wake_fd_.get()); }
  Instant now() const noexcept override { return posix::now(); }
  std::int64_t unix_seconds() const noexcept override { return posix::unix_seconds(); }
  void random(std::span<std::uint8_t> into) noexcept override { posix::random(into); }
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
  std::int32_t shutdown(int fd, Direction direction) noexcept override;
  void remove_path(const std::string& path) noexcept override;
  void close_file(int fd) noexcept override {
    release(fd);
    ++counters_.system_calls;
    posix::close(fd);
  }
  std::int32_t send_at_once(int fd, std::string_view bytes) noexcept override;
  int event_fd() noexcept override;
  // See BackendOptions. To be set before the first operation.
  void set_file_nowait(bool on) noexcept {
    files_.set_nowait(on);
    file_sends_.set_nowait(on);
  }

  // Of FileSends. A send has failed and so taken the connection's error: a receive is not to take
  // what it sees for a clean end.
  virtual void note_failed_send(int fd) noexcept = 0;
  void count_system_calls(unsigned calls) noexcept { counters_.system_calls += calls; }
  void count_inline_send(unsigned calls) noexcept {
    count_system_calls(calls);
    ++counters_.inline_sends;
  }

 protected:
  // The last completion of an operation: the backend lets go of it.
  void finish(Op& op, std::int32_t result) {
    op.slot = Op::kNoSlot;
    local_.push({.op = &op, .result = result, .more = false, .buffer = {}});
  }

  // As send(2): bytes, or -errno.
  std::int32_t try_send(SendOp& op) noexcept {
    count_inline_send(1);
    return posix::send(op);
  }

  // Lookups of names, sends of files, and sends without a copy where there is no such thing pass
  // the rest of the backend by. False: it is none of them.
  bool submit_elsewhere(Op& op);
  // Likewise; and what was given to files().
  bool cancel_elsewhere(Op& op);
  // What passes the rest by goes on: sends of files, and the answers of threads. Before the backend
  // looks for what it has ready.
  void run_elsewhere();

  // Operations on files, as far as the backend has nothing better.
  FileOperations& files() noexcept { return files_; }
  ZeroCopySends& zero_copy() noexcept { return zero_copy_; }

  // The fd that is readable while the kernel has events for this backend.
  virtual int source_fd() noexcept = 0;
  // Arms the host's alarm clock and forgets earlier readiness; for prepare().
  void prepare_host(Instant until, bool work_left) noexcept;
  int wake_fd() const noexcept { return wake_fd_.get(); }

  // When the kernel is to be entered, half of the batch is left for what it has.
  std::size_t take_local(std::span<Completion> batch) noexcept;

  LocalCompletions local_;
  // True when the last poll() returned without entering the kernel: the next one enters it, so that
  // operations which complete at once cannot keep the kernel's events waiting.
  bool skipped_kernel_ = false;

 private:
  posix::Fd wake_fd_;
  NameLookups lookups_;
  FileOperations files_;
  FileSends file_sends_;
  ZeroCopySends zero_copy_;
  posix::Fd host_fd_;   // an epoll set over source, wake and alarm, made by event_fd()
  posix::Fd alarm_fd_;  // a timerfd
};

}  // namespace weir::inline v1
