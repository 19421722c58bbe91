// Several awaits at once: when_all() and when_any().
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "weir/net/coro_task.h"

namespace weir::inline v1::coro {

namespace detail {

class GroupBase : public Operation {
 public:
  bool cancel() noexcept final;

 protected:
  enum class Kind : std::uint8_t { all, any };

  explicit GroupBase(Kind kind) noexcept : kind_(kind) {}
  GroupBase(GroupBase&& other) noexcept
      : Operation(static_cast<Operation&&>(other)), kind_(other.kind_) {}
  ~GroupBase() = default;

  void branch_ended(std::size_t index) noexcept;
  // While it is busy the end of the last branch completes nothing.
  void begin(std::size_t branches) noexcept {
    left_ = branches;
    busy_ = true;
    cancelling_ = take_cancel();
  }
  bool begun() noexcept {
    busy_ = false;
    // One of the branches may have cancelled the coroutine that awaits them.
    if (left_ != 0 && take_cancel()) cancel_all();
    failed_ = 0;  // the branches tell
    return left_ == 0;
  }
  bool cancelling() const noexcept { return cancelling_; }
  std::size_t first() const noexcept { return first_; }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;

  virtual void cancel_branches() noexcept = 0;
  void cancel_all() noexcept;

  Kind kind_;
  bool busy_ = false;
  bool cancelling_ = false;
  std::size_t left_ = 0;
  std::size_t first_ = kNone;
};

// What runs in a branch, an operation or a task, and how it is started: true when it has ended.
template <class Awaited>
struct BranchOf;

template <std::derived_from<Operation> Awaited>
struct BranchOf<Awaited> {
  using Result = decltype(std::declval<Awaited&>().await_resume());
  static void start(Awaited& operation, Context& context) noexcept {
    operation.bind(context);
    if (operation.await_ready()) return context.resume();
    operation.suspend_branch();
  }
  static Result result(Awaited& operation) noexcept { return operation.await_resume(); }
};

template <class T>
struct BranchOf<Task<T>> {
  using Result = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  static void start(Task<T>& task, Context& context) noexcept {
    WEIR_ASSERT(task.handle());  // it was moved from, or awaited before
    task.handle().promise().enter(context);
    context.start(task.handle());
  }
  static Result result(Task<T>& task) noexcept {
    if constexpr (std::is_void_v<T>) {
      return {};
    } else {
      return task.handle().promise().take();
    }
  }
};

template <class... Awaited>
class Group : public GroupBase {
 public:
  using Results = std::tuple<typename BranchOf<Awaited>::Result...>;

  bool await_ready() noexcept {
    begin(sizeof...(Awaited));
    start_all(std::index_sequence_for<Awaited...>());
    return begun();
  }

 protected:
  Group(Kind kind, Awaited&&... awaited) noexcept
      : GroupBase(kind), awaited_(std::move(awaited)...) {}
  Group(Group&& other) noexcept
      : GroupBase(std::move(other)), awaited_(std::move(other.awaited_)) {}
  ~Group() = default;

  Results results() noexcept { return results(std::index_sequence_for<Awaited...>()); }

 private:
  struct Branch final : Context {
    Branch(Reactor& reactor, Group& its_group, std::size_t its_index) noexcept
        : Context(reactor,
                  [](Context& context) noexcept {
                    auto& branch = static_cast<Branch&>(context);
                    branch.has_ended = true;
                    branch.group.branch_ended(branch.index);
                  }),
          group(its_group),
          index(its_index) {}
    Group& group;
    std::size_t index;
    bool has_ended = false;
  };

  template <std::size_t... I>
  void start_all(std::index_sequence<I...>) noexcept {
    (start<I>(), ...);
  }
  template <std::size_t I>
  void start() noexcept {
    Branch& branch = branches_[I].emplace(context().reactor(), *this, I);
    if (cancelling()) branch.cancel();
    auto& awaited = std::get<I>(awaited_);
    BranchOf<std::remove_reference_t<decltype(awaited)>>::start(awaited, branch);
  }
  template <std::size_t... I>
  Results results(std::index_sequence<I...>) noexcept {
    return Results{BranchOf<Awaited>::result(std::get<I>(awaited_))...};
  }
  void cancel_branches() noexcept final {
    for (auto& branch : branches_) {
      if (branch && !branch->has_ended) branch->cancel();
    }
  }

  // In this order: what is awaited goes before the contexts that it waits in.
  std::array<std::optional<Branch>, sizeof...(Awaited)> branches_;
  std::tuple<Awaited...> awaited_;
};

template <class... Awaited>
class [[nodiscard]] All final : public Group<Awaited...> {
 public:
  explicit All(Awaited&&... awaited) noexcept
      : Group<Awaited...>(GroupBase::Kind::all, std::move(awaited)...) {}
  All(All&&) noexcept = default;
  auto await_resume() noexcept { return this->results(); }
};

template <class... Awaited>
class [[nodiscard]] Any final : public Group<Awaited...> {
 public:
  struct Outcome {
    std::size_t first;  // which one has ended first
    typename Group<Awaited...>::Results results;
  };
  explicit Any(Awaited&&... awaited) noexcept
      : Group<Awaited...>(GroupBase::Kind::any, std::move(awaited)...) {}
  Any(Any&&) noexcept = default;
  Outcome await_resume() noexcept { return {this->first(), this->results()}; }
};

template <class T>
concept Awaitable = !std::is_reference_v<T> && requires { typename BranchOf<T>::Result; };

}  // namespace detail

// Awaits all of them, tasks and operations such as stream.read(), begun in this order; the result
// is the tuple of theirs (std::monostate for a Task<>). A task costs its frame, an operation
// nothing. Cancelling it cancels each of them; it ends when all have.
template <detail::Awaitable... Awaited>
  requires(sizeof...(Awaited) > 0)
[[nodiscard]] auto when_all(Awaited&&... awaited) noexcept {
  return detail::All<Awaited...>(std::move(awaited)...);
}

// Ends when one of them has: the others are cancelled, and waited for, so that none of them is
// left. The result tells which one was first, and has those of all, since more than one may have
// come to its end: what a read has read is never lost. Losers end with ECANCELED otherwise.
//
//     auto [first, results] = co_await when_any(stream.read(), delay(5s));
//     if (first == 1) ...  // too late
template <detail::Awaitable... Awaited>
  requires(sizeof...(Awaited) > 0)
[[nodiscard]] auto when_any(Awaited&&... awaited) noexcept {
  return detail::Any<Awaited...>(std::move(awaited)...);
}

}  // namespace weir::inline v1::coro
