#include "weir/net/channel.h"

#include <cerrno>

#include "weir/net/net_part.h"

namespace weir::inline v1::net {

Channel* Channel::create(NetPart& net, int fd, bool is_stream_ours, ChannelOwner& owner) noexcept {
  return net.channels().create(net, fd, is_stream_ours, owner);
}

Channel::Channel(NetPart& net, int fd, bool ours, ChannelOwner& owner) noexcept
    : net_(net), owner_(&owner), input_(*this), fd_(fd), ours_(ours) {
  input_.fd = fd;
  net_.reactor().adopt(*this);
  ++net_.reactor().ledger().sockets;
}

void Channel::connect(const Address& peer) noexcept {
  connecting_ = std::make_unique<Connecting>(*this);
  connecting_->fd = fd_;
  connecting_->peer = peer;
  net_.reactor().backend().submit(*connecting_);
}

void Channel::on_connect(Op& op, Completion& completion) noexcept {
  Channel& channel = static_cast<Connecting&>(op).channel;
  const std::int32_t result = completion.result;
  channel.connecting_.reset();
  if (channel.closing_) return channel.finish_close_if_idle();
  channel.owner_->on_connected(result < 0 ? errno_code(result) : std::error_code());
}

// ---- Input ----

void Channel::want(Input input) noexcept {
  if (closing_) return;
  wanted_ = input;
  if (current_ == wanted_) return;
  if (!input_.idle()) {
    net_.reactor().backend().cancel(input_);
  } else if (!in_callback_) {
    arm();
  }
}

// Precondition: the input operation is idle.
void Channel::arm() noexcept {
  current_ = wanted_;
  if (current_ == Input::none) return;
  input_.kind = current_ == Input::receive ? OpKind::recv : OpKind::poll;
  input_.wanted = {};
  net_.reactor().backend().submit(input_);
}

void Channel::on_input(Op& op, Completion& completion) noexcept {
  Channel& channel = static_cast<Receiving&>(op).channel;
  if (!channel.closing_ && completion.more) {
    if (op.kind == OpKind::recv) {
      channel.owner_->on_received(std::move(completion.buffer));
    } else {
      channel.hangup_seen(Events{static_cast<std::uint8_t>(completion.result)});
    }
    return;
  }
  // Whatever comes while closing reaches nobody: the peer must not take the end for a clean one.
  if (channel.closing_ && !completion.buffer.empty() &&
      channel.close_mode_ == CloseMode::destroy) {
    channel.close_mode_ = CloseMode::reset;
  }
  if (!completion.more) channel.input_ended(completion.result);
}

void Channel::input_ended(std::int32_t result) noexcept {
  if (closing_) return finish_close_if_idle();
  const Input ended = std::exchange(current_, Input::none);
  in_callback_ = true;
  if (ended == Input::receive && result == 0) {
    report_peer_ended();
  } else if (result < 0 && result != -ECANCELED) {
    owner_->on_broken(errno_code(result), "read");
  }
  in_callback_ = false;
  if (closing_) return finish_close_if_idle();
  // After the FIN there is nothing to receive; a reset can still come.
  if (peer_ended_ && wanted_ == Input::receive) wanted_ = Input::watch;
  arm();
}

void Channel::hangup_seen(Events events) noexcept {
  if (events.has(Events::error)) {
    const int error = net_.reactor().backend().get(fd_, SocketFact::pending_error);
    owner_->on_broken(errno_code(error > 0 ? error : ECONNRESET), "read");
    return;
  }
  // The FIN comes after the data: with bytes unread it waits for a reader.
  if (!has_unread()) report_peer_ended();
}

void Channel::report_peer_ended() noexcept {
  if (peer_ended_) return;
  peer_ended_ = true;
  owner_->on_peer_ended();
}

bool Channel::has_unread() const noexcept {
  return net_.reactor().backend().get(fd_, SocketFact::unread_bytes) > 0;
}

// ---- Output ----

bool Channel::ensure_output(const QueueLimits& limits) noexcept {
  if (output_ != nullptr) return true;
  output_ = net_.take_output(limits, on_send);
  if (output_ == nullptr) return false;
  output_->op.channel = this;
  output_->op.fd = fd_;
  return true;
}

WriteQueue::Push Channel::push(Buffer&& bytes, const QueueLimits& limits) noexcept {
  if (!ensure_output(limits)) return WriteQueue::Push::no_memory;
  const std::size_t before = output_->queue.bytes();
  return account(output_->queue.push(std::move(bytes)), before);
}

WriteQueue::Push Channel::push_copy(std::string_view bytes, const QueueLimits& limits) noexcept {
  if (!ensure_output(limits)) return WriteQueue::Push::no_memory;
  const std::size_t before = output_->queue.bytes();
  return account(output_->queue.push_copy(bytes), before);
}

WriteQueue::Push Channel::account(WriteQueue::Push pushed, std::size_t before) noexcept {
  const std::size_t added = output_->queue.bytes() - before;
  net_.queued(added);
  if (added != 0 && pushed == WriteQueue::Push::ok && net_.over_budget()) {
    output_->queue.owe_drain();
    return WriteQueue::Push::full;
  }
  return pushed;
}

void Channel::flush() noexcept {
  if (output_ == nullptr || closing_ || connecting_ != nullptr || !output_->op.idle()) return;
  if (output_->queue.empty()) return drop_output();
  Output& output = *output_;
  const std::size_t count = output.queue.gather(output.pieces, weir::limits::kSendBytesMax);
  output.op.pieces = {output.pieces.data(), count};
  net_.reactor().backend().submit(output.op);
}

void Channel::on_send(Op& op, Completion& completion) noexcept {
  static_cast<Output::Sending&>(op).channel->send_ended(completion.result);
}

void Channel::send_ended(std::int32_t result) noexcept {
  if (closing_) {
    drop_output();
    return finish_close_if_idle();
  }
  if (result < 0) {
    if (result != -ECANCELED) owner_->on_broken(errno_code(result), "write");
    return;
  }
  const auto sent = static_cast<std::size_t>(result);
  net_.unqueued(sent);
  const bool drained = output_->queue.sent(sent);
  if (output_->queue.empty()) drop_output();
  owner_->on_sent(sent, drained);
}

void Channel::drop_output() noexcept {
  if (output_ != nullptr) net_.give_back(*std::exchange(output_, nullptr));
}

void Channel::shutdown_write() noexcept {
  net_.reactor().backend().shutdown(fd_, Direction::write);
}

// ---- Closing ----

void Channel::close(CloseMode mode) noexcept {
  if (closing_) return;
  closing_ = true;
  close_mode_ = mode;
  Backend& backend = net_.reactor().backend();
  if (connecting_ != nullptr) backend.cancel(*connecting_);
  if (!input_.idle()) backend.cancel(input_);
  if (sending()) {
    backend.cancel(output_->op);
  } else {
    drop_output();
  }
  if (!in_callback_) finish_close_if_idle();
}

void Channel::leave(CloseMode mode) noexcept {
  owner_ = nullptr;
  close(mode);
}

void Channel::abandon() noexcept { leave(CloseMode::destroy); }

// The one place where the fd is closed.
void Channel::finish_close_if_idle() noexcept {
  if (!input_.idle() || sending() || connecting_ != nullptr) return;
  Reactor& reactor = net_.reactor();
  ChannelOwner* owner = owner_;
  if (close_mode_ == CloseMode::reset) {
    reactor.backend().set(fd_, SocketOption::reset_on_close, 1);
  } else if (close_mode_ == CloseMode::destroy && ours_) {
    reactor.backend().shutdown(fd_, Direction::both);
  }
  reactor.backend().close(fd_);
  --reactor.ledger().sockets;
  net_.channels().destroy(this);
  if (owner != nullptr) owner->on_closed();
}

}  // namespace weir::inline v1::net
