// How a socket tells its listeners, and its idle timeout.
#include "weir/net/net_part.h"
#include "weir/net/socket.h"
#include "net/socket_state.h"

namespace weir::inline v1::net {

template <class Kind, class Call>
bool Socket::emit_with(Kind SocketEvents::*event, Call&& call) {
  Guard guard(*this, net());
  const auto guarded = [&](auto& listener, bool last) {
    call(listener, last);
    return guard.alive();
  };
  const ListenerId newest = own_ == nullptr ? ListenerId::none : (own_->events.*event).newest();
  if (server_events() != nullptr) (server_events()->*event).emit_each(guarded);
  if (guard.alive() && own_ != nullptr) (own_->events.*event).emit_each(newest, guarded);
  return guard.alive();
}

bool Socket::emit(Event<Socket&> SocketEvents::*event) {
  return emit_with(event, [this](auto& listener, bool) { listener(*this); });
}

template <class Argument>
bool Socket::emit(Event<Socket&, const Argument&> SocketEvents::*event, const Argument& argument) {
  return emit_with(event, [&](auto& listener, bool) { listener(*this, argument); });
}

template bool Socket::emit(Event<Socket&, const LookupResult&> SocketEvents::*,
                           const LookupResult&);
template bool Socket::emit(Event<Socket&, const Address&> SocketEvents::*, const Address&);
template bool Socket::emit(Event<Socket&, const Error&> SocketEvents::*, const Error&);

void SocketEvents::remove(ListenerId id) noexcept {
  lookup.remove(id);
  connection_attempt.remove(id);
  connection_attempt_failed.remove(id);
  connection_attempt_timeout.remove(id);
  connect.remove(id);
  ready.remove(id);
  data.remove(id);
  descriptor.remove(id);
  end.remove(id);
  drain.remove(id);
  finish.remove(id);
  timeout.remove(id);
  error.remove(id);
  close.remove(id);
}

// ---- Data ----

void Socket::set_encoding(Encoding encoding) {
  own().decoder = std::make_unique<TextDecoder>(encoding);
}

bool Socket::deliver(Buffer&& bytes) {
  TextDecoder* decoder = own_ == nullptr ? nullptr : own_->decoder.get();
  if (decoder == nullptr || decoder->passes_through(bytes.view())) {
    return emit_data(std::move(bytes));
  }
  std::string text;
  decoder->decode(bytes.view(), text);
  return text.empty() || emit_data(Buffer::take(std::move(text)));
}

// Data that 'end' must not pass: part of a character, while nobody reads.
bool Socket::text_waits() const noexcept {
  const bool held = own_ != nullptr && own_->decoder != nullptr && !own_->decoder->held().empty();
  return held && !consuming();
}

// What stands for a character that the peer has not finished.
bool Socket::deliver_rest_of_text() {
  if (own_ == nullptr || own_->decoder == nullptr) return true;
  std::string text;
  own_->decoder->finish(text);
  return text.empty() ||
         (emit_data(Buffer::take(std::move(text))) && state_ == State::open);
}

bool Socket::tell_user_closed() {
  if (user_ == nullptr) return true;
  const Error error = own_ == nullptr ? Error() : own_->error;
  Guard guard(*this, net());
  std::exchange(user_, nullptr)->on_stream_closed(error);
  return guard.alive();
}

// Most sockets have no listeners of their own: it is short for them.
bool Socket::emit_data(Buffer&& bytes) {
  if (own_ != nullptr) return emit_data_to_own(std::move(bytes));
  Guard guard(*this, net());
  if (!shared_data_is_heard()) {
    if (user_ != nullptr) user_->on_stream_data(std::move(bytes));
    return guard.alive();
  }
  if (user_ != nullptr) {
    user_->on_stream_data(bytes.share());
    if (!guard.alive()) return false;
  }
  server_events()->data.emit_each([&](auto& listener, bool last) {
    listener(*this, last ? std::move(bytes) : bytes.share());
    return guard.alive();
  });
  return guard.alive();
}

bool Socket::emit_data_to_own(Buffer&& bytes) {
  const bool piped = !own_->source.pipes_out.empty();
  const bool own_follow = piped || !own_->events.data.empty();
  const ListenerId newest = own_->events.data.newest();
  Guard guard(*this, net());
  const auto call_shared = [&](auto& listener, bool last) {
    listener(*this, last && !own_follow ? std::move(bytes) : bytes.share());
    return guard.alive();
  };
  const auto call_own = [&](auto& listener, bool last) {
    listener(*this, last && !piped ? std::move(bytes) : bytes.share());
    return guard.alive();
  };
  if (user_ != nullptr) {
    const bool heard = own_follow || shared_data_is_heard();
    if (!heard) {
      user_->on_stream_data(std::move(bytes));
      return guard.alive();
    }
    user_->on_stream_data(bytes.share());
    if (!guard.alive()) return false;
  }
  if (server_events() != nullptr) server_events()->data.emit_each(call_shared);
  if (guard.alive()) own_->events.data.emit_each(newest, call_own);
  if (guard.alive() && piped && !destroyed()) Pipe::feed_all(own_->source, std::move(bytes));
  return guard.alive();
}

void Socket::emit_descriptor(int fd) {
  emit_with(&SocketEvents::descriptor, [&](auto& listener, bool) { listener(*this, fd); });
}

bool Socket::emit_error() {
  if (own_ == nullptr || !own_->error.code) return true;
  const Error error = own_->error;
  const bool shared_listens = server_events() != nullptr && !server_events()->error.empty();
  if (!shared_listens && own_->events.error.empty()) {
    if (user_ != nullptr) return true;  // 'close' tells it
    Guard guard(*this, net());
    reactor().report_unhandled(error);
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

Expected<void> Socket::set_timeout(Duration timeout, Function<void(Socket&)> once_timed_out) {
  if (timeout < Duration::zero() || timeout == Duration::max()) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "a timeout must be neither negative nor endless: 0 is none"});
  }
  if (destroyed()) return {};
  forget_timeout();
  if (timeout == Duration::zero()) {
    if (own_ == nullptr) return {};
    for (const ListenerId id : std::exchange(own_->once_timed_out, {})) {
      own_->events.timeout.remove(id);
    }
    return {};
  }
  if (once_timed_out) {
    own().once_timed_out.push_back(own().events.timeout.add(std::move(once_timed_out), true));
  }
  aside().timeout = timeout;
  touch();
  return {};
}

void Socket::forget_timeout() noexcept {
  if (aside_ == nullptr) return;
  stop_idle_timer();
  aside_->timeout = Duration::zero();
  aside_->queued_seen = 0;
  tidy_aside();
}

// A time that cannot be, such as an endless one, is none.
void Socket::set_timeout_of_options() {
  if (options().timeout > Duration::zero()) static_cast<void>(set_timeout(options().timeout));
}

Duration Socket::timeout() const noexcept {
  return aside_ == nullptr ? Duration::zero() : aside_->timeout;
}

void Socket::note_activity() noexcept {
  if (timeout() == Duration::zero() || destroyed()) return;
  Reactor& reactor = net().reactor();
  Aside& timer = *aside_;
  timer.last_activity = reactor.now();
  if (!timer.armed()) reactor.wheel().insert(timer, later(reactor.now(), timer.timeout));
}

// Its value is kept, for timeout().
void Socket::stop_idle_timer() noexcept {
  if (aside_ != nullptr) reactor().wheel().cancel(*aside_);
}

void Socket::Aside::on_fire(TimerNode& node) noexcept {
  auto& timer = static_cast<Aside&>(node);
  Socket& socket = timer.socket;
  Reactor& reactor = socket.reactor();
  const Instant due = later(timer.last_activity, timer.timeout);
  if (due > reactor.now()) return reactor.wheel().insert(timer, due);
  // A write that is getting somewhere is activity, too.
  const std::size_t queued = socket.writable_length();
  const bool sending = socket.channel_ != nullptr && socket.channel_->sending();
  if (sending && queued < std::exchange(timer.queued_seen, queued)) {
    return reactor.wheel().insert(timer, later(reactor.now(), timer.timeout));
  }
  if (socket.own_ != nullptr) socket.own_->once_timed_out.clear();  // they are called now
  // Silent from now on, until there is activity again.
  if (!socket.tell_user([](StreamUser& user) { user.on_stream_idle(); })) return;
  socket.emit(&SocketEvents::timeout);
}

}  // namespace weir::inline v1::net
