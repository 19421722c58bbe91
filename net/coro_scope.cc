#include "weir/net/coro_scope.h"

namespace weir::inline v1::coro {

namespace detail {

Root::Root(Reactor& reactor, Scope& scope, std::coroutine_handle<> frame) noexcept
    : Context(reactor, on_end), link(*this), scope_(scope), frame_(frame) {}

void Root::on_end(Context& context) noexcept {
  auto& root = static_cast<Root&>(context);
  root.scope_.ended(root);
}

}  // namespace detail

Scope::~Scope() {
  WEIR_ASSERT(join_ == nullptr);  // somebody waits for a scope that is being destroyed
  closing_ = true;
  while (!roots_.empty()) {
    --count_;
    roots_.pop_back().root.destroy();
  }
}

void Scope::spawn(Task<> task) {
  WEIR_ASSERT(task.handle());  // it was moved from, or awaited before
  WEIR_ASSERT(!closing_);      // a destructor in one of its coroutines spawns another one
  const Task<>::Handle frame = task.release();
  detail::Root& root = frame.promise().root.emplace(reactor_, *this, frame);
  frame.promise().enter(root);
  roots_.push_back(root.link);
  ++count_;
  root.start_later(frame);
}

void Scope::cancel() noexcept {
  roots_.for_each([](detail::Root::Link& link) { link.root.cancel(); });
}

void Scope::ended(detail::Root& root) noexcept {
  root.link.unlink();
  --count_;
  root.destroy();
  if (count_ == 0 && join_ != nullptr && join_->waiting()) join_->complete();
}

// The reactor is being destroyed.
void Scope::abandon() noexcept {
  WEIR_ASSERT(roots_.empty());  // the reactor outlives a scope that has coroutines
  unlink();
}

bool Scope::Join::await_ready() noexcept {
  if (take_cancel() || scope_.empty()) return true;
  WEIR_ASSERT(scope_.join_ == nullptr);  // one coroutine at a time
  scope_.join_ = this;
  return false;
}

Expected<void> Scope::Join::await_resume() noexcept {
  if (failed_ != 0) return failure({.code = errno_code(failed_)});
  return {};
}

}  // namespace weir::inline v1::coro
