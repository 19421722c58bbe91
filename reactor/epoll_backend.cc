#include "reactor/epoll_backend.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "reactor/kernel_backend.h"
#include "reactor/kernel_datagrams.h"

namespace weir::inline v1 {
namespace {

// Every fd is registered once, for everything, edge-triggered, and never modified: what is true of
// it is kept as bits, and an operation is attempted when its bit is set.
constexpr std::uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
// But for datagrams, until somebody polls for room to send: what comes while the queue is being
// read is an edge that is stale when it is told, and only when nothing else is true, as being
// writable always is, does epoll_wait(2) see that and sleep on.
constexpr std::uint32_t kDatagramInterest = EPOLLIN | EPOLLET;
// After one of these a short read does not prove that the queue is empty: the mark or the FIN may
// share its edge with data, so reading goes on until EAGAIN.
constexpr std::uint32_t kReadToTheEnd = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;

constexpr std::uint64_t kWakeMark = ~std::uint64_t{0};

// What is noted of an fd. An idle connection has one: its size counts.
struct Entry {
  Op* reader = nullptr;  // accept, recv or datagrams
  Op* writer = nullptr;  // connect or send
  Op* poller = nullptr;
  std::uint32_t generation = 0;
  std::uint16_t more_pollers = 0;  // beside `poller`, in more_pollers_
  Events hangup;  // peer_closed, hangup, error as seen so far
  bool registered : 1 = false;
  bool input_only : 1 = false;  // registered, for kDatagramInterest
  bool in_ready : 1 = false;
  bool out_ready : 1 = false;
  bool short_read_empties : 1 = false;  // a TCP socket
  bool read_to_the_end : 1 = false;
  bool send_failed : 1 = false;  // and has taken the connection's error: a receive sees an end only
  bool starved : 1 = false;  // the reader found the pool dry; if it is linked, in starved_

  bool in_use() const noexcept { return reader != nullptr || !only_reads(); }
  bool only_reads() const noexcept {
    return writer == nullptr && poller == nullptr && more_pollers == 0;
  }
};
static_assert(sizeof(Entry) == 32);

Events hangup_of(std::uint32_t bits) noexcept {
  Events events;
  if ((bits & EPOLLRDHUP) != 0) events.bits |= Events::peer_closed;
  if ((bits & EPOLLHUP) != 0) events.bits |= Events::hangup;
  if ((bits & EPOLLERR) != 0) events.bits |= Events::error;
  return events;
}

class EpollBackend final : public KernelBackend {
 public:
  EpollBackend(posix::Fd epoll, posix::Fd wake, BufferPool* pool) noexcept
      : KernelBackend(std::move(wake)), epoll_(std::move(epoll)), pool_(pool), arena_(*pool) {}

  BackendKind kind() const noexcept override { return BackendKind::epoll; }
  void submit(Op& op) noexcept override;
  void cancel(Op& op) noexcept override;
  std::size_t send_or_submit(SendOp& op) noexcept override;
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override;
  void release(int fd) noexcept override;
  void close(int fd) noexcept override;
  void prepare(Instant until) noexcept override;
  std::size_t live_chunks() const noexcept override { return pool_->live_chunks(); }
  bool memory_in_demand() const noexcept override { return pool_->in_demand(); }
  void trim_memory() noexcept override { pool_->trim(); }
  Datagrams& datagrams() noexcept override { return datagrams_; }
  void note_failed_send(int fd) noexcept override { entries_[fd].send_failed = true; }

 protected:
  int source_fd() noexcept override { return epoll_.get(); }

 private:
  // The arena goes before the pool lets go.
  struct Disown {
    void operator()(BufferPool* pool) const noexcept { pool->disown(); }
  };

  int watch(const Op& op, Entry& entry) noexcept;
  void submit_connect(ConnectOp& op, Entry& entry) noexcept;
  void submit_poll(PollOp& op, Entry& entry) noexcept;
  void attempt_send(SendOp& op, Entry& entry) noexcept;
  void send_tried(SendOp& op, Entry& entry, std::int32_t result) noexcept;
  void wait(Instant until) noexcept;
  void note_input(Entry& entry) noexcept;
  void note_events(const epoll_event& event) noexcept;
  void report_to_pollers(int fd, Entry& entry, bool hangup_is_news) noexcept;
  void report(PollOp& poller, Entry& entry, bool hangup_is_news) noexcept;
  void drop_poller(Op& op, Entry& entry) noexcept;
  void end_starved(Entry& entry) noexcept;
  void finish_connect(Entry& entry) noexcept;
  std::size_t run_attempts(std::span<Completion> batch) noexcept;
  bool attempt(Op& op, Completion& completion) noexcept;
  bool attempt_accept(Op& op, Entry& entry, Completion& completion) noexcept;
  bool attempt_receive(Op& op, Entry& entry, Completion& completion) noexcept;
  bool end_reader(Op& op, Entry& entry, std::int32_t result, Completion& completion) noexcept;

  posix::Fd epoll_;
  std::unique_ptr<BufferPool, Disown> pool_;
  ReceiveArena arena_;
  KernelDatagrams datagrams_{counters_};
  PagedTable<Entry> entries_;
  IntrusiveList<Op> attempts_;  // readers whose fd is ready
  IntrusiveList<Op> starved_;   // receives that found the pool dry
  IntrusiveList<Op> more_pollers_;  // polls of fds that have one already
  std::uint64_t returned_seen_ = 0;
};

// 0, or -errno. EPERM means a file that is always ready, which epoll refuses.
int EpollBackend::watch(const Op& op, Entry& entry) noexcept {
  const bool input_only = op.kind == OpKind::datagrams;
  if (entry.registered && (input_only || !entry.input_only)) return 0;
  epoll_event event{.events = input_only ? kDatagramInterest : kInterest,
                    .data = {.u64 = (std::uint64_t{entry.generation} << 32) |
                                    static_cast<std::uint32_t>(op.fd)}};
  const int change = entry.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  ++counters_.system_calls;
  if (::epoll_ctl(epoll_.get(), change, op.fd, &event) != 0) return -errno;
  entry.input_only = input_only;
  if (entry.registered) return 0;
  entry.registered = true;
  entry.out_ready = true;  // to be tried; EAGAIN corrects it
  entry.short_read_empties = posix::is_tcp(op.fd);
  return 0;
}

void EpollBackend::submit(Op& op) noexcept {
  WEIR_ASSERT(op.idle());
  op.state = OpState::submitted;
  if (submit_elsewhere(op)) return;
  if (is_of_file(op.kind)) return files().submit(op);
  WEIR_ASSERT(op.fd >= 0);
  op.slot = static_cast<std::uint32_t>(op.fd);
  Entry& entry = entries_[op.fd];
  if (op.kind == OpKind::connect) return submit_connect(static_cast<ConnectOp&>(op), entry);
  const int refused = watch(op, entry);
  // EPERM: a file, which is always ready and says so when polled.
  const bool pollable = refused == 0 || refused == -EPERM;
  if (op.kind == OpKind::poll && pollable) return submit_poll(static_cast<PollOp&>(op), entry);
  if (refused != 0) return finish(op, refused);
  if (op.kind == OpKind::send) {
    WEIR_ASSERT(entry.writer == nullptr);
    entry.writer = &op;
    if (entry.out_ready) attempt_send(static_cast<SendOp&>(op), entry);
    return;
  }
  WEIR_ASSERT(entry.reader == nullptr);
  entry.reader = &op;
  if (entry.in_ready) attempts_.push_back(op);
}

// The fd is registered only after connect(2): before it, it would report a hangup.
void EpollBackend::submit_connect(ConnectOp& op, Entry& entry) noexcept {
  const std::uint32_t size = posix::to_system(op.peer, op.scratch);
  ++counters_.system_calls;
  int result = size == 0 ? -EINVAL : posix::connect(op.fd, op.scratch, size);
  if (result == -EINPROGRESS) {
    result = watch(op, entry);
    if (result == 0) {
      entry.writer = &op;
      return;
    }
  }
  finish(op, result);
}

// Level-triggered on top of edges: the state now, and else at the next edge.
void EpollBackend::submit_poll(PollOp& op, Entry& entry) noexcept {
  if (entry.poller == nullptr) {
    entry.poller = &op;
  } else {
    ++entry.more_pollers;
    WEIR_ASSERT(entry.more_pollers != 0);
    more_pollers_.push_back(op);
  }
  report_to_pollers(op.fd, entry, true);
}

void EpollBackend::report_to_pollers(int fd, Entry& entry, bool hangup_is_news) noexcept {
  if (entry.poller != nullptr) {
    report(static_cast<PollOp&>(*entry.poller), entry, hangup_is_news);
  }
  if (entry.more_pollers == 0) return;
  more_pollers_.for_each([&](Op& op) {
    if (op.fd == fd) report(static_cast<PollOp&>(op), entry, hangup_is_news);
  });
}

void EpollBackend::report(PollOp& poller, Entry& entry, bool hangup_is_news) noexcept {
  if (poller.watch_hangup) {
    if (entry.hangup.bits == 0 || !hangup_is_news) return;
    local_.push({.op = &poller, .result = entry.hangup.bits, .more = true});
    return;
  }
  ++counters_.system_calls;
  const Events now = posix::poll_now(poller.fd, poller.wanted);
  if (now.bits == 0) return;
  drop_poller(poller, entry);
  finish(poller, now.bits);
}

void EpollBackend::drop_poller(Op& op, Entry& entry) noexcept {
  if (entry.poller == &op) {
    entry.poller = nullptr;
  } else if (op.linked()) {
    --entry.more_pollers;
    op.unlink();
  }
}

std::size_t EpollBackend::send_or_submit(SendOp& op) noexcept {
  Entry& entry = entries_[op.fd];
  WEIR_ASSERT(op.idle() && entry.writer == nullptr);
  if (!entry.registered || entry.input_only || !entry.out_ready) {
    submit(op);
    return 0;
  }
  const std::int32_t result = try_send(op);
  if (result > 0) {
    ++counters_.completions;
    return static_cast<std::size_t>(result);
  }
  op.state = OpState::submitted;
  op.slot = static_cast<std::uint32_t>(op.fd);
  entry.writer = &op;
  send_tried(op, entry, result);
  return 0;
}

void EpollBackend::attempt_send(SendOp& op, Entry& entry) noexcept {
  send_tried(op, entry, try_send(op));
}

void EpollBackend::send_tried(SendOp& op, Entry& entry, std::int32_t result) noexcept {
  if (result == -EAGAIN) {
    entry.out_ready = false;
    return;
  }
  if (result < 0) entry.send_failed = true;
  entry.writer = nullptr;
  finish(op, result);
}

void EpollBackend::cancel(Op& op) noexcept {
  if (op.slot == Op::kNoSlot || op.state != OpState::submitted) return;
  op.state = OpState::cancelling;
  if (cancel_elsewhere(op)) return;
  Entry& entry = entries_[op.fd];
  if (entry.reader == &op) entry.reader = nullptr;
  if (entry.writer == &op) entry.writer = nullptr;
  if (op.kind == OpKind::poll) drop_poller(op, entry);
  op.unlink();
  finish(op, -ECANCELED);
}

std::size_t EpollBackend::poll(Instant until, std::span<Completion> batch) noexcept {
  run_elsewhere();
  std::size_t count = local_.empty() ? 0 : take_local(batch);
  if (count != 0 && !skipped_kernel_) {
    skipped_kernel_ = true;
    counters_.completions += count;
    return count;
  }
  skipped_kernel_ = false;
  if (!starved_.empty() && pool_->returned() != returned_seen_) attempts_.splice_back(starved_);
  returned_seen_ = pool_->returned();
  wait(count != 0 || !attempts_.empty() ? Instant::min() : until);
  count += run_attempts(batch.subspan(count));
  if (!local_.empty()) count += local_.take(batch.subspan(count));
  counters_.completions += count;
  return count;
}

void EpollBackend::wait(Instant until) noexcept {
  epoll_event events[limits::kCompletionsPerTurnMax];
  constexpr int kEventsMax = static_cast<int>(std::size(events));
  ++counters_.system_calls;
  int count = 0;
  const Duration left = until == kNever || until == Instant::min() ? Duration::zero()
                                                                   : until - posix::now();
  if (until == kNever) {
    count = ::epoll_wait(epoll_.get(), events, kEventsMax, -1);
  } else if (left <= Duration::zero()) {
    count = ::epoll_wait(epoll_.get(), events, kEventsMax, 0);
  } else if (left >= std::chrono::milliseconds(1)) {
    // Rounded down, so never late; a rest below a millisecond is waited for exactly.
    const auto whole = std::min<std::int64_t>(left / std::chrono::milliseconds(1), 1 << 30);
    count = ::epoll_wait(epoll_.get(), events, kEventsMax, static_cast<int>(whole));
  } else {
    const timespec rest{.tv_sec = 0, .tv_nsec = left.count()};
    count = ::epoll_pwait2(epoll_.get(), events, kEventsMax, &rest, nullptr);
    // A sandbox may refuse what it does not know: then a little late.
    if (count < 0 && errno != EINTR) count = ::epoll_wait(epoll_.get(), events, kEventsMax, 1);
  }
  for (int i = 0; i < count; ++i) note_events(events[i]);
}

void EpollBackend::note_input(Entry& entry) noexcept {
  entry.in_ready = true;
  if (entry.reader != nullptr && !entry.reader->linked()) attempts_.push_back(*entry.reader);
}

// Turns raw events into bits before any user code runs, so that none of them can be stale.
void EpollBackend::note_events(const epoll_event& event) noexcept {
  if (event.data.u64 == kWakeMark) return;
  const int fd = static_cast<int>(event.data.u64 & 0xffffffff);
  Entry& entry = entries_[fd];
  if (entry.generation != event.data.u64 >> 32) return;
  const std::uint32_t bits = event.events;
  // Nearly always: there are bytes, and room as ever.
  if ((bits & ~EPOLLOUT) == EPOLLIN && entry.out_ready && entry.only_reads()) {
    return note_input(entry);
  }
  const std::uint8_t known = std::exchange(
      entry.hangup.bits, static_cast<std::uint8_t>(entry.hangup.bits | hangup_of(bits).bits));
  if ((bits & kReadToTheEnd) != 0) entry.read_to_the_end = true;
  if ((bits & EPOLLERR) != 0 && entry.reader != nullptr && entry.starved) end_starved(entry);
  if ((bits & (EPOLLIN | kReadToTheEnd)) != 0) note_input(entry);
  if ((bits & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    entry.out_ready = true;
    if (entry.writer != nullptr) {
      if (entry.writer->kind == OpKind::connect) {
        finish_connect(entry);
      } else {
        attempt_send(static_cast<SendOp&>(*entry.writer), entry);
      }
    }
  }
  report_to_pollers(fd, entry, entry.hangup.bits != known);
}

// A receive that waits for memory learns of a reset at once.
void EpollBackend::end_starved(Entry& entry) noexcept {
  Op& op = *std::exchange(entry.reader, nullptr);
  op.unlink();
  entry.starved = false;
  const int error = posix::get_fact(op.fd, SocketFact::pending_error);
  finish(op, error > 0 ? -error : -ECONNRESET);
}

void EpollBackend::finish_connect(Entry& entry) noexcept {
  Op& op = *std::exchange(entry.writer, nullptr);
  ++counters_.system_calls;
  const int error = posix::get_fact(op.fd, SocketFact::pending_error);
  // What a refused connection left behind must not be taken for its successor's state.
  if (error != 0) entry.hangup.bits = 0;
  finish(op, error > 0 ? -error : error);
}

// Round robin: an operation that stays ready goes to the end of the list after one attempt. No more
// is received at a time than the cache holds: it is to be sent on while it is hot.
std::size_t EpollBackend::run_attempts(std::span<Completion> batch) noexcept {
  std::size_t count = 0;
  std::size_t bytes = 0;
  while (count < batch.size() && bytes < limits::kBytesPerPollMax && !attempts_.empty()) {
    Op& op = attempts_.pop_front();
    if (!attempt(op, batch[count])) continue;
    bytes += batch[count].buffer.size();
    ++count;
  }
  return count;
}

bool EpollBackend::attempt(Op& op, Completion& completion) noexcept {
  Entry& entry = entries_[op.fd];
  if (op.kind == OpKind::datagrams) {
    // Whoever receives finds the queue empty in the end: what comes later is another edge.
    entry.in_ready = false;
    completion = {.op = &op, .result = 1, .more = true};
    return true;
  }
  ++counters_.system_calls;
  return op.kind == OpKind::accept ? attempt_accept(op, entry, completion)
                                   : attempt_receive(op, entry, completion);
}

bool EpollBackend::attempt_accept(Op& op, Entry& entry, Completion& completion) noexcept {
  const int result = posix::accept(op.fd);
  if (result == -EAGAIN) {
    entry.in_ready = false;
    return false;
  }
  if (result < 0) return end_reader(op, entry, result, completion);
  completion = {.op = &op, .result = result, .more = true};
  attempts_.push_back(op);
  return true;
}

bool EpollBackend::attempt_receive(Op& op, Entry& entry, Completion& completion) noexcept {
  const std::span<char> room = arena_.room();
  if (room.empty()) {
    // Below the pool's limit it is the system that has no memory: nothing may ever come back.
    if (pool_->available()) return end_reader(op, entry, -ENOMEM, completion);
    ++counters_.ring_dry;
    starved_.push_back(op);
    entry.starved = true;
    return false;
  }
  entry.starved = false;
  const std::int32_t result = posix::receive(op.fd, room);
  if (result == -EAGAIN) {
    entry.in_ready = entry.read_to_the_end && posix::is_readable(op.fd);
    if (entry.in_ready) attempts_.push_back(op);
    return false;
  }
  if (result <= 0) {
    const bool swallowed = result == 0 && entry.send_failed;
    return end_reader(op, entry, swallowed ? -ECONNRESET : result, completion);
  }
  const auto size = static_cast<std::size_t>(result);
  completion = {.op = &op,
                .result = result,
                .more = true,
                .buffer = deliverable(*pool_, arena_.commit(size))};
  if (size < room.size() && entry.short_read_empties && !entry.read_to_the_end) {
    entry.in_ready = false;
  } else {
    attempts_.push_back(op);
  }
  return true;
}

bool EpollBackend::end_reader(Op& op, Entry& entry, std::int32_t result,
                              Completion& completion) noexcept {
  entry.reader = nullptr;
  op.slot = Op::kNoSlot;
  completion = {.op = &op, .result = result, .more = false};
  return true;
}

// The registration is taken back before the fd is closed or handed out: a duplicate elsewhere
// would keep it alive (epoll(7)).
void EpollBackend::release(int fd) noexcept {
  files().forget(fd);
  Entry& entry = entries_[fd];
  if (entry.in_use()) return;
  if (entry.registered) {
    ++counters_.system_calls;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  ++entry.generation;
  entry.registered = entry.input_only = entry.in_ready = entry.out_ready = false;
  entry.short_read_empties = entry.read_to_the_end = false;
  entry.send_failed = entry.starved = false;
  entry.hangup = {};
}

void EpollBackend::close(int fd) noexcept {
  WEIR_ASSERT(!entries_[fd].in_use());
  release(fd);
  ++counters_.system_calls;
  posix::close(fd);
}

void EpollBackend::prepare(Instant until) noexcept {
  run_elsewhere();
  const bool starved_no_more = !starved_.empty() && pool_->returned() != returned_seen_;
  prepare_host(until, !local_.empty() || !attempts_.empty() || starved_no_more);
}

}  // namespace

Expected<std::unique_ptr<Backend>> make_epoll_backend(const BackendOptions& options) {
  posix::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) {
    return failure({.code = errno_code(errno), .syscall = "epoll_create1"});
  }
  auto wake = posix::make_eventfd();
  if (!wake) return failure(wake.error());
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = kWakeMark}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake->get(), &event) != 0) {
    return failure({.code = errno_code(errno), .syscall = "epoll_ctl"});
  }
  BufferPool* pool = BufferPool::create(limits::kReceiveChunkBytes, options.receive_memory_max);
  if (pool == nullptr) {
    return failure({.code = errno_code(ENOMEM)});
  }
  auto made = std::make_unique<EpollBackend>(std::move(epoll), std::move(*wake), pool);
  made->set_file_nowait(options.file_nowait);
  return made;
}

}  // namespace weir::inline v1
