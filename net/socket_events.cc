// How a socket tells its listeners, and its idle timeout.
#include "weir/net/net_part.h"
#include "weir/net/socket.h"
#include "net/socket_state.h"

namespace weir::inline v1::net {

template <class Kind, class Call>
bool Socket::emit_with(Kind SocketEvents::*event, Call&& call) {
  Guard guard(*this);
  const auto guarded = [&](auto& listener, bool last) {
    call(listener, last);
    return guard.alive();
  };
  const std::uint32_t newest = own_ == nullptr ? 0 : (own_->events.*event).newest();
  if (shared_ != nullptr) (shared_->*event).emit_each(guarded);
  if (guard.alive() && own_ != nullptr) (own_->events.*event).emit_each(newest, guarded);
  return guard.alive();
}

bool Socket::emit(Event<Socket&> SocketEvents::*event) {
  return emit_with(event, [this](auto& listener, bool) { listener(*this); });
}

bool Socket::emit_data(Buffer bytes) {
  const bool own_follow = own_ != nullptr && !own_->events.data.empty();
  const std::uint32_t newest = own_ == nullptr ? 0 : own_->events.data.newest();
  Guard guard(*this);
  const auto call_shared = [&](auto& listener, bool last) {
    listener(*this, last && !own_follow ? std::move(bytes) : bytes.share());
    return guard.alive();
  };
  const auto call_own = [&](auto& listener, bool last) {
    listener(*this, last ? std::move(bytes) : bytes.share());
    return guard.alive();
  };
  if (shared_ != nullptr) shared_->data.emit_each(call_shared);
  if (guard.alive() && own_ != nullptr) own_->events.data.emit_each(newest, call_own);
  return guard.alive();
}

bool Socket::emit_error() {
  if (own_ == nullptr || !own_->error.code) return true;
  const Error error = own_->error;
  const bool shared_listens = shared_ != nullptr && !shared_->error.empty();
  if (!shared_listens && own_->events.error.empty()) {
    Guard guard(*this);
    net_.reactor().report_unhandled(error);
    return guard.alive();
  }
  return emit_with(&SocketEvents::error,
                   [&](auto& listener, bool) { listener(*this, error); });
}

bool Socket::emit_close() {
  const std::error_code code = own_ == nullptr ? std::error_code() : own_->error.code;
  return emit_with(&SocketEvents::close, [&](auto& listener, bool) { listener(*this, code); });
}

// ---- Idle timeout ----

void Socket::set_timeout(Duration timeout) {
  if (destroyed()) return;
  idle_.reset();
  if (timeout <= Duration::zero()) return;
  idle_ = std::make_unique<IdleTimer>(*this, timeout);
  touch();
}

void Socket::touch() noexcept {
  if (idle_ == nullptr) return;
  Reactor& reactor = net_.reactor();
  idle_->last_activity = reactor.now();
  if (!idle_->armed()) reactor.wheel().insert(*idle_, later(reactor.now(), idle_->timeout));
}

void Socket::IdleTimer::on_fire(TimerNode& node) noexcept {
  auto& timer = static_cast<IdleTimer&>(node);
  Socket& socket = timer.socket;
  Reactor& reactor = socket.net_.reactor();
  const std::size_t queued = socket.writable_length();
  const bool sending = socket.channel_ != nullptr && socket.channel_->sending();
  const bool progress = sending && queued < std::exchange(timer.queued_seen, queued);
  const Instant due = later(timer.last_activity, timer.timeout);
  if (progress || due > reactor.now()) {
    reactor.wheel().insert(timer, progress ? later(reactor.now(), timer.timeout) : due);
    return;
  }
  // Silent from now on, until there is activity again.
  socket.emit(&SocketEvents::timeout);
}

}  // namespace weir::inline v1::net
