// Connections that come from somebody else or go to somebody else, and descriptors over them.
#include <cerrno>

#include "weir/net/net_part.h"
#include "weir/net/socket.h"
#include "net/socket_state.h"

namespace weir::inline v1::net {

Expected<void> Socket::adopt(int fd) {
  if (fd < 0) {
    return failure({.code = Mistake::out_of_range,
                    .detail = std::to_string(fd) + " is no descriptor: it must not be negative"});
  }
  if (server() != nullptr || (state_ != State::fresh && state_ != State::closed)) {
    return failure({.code = Mistake::already_connected});
  }
  if (auto adopted = reactor().backend().adopt_stream(fd); !adopted) return adopted;
  const Backend& backend = reactor().backend();
  AddressPair ends;
  const bool known = ends.set(backend.address(fd, End::local).ip(),
                              backend.address(fd, End::peer).ip());
  Channel* channel = known ? Channel::create(net(), fd, false, *this) : nullptr;
  if (channel == nullptr) return failure({.code = errno_code(ENOMEM), .syscall = "open"});
  if (state_ == State::closed) forget_timeout();
  forget_last_connection();
  ends_ = std::move(ends);
  channel_ = channel;
  state_ = State::open;
  stood_ = true;
  hold_reactor();
  apply_options();
  set_timeout_of_options();
  touch();
  if (own_ != nullptr) Pipe::resume_all(own_->sink);
  schedule();
  return {};
}

// ---- Detaching: stop writing, send what is queued, stop reading, hand over ----

Expected<void> Socket::detach(Function<void(Socket&, Expected<Detached>)> done) {
  if (!done) return failure({.code = Mistake::bad_argument, .detail = "nobody takes the fd"});
  if (state_ != State::open || detaching_) return failure({.code = Mistake::socket_closed});
  if (ended_) {
    return failure({.code = Mistake::write_after_end,
                    .detail = "a connection whose sending side has ended cannot be handed over"});
  }
  own().detached = std::move(done);
  detaching_ = true;
  corked_ = 0;
  schedule();
  return {};
}

void Socket::hand_over() {
  Own& mine = own();
  if (mine.callbacks != nullptr) mine.callbacks->sent = bytes_written_;
  mine.detached_fd = channel_->fd();
  state_ = State::closing;
  stop_idle_timer();
  part_pipes();
  channel_->close(CloseMode::hand_over);
}

// False when the socket was destroyed by the callback.
bool Socket::give_detached() {
  Own& mine = own();
  auto done = std::exchange(mine.detached, {});
  const int fd = std::exchange(mine.detached_fd, -1);
  Guard guard(*this, net());
  if (fd < 0 || mine.error.code) {
    Error error = mine.error;
    if (!error.code) error.code = Mistake::stream_destroyed;
    drop_held();
    done(*this, failure(std::move(error)));
    done.reset();
    return guard.alive();
  }
  Detached detached{.fd = fd, .unread = {}};
  if (mine.decoder != nullptr && !mine.decoder->held().empty()) {
    detached.unread.push_back(Buffer::copy(mine.decoder->held()));
  }
  if (holds_input()) {
    for (Buffer& bytes : *aside_->held) detached.unread.push_back(std::move(bytes));
    drop_held();
  }
  done(*this, std::move(detached));
  done.reset();
  return guard.alive();
}

// ---- Unix sockets ----

Expected<PeerCredentials> Socket::peer_credentials() const {
  if (state_ != State::open) return failure({.code = Mistake::socket_closed});
  if (is_ip()) return failure({.code = Mistake::bad_handle_type});
  return reactor().backend().peer_credentials(channel_->fd());
}

Expected<void> Socket::receive_descriptors() {
  if (state_ != State::open) return failure({.code = Mistake::socket_closed});
  if (is_ip()) return failure({.code = Mistake::bad_handle_type});
  channel_->receive_descriptors();
  return {};
}

Expected<Write> Socket::send_descriptor(int fd, std::string_view bytes) {
  if (state_ != State::open) return failure({.code = Mistake::socket_closed});
  if (is_ip()) return failure({.code = Mistake::bad_handle_type});
  if (fd < 0 || bytes.empty()) {
    return failure({.code = Mistake::bad_argument,
                    .detail = "a descriptor is passed with at least one byte"});
  }
  const Write result = write(bytes);
  if (result == Write::ok || result == Write::full) channel_->pass_descriptor(fd, bytes.size());
  return result;
}

void Socket::on_descriptor_received(int fd) noexcept {
  const bool heard = (server_events() != nullptr && !server_events()->descriptor.empty()) ||
                     (own_ != nullptr && !own_->events.descriptor.empty());
  if (!heard) return reactor().backend().close(fd);
  emit_descriptor(fd);
}

}  // namespace weir::inline v1::net
