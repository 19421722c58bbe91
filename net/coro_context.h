// What a coroutine runs in, and what it waits for: the two halves of every await.
#pragma once

#include <cerrno>
#include <coroutine>
#include <utility>

#include "weir/reactor/assert.h"
#include "weir/reactor/error.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::coro {

class Operation;

// One line of control: a top-level coroutine with the coroutines that it awaits, or one branch of
// when_all() or when_any(). At any time it runs, waits for exactly one operation, is due to be
// resumed in a task, or has ended.
//
//     Scope ----> Context -- handle --> frame -- owns --> Task -- owns --> frame -- owns --> await
//                    '------------------------- waits for --------------------------------------^
//
// Coroutines are resumed from a loop in run(), never by each other, so neither a chain of awaits
// nor a loop of them grows the stack, in any build.
// Owner: a Scope, or the await of a group. Destroying one while it runs is a bug and asserts.
// Thread: the reactor's.
class Context : private weir::Task {
 public:
  using End = void (*)(Context&) noexcept;

  // `end` is called when it has ended, last: it may destroy the context.
  Context(Reactor& reactor, End end) noexcept
      : weir::Task([](weir::Task& task) noexcept { static_cast<Context&>(task).resume(); }),
        reactor_(reactor),
        end_(end) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { WEIR_ASSERT(!running_); }  // else: a coroutine has destroyed what owns it

  Reactor& reactor() const noexcept { return reactor_; }

  // The await that is going on, or else the next one, ends with ECANCELED; the coroutine goes on
  // from there in a task. Once in its life: later awaits work as ever, for a farewell.
  void cancel() noexcept;

  // For tasks, operations and groups. ------------------------------------------------------------
  void start(std::coroutine_handle<> handle) noexcept {
    handle_ = handle;
    run();
  }
  void start_later(std::coroutine_handle<> handle) noexcept {
    handle_ = handle;
    resume_later();
  }
  // A coroutine that has just suspended hands over to another one.
  void transfer(std::coroutine_handle<> to) noexcept { handle_ = to; }
  // A coroutine has ended; without one to go on the context has.
  void leave(std::coroutine_handle<> back_to) noexcept {
    handle_ = back_to;
    ended_ = !back_to;
  }
  void wait(std::coroutine_handle<> handle, Operation& operation) noexcept {
    handle_ = handle;
    waiting_ = &operation;
  }
  // A branch that is nothing but an operation.
  void wait(Operation& operation) noexcept { waiting_ = &operation; }
  bool waits_for(const Operation& operation) const noexcept { return waiting_ == &operation; }
  // What it waited for is there. May destroy the operation and the context.
  void resume() noexcept {
    waiting_ = nullptr;
    if (handle_) return run();
    end_(*this);
  }
  void resume_later() noexcept {
    waiting_ = nullptr;
    reactor_.schedule(*this);
  }
  bool take_cancel() noexcept { return cancel_due_ && std::exchange(cancel_due_, false); }

 private:
  void run() noexcept {
    running_ = true;
    do {
      std::exchange(handle_, {}).resume();
    } while (waiting_ == nullptr && handle_);
    running_ = false;
    if (ended_) end_(*this);
  }

  Reactor& reactor_;
  End end_;
  Operation* waiting_ = nullptr;
  std::coroutine_handle<> handle_;  // what is resumed next; none: it runs, or has no coroutine
  bool running_ = false;
  bool ended_ = false;
  bool cancelled_ = false;   // cancel() was called
  bool cancel_due_ = false;  // and no await has been told
};

// One await: what `co_await` takes in a coro::Task, and when_all() and when_any() in any coroutine.
// It lives in the frame of the coroutine that awaits it and allocates nothing; whoever completes it
// holds a pointer to it, which its destructor takes back. So destroying a frame ends its await.
//
// A derived class has await_ready(), which starts it, unless take_cancel() says that it was
// cancelled before; await_resume() for the result; and cancel(). All results are Expected.
class Operation {
 public:
  Operation& operator=(const Operation&) = delete;

  void bind(Context& context) noexcept { context_ = &context; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { context_->wait(handle, *this); }
  void suspend_branch() noexcept { context_->wait(*this); }

  // To end with ECANCELED. False: not yet, it will complete by itself.
  virtual bool cancel() noexcept {
    failed_ = ECANCELED;
    return true;
  }

 protected:
  Operation() noexcept = default;
  // Until it is awaited it may be moved, for a group to keep it.
  Operation(Operation&& other) noexcept { WEIR_ASSERT(other.context_ == nullptr); }
  ~Operation() = default;

  Context& context() const noexcept { return *context_; }
  bool waiting() const noexcept { return context_ != nullptr && context_->waits_for(*this); }
  bool take_cancel() noexcept {
    if (!context_->take_cancel()) return false;
    failed_ = ECANCELED;
    return true;
  }
  // These resume the coroutine: at once, as the last thing that an event does; or in a task.
  void complete() noexcept { context_->resume(); }
  void complete_later() noexcept { context_->resume_later(); }

  int failed_ = 0;  // errno value: the await ends with it, whatever else has happened

 private:
  Context* context_ = nullptr;
};

inline void Context::cancel() noexcept {
  if (std::exchange(cancelled_, true) || ended_) return;
  if (waiting_ == nullptr) {
    cancel_due_ = true;
    return;
  }
  if (!waiting_->cancel()) return;
  if (handle_) return resume_later();
  resume();
}

}  // namespace weir::inline v1::coro
