// A move-only callable with 48 bytes of inline storage: keeping a handler allocates nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "weir/reactor/assert.h"

namespace weir::inline v1 {

template <class Signature>
class Function;

// Calling an empty Function is a bug and asserts. Captures above kInlineBytes do not compile; wrap
// such a callable with boxed(), which spells out the allocation.
template <class Result, class... Arguments>
class Function<Result(Arguments...)> {
 public:
  static constexpr std::size_t kInlineBytes = 48;

  Function() noexcept = default;

  template <class Callable>
    requires(!std::is_same_v<std::remove_cvref_t<Callable>, Function> &&
             std::is_invocable_r_v<Result, std::decay_t<Callable>&, Arguments...>)
  Function(Callable&& callable) {  // NOLINT: implicit, as a lambda argument should be
    using Stored = std::decay_t<Callable>;
    static_assert(sizeof(Stored) <= kInlineBytes,
                  "the captures exceed 48 bytes: capture less, or wrap the callable in boxed()");
    static_assert(alignof(Stored) <= alignof(void*));
    static_assert(std::is_nothrow_move_constructible_v<Stored>);
    ::new (static_cast<void*>(storage_)) Stored(std::forward<Callable>(callable));
    actions_ = &kActionsOf<Stored>;
  }

  Function(Function&& other) noexcept { take(other); }
  Function& operator=(Function&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  ~Function() { reset(); }

  explicit operator bool() const noexcept { return actions_ != nullptr; }

  Result operator()(Arguments... arguments) {
    WEIR_ASSERT(actions_ != nullptr);
    return actions_->call(storage_, std::forward<Arguments>(arguments)...);
  }

  void reset() noexcept {
    if (actions_ == nullptr) return;
    const Actions* actions = std::exchange(actions_, nullptr);
    actions->destroy(storage_);
  }

 private:
  struct Actions {
    Result (*call)(void*, Arguments&&...);
    void (*move)(void* from, void* to) noexcept;
    void (*destroy)(void*) noexcept;
  };

  template <class Stored>
  static constexpr Actions kActionsOf = {
      [](void* stored, Arguments&&... arguments) -> Result {
        return (*static_cast<Stored*>(stored))(std::forward<Arguments>(arguments)...);
      },
      [](void* from, void* to) noexcept {
        ::new (to) Stored(std::move(*static_cast<Stored*>(from)));
        static_cast<Stored*>(from)->~Stored();
      },
      [](void* stored) noexcept { static_cast<Stored*>(stored)->~Stored(); }};

  void take(Function& other) noexcept {
    actions_ = std::exchange(other.actions_, nullptr);
    if (actions_ != nullptr) actions_->move(other.storage_, storage_);
  }

  const Actions* actions_ = nullptr;
  alignas(void*) std::byte storage_[kInlineBytes];
};

// Moves a callable with large captures to the heap, visibly.
template <class Callable>
auto boxed(Callable callable) {
  return [held = std::make_unique<Callable>(std::move(callable))](auto&&... arguments) mutable
         -> decltype(auto) { return (*held)(std::forward<decltype(arguments)>(arguments)...); };
}

}  // namespace weir::inline v1
