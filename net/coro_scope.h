// coro::Scope: the owner of running coroutines.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "weir/net/coro_task.h"
#include "weir/reactor/intrusive_list.h"

namespace weir::inline v1::coro {

// Owner: the user. Every spawned coroutine belongs to it until it has ended, which frees its frame.
// Destroying the scope destroys the frames that are left, the youngest first: their awaits end,
// their locals are destroyed, nothing of theirs is resumed. When the destructor returns nothing of
// them is left. None of them may be running then: a coroutine must not destroy its own scope, which
// is asserted. What they refer to outlives the scope.
// The reactor outlives it, unless it is empty (asserted by the reactor's destructor).
// Thread: the reactor's.
class Scope final : private Resident {
 public:
  class Join;

  explicit Scope(Reactor& reactor) : reactor_(reactor) { reactor.adopt(*this); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  // The coroutine starts in a task, not inside this call; in the order of the calls.
  void spawn(Task<> task);
  // A callable that returns a Task, such as a lambda with captures; kept until its task has ended.
  // Costs a second frame.
  template <class Callable>
    requires std::is_same_v<std::invoke_result_t<Callable&>, Task<>>
  void spawn(Callable callable) {
    spawn(call(std::move(callable)));
  }

  // Each coroutine's await, the one that is going on or else the next, ends with ECANCELED; see
  // Context::cancel(). Those that are spawned later are not concerned.
  void cancel() noexcept;

  // Awaits the end of all; one coroutine at a time, which is not one of them.
  [[nodiscard]] Join join() noexcept;

  std::size_t size() const noexcept { return count_; }
  bool empty() const noexcept { return count_ == 0; }
  Reactor& reactor() const noexcept { return reactor_; }

 private:
  friend class detail::Root;

  template <class Callable>
  static Task<> call(Callable callable) {
    co_await callable();
  }
  void ended(detail::Root& root) noexcept;
  void abandon() noexcept override;

  Reactor& reactor_;
  IntrusiveList<detail::Root::Link> roots_;
  std::size_t count_ = 0;
  Join* join_ = nullptr;
  bool closing_ = false;
};

class Scope::Join final : public Operation {
 public:
  explicit Join(Scope& scope) noexcept : scope_(scope) {}
  Join(Join&&) noexcept = default;
  ~Join() {
    if (scope_.join_ == this) scope_.join_ = nullptr;
  }
  bool await_ready() noexcept;
  Expected<void> await_resume() noexcept;

 private:
  friend class Scope;
  Scope& scope_;
};

inline Scope::Join Scope::join() noexcept { return Join(*this); }

}  // namespace weir::inline v1::coro
