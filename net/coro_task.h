// coro::Task: a coroutine that does nothing before it is awaited, and belongs to who awaits it.
#pragma once

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "weir/net/coro_context.h"

namespace weir::inline v1::coro {

template <class T = void>
class Task;

class Scope;

namespace detail {

template <class T>
class TaskAwait;

// A coroutine that a Scope owns.
class Root final : public Context {
 public:
  // Its place in the scope's list; the context itself may be in one of the reactor's.
  struct Link : weir::ListNode {
    explicit Link(Root& its_root) noexcept : root(its_root) {}
    Root& root;
  };

  Root(Reactor& reactor, Scope& scope, std::coroutine_handle<> frame) noexcept;
  void destroy() noexcept { frame_.destroy(); }

  Link link;

 private:
  static void on_end(Context& context) noexcept;
  Scope& scope_;
  std::coroutine_handle<> frame_;
};

// GCC 12 copies what await_transform() returns when that is a reference.
template <class Awaited>
struct OperationAwait {
  bool await_ready() const noexcept { return operation.await_ready(); }
  void await_suspend(std::coroutine_handle<> handle) const noexcept {
    operation.await_suspend(handle);
  }
  auto await_resume() const { return operation.await_resume(); }

  Awaited& operation;
};

class PromiseBase {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept { return Leave(); }
  // Errors are values here: an exception that leaves a coroutine ends the program.
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

  template <std::derived_from<Operation> Awaited>
  OperationAwait<Awaited> await_transform(Awaited&& operation) noexcept {
    operation.bind(*context_);
    return {operation};
  }
  template <class T>
  TaskAwait<T> await_transform(coro::Task<T>&& task) noexcept {
    return TaskAwait<T>(std::move(task), *context_);
  }

  void enter(Context& context, std::coroutine_handle<> back_to = {}) noexcept {
    context_ = &context;
    back_to_ = back_to;
  }

 private:
  struct Leave {
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<PromiseBase> Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
      const PromiseBase& promise = handle.promise();
      promise.context_->leave(promise.back_to_);
    }
    void await_resume() const noexcept {}
  };

  Context* context_ = nullptr;
  std::coroutine_handle<> back_to_;  // who awaits it; none: a scope or a group owns it
};

template <class T>
class Promise final : public PromiseBase {
 public:
  coro::Task<T> get_return_object() noexcept;
  template <std::convertible_to<T> Value>
  void return_value(Value&& value) {
    result_.emplace(std::forward<Value>(value));
  }
  T take() noexcept { return std::move(*result_); }

 private:
  std::optional<T> result_;
};

template <>
class Promise<void> final : public PromiseBase {
 public:
  coro::Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}

  // In the frame, so that a connection costs one allocation.
  std::optional<Root> root;
};

}  // namespace detail

// A lazy coroutine. `co_await` it in another Task, spawn() it on a Scope, or give it to when_all()
// or when_any(); it runs from then on, until it waits for the first time.
// Owner: this object, until one of these takes it over. Destroying it destroys the frame, and with
// it everything in it: the await that is going on ends, the coroutine is never resumed.
// Thread: the reactor's. Not copyable; awaited once, as an rvalue.
// A parameter that is a reference must outlive the task; that of a member function is `this`. A
// lambda with captures is such a parameter: give the lambda itself to Scope::spawn().
// Memory: one allocation, the frame; when it is refused, as with any `new`.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    Task old(std::move(*this));
    handle_ = std::exchange(other.handle_, {});
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // For those who run it. ------------------------------------------------------------------------
  Handle handle() const noexcept { return handle_; }
  Handle release() noexcept { return std::exchange(handle_, {}); }

 private:
  friend promise_type;
  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Handle handle_;
};

namespace detail {

template <class T>
coro::Task<T> Promise<T>::get_return_object() noexcept {
  return coro::Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

inline coro::Task<void> Promise<void>::get_return_object() noexcept {
  return coro::Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

// Awaiting a task: it runs in the context of the coroutine that awaits it.
template <class T>
class TaskAwait {
 public:
  TaskAwait(coro::Task<T>&& task, Context& context) noexcept
      : task_(std::move(task)), context_(context) {
    WEIR_ASSERT(task_.handle());  // it was moved from, or awaited before
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) noexcept {
    task_.handle().promise().enter(context_, awaiting);
    context_.transfer(task_.handle());
  }
  T await_resume() noexcept { return task_.handle().promise().take(); }

 private:
  coro::Task<T> task_;
  Context& context_;
};

}  // namespace detail
}  // namespace weir::inline v1::coro
