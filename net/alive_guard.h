// Private to net.
#pragma once

namespace weir::inline v1::net {

// Tells a running emission that its subject was destroyed by a handler. Emissions nest; the subject
// has the head of their list.
class AliveGuard {
 public:
  explicit AliveGuard(AliveGuard*& head) noexcept;
  AliveGuard(const AliveGuard&) = delete;
  AliveGuard& operator=(const AliveGuard&) = delete;
  ~AliveGuard();
  bool alive() const noexcept { return head_ != nullptr; }

  // For the subject's destructor.
  static void cut(AliveGuard*& head) noexcept;

 private:
  AliveGuard** head_;
  AliveGuard* previous_;
};

}  // namespace weir::inline v1::net
