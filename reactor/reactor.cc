#include "weir/reactor/reactor.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "reactor/handles.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1 {
namespace {

// Destroying a reactor waits for the kernel's last results in steps of this length.
constexpr Duration kJoinStep = std::chrono::milliseconds(10);

std::atomic<bool> fallback_logged{false};

}  // namespace

BackendOptions Reactor::backend_options(const ReactorOptions& options) noexcept {
  return {.kind = options.backend,
          .uring = options.uring,
          .receive_memory_max = std::max(options.receive_memory_max, limits::kReceiveMemoryMin)};
}

Expected<std::unique_ptr<Reactor>> Reactor::create(ReactorOptions options) {
  auto chosen = choose_backend(backend_options(options));
  if (!chosen) return failure(chosen.error());
  return std::unique_ptr<Reactor>(new Reactor(std::move(*chosen), std::move(options)));
}

ChosenBackend Reactor::choose_or_exit(const ReactorOptions& options) {
  auto chosen = choose_backend(backend_options(options));
  if (!chosen) std::exit(fail(chosen.error()));
  return std::move(*chosen);
}

Reactor::Reactor(ReactorOptions options)
    : Reactor(choose_or_exit(options), std::move(options)) {}

Reactor::Reactor(std::unique_ptr<Backend> backend, ReactorOptions options)
    : Reactor(ChosenBackend{.backend = std::move(backend), .code = {}, .reason = "given"},
              std::move(options)) {}

Reactor::Reactor(ChosenBackend chosen, ReactorOptions&& options)
    : backend_(std::move(chosen.backend)),
      options_(std::move(options)),
      // A simulator's clock stands still while its reactor looks.
      busy_poll_(backend_->kind() == BackendKind::sim ? Duration::zero() : options_.busy_poll,
                 options_.busy_poll_adaptive),
      refusal_(chosen.code),
      reason_(std::move(chosen.reason)),
      now_(backend_->now()),
      wheel_(now_),
      batch_(limits::kCompletionsPerTurnMax),
      posted_(std::bit_ceil(std::max<std::size_t>(options_.posted_tasks_max, 2))) {
  memory::keep_reserve(options_.memory_reserve);
  if (refusal_ && !fallback_logged.exchange(true)) {
    log("using " + std::string(name_of(backend_->kind())) + ": " + reason_);
  }
}

Reactor::~Reactor() {
  const detail::InPlaceOf its_thread(thread_);
  closing_ = true;
  for (auto& signal : signals_) signal->watch.cancel();
  // Before the residents: a task may own servers and sockets, which go through their residents.
  drop_tasks();
  // One by one: what one holds may be the end of another.
  IntrusiveList<Resident> leaving;
  leaving.splice_back(residents_);
  while (!leaving.empty()) {
    Resident& resident = leaving.pop_front();
    residents_.push_back(resident);
    resident.abandon();
  }
  while (!residents_.empty()) {
    run_tasks();
    dispatch(backend_->poll(backend_->now() + kJoinStep, batch_));
  }
  signals_.clear();
  // In the order of their making: net's sockets before what holds their memory.
  for (auto& part : parts_) part.second.reset();
  batch_.clear();
}

void Reactor::drop_tasks() noexcept {
  Function<void()> dropped;
  while (!deferred_.empty() || !posted_.empty()) {
    const std::vector<Function<void()>> round = std::move(deferred_);
    deferred_.clear();
    while (posted_.pop(dropped)) dropped.reset();
  }
}

bool Reactor::has_local_work() const noexcept {
  return !tasks_.empty() || !next_turn_.empty() || !turn_end_.empty() || !deferred_.empty() ||
         !posted_.empty();
}

bool Reactor::alive() const noexcept {
  return references_ > 0 || guards_.load(std::memory_order_acquire) > 0 || has_local_work();
}

void Reactor::run() {
  in_run_ = true;
  backend_->run_begins();
  while (!stop_.load(std::memory_order_acquire) && alive()) run_once(kNever);
  backend_->run_ends();
  in_run_ = false;
  stop_.store(false, std::memory_order_release);
}

void Reactor::stop() noexcept {
  stop_.store(true, std::memory_order_release);
  backend_->wake();
}

void Reactor::take_thread() noexcept {
  if (thread_ == 0) thread_ = detail::this_thread();
  WEIR_ASSERT(thread_ == detail::this_thread());  // a reactor belongs to the thread that runs it
}

std::size_t Reactor::run_once(Instant deadline) {
  take_thread();
  ++turns_;
  now_ = backend_->now();
  in_turn_ = true;
  turn_end_.splice_back(next_turn_);
  std::size_t handled = 0;
  bool only_sorted = false;  // the wheel woke us to sort timers in, and none was due
  do {
    const Instant alarm = wheel_.next();
    handled = wait(deadline);
    now_ = backend_->now();
    busy_poll_.end(now_, handled != 0 || !posted_.empty());
    dispatch(handled);
    const std::size_t fired = wheel_.advance(now_, limits::kTimersPerTurnMax);
    if (fired != 0) timers_fired_ += fired;
    handled += fired;
    only_sorted = handled == 0 && alarm <= now_ && now_ < deadline;
  } while (only_sorted && !has_local_work() && !stop_.load(std::memory_order_acquire));
  handled += run_posted();
  while (!turn_end_.empty()) schedule(turn_end_.front());
  handled += run_rounds();
  memory::replenish();
  if (!memory::is_plentiful()) backend_->trim_memory();
  in_turn_ = false;
  return handled;
}

// Fills batch_. `sleeping_` is set before the last look at the posted tasks, and a poster pushes
// before it looks at `sleeping_`; both by exchange, so one of them sees the other.
std::size_t Reactor::wait(Instant deadline) {
  Instant until = has_local_work() ? Instant::min() : std::min(deadline, wheel_.next());
  // Out of the way of those that wait: who spins can spare a jump.
  if (until > now_ && busy_poll_.is_on()) [[unlikely]] {
    // What is there at once, such as the results of sends, is no wait.
    std::size_t count = backend_->poll(Instant::min(), batch_);
    if (count != 0 || has_local_work()) return count;
    const Instant spin_until = std::min(until, busy_poll_.begin(now_));
    if (spin_until > now_) ++spins_;
    for (Instant now = now_; now < spin_until && !stop_.load(std::memory_order_relaxed);
         now = backend_->now()) {
      count = backend_->poll(Instant::min(), batch_);
      if (count != 0 || has_local_work()) return count;
    }
    // The wake-up of a guard that went meanwhile may have been taken by one of these polls.
    if (in_run_ && !alive()) return 0;
  }
  if (until > now_) {
    sleeping_.exchange(true, std::memory_order_acq_rel);
    if (!posted_.empty() || stop_.load(std::memory_order_acquire)) until = Instant::min();
  }
  if (until > now_) ++sleeps_;
  const std::size_t count = backend_->poll(until, batch_);
  sleeping_.store(false, std::memory_order_relaxed);
  return count;
}

void Reactor::dispatch(std::size_t count) {
  std::size_t since_flush = 0;
  std::size_t bytes_since_flush = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Completion& completion = batch_[i];
    Op& op = *completion.op;
    if (!completion.more) op.state = OpState::idle;
    bytes_since_flush += completion.buffer.size();
    op.done(op, completion);
    completion.buffer.reset();
    if (++since_flush >= limits::kCompletionsPerFlushMax ||
        bytes_since_flush >= limits::kBytesPerFlushMax) {
      run_tasks();
      since_flush = bytes_since_flush = 0;
    }
  }
  run_tasks();
}

// Runs what is scheduled now; what these tasks schedule waits for the next flush.
void Reactor::run_tasks() {
  IntrusiveList<Task> round;
  round.splice_back(tasks_);
  while (!round.empty()) {
    Task& task = round.pop_front();
    task.run_(task);
  }
}

std::size_t Reactor::run_posted() {
  std::size_t count = 0;
  Function<void()> task;
  // Bounded by the capacity: what is posted meanwhile may wait a turn.
  while (count < posted_.capacity() && posted_.pop(task)) {
    ++count;
    task();
    task.reset();
  }
  if (count != 0) tasks_run_ += count;
  return count;
}

std::size_t Reactor::run_rounds() {
  std::size_t count = 0;
  for (int round = 0; round < limits::kDeferRoundsMax; ++round) {
    if (tasks_.empty() && deferred_.empty()) break;
    run_tasks();
    std::swap(running_, deferred_);
    for (Function<void()>& task : running_) {
      ++count;
      task();
    }
    running_.clear();
  }
  if (count != 0) tasks_run_ += count;
  return count;
}

bool Reactor::post(Function<void()> task) noexcept {
  if (!posted_.push(task)) return false;
  if (sleeping_.exchange(false, std::memory_order_acq_rel)) backend_->wake();
  return true;
}

bool Reactor::defer(Function<void()> task) {
  if (deferred_.size() >= limits::kDeferredTasksMax) return false;
  deferred_.push_back(std::move(task));
  return true;
}

int Reactor::fd() noexcept { return backend_->event_fd(); }

void Reactor::prepare() {
  take_thread();
  now_ = backend_->now();
  in_turn_ = true;
  run_rounds();
  in_turn_ = false;
  sleeping_.exchange(true, std::memory_order_acq_rel);
  backend_->prepare(has_local_work() ? backend_->now() : wheel_.next());
  if (has_local_work()) backend_->wake();
}

void Reactor::log(std::string_view line) {
  if (options_.log) return options_.log(line);
  std::fprintf(stderr, "weir: %.*s\n", static_cast<int>(line.size()), line.data());
}

void Reactor::on_unhandled_error(Function<void(const Error&)> handler) {
  unhandled_ = std::move(handler);
}

void Reactor::report_unhandled(const Error& error) {
  ++unhandled_errors_;
  if (unhandled_) return unhandled_(error);
  if (unhandled_logged_ != Instant::min() &&
      now() - unhandled_logged_ < limits::kUnhandledErrorLogPeriod) {
    return;
  }
  unhandled_logged_ = now();
  log("unhandled error: " + error.message() + " (" + std::to_string(unhandled_errors_.value()) +
      " so far)");
}

Counters Reactor::counters() const {
  return {.backend = backend_->kind(),
          .reason = reason_,
          .refusal = refusal_,
          .kernel = backend_->counters(),
          .turns = turns_,
          .spins = spins_,
          .sleeps = sleeps_,
          .tasks = tasks_run_,
          .timers = timers_fired_,
          .unhandled_errors = unhandled_errors_,
          .receive_chunks = backend_->live_chunks(),
          .receive_memory_max = std::max(options_.receive_memory_max, limits::kReceiveMemoryMin),
          .queue_bytes = ledger_.queue_bytes,
          .queue_bytes_max = ledger_.queue_bytes_max,
          .sockets = ledger_.sockets,
          .posted_tasks = posted_.size(),
          .posted_tasks_max = posted_.capacity(),
          .zero_copy_sends = ledger_.zero_copy_sends,
          .zero_copy_copied = ledger_.zero_copy_copied,
          .zero_copy_bytes = ledger_.zero_copy_bytes};
}

WorkGuard::WorkGuard(Reactor& reactor) noexcept : reactor_(&reactor) {
  reactor.guards_.fetch_add(1, std::memory_order_acq_rel);
}

WorkGuard::~WorkGuard() {
  if (reactor_ == nullptr) return;
  if (reactor_->guards_.fetch_sub(1, std::memory_order_acq_rel) == 1) reactor_->backend_->wake();
}

}  // namespace weir::inline v1
