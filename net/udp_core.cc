// The life of a UDP socket: what it tells when, and its end.
#include "net/udp_core.h"

#include <cerrno>
#include <utility>

namespace weir::inline v1::net {

UdpCore::Receiving::Receiving(UdpCore& its_core) noexcept
    : DatagramsOp([](Op& op, Completion& completion) noexcept {
        static_cast<Receiving&>(op).core.received(completion);
      }),
      core(its_core) {}

UdpCore::Waiting::Waiting(UdpCore& its_core) noexcept
    : PollOp([](Op& op, Completion&) noexcept { static_cast<Waiting&>(op).core.service(); }),
      core(its_core) {
  wanted = {Events::writable};
}

UdpCore::UdpCore(Reactor& reactor, UdpOptions options, UdpSocket& handle)
    : Task([](Task& task) noexcept { static_cast<UdpCore&>(task).service(); }),
      reactor_(reactor),
      net_(NetPart::of(reactor)),
      kernel_(reactor.backend().datagrams()),
      handle_(&handle),
      options_(std::move(options)),
      receiving_(*this),
      writable_(*this),
      reading_(*this),
      flushing_(*this),
      rest_(*this) {
  reactor_.adopt(*this);
  if (options_.stop.stop_possible()) stop_.emplace(options_.stop, Stop{this});
}

// ---- Telling ----

// Sends what is queued, then tells what there is to tell.
void UdpCore::service() noexcept {
  if (!closing_) flush();
  if (handle_ == nullptr) return finish_close_if_idle();
  if (std::exchange(listening_due_, false) && !emit(events.listening)) return;
  if (std::exchange(connect_due_, false) && !emit(events.connect)) return;
  if (!tell_finished()) return;
  if (!closing_ && drain_due_ && queued_datagrams() == 0) {
    drain_due_ = false;
    if (!emit(events.drain)) return;
  }
  finish_close_if_idle();
}

// A callback may send, and so add to these; what it adds is for the next time.
bool UdpCore::tell_finished() {
  for (Finished& one : std::exchange(finished_, {})) {
    one.sent(*handle_, one.code);
    one.sent.reset();
    if (handle_ == nullptr) return false;
  }
  for (const Error& error : std::exchange(errors_, {})) {
    if (events.error.empty()) {
      reactor_.report_unhandled(error);
    } else if (!emit(events.error, error)) {
      return false;
    }
    if (handle_ == nullptr) return false;
  }
  return true;
}

void UdpCore::report(Error error) {
  errors_.push_back(std::move(error));
  reactor_.schedule(*this);
}

// ---- Closing ----

Expected<void> UdpCore::close(Function<void(UdpSocket&)> done) {
  if (closing_) return failure({.code = Mistake::datagram_not_running});
  closed_ = std::move(done);
  hold_reactor();
  end_operations();
  reactor_.schedule(*this);
  return {};
}

void UdpCore::end_operations() noexcept {
  offer_all();
  closing_ = true;
  connected_ = listening_due_ = connect_due_ = drain_due_ = false;
  const Error cancelled{.code = errno_code(ECANCELED), .syscall = "send"};
  forget_queue(cancelled);
  for (Resolving& one : resolving_) one.lookup->abandon();
  std::list<Resolving> ended = std::move(resolving_);
  resolving_.clear();
  for (Resolving& one : ended) {
    if (one.purpose != Purpose::send) continue;
    --resolving_sends_;
    finish(one.outgoing, cancelled);
  }
  connect_when_bound_.reset();
  reading_.unlink();
  flushing_.unlink();
  reactor_.wheel().cancel(rest_);
  reactor_.backend().cancel(receiving_);
  reactor_.backend().cancel(writable_);
}

// Closes the fd as soon as it may be closed, and tells it when all else is told.
void UdpCore::finish_close_if_idle() noexcept {
  if (!closing_ || !receiving_.idle() || !writable_.idle()) return;
  counters_ = counters();
  if (fd_ >= 0) reactor_.backend().close(std::exchange(fd_, -1));
  if (handle_ == nullptr) return go();
  if (!finished_.empty() || !errors_.empty()) return reactor_.schedule(*this);
  if (std::exchange(closed_told_, true)) return;
  let_reactor_go();
  if (Function<void(UdpSocket&)> done = std::move(closed_)) {
    done(*handle_);
    done.reset();
    if (handle_ == nullptr) return;
  }
  emit(events.close);
}

void UdpCore::detach() noexcept {
  handle_ = nullptr;
  stop_.reset();
  let_reactor_go();
  if (!closing_) end_operations();
  finished_.clear();
  errors_.clear();
  // A handler of this socket may be running: the end comes in a task.
  reactor_.schedule(*this);
}

// The reactor goes. A socket that is still there, held by a handler, has nothing behind it any
// more.
void UdpCore::abandon() noexcept {
  if (handle_ == nullptr) return;
  handle_->core_ = nullptr;
  detach();
}

void UdpCore::go() noexcept {
  Task::unlink();
  Resident::unlink();
  net_.destroy_later({this, [](void* core) noexcept { delete static_cast<UdpCore*>(core); }});
}

// ---- The reactor's references ----

bool UdpCore::is_active() const noexcept {
  return fd_ >= 0 || !resolving_.empty() || (closing_ && !closed_told_);
}

void UdpCore::hold_reactor() noexcept {
  if (!referenced_ || holds_reactor_) return;
  holds_reactor_ = true;
  reactor_.ref();
}

void UdpCore::let_reactor_go() noexcept {
  if (std::exchange(holds_reactor_, false)) reactor_.unref();
}

void UdpCore::ref() {
  referenced_ = true;
  if (is_active()) hold_reactor();
}

void UdpCore::unref() {
  referenced_ = false;
  let_reactor_go();
}

void UdpCore::off(ListenerId id) noexcept {
  events.message.remove(id);
  events.messages.remove(id);
  events.listening.remove(id);
  events.connect.remove(id);
  events.drain.remove(id);
  events.error.remove(id);
  events.close.remove(id);
}

}  // namespace weir::inline v1::net
