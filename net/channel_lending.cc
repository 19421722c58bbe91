// The part of a channel that lends bytes to the kernel.
#include <algorithm>
#include <new>

#include "weir/net/channel.h"
#include "weir/net/net_part.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::net {
namespace {

// Large pieces, and little else.
bool pays(std::span<const iovec> pieces, std::size_t from) noexcept {
  std::size_t large = 0;
  std::size_t small = 0;
  for (const iovec& piece : pieces) (piece.iov_len >= from ? large : small) += piece.iov_len;
  return large / limits::kLentSmallPart > small || (large != 0 && small == 0);
}

}  // namespace

// False: a plain send is to do it.
bool Channel::lend(std::span<const iovec> pieces) noexcept {
  Output& output = *output_;
  pieces = pieces.first(std::min(pieces.size(), limits::kLentPiecesMax));
  if (output.op.passed_fd >= 0 || !pays(pieces, output.queue.zero_copy_from())) return false;
  if (beside_ == nullptr) beside_.reset(new (std::nothrow) Beside(*this));
  if (beside_ == nullptr) return false;
  Lending& lending = beside_->lending;
  if (lending.off || lending.bytes >= limits::kLentBytesOfOneMax) return false;
  LentSend* send = net_.lent_sends().take(on_lent, *this, bytes_of(pieces));
  if (send == nullptr) return false;
  std::ranges::copy(pieces, send->room.begin());
  output.queue.share(std::span(send->views).first(pieces.size()));
  send->fd = fd();
  send->pieces = std::span(send->room).first(pieces.size());
  ++lending.held;
  lending.bytes += send->bytes;
  output.lent = send;
  net_.reactor().backend().submit(*send);
  return true;
}

// The result first, with which the queue lets go of the bytes; then the release.
void Channel::on_lent(Op& op, Completion& completion) noexcept {
  auto& send = static_cast<LentSend&>(op);
  Channel* channel = send.channel;
  const std::int32_t result = completion.result;
  const bool is_result = !std::exchange(send.has_result, true);
  if (is_result) channel->output_->lent = nullptr;
  if (!completion.more) {
    LentSends& sends = send.sends;
    const bool copied = !is_result && result != static_cast<std::int32_t>(Release::lent);
    if (copied) ++sends.ledger().zero_copy_copied;
    const std::size_t bytes = send.bytes;
    sends.give_back(send);
    if (channel == nullptr) return;
    --channel->beside_->lending.held;
    channel->beside_->lending.bytes -= bytes;
    if (!is_result) channel->note_release(static_cast<Release>(result));
  }
  if (is_result) return channel->send_ended(result, "write");
  if (channel->closing_) return channel->finish_close_if_idle();
  Lending& lending = channel->beside_->lending;
  const bool told = lending.held == 0 && std::exchange(lending.awaited, false);
  if (told) channel->owner_->on_sent(0, false);
}

void Channel::note_release(Release how) noexcept {
  Lending& lending = beside_->lending;
  lending.copies_in_a_row = how == Release::copied ? lending.copies_in_a_row + 1 : 0;
  if (how == Release::refused || lending.copies_in_a_row == limits::kCopiesInARowMax) {
    lending.off = true;
  }
}

// Precondition: no operation awaits a result.
bool Channel::waits_for_release() noexcept {
  Lending& lending = beside_->lending;
  if (lending.held == 0) return false;
  if (close_mode_ == CloseMode::reset) {
    net_.lent_sends().forget(*this);
    return false;
  }
  WEIR_ASSERT(close_mode_ != CloseMode::hand_over);  // it has been waited for before
  if (lending.patience.armed()) return true;
  Reactor& reactor = net_.reactor();
  if (close_mode_ == CloseMode::destroy && ours_) reactor.backend().shutdown(fd(), Direction::both);
  lending.patience = reactor.after(limits::kReleasePatience, [this] {
    close_mode_ = CloseMode::reset;
    finish_close_if_idle();
  });
  lending.patience.unref();
  // Who has ended the connection learns when all has arrived, who breaks it off does not care.
  if (!awaits_arrival_) tell_before_arrival();
  return true;
}

void Channel::tell_before_arrival() noexcept {
  ChannelOwner* told = std::exchange(owner_, nullptr);
  if (told != nullptr) told->on_closed();
}

void Channel::stop_awaiting_arrival() noexcept {
  awaits_arrival_ = false;
  const bool waits = closing_ && beside_ != nullptr && beside_->lending.patience.armed();
  if (waits) tell_before_arrival();
}

void Channel::abandon() noexcept {
  const bool lent = beside_ != nullptr && beside_->lending.held != 0;
  if (!lent) return leave(CloseMode::destroy);
  owner_ = nullptr;
  if (!closing_) return close(CloseMode::reset);
  close_mode_ = CloseMode::reset;
  finish_close_if_idle();
}

}  // namespace weir::inline v1::net
