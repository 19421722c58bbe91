#include "weir/net/socket.h"

#include <algorithm>
#include <cerrno>

#include "weir/net/net_part.h"
#include "weir/net/server.h"
#include "net/socket_state.h"

namespace weir::inline v1::net {

Socket::Socket(Reactor& reactor, SocketOptions options) : Task(run_service), shared_(nullptr) {
  own_ = new Own(*this, NetPart::of(reactor));
  own_->options = options;
  shared_ = &own_->shared;
  allow_half_open_ = options.allow_half_open;
}

Socket::Socket(Shared& shared) : Task(run_service), shared_(&shared) {
  allow_half_open_ = options().allow_half_open;
}

Socket::~Socket() {
  const bool listener_running = is_guarded();
  part_pipes();
  abandon();
  if (own_ == nullptr) return;
  if (listener_running) {
    net().destroy_later({own_, [](void* own) noexcept { delete static_cast<Own*>(own); }});
  } else {
    delete own_;
  }
}

bool Socket::is_guarded() const noexcept {
  const Guard* guard = net().guards;
  while (guard != nullptr && guard->socket != this) guard = guard->previous;
  return guard != nullptr;
}

// The connection ends without telling anybody; emissions that are running stop.
void Socket::abandon() noexcept {
  for (Guard* guard = net().guards; guard != nullptr; guard = guard->previous) {
    if (guard->socket == this) guard->socket = nullptr;
  }
  if (own_ != nullptr) {
    drop_dialing();
    own_->stop.reset();
    const int fd = std::exchange(own_->detached_fd, -1);
    if (channel_ == nullptr && fd >= 0) reactor().backend().close(fd);
  }
  if (channel_ != nullptr) {
    const CloseMode mode = destroy_mode();
    std::exchange(channel_, nullptr)->leave(mode);
  }
  let_reactor_go();
  aside_.reset();
  unlink();
  state_ = State::closed;
  if (user_ != nullptr) std::exchange(user_, nullptr)->on_stream_gone();
}

Socket::Own& Socket::own() {
  if (own_ == nullptr) own_ = new Own(*this, net());
  return *own_;
}

SocketEvents& Socket::own_events() { return own().events; }

PipeSource& source_of(Socket& socket) { return socket.own().source; }

PipeSink& sink_of(Socket& socket) { return socket.own().sink; }

void Socket::part_pipes() noexcept {
  if (own_ == nullptr) return;
  Pipe::part_all(own_->source);
  Pipe::part_all(own_->sink);
}

void Socket::data_listener_added() { look_again(); }

void Socket::remove_listener(ListenerId id) noexcept {
  if (own_ != nullptr) own_->events.remove(id);
}

// ---- Writing ----

Write Socket::closed_write() {
  const bool over = state_ != State::open && state_ != State::connecting;
  if (over || drained_ || detaching_) return Write::closed;
  if (auto_ended_) {
    note_error(errno_code(EPIPE), "write");
  } else {
    note_error(Mistake::write_after_end, "");
  }
  begin_close(destroy_mode());
  return Write::closed;
}

Write Socket::write(Buffer&& bytes) {
  if (!writable()) return closed_write();
  const std::size_t size = bytes.size();
  return after_push(channel_->push(std::move(bytes), options().queue), size);
}

Write Socket::write(std::string_view bytes) {
  if (!writable()) return closed_write();
  return after_push(channel_->push_copy(bytes, options().queue), bytes.size());
}

Write Socket::write_at_once(std::string_view bytes) {
  const bool may = state_ == State::open && writable() && corked_ == 0 && !bytes.empty();
  if (!may) return write(bytes);
  const std::int32_t result = channel_->send_at_once(bytes);
  if (result < 0 && result != -EAGAIN) {
    note_error(errno_code(result), "write");
    begin_close(destroy_mode());
    return Write::closed;
  }
  const auto sent = static_cast<std::size_t>(std::max(result, 0));
  bytes_written_ += sent;
  if (sent != 0) touch();
  return sent == bytes.size() ? Write::ok : write(bytes.substr(sent));
}

Write Socket::queue_file(FileRange&& range) {
  if (!writable()) return closed_write();
  const auto size = static_cast<std::size_t>(range.size);
  return after_push(channel_->push_file(std::move(range), options().queue), size);
}

Write Socket::after_push(WriteQueue::Push pushed, std::size_t size) {
  switch (pushed) {
    case WriteQueue::Push::ok:
    case WriteQueue::Push::full:
      bytes_written_ += size;
      reactor().schedule(*this);
      return pushed == WriteQueue::Push::ok ? Write::ok : Write::full;
    case WriteQueue::Push::refused: break;
    case WriteQueue::Push::no_memory: destroy(errno_code(ENOMEM)); return Write::closed;
  }
  switch (options().policy) {
    case QueuePolicy::pause:
      throttled_ = true;
      update_input();
      break;
    case QueuePolicy::drop: ++own().dropped_writes; break;
    case QueuePolicy::close: destroy(errno_code(ENOBUFS)); return Write::closed;
  }
  return Write::refused;
}

void Socket::drain() {
  drained_ = !ended_;
  end();
}

void Socket::uncork() {
  if (corked_ == 0) return;
  --corked_;
  if (corked_ != 0) return;
  schedule();
}

void Socket::destroy_soon() {
  if (destroyed()) return;
  if (finished_) return begin_close(destroy_mode());
  destroy_when_finished_ = true;
  end();
}

void Socket::destroy(std::error_code code) {
  if (channel_ != nullptr) channel_->stop_awaiting_arrival();
  if (destroyed()) return;
  if (code) note_error(code, "");
  begin_close(destroy_mode());
}

Expected<void> Socket::reset_and_destroy() {
  if (state_ == State::closed || state_ == State::closing) return {};
  if (state_ == State::fresh) return failure({.code = Mistake::socket_closed});
  const bool tcp = connecting() ? own().dialing->options.path.empty()
                                : is_ip();
  if (!tcp) {
    return failure({.code = Mistake::bad_handle_type,
                    .syscall = "",
                    .address = {},
                    .detail = "only a TCP connection can be reset"});
  }
  if (connecting()) {
    reset_when_connected_ = true;
  } else {
    begin_close(CloseMode::reset);
  }
  return {};
}

// ---- Reading ----

bool Socket::shared_data_is_heard() const noexcept {
  return server_events() != nullptr && !server_events()->data.empty();
}

bool Socket::consuming() const noexcept {
  if (paused_ || detaching_) return false;
  if (own_ != nullptr && own_->source.pipe_is_blocked()) return false;
  if (user_ != nullptr || flowing_ || shared_data_is_heard()) return true;
  return own_ != nullptr && (!own_->events.data.empty() || !own_->source.pipes_out.empty());
}

// A receive is armed only when somebody consumes; else a hangup is watched for. One that is in
// flight when the socket is paused is cancelled at the end of the next turn, or when more than one
// receive has come: a pause until what was written is out costs nothing, a longer one holds little
// more than was on its way. When memory is in demand it is cancelled at once.
void Socket::update_input() {
  if (state_ != State::open) return;
  const bool receive = !peer_fin_ && consuming() && !throttled_ && !holds_input();
  Reactor& reactor = net().reactor();
  const bool paused = paused_ || (own_ != nullptr && own_->source.pipe_is_blocked());
  const bool holds_little = !holds_input() || aside_->held->size() < 2;
  const bool just_paused = paused && holds_little && !reactor.memory_in_demand() &&
                           paused_in_turn_ == static_cast<std::uint16_t>(reactor.turn());
  if (receive) {
    channel_->want(Channel::Input::receive);
  } else if (just_paused && channel_->receiving() && !peer_fin_ && !throttled_) {
    more_due_ = true;
    reactor.schedule_next_turn(*this);
  } else {
    channel_->want(Channel::Input::watch);
  }
}

void Socket::set_user(StreamUser* user) {
  user_ = user;
  paused_ = false;
  flowing_ = false;
  if (user == nullptr && peer_fin_) end_emitted_ = false;
  look_again();
}

void Socket::set_queue_limits(const QueueLimits& limits) {
  Own& mine = own();
  if (shared_ != &mine.shared && !own_options_) {
    mine.options = options();
    own_options_ = true;
  }
  mine.options.queue = limits;
}

const SocketOptions& Socket::own_options() const noexcept { return own_->options; }

void Socket::note_pause() noexcept {
  paused_in_turn_ = static_cast<std::uint16_t>(reactor().turn());
  look_again();
}

void Socket::pause() {
  if (!paused_) note_pause();
  paused_ = true;
  flowing_ = false;
}

void Socket::resume() {
  paused_ = false;
  flowing_ = true;
  look_again();
}

void Socket::on_received(Buffer&& bytes) noexcept {
  bytes_read_ += bytes.size();
  touch();
  if (state_ == State::open && consuming() && !holds_input()) {
    deliver(std::move(bytes));
    return;
  }
  if (!holds_input()) aside().held = std::make_unique<std::vector<Buffer>>();
  aside_->held->push_back(std::move(bytes));
  update_input();
}

// False when the socket was destroyed or closed.
bool Socket::deliver_held() {
  while (holds_input() && consuming()) {
    std::vector<Buffer>& held = *aside_->held;
    Buffer next = std::move(held.front());
    held.erase(held.begin());
    if (held.empty()) drop_held();
    if (!deliver(std::move(next)) || state_ != State::open) return false;
  }
  if (peer_fin_ && !end_emitted_ && !holds_input() && !text_waits()) return peer_end();
  return true;
}

bool Socket::holds_input() const noexcept { return aside_ != nullptr && aside_->held != nullptr; }

void Socket::drop_held() noexcept {
  if (!holds_input()) return;
  aside_->held.reset();
  tidy_aside();
}

Socket::Aside& Socket::aside() {
  if (aside_ == nullptr) aside_ = std::make_unique<Aside>(*this);
  return *aside_;
}

void Socket::tidy_aside() noexcept {
  if (aside_->held == nullptr && aside_->timeout == Duration::zero()) aside_.reset();
}

void Socket::on_peer_ended() noexcept {
  peer_fin_ = true;
  if (!holds_input() && !text_waits()) peer_end();
}

bool Socket::peer_end() {
  if (!deliver_rest_of_text()) return false;
  end_emitted_ = true;
  if (!tell_user([](StreamUser& user) { user.on_stream_end(); })) return false;
  // A user that lets go of the stream here leaves the end to the listeners; see set_user().
  if (!end_emitted_) return state_ == State::open;
  if (!emit(&SocketEvents::end)) return false;
  if (state_ != State::open) return false;
  if (own_ != nullptr) Pipe::end_all(own_->source);
  if (!allow_half_open_ && !ended_) auto_end_due_ = true;
  schedule();
  return true;
}

bool Socket::undelivered_input() const noexcept {
  return holds_input() || (channel_ != nullptr && channel_->has_unread());
}

// ---- Service: what a handler or a completion has left to do ----

void Socket::run_service(Task& task) noexcept { static_cast<Socket&>(task).service(); }

void Socket::service() noexcept {
  if (more_due_) return serve_all();
  if (state_ == State::open && corked_ == 0) static_cast<void>(flush());
}

void Socket::serve_all() noexcept {
  more_due_ = false;
  if (close_due_) return finish_close();
  if (!complete_writes()) return;
  if (state_ == State::connecting) return dial();
  if (state_ == State::closed && server() != nullptr) return retire();
  if (state_ != State::open) return;
  if (!deliver_held()) return;
  if (auto_end_due_ && !ended_ && !detaching_) {
    auto_ended_ = true;
    end();
  }
  auto_end_due_ = false;
  update_input();
  if (corked_ == 0 && !flush()) return;
  if (!finish_output()) return;
  if (detaching_ && channel_->queued() == 0 && !channel_->sending() &&
      !channel_->awaits_release()) {
    return hand_over();
  }
  if (finished_ && end_emitted_) begin_close(CloseMode::finish);
}

// False when there is nothing more to do now: the socket is not open any more, or goes on in the
// next turn. So it does when something is left to send, or was written by a handler that was told:
// others have theirs in between. And before the end: a reset that answers what was sent is seen.
bool Socket::flush() {
  const bool idle_before = !channel_->sending();
  const Channel::Flushed flushed = channel_->flush();
  if (flushed.sent == 0) {
    if (idle_before && channel_->sending()) touch();
    return true;
  }
  if (!sent(flushed.drained)) return false;
  if (channel_->queued() == 0 && !ended_ && !detaching_) return true;
  more_due_ = true;
  unlink();
  reactor().schedule_next_turn(*this);
  return false;
}

bool Socket::finish_output() {
  if (!ended_ || finished_ || channel_->queued() != 0 || channel_->sending()) return true;
  if (const std::error_code code = channel_->shutdown_write()) {
    on_broken(code, "write");
    return false;
  }
  finished_ = true;
  if (own_ != nullptr) Pipe::destination_finished(own_->sink);
  if (!complete_ends({}) || state_ != State::open) return false;
  if (!emit(&SocketEvents::finish) || state_ != State::open) return false;
  if (!destroy_when_finished_) return true;
  begin_close(destroy_mode());
  return false;
}

void Socket::on_sent(std::size_t bytes, bool drained) noexcept {
  if (state_ == State::closing) {
    if (own_ != nullptr && own_->callbacks != nullptr) own_->callbacks->sent += bytes;
    return;
  }
  if (!sent(drained)) return;
  if (ended_ || detaching_ || channel_->queued() != 0) schedule();
}

// False when the socket is not open any more.
bool Socket::sent(bool drained) {
  touch();
  const bool nobody_waits = user_ == nullptr && own_ == nullptr && !drained && !throttled_;
  if (nobody_waits) return true;
  if (throttled_ && channel_->queued() <= options().queue.low_water) {
    throttled_ = false;
    update_input();
  }
  const auto tell = [drained](StreamUser& user) { user.on_stream_sent(drained); };
  if (!tell_user(tell) || state_ != State::open) return false;
  if (drained && !ended_) {
    if (!emit(&SocketEvents::drain) || state_ != State::open) return false;
    if (own_ != nullptr) Pipe::resume_all(own_->sink);
  }
  return complete_writes() && state_ == State::open;
}

void Socket::on_broken(std::error_code code, const char* syscall) noexcept {
  note_error(code, syscall);
  if (state_ == State::closing) own().detached_fd = -1;
  const bool cut_short = std::string_view(syscall) == "sendfile";
  begin_close(cut_short ? CloseMode::reset : destroy_mode());
}

void Socket::on_over_budget(bool must_close) noexcept {
  if (must_close) return destroy(errno_code(ENOBUFS));
  throttled_ = true;
  update_input();
}

// ---- Closing ----

// The first error wins.
void Socket::note_error(std::error_code code, const char* syscall, const Address& address) {
  Own& mine = own();
  if (mine.error.code) return;
  const bool system = *syscall != '\0';
  mine.error = {.code = code,
                .syscall = syscall,
                .address = address,
                .detail = {},
                .host = {},
                .local = system ? local_address() : Address()};
}

CloseMode Socket::destroy_mode() const noexcept {
  if (state_ != State::open) return CloseMode::finish;
  if (undelivered_input()) return CloseMode::reset;
  return finished_ && end_emitted_ ? CloseMode::finish : CloseMode::destroy;
}

void Socket::begin_close(CloseMode mode) {
  if (destroyed()) return;
  if (own_ != nullptr && own_->callbacks != nullptr) {
    own_->callbacks->sent = bytes_written_ - writable_length();
  }
  state_ = State::closing;
  stop_idle_timer();
  drop_held();
  drop_dialing();
  part_pipes();
  if (channel_ != nullptr) return channel_->close(mode);
  close_due_ = true;
  schedule();
}

void Socket::on_closed() noexcept {
  channel_ = nullptr;
  close_due_ = true;
  schedule();
}

void Socket::finish_close() {
  close_due_ = false;
  if (own_ != nullptr) own_->stop.reset();
  if (!fail_callbacks()) return;
  if (own_ != nullptr && own_->detached && !give_detached()) return;
  if (!emit_error()) return;
  state_ = State::closed;
  let_reactor_go();
  if (server() != nullptr) server()->uncount();
  if (!tell_user_closed() || !emit_close()) return;
  retire();
}

// An accepted socket goes, unless somebody is still to be called back.
void Socket::retire() {
  if (server() == nullptr) return;
  const bool owed =
      own_ != nullptr && own_->callbacks != nullptr && !own_->callbacks->writes.empty();
  if (owed) return schedule();
  server()->reclaim(*this);
}

// ---- Facts ----

ReadyState Socket::ready_state() const noexcept {
  if (state_ == State::connecting) return ReadyState::opening;
  if (state_ != State::open) return ReadyState::closed;
  if (ended_) return end_emitted_ ? ReadyState::closed : ReadyState::read_only;
  return end_emitted_ ? ReadyState::write_only : ReadyState::open;
}

const char* name_of(ReadyState state) noexcept {
  switch (state) {
    case ReadyState::opening: return "opening";
    case ReadyState::open: return "open";
    case ReadyState::read_only: return "readOnly";
    case ReadyState::write_only: return "writeOnly";
    case ReadyState::closed: break;
  }
  return "closed";
}

bool Socket::writable_needs_drain() const noexcept {
  return channel_ != nullptr && writable() && channel_->needs_drain();
}

std::size_t Socket::writable_length() const noexcept {
  return channel_ == nullptr ? 0 : channel_->queued();
}

std::span<const Address> Socket::attempted_addresses() const noexcept {
  return own_ == nullptr ? std::span<const Address>() : std::span(own_->attempted);
}

std::uint64_t Socket::dropped_writes() const noexcept {
  return own_ == nullptr ? 0 : own_->dropped_writes;
}

// False without memory for them.
bool Socket::learn_addresses(int fd) {
  const Backend& backend = reactor().backend();
  return ends_.set(backend.address(fd, End::local).ip(), backend.address(fd, End::peer).ip());
}

void Socket::hold_reactor() noexcept {
  if (!referenced_ || holds_reactor_) return;
  holds_reactor_ = true;
  reactor().ref();
}

void Socket::let_reactor_go() noexcept {
  if (!holds_reactor_) return;
  holds_reactor_ = false;
  reactor().unref();
}

void Socket::ref() {
  referenced_ = true;
  if (state_ == State::connecting || state_ == State::open || state_ == State::closing) {
    hold_reactor();
  }
}

void Socket::unref() {
  referenced_ = false;
  let_reactor_go();
}

SocketRef Socket::weak() const noexcept {
  return channel_ == nullptr ? SocketRef() : SocketRef(Slab<Channel>::ref(channel_));
}

Socket* SocketRef::get() const noexcept {
  const Channel* channel = channel_.get();
  if (channel == nullptr || channel->owner() == nullptr || channel->closing()) return nullptr;
  return static_cast<Socket*>(channel->owner());
}

}  // namespace weir::inline v1::net
