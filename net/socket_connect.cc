// Connecting, and what is set on a connection when it stands.
#include <cerrno>

#include "weir/net/net_part.h"
#include "weir/net/socket.h"
#include "net/socket_state.h"

namespace weir::inline v1::net {
namespace {

Error mistake(Mistake code, std::string detail) {
  return {.code = code, .address = {}, .detail = std::move(detail)};
}

std::unexpected<Error> bad_port(int port) {
  return failure(mistake(Mistake::bad_port,
                         std::to_string(port) + " is not a port: it must be in 0..65535"));
}

Expected<Address> numeric(const std::string& host, int port) {
  const std::string& text = host == "localhost" ? "127.0.0.1" : host;
  auto address = Address::parse_ip(text, static_cast<std::uint16_t>(port));
  if (!address) {
    return failure(mistake(Mistake::bad_ip_address,
                           "\"" + host + "\" is not a numeric IPv4 or IPv6 address"));
  }
  return *address;
}

}  // namespace

Expected<Address> Socket::target_of(const ConnectOptions& options) const {
  if (!options.path.empty()) return Address::unix_path(options.path);
  if (options.port == -1) return failure(mistake(Mistake::missing_arguments, {}));
  if (options.port < 0 || options.port > 65535) {
    return bad_port(options.port);
  }
  return numeric(options.host, options.port);
}

Expected<void> Socket::connect(const ConnectOptions& options) {
  if (state_ != State::fresh && state_ != State::closed) {
    return failure(mistake(Mistake::already_connected, {}));
  }
  if (server_ != nullptr) {
    return failure(mistake(Mistake::already_connected, "an accepted socket cannot connect again"));
  }
  auto peer = target_of(options);
  if (!peer) return failure(peer.error());
  Address local;
  if (options.local_port < 0 || options.local_port > 65535) return bad_port(options.local_port);
  if (!options.local_address.empty() || options.local_port != 0) {
    const bool ipv6 = peer->family() == Family::ipv6;
    const std::string any = ipv6 ? "::" : "0.0.0.0";
    auto parsed = numeric(options.local_address.empty() ? any : options.local_address,
                          options.local_port);
    if (!parsed) return failure(parsed.error());
    local = *parsed;
  }
  start_connecting(*peer, local, options.timeout);
  return {};
}

void Socket::start_connecting(const Address& peer, const Address& local, Duration timeout) {
  Own& mine = own();
  mine.error = {};
  mine.peer = peer;
  bytes_read_ = bytes_written_ = 0;
  local_ = remote_ = {};
  corked_ = 0;
  ended_ = auto_ended_ = finished_ = peer_fin_ = end_emitted_ = false;
  destroy_when_finished_ = auto_end_due_ = throttled_ = false;
  state_ = State::connecting;
  hold_reactor();
  touch();
  auto fd = net_.reactor().backend().open(peer, local);
  if (!fd) {
    note_error(fd.error().code, fd.error().syscall, fd.error().address);
    return begin_close(CloseMode::finish);
  }
  channel_ = Channel::create(net_, *fd, true, *this);
  if (channel_ == nullptr) {
    net_.reactor().backend().close(*fd);
    note_error(errno_code(ENOMEM), "connect", peer);
    return begin_close(CloseMode::finish);
  }
  channel_->connect(peer);
  if (timeout <= Duration::zero()) return;
  mine.connect_timer = net_.reactor().after(timeout, [this] {
    note_error(errno_code(ETIMEDOUT), "connect", own().peer);
    begin_close(CloseMode::finish);
  });
  mine.connect_timer.unref();
}

void Socket::on_connected(std::error_code code) noexcept {
  if (code) {
    note_error(code, "connect", own().peer);
    return begin_close(CloseMode::finish);
  }
  state_ = State::open;
  own().connect_timer.cancel();
  learn_addresses();
  apply_options();
  touch();
  if (!emit(&SocketEvents::connect) || state_ != State::open) return;
  if (!emit(&SocketEvents::ready) || state_ != State::open) return;
  schedule();
}

void Socket::apply_options() {
  if (options_->no_delay) set_no_delay();
  if (options_->keep_alive_seconds > 0) {
    set_keep_alive(true, std::chrono::seconds(options_->keep_alive_seconds));
  }
}

void Socket::set_no_delay(bool on) {
  if (server_ == nullptr) own().options.no_delay = on;
  if (state_ != State::open || remote_.family == Family::none) return;
  net_.reactor().backend().set(channel_->fd(), SocketOption::no_delay, on ? 1 : 0);
}

// The kernel counts whole seconds; below one its default (tcp_keepalive_time) holds.
void Socket::set_keep_alive(bool on, Duration initial_delay) {
  constexpr int kKernelDefaultSeconds = 7200;
  const auto whole = static_cast<int>(initial_delay / std::chrono::seconds(1));
  const int seconds = !on ? 0 : whole > 0 ? whole : kKernelDefaultSeconds;
  if (server_ == nullptr) own().options.keep_alive_seconds = seconds;
  if (state_ != State::open || remote_.family == Family::none) return;
  net_.reactor().backend().set(channel_->fd(), SocketOption::keep_alive_seconds, seconds);
}

std::error_code Socket::set_buffer_sizes(int receive, int send) {
  if (channel_ == nullptr) return Mistake::socket_closed;
  Backend& backend = net_.reactor().backend();
  int result = backend.set(channel_->fd(), SocketOption::receive_buffer, receive);
  if (result == 0) result = backend.set(channel_->fd(), SocketOption::send_buffer, send);
  return result == 0 ? std::error_code() : errno_code(result);
}

bool Socket::open(int fd) {
  channel_ = Channel::create(net_, fd, true, *this);
  if (channel_ == nullptr) return false;
  state_ = State::open;
  hold_reactor();
  learn_addresses();
  return true;
}

void Socket::start() {
  update_input();
  schedule();
}

}  // namespace weir::inline v1::net
