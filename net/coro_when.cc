#include "weir/net/coro_when.h"

namespace weir::inline v1::coro::detail {

bool GroupBase::cancel() noexcept {
  cancel_all();
  return left_ == 0;
}

void GroupBase::cancel_all() noexcept {
  cancelling_ = true;
  busy_ = true;
  cancel_branches();
  busy_ = false;
}

void GroupBase::branch_ended(std::size_t index) noexcept {
  --left_;
  if (first_ == kNone) first_ = index;
  if (kind_ == Kind::any && !cancelling_) {
    cancelling_ = true;
    const bool was_busy = std::exchange(busy_, true);
    cancel_branches();
    busy_ = was_busy;
  }
  if (left_ == 0 && !busy_) complete();
}

}  // namespace weir::inline v1::coro::detail
