// The reactor: one thread's loop over completions, timers, posted and deferred tasks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/reactor/backend.h"
#include "weir/reactor/busy_poll.h"
#include "weir/reactor/function.h"
#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/post_queue.h"
#include "weir/reactor/slab.h"
#include "weir/reactor/tally.h"
#include "weir/reactor/time.h"
#include "weir/reactor/timer_wheel.h"

namespace weir::inline v1 {

class Reactor;

// What the layers above embed in their objects to be run at the next flush: after a few
// completions, and at the end of the batch. Intrusive, so scheduling cannot fail.
class Task : public ListNode {
 public:
  using Run = void (*)(Task&) noexcept;
  explicit Task(Run run) noexcept : run_(run) {}

 private:
  friend class Reactor;
  Run run_;
  bool in_next_turn_ = false;  // true exactly when it is linked there
};

// An object with operations that the reactor owns: whoever asked for it may be gone before the
// last completion. abandon() means: tell nobody any more, cancel, and delete yourself when the
// last operation is idle.
class Resident : public ListNode {
 public:
  virtual void abandon() noexcept = 0;

 protected:
  ~Resident() = default;
};

// A timer; dropping it cancels. Move-only. Must not outlive its reactor.
class Timer {
 public:
  Timer() noexcept = default;
  Timer(Timer&& other) noexcept;
  Timer& operator=(Timer&& other) noexcept;
  ~Timer() { cancel(); }

  void cancel() noexcept;          // harmless when it has fired
  bool armed() const noexcept;
  void unref() noexcept;           // does not keep run() going any more

 private:
  friend class Reactor;
  struct Record;
  Timer(Reactor& reactor, Slab<Record>::Ref record) noexcept
      : reactor_(&reactor), record_(record) {}
  Reactor* reactor_ = nullptr;
  Slab<Record>::Ref record_;
};

// A foreign fd being watched; dropping it stops that. Move-only. Must not outlive its reactor.
class Watch {
 public:
  Watch() noexcept = default;
  Watch(Watch&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  Watch& operator=(Watch&& other) noexcept;
  ~Watch() { cancel(); }

  // No callback runs after this. The fd may be closed when the reactor has done one more turn.
  void cancel() noexcept;
  void unref() noexcept;  // does not keep run() going any more

 private:
  friend class Reactor;
  struct Record;
  explicit Watch(Record* record) noexcept : record_(record) {}
  Record* record_ = nullptr;
};

// Keeps run() going for a thread that will post. Move-only; any thread may destroy it, and must
// have done so before the reactor is destroyed (run() may return before the destructor does): a
// thread that may block for ever leaves it to the reactor's.
class WorkGuard {
 public:
  explicit WorkGuard(Reactor& reactor) noexcept;
  WorkGuard(WorkGuard&& other) noexcept : reactor_(std::exchange(other.reactor_, nullptr)) {}
  ~WorkGuard();

 private:
  Reactor* reactor_;
};

struct ReactorOptions {
  BackendKind backend = BackendKind::automatic;
  UringOptions uring = {};
  // Bytes of receive memory that may be in use at one time, and as many again in copies that are
  // made of small messages when it runs short; at least kReceiveMemoryMin.
  std::size_t receive_memory_max = limits::kReceiveMemoryMaxDefault;
  // For operator new when the system has no memory left, of the whole process: that of the first
  // reactor that asks for some. See memory.h. Zero: none, and then a peer may find the moment to
  // end the process.
  std::size_t memory_reserve = limits::kMemoryReserveDefault;
  // How long to look for more before each sleep of the thread: what comes meanwhile is spared the
  // wake-up, 15 to 30 us on a virtual machine. Costs a core while there is traffic. Zero: not at
  // all.
  Duration busy_poll = Duration::zero();
  // Only while it is likely to pay: if the silence before was shorter than `busy_poll` (50 us are a
  // good value). Costs at most one spin in vain for each silence that is longer, and one look more
  // before each sleep; with nothing to do, or little, the thread sleeps as without. busy_poll.h has
  // the rule.
  bool busy_poll_adaptive = false;
  // Tasks posted and not yet run; a power of two.
  std::size_t posted_tasks_max = limits::kPostedTasksDefault;
  // One line each, without a newline. Unset: stderr.
  Function<void(std::string_view)> log = {};
};

// What a reactor has done so far, and what it holds now. Each number is of a moment of its own.
struct Counters {
  BackendKind backend = BackendKind::automatic;
  std::string reason = {};   // why this backend
  std::error_code refusal = {};  // what io_uring was refused with, if it was
  BackendCounters kernel = {};
  std::uint64_t turns = 0;
  std::uint64_t spins = 0;   // waits that began by looking for more, see ReactorOptions::busy_poll
  std::uint64_t sleeps = 0;  // waits that the kernel was asked for
  std::uint64_t tasks = 0;   // deferred and posted ones that have run
  std::uint64_t timers = 0;  // fired
  std::uint64_t unhandled_errors = 0;
  std::size_t receive_chunks = 0;     // of receive memory in use, kReceiveChunkBytes each
  std::size_t receive_memory_max = 0;  // bytes
  std::size_t queue_bytes = 0;      // accepted by write() and not yet by the kernel, all sockets
  std::size_t queue_bytes_max = 0;  // what they may hold together; 0: nobody has a queue yet
  std::size_t sockets = 0;          // connections that are open
  std::size_t posted_tasks = 0;     // not yet run
  std::size_t posted_tasks_max = 0;
  std::uint64_t zero_copy_sends = 0;   // that were to be made without a copy
  std::uint64_t zero_copy_copied = 0;  // of these, whose bytes the kernel has copied after all
  std::size_t zero_copy_bytes = 0;     // that it has not let go of
};

// Totals that the layers above keep up to date.
struct Ledger {
  Tally queue_bytes;
  Tally queue_bytes_max;  // the budget of all write queues
  Tally sockets;
  Tally zero_copy_sends;
  Tally zero_copy_copied;
  Tally zero_copy_bytes;
};

// Owner: whoever makes it; it outlives the sockets, servers, timers and watches on it.
// Thread: whichever thread runs it first, and that one alone (asserted); post(), stop() and
// WorkGuard are for any thread. It may be made, and set up, by another thread before, and destroyed
// by another one after.
// Errors: create() returns them; the constructor prints one line and exits with code 1.
// No handler runs inside the call that causes it; all run inside run(), run_once() or prepare().
class Reactor {
 public:
  [[nodiscard]] static Expected<std::unique_ptr<Reactor>> create(ReactorOptions options = {});
  explicit Reactor(ReactorOptions options = {});
  // On a backend of the caller's, such as SimBackend.
  explicit Reactor(std::unique_ptr<Backend> backend, ReactorOptions options = {});
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  // Cancels what is in flight and waits for it. Calls no handler.
  ~Reactor();

  // Runs until stop(), or until nothing is left that could cause an event.
  void run();
  // One turn: waits for the first event, at most until `deadline`, and handles what is there.
  // Returns how many completions, timers and tasks it has handled.
  std::size_t run_once(Instant deadline = kNever);
  std::size_t run_once(Duration timeout) { return run_once(later(now(), timeout)); }
  // Any thread, async-signal-safe but for the simulator. Makes run() return after its turn.
  void stop() noexcept;

  // Any thread. Runs `task` on the reactor's thread, in order. False: the queue is full, and `task`
  // is gone with what it holds.
  [[nodiscard]] bool post(Function<void()> task) noexcept;
  // Owner thread. Runs `task` after the handler that is running now, before the reactor waits
  // again; in rounds, at most kDeferRoundsMax a turn. False beyond kDeferredTasksMax.
  bool defer(Function<void()> task);

  // Owner thread. Once, `delay` from now, at millisecond resolution, never early. Without memory
  // for it the timer is not armed, and ENOMEM goes to on_unhandled_error().
  [[nodiscard]] Timer after(Duration delay, Function<void()> fire);
  // The time of this turn; outside of one, the time.
  Instant now() const noexcept { return in_turn_ ? now_ : backend_->now(); }

  // Owner thread. Calls `ready` for as long as `fd` is readable or writable (level-triggered), also
  // for errors and hangups. The fd stays the caller's, who cancels before closing it.
  [[nodiscard]] Watch watch(int fd, Events wanted, Function<void(Events)> ready);
  // Calls `handler` on this thread when the process gets `signal`. The earlier handler is chained
  // to, and restored with the reactor. Not on the simulator (ENOTSUP).
  [[nodiscard]] Expected<void> on_signal(int signal, Function<void(int)> handler);
  // Errors that no handler took. Unset: counted, and logged at most once a second.
  void on_unhandled_error(Function<void(const Error&)> handler);
  void report_unhandled(const Error& error);
  void log(std::string_view line);

  // Embedding in somebody else's loop: when fd() is readable call run_once(Duration::zero()); call
  // prepare() each time before the other loop waits: it runs deferred tasks, sends off what was
  // written, and arms the fd. -1 where the backend has no fd (the simulator) or descriptors have
  // run out.
  int fd() noexcept;
  void prepare();

  // Any thread, while the reactor lives; on the simulator the owner's.
  Counters counters() const;
  Backend& backend() noexcept { return *backend_; }
  Ledger& ledger() noexcept { return ledger_; }

  // For the layers above. ------------------------------------------------------------------------
  // Handles that are referenced keep run() going.
  void ref() noexcept { ++references_; }
  void unref() noexcept { --references_; }
  // Harmless when scheduled already.
  void schedule(Task& task) noexcept {
    if (task.linked() && !task.in_next_turn_) return;
    task.unlink();
    task.in_next_turn_ = false;
    tasks_.push_back(task);
  }
  // At the end of the next turn, which then does not wait; unless it is scheduled before.
  void schedule_next_turn(Task& task) noexcept {
    if (task.linked()) return;
    task.in_next_turn_ = true;
    next_turn_.push_back(task);
  }
  // The turn that is going on, or else the one that comes next.
  bool memory_in_demand() const noexcept { return backend_->memory_in_demand(); }
  std::uint64_t turn() const noexcept { return in_turn_ ? turns_.value() : turns_ + 1; }
  void adopt(Resident& resident) noexcept { residents_.push_back(resident); }
  TimerWheel& wheel() noexcept { return wheel_; }
  // True while the reactor destroys itself: residents go, nobody is told.
  bool closing() const noexcept { return closing_; }

  // One object of type T for each reactor, made when first asked for, destroyed after the last
  // resident.
  template <class T>
  T& part() {
    static const char key = 0;
    for (auto& [known, object] : parts_) {
      if (known == &key) return *static_cast<T*>(object.get());
    }
    parts_.emplace_back(&key, PartPointer(new T(*this), [](void* part) noexcept {
                          delete static_cast<T*>(part);
                        }));
    return *static_cast<T*>(parts_.back().second.get());
  }

 private:
  friend class Timer;
  friend class Watch;
  friend class WorkGuard;
  struct SignalHandler;
  using PartPointer = std::unique_ptr<void, void (*)(void*) noexcept>;

  Reactor(ChosenBackend chosen, ReactorOptions&& options);
  static ChosenBackend choose_or_exit(const ReactorOptions& options);
  static BackendOptions backend_options(const ReactorOptions& options) noexcept;
  void take_thread() noexcept;
  bool alive() const noexcept;
  bool has_local_work() const noexcept;
  std::size_t wait(Instant deadline);
  void dispatch(std::size_t count);
  void run_tasks();
  void drop_tasks() noexcept;
  std::size_t run_posted();
  std::size_t run_rounds();

  std::unique_ptr<Backend> backend_;
  ReactorOptions options_;
  BusyPoll busy_poll_;
  std::error_code refusal_;
  std::string reason_;
  Instant now_;
  TimerWheel wheel_;
  std::vector<Completion> batch_;
  IntrusiveList<Task> tasks_;
  IntrusiveList<Task> next_turn_;  // to be scheduled at the end of the next turn
  IntrusiveList<Task> turn_end_;   // at the end of this one
  std::vector<Function<void()>> deferred_;
  std::vector<Function<void()>> running_;  // the round that runs now
  PostQueue posted_;
  Slab<Timer::Record> timers_;
  IntrusiveList<Resident> residents_;
  std::vector<std::unique_ptr<SignalHandler>> signals_;
  std::vector<std::pair<const void*, PartPointer>> parts_;
  Function<void(const Error&)> unhandled_;
  Instant unhandled_logged_ = Instant::min();
  Ledger ledger_;
  Tally turns_;
  Tally spins_;
  Tally sleeps_;
  Tally tasks_run_;
  Tally timers_fired_;
  Tally unhandled_errors_;
  long references_ = 0;
  std::uint64_t thread_ = 0;  // whose it is: the one that runs it first
  bool in_run_ = false;
  bool in_turn_ = false;
  bool closing_ = false;
  std::atomic<long> guards_{0};
  std::atomic<bool> stop_{false};
  // True from before the thread waits until it is woken: only then a post costs a system call.
  std::atomic<bool> sleeping_{false};
};

}  // namespace weir::inline v1
