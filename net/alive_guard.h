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

// Calls all listeners with these arguments, the subject first; `guards` is its list. False, and
// nobody else is called: one of them has destroyed it.
template <class EventType, class... Arguments>
bool emit_guarded(AliveGuard*& guards, EventType& event, Arguments&... arguments) {
  AliveGuard guard(guards);
  event.emit_each([&](auto& listener, bool) {
    listener(arguments...);
    return guard.alive();
  });
  return guard.alive();
}

// Likewise for 'error', which is `unheard`'s when nobody listens.
template <class EventType, class Subject, class ErrorType, class Unheard>
bool emit_error_guarded(AliveGuard*& guards, EventType& event, Subject& subject,
                        ErrorType& error, Unheard unheard) {
  if (!event.empty()) return emit_guarded(guards, event, subject, error);
  AliveGuard guard(guards);
  unheard(error);
  return guard.alive();
}

}  // namespace weir::inline v1::net
