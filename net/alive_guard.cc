#include "net/alive_guard.h"

#include <utility>

namespace weir::inline v1::net {

AliveGuard::AliveGuard(AliveGuard*& head) noexcept : head_(&head), previous_(head) {
  head = this;
}

AliveGuard::~AliveGuard() {
  if (head_ != nullptr) *head_ = previous_;
}

void AliveGuard::cut(AliveGuard*& head) noexcept {
  AliveGuard* guard = std::exchange(head, nullptr);
  for (; guard != nullptr; guard = guard->previous_) guard->head_ = nullptr;
}

}  // namespace weir::inline v1::net
