#include "weir/net/channel.h"

#include <algorithm>
#include <cerrno>

#include "weir/net/net_part.h"

namespace weir::inline v1::net {

Channel* Channel::create(NetPart& net, int fd, bool is_stream_ours, ChannelOwner& owner) noexcept {
  return net.channels().create(net, fd, is_stream_ours, owner);
}

Channel::Channel(NetPart& net, int fd, bool ours, ChannelOwner& owner) noexcept
    : PollOp(on_input), ours_(ours), net_(net), owner_(&owner) {
  input().fd = fd;
  net_.channel_added();
}

Channel::Beside& Channel::beside() {
  if (beside_ == nullptr) beside_ = std::make_unique<Beside>(*this);
  return *beside_;
}

void Channel::connect(int fd, const Address& peer) noexcept {
  input().fd = fd;
  Connecting& connecting = beside().connecting;
  connecting.fd = fd;
  connecting.peer = peer;
  net_.reactor().backend().submit(connecting);
}

void Channel::cancel_connect() noexcept {
  if (connecting()) net_.reactor().backend().cancel(beside_->connecting);
}

void Channel::on_connect(Op& op, Completion& completion) noexcept {
  Channel& channel = static_cast<Connecting&>(op).channel;
  const std::int32_t result = completion.result;
  channel.beside_.reset();
  if (channel.closing_) return channel.finish_close_if_idle();
  if (result < 0) channel.net_.reactor().backend().close(std::exchange(channel.input().fd, -1));
  channel.owner_->on_connected(result < 0 ? errno_code(result) : std::error_code());
}

// ---- Input ----

void Channel::want(Input wish) noexcept {
  if (closing_) return;
  wanted_ = wish;
  if (current_ == wanted_) return;
  if (!input().idle()) {
    net_.reactor().backend().cancel(input());
  } else if (!in_callback_) {
    arm();
  }
}

// Precondition: the input operation is idle.
void Channel::arm() noexcept {
  current_ = wanted_;
  if (current_ == Input::none) return;
  // With descriptors a receive is a poll, and a plain call when there is something.
  const bool messages = beside_ != nullptr && beside_->descriptors.receives;
  const bool receive = current_ == Input::receive;
  input().kind = receive && !messages ? OpKind::recv : OpKind::poll;
  input().watch_hangup = !receive;
  input().wanted = {receive ? Events::readable : std::uint8_t{0}};
  net_.reactor().backend().submit(input());
}

void Channel::on_input(Op& op, Completion& completion) noexcept {
  Channel& channel = static_cast<Channel&>(op);
  if (!channel.closing_ && completion.more) {
    if (op.kind == OpKind::recv) {
      channel.owner_->on_received(std::move(completion.buffer));
    } else {
      channel.hangup_seen(Events{static_cast<std::uint8_t>(completion.result)});
    }
    return;
  }
  if (channel.closing_ && channel.close_mode_ == CloseMode::hand_over) {
    channel.input_while_handing_over(completion);
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
  if (ended == Input::receive && input().kind == OpKind::poll && result > 0) {
    receive_messages();
  } else if (ended == Input::receive && result == 0) {
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

void Channel::input_while_handing_over(Completion& completion) noexcept {
  if (owner_ == nullptr) return;
  if (completion.result > 0 && !completion.buffer.empty()) {
    owner_->on_received(std::move(completion.buffer));
  } else if (completion.result < 0 && completion.result != -ECANCELED) {
    close_mode_ = CloseMode::destroy;
    owner_->on_broken(errno_code(completion.result), "read");
  }
}

// One call for each readiness: other sockets have their turn in between.
void Channel::receive_messages() noexcept {
  char room[limits::kMessageBytesMax];
  std::vector<int>& passed = beside_->descriptors.incoming;
  const std::int32_t result =
      net_.reactor().backend().receive_with_descriptors(fd(), room, passed);
  if (result == -EAGAIN) return;
  if (result < 0) return owner_->on_broken(errno_code(result), "read");
  for (const int one : std::exchange(passed, {})) {
    if (owner_ == nullptr || closing_) {
      net_.reactor().backend().close(one);
    } else {
      owner_->on_descriptor_received(one);
    }
  }
  if (closing_) return;
  if (result == 0) return report_peer_ended();
  const auto size = static_cast<std::size_t>(result);
  Buffer bytes = Buffer::copy({room, size});
  if (bytes.size() != size) return owner_->on_broken(errno_code(ENOMEM), "read");
  owner_->on_received(std::move(bytes));
}

void Channel::receive_descriptors() {
  beside().descriptors.receives = true;
  // A receive that is armed already is armed anew, as a poll.
  if (current_ == Input::receive && !input().idle()) net_.reactor().backend().cancel(input());
}

void Channel::hangup_seen(Events events) noexcept {
  const bool reset = events.has(Events::error);
  // io_uring may merge the event of a reset into that of the FINs before it.
  if (reset || events.has(Events::hangup)) {
    const int error = net_.reactor().backend().get(fd(), SocketFact::pending_error);
    // Behind the peer's FIN a reset is the answer to what was written.
    const char* found_by = peer_ended_ ? "write" : "read";
    const bool broken = reset || error > 0;
    if (broken) return owner_->on_broken(errno_code(error > 0 ? error : ECONNRESET), found_by);
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
  return net_.reactor().backend().get(fd(), SocketFact::unread_bytes) > 0;
}

// ---- Output ----

bool Channel::ensure_output(const QueueLimits& limits) noexcept {
  if (output_ != nullptr) return true;
  output_ = net_.take_output(limits, on_send, on_send_file);
  if (output_ == nullptr) return false;
  output_->op.channel = this;
  return true;
}

WriteQueue::Push Channel::push(Buffer&& bytes, const QueueLimits& limits) noexcept {
  if (!ensure_output(limits)) return WriteQueue::Push::no_memory;
  const std::size_t before = output_->queue.memory();
  return account(output_->queue.push(std::move(bytes)), before);
}

WriteQueue::Push Channel::push_copy(std::string_view bytes, const QueueLimits& limits) noexcept {
  if (!ensure_output(limits)) return WriteQueue::Push::no_memory;
  const std::size_t before = output_->queue.memory();
  return account(output_->queue.push_copy(bytes), before);
}

// The budget is one of memory, of which a file takes none.
WriteQueue::Push Channel::push_file(FileRange&& range, const QueueLimits& limits) noexcept {
  if (!ensure_output(limits)) return WriteQueue::Push::no_memory;
  return output_->queue.push_file(std::move(range));
}

WriteQueue::Push Channel::account(WriteQueue::Push pushed, std::size_t before) noexcept {
  const std::size_t added = output_->queue.memory() - before;
  net_.queued(added);
  if (added != 0 && pushed == WriteQueue::Push::ok && net_.over_budget()) {
    output_->queue.owe_drain();
    return WriteQueue::Push::full;
  }
  return pushed;
}

Channel::Flushed Channel::flush() noexcept {
  if (output_ == nullptr || closing_ || sending() || connecting()) return {};
  Output& output = *output_;
  if (output.queue.empty()) {
    drop_output();
    return {};
  }
  output.op.passed_fd = -1;
  std::size_t count = 0;
  if (output.queue.next_file() == nullptr) {
    const std::size_t bytes_max = beside_ == nullptr ? weir::limits::kSendBytesMax
                                                     : prepare_descriptor(output.op);
    count = output.queue.gather(output.pieces, bytes_max);
  }
  const std::span<const iovec> pieces(output.pieces.data(), count);
  const FileRange* file = output.queue.file_behind(pieces);
  if (file != nullptr && goes_with_file(pieces)) {
    submit_file(pieces, *file);
    return {};
  }
  if (output.queue.zero_copy_from() != 0 && lend(pieces)) return {};
  output.op.fd = fd();
  output.op.pieces = pieces;
  const std::size_t sent = net_.reactor().backend().send_or_submit(output.op);
  return sent == 0 ? Flushed() : take_off_queue(sent);
}

std::int32_t Channel::send_at_once(std::string_view bytes) noexcept {
  const bool is_first = output_ == nullptr || (output_->queue.empty() && !sending());
  if (closing_ || connecting() || !is_first || bytes.empty()) return -EAGAIN;
  return net_.reactor().backend().send_at_once(fd(), bytes);
}

bool Channel::goes_with_file(std::span<const iovec> pieces) const noexcept {
  return output_->op.passed_fd < 0 && bytes_of(pieces) <= weir::limits::kBytesBeforeFileMax;
}

void Channel::submit_file(std::span<const iovec> before, const FileRange& range) noexcept {
  SendFileOp& op = output_->file_op;
  op.fd = fd();
  op.before = before;
  op.file = range.file.fd();
  op.shared = !ours_;
  op.offset = static_cast<std::int64_t>(range.offset);
  op.size = static_cast<std::size_t>(range.size);
  net_.reactor().backend().submit(op);
}

void Channel::on_send(Op& op, Completion& completion) noexcept {
  static_cast<Output::Sending&>(op).channel->send_ended(completion.result, "write");
}

void Channel::on_send_file(Op& op, Completion& completion) noexcept {
  Channel& channel = *static_cast<Output::SendingFile&>(op).output.op.channel;
  channel.send_ended(completion.result == 0 ? -ENODATA : completion.result, "sendfile");
}

void Channel::send_ended(std::int32_t result, const char* syscall) noexcept {
  if (closing_) {
    drop_output();
    if (result > 0 && owner_ != nullptr) owner_->on_sent(static_cast<std::size_t>(result), false);
    return finish_close_if_idle();
  }
  if (result < 0) {
    if (result != -ECANCELED) owner_->on_broken(errno_code(result), syscall);
    return;
  }
  const Flushed flushed = take_off_queue(static_cast<std::size_t>(result));
  owner_->on_sent(flushed.sent, flushed.drained);
}

Channel::Flushed Channel::take_off_queue(std::size_t sent) noexcept {
  if (beside_ != nullptr) descriptors_sent(sent);
  const std::size_t before = output_->queue.memory();
  const bool drained = output_->queue.sent(sent);
  net_.unqueued(before - output_->queue.memory());
  if (output_->queue.empty()) drop_output();
  return {.sent = sent, .drained = drained};
}

void Channel::pass_descriptor(int fd, std::size_t size) {
  beside().descriptors.outgoing.push_back({.ahead = queued() - size, .fd = fd});
}

// A send carries at most one descriptor, with its first byte, and ends before the next one. Returns
// how many bytes it may have.
std::size_t Channel::prepare_descriptor(SendOp& op) noexcept {
  const auto& outgoing = beside_->descriptors.outgoing;
  std::size_t next = 0;
  if (!outgoing.empty() && outgoing[0].ahead == 0) op.passed_fd = outgoing[next++].fd;
  if (next == outgoing.size()) return weir::limits::kSendBytesMax;
  return std::min(outgoing[next].ahead, weir::limits::kSendBytesMax);
}

void Channel::descriptors_sent(std::size_t sent) noexcept {
  auto& outgoing = beside_->descriptors.outgoing;
  if (output_->op.passed_fd >= 0 && sent > 0) {
    net_.reactor().backend().close(outgoing.front().fd);
    outgoing.erase(outgoing.begin());
  }
  for (PassedDescriptors::Outgoing& one : outgoing) one.ahead -= sent;
}

void Channel::drop_output() noexcept {
  if (output_ != nullptr) net_.give_back(*std::exchange(output_, nullptr));
}

// A reset before the peer's FIN is told of by the receive.
std::error_code Channel::shutdown_write() noexcept {
  awaits_arrival_ = true;
  Backend& backend = net_.reactor().backend();
  const bool reset = backend.shutdown(fd(), Direction::write) == -ENOTCONN;
  if (!reset || !peer_ended_) return {};
  const int error = backend.get(fd(), SocketFact::pending_error);
  return errno_code(error > 0 ? error : EPIPE);
}

// ---- Closing ----

void Channel::close(CloseMode mode) noexcept {
  if (closing_) return;
  closing_ = true;
  close_mode_ = mode;
  Backend& backend = net_.reactor().backend();
  cancel_connect();
  if (!input().idle()) backend.cancel(input());
  if (sending()) {
    backend.cancel(output_->op);
    backend.cancel(output_->file_op);
    if (output_->lent != nullptr) backend.cancel(*output_->lent);
  } else {
    drop_output();
  }
  if (!in_callback_) finish_close_if_idle();
}

void Channel::leave(CloseMode mode) noexcept {
  owner_ = nullptr;
  close(mode);
}

// The one place where the fd is closed.
void Channel::finish_close_if_idle() noexcept {
  if (!input().idle() || sending() || connecting()) return;
  if (beside_ != nullptr && waits_for_release()) return;
  NetPart& net = net_;
  Backend& backend = net.reactor().backend();
  ChannelOwner* owner = owner_;
  if (beside_ != nullptr) {
    for (const auto& [ahead, one] : beside_->descriptors.outgoing) backend.close(one);
  }
  const bool hand_over = close_mode_ == CloseMode::hand_over && owner != nullptr;
  if (close_mode_ == CloseMode::reset && fd() >= 0) {
    backend.set(fd(), SocketOption::reset_on_close, 1);
  } else if (close_mode_ == CloseMode::destroy && ours_ && fd() >= 0) {
    backend.shutdown(fd(), Direction::both);
  }
  if (hand_over) {
    backend.release(fd());
  } else if (fd() >= 0) {
    backend.close(fd());
    net.connection_closed();
  }
  net.remove_channel(*this);
  if (owner != nullptr) owner->on_closed();
}

}  // namespace weir::inline v1::net
