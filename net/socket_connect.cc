// Connecting: one address, a path, or a name with all its addresses; and what is set on a
// connection when it stands.
#include <algorithm>
#include <cerrno>
#include <charconv>

#include "weir/net/block_list.h"
#include "weir/net/net_part.h"
#include "weir/net/socket.h"
#include "net/candidates.h"
#include "net/socket_state.h"

namespace weir::inline v1::net {
namespace {

std::unexpected<Error> mistake(Mistake code, std::string detail) {
  return failure({.code = code, .detail = std::move(detail)});
}

std::unexpected<Error> bad_port(int port) {
  return mistake(Mistake::bad_port,
                 std::to_string(port) + " is not a port: it must be in 0..65535");
}

bool is_port(int port) noexcept { return port >= 0 && port <= 65535; }

}  // namespace

void set_default_auto_select_family(Reactor& reactor, bool on) {
  NetPart::of(reactor).auto_select_family = on;
}

void set_default_attempt_timeout(Reactor& reactor, Duration timeout) {
  NetPart::of(reactor).attempt_timeout = std::max(timeout, limits::kAttemptTimeoutMin);
}

// Mistakes in the arguments; and the target, where it needs no lookup.
Expected<void> Socket::check_connect(const ConnectOptions& options, Address& target,
                                     Address& local) const {
  if (server() != nullptr) {
    return mistake(Mistake::already_connected, "an accepted socket cannot connect again");
  }
  if (state_ != State::fresh && state_ != State::closed) {
    return failure({.code = Mistake::already_connected});
  }
  if (!options.path.empty()) {
    if (options.path.find('\0', 1) != std::string::npos && options.path.front() != '\0') {
      return mistake(Mistake::bad_argument, "a path must not contain a NUL byte");
    }
    target = Address::unix_path(options.abstract ? std::string(1, '\0') + options.path
                                                 : options.path);
    return {};
  }
  if (options.port == -1) return failure({.code = Mistake::missing_arguments});
  if (!is_port(options.port)) return bad_port(options.port);
  if (!is_port(options.local_port)) return bad_port(options.local_port);
  const auto port = static_cast<std::uint16_t>(options.port);
  if (const auto numeric = Address::parse_ip(options.host, port)) target = *numeric;
  const auto local_port = static_cast<std::uint16_t>(options.local_port);
  if (!options.local_address.empty()) {
    const auto numeric = Address::parse_ip(options.local_address, local_port);
    if (!numeric) {
      return mistake(Mistake::bad_ip_address,
                     "\"" + options.local_address + "\" is not a numeric IPv4 or IPv6 address");
    }
    local = *numeric;
  } else if (local_port != 0) {
    const bool ipv6 = target.family() == Family::ipv6 || options.family == Family::ipv6;
    local = ipv6 ? Address::any_ipv6(local_port) : Address::any_ipv4(local_port);
  }
  return {};
}

Expected<void> Socket::connect_to_text(std::string_view port_or_path, std::string_view host) {
  int port = 0;
  const auto [end, error] = std::from_chars(port_or_path.begin(), port_or_path.end(), port);
  const bool number = end == port_or_path.end() && error != std::errc::invalid_argument;
  if (number && error == std::errc::result_out_of_range) port = 65536;
  if (!number || port < 0) return connect({.path = std::string(port_or_path)});
  return connect({.host = std::string(host), .port = port});
}

Expected<void> Socket::connect(ConnectOptions options, Function<void(Socket&)> once_connected) {
  Address target;
  Address local;
  if (auto checked = check_connect(options, target, local); !checked) return checked;
  if (state_ == State::closed) forget_timeout();
  forget_last_connection();
  Own& mine = own();
  state_ = State::connecting;
  hold_reactor();
  if (once_connected) on_connect(std::move(once_connected), Times::once);
  mine.dialing = std::make_unique<Dialing>(*this);
  Dialing& dialing = *mine.dialing;
  dialing.options = std::move(options);
  dialing.local = local;
  // What is bound to one family cannot connect to the other.
  if (local.family() != Family::none) dialing.options.family = local.family();
  set_timeout_of_options();
  touch();
  channel_ = Channel::create(net(), -1, true, *this);
  if (channel_ == nullptr) {
    note_error(errno_code(ENOMEM), "connect", target);
    begin_close(CloseMode::finish);
    return {};
  }
  if (dialing.options.timeout > Duration::zero()) {
    Reactor& reactor = net().reactor();
    reactor.wheel().insert(dialing.all, later(reactor.now(), dialing.options.timeout));
  }
  const std::stop_token stop = dialing.options.stop;
  if (stop.stop_possible()) mine.stop.emplace(stop, Own::Abort{this});
  if (state_ != State::connecting) return {};
  if (target.family() == Family::none) {
    start_lookup();
  } else {
    dialing.candidates.push_back(target);
    dialing.attempt_due = true;
    schedule();
  }
  return {};
}

// A user's resolver may do anything meanwhile, to this socket too.
void Socket::start_lookup() {
  Dialing& dialing = *own().dialing;
  Guard guard(*this, net());
  Lookup* lookup = Lookup::start(net(), dialing.options.host, dialing.options.family,
                                 dialing.options.resolver, dialing);
  const bool wanted = guard.alive() && state_ == State::connecting;
  if (!wanted && lookup != nullptr) lookup->abandon();
  if (!wanted) return;
  own().dialing->lookup = lookup;
  if (lookup == nullptr) destroy(errno_code(ENOMEM));
}

void Socket::forget_last_connection() {
  Own& mine = own();
  mine.error = {};
  mine.attempted.clear();
  if (mine.decoder != nullptr) set_encoding(mine.decoder->encoding());
  bytes_read_ = bytes_written_ = 0;
  ends_.clear();
  corked_ = 0;
  ended_ = auto_ended_ = finished_ = peer_fin_ = end_emitted_ = stood_ = false;
  destroy_when_finished_ = auto_end_due_ = throttled_ = reset_when_connected_ = false;
  detaching_ = false;
}

void Socket::drop_dialing() noexcept {
  if (own_ == nullptr || own_->dialing == nullptr) return;
  if (own_->dialing->lookup != nullptr) own_->dialing->lookup->abandon();
  own_->dialing.reset();
}

// ---- Names ----

void Socket::looked_up(std::error_code code, const std::vector<IpEndpoint>& found) noexcept {
  Dialing& dialing = *own().dialing;
  dialing.lookup = nullptr;
  touch();
  const std::string host = dialing.options.host;
  const ConnectOptions& options = dialing.options;
  const bool all = options.auto_select_family.value_or(net().auto_select_family) &&
                   options.family == Family::none && options.local_address.empty();
  const auto port = static_cast<std::uint16_t>(options.port);
  if (!code) dialing.candidates = candidates_of(found, port, options.family, all);
  if (!code && dialing.candidates.empty()) code = ResolveError::not_found;
  if (code) {
    if (!emit(&SocketEvents::lookup, LookupResult{code, {}, host})) return;
    if (state_ != State::connecting) return;
    own().error = {.code = code, .syscall = "getaddrinfo", .detail = {}, .host = host};
    return begin_close(CloseMode::finish);
  }
  for (const IpEndpoint& address : found) {
    if (!emit(&SocketEvents::lookup, LookupResult{{}, address, host})) return;
    if (state_ != State::connecting) return;
  }
  try_next();
}

// ---- Attempts ----

void Socket::dial() {
  Dialing* dialing = own().dialing.get();
  if (dialing != nullptr && std::exchange(dialing->attempt_due, false)) try_next();
}

// The next address, or 'error' when there is none left.
void Socket::try_next() {
  Own& mine = own();
  while (state_ == State::connecting && mine.dialing->next < mine.dialing->candidates.size()) {
    const Address candidate = mine.dialing->candidates[mine.dialing->next++];
    if (!attempt(candidate)) return;
  }
  if (state_ != State::connecting) return;
  std::vector<Error> errors = std::move(mine.dialing->errors);
  mine.error = errors.front();
  if (errors.size() > 1) mine.error.errors = std::move(errors);
  begin_close(CloseMode::finish);
}

// False: it is under way, or the socket is gone. True: it has failed at once.
bool Socket::attempt(const Address& candidate) {
  Own& mine = own();
  mine.attempted.push_back(candidate);
  if (!emit(&SocketEvents::connection_attempt, candidate)) return false;
  if (state_ != State::connecting) return false;
  Dialing& dialing = *mine.dialing;
  const BlockList* blocked = dialing.options.block_list;
  Expected<int> fd = -1;
  if (blocked != nullptr && blocked->check(candidate)) {
    fd = failure({.code = Mistake::ip_blocked, .syscall = "connect", .address = candidate});
  } else {
    fd = reactor().backend().open(candidate, dialing.local);
  }
  if (!fd) {
    Guard guard(*this, net());
    fd.error().local = dialing.local;
    attempt_failed(fd.error());
    return guard.alive();
  }
  channel_->connect(*fd, candidate);
  if (dialing.next == dialing.candidates.size()) return false;
  const Duration patience = dialing.options.attempt_timeout.value_or(net().attempt_timeout);
  Reactor& reactor = net().reactor();
  reactor.wheel().insert(dialing.attempt,
                         later(reactor.now(), std::max(patience, limits::kAttemptTimeoutMin)));
  return false;
}

void Socket::Dialing::on_attempt_late(TimerNode& node) noexcept {
  Socket& socket = static_cast<Deadline&>(node).socket;
  socket.own().dialing->attempt_timed_out = true;
  socket.channel_->cancel_connect();
}

void Socket::Dialing::on_late(TimerNode& node) noexcept {
  Socket& socket = static_cast<Deadline&>(node).socket;
  Own& mine = socket.own();
  const bool tried = !mine.attempted.empty();
  socket.note_error(errno_code(ETIMEDOUT), tried ? "connect" : "getaddrinfo",
                    tried ? mine.attempted.back() : Address());
  if (!tried) mine.error.host = mine.dialing->options.host;
  socket.begin_close(CloseMode::finish);
}

void Socket::attempt_failed(const Error& error) {
  own().dialing->errors.push_back(error);
  emit(&SocketEvents::connection_attempt_failed, error);
}

void Socket::on_connected(std::error_code code) noexcept {
  Dialing& dialing = *own().dialing;
  reactor().wheel().cancel(dialing.attempt);
  const bool timed_out = std::exchange(dialing.attempt_timed_out, false);
  if (!code) return stand();
  const Address& address = own().attempted.back();
  Guard guard(*this, net());
  if (timed_out) {
    dialing.errors.push_back(
        {.code = errno_code(ETIMEDOUT), .syscall = "connect", .address = address});
    emit(&SocketEvents::connection_attempt_timeout, address);
  } else {
    attempt_failed({.code = code,
                    .syscall = "connect",
                    .address = address,
                    .detail = {},
                    .host = {},
                    .local = dialing.local});
  }
  if (guard.alive()) try_next();
}

void Socket::stand() {
  state_ = State::open;
  stood_ = true;
  drop_dialing();
  if (!learn_addresses(channel_->fd())) return destroy(errno_code(ENOMEM));
  apply_options();
  touch();
  if (!emit(&SocketEvents::connect) || state_ != State::open) return;
  if (!emit(&SocketEvents::ready) || state_ != State::open) return;
  if (reset_when_connected_) return begin_close(CloseMode::reset);
  if (own_ != nullptr) Pipe::resume_all(own_->sink);
  schedule();
}

// ---- Options ----

void Socket::apply_options() {
  if (options().no_delay) set_no_delay();
  if (options().keep_alive) set_keep_alive(true, options().keep_alive_delay);
}

void Socket::set_no_delay(bool on) {
  if (server() == nullptr) own().options.no_delay = on;
  if (state_ != State::open || !is_ip()) return;
  reactor().backend().set(channel_->fd(), SocketOption::no_delay, on ? 1 : 0);
}

// The kernel counts whole seconds; below one its own times hold.
void Socket::set_keep_alive(bool on, Duration initial_delay) {
  if (server() == nullptr) {
    own().options.keep_alive = on;
    own().options.keep_alive_delay = initial_delay;
  }
  if (state_ != State::open || !is_ip()) return;
  set_keep_alive_on(reactor().backend(), channel_->fd(), on, initial_delay);
}

std::error_code Socket::set_buffer_sizes(int receive, int send) {
  if (native_handle() < 0) return Mistake::socket_closed;
  Backend& backend = reactor().backend();
  int result = backend.set(channel_->fd(), SocketOption::receive_buffer, receive);
  if (result == 0) result = backend.set(channel_->fd(), SocketOption::send_buffer, send);
  return result == 0 ? std::error_code() : errno_code(result);
}

bool Socket::open(int fd) {
  if (learn_addresses(fd)) channel_ = Channel::create(net(), fd, true, *this);
  if (channel_ == nullptr) return false;
  state_ = State::open;
  stood_ = true;
  hold_reactor();
  set_timeout_of_options();
  return true;
}

void Socket::start() {
  update_input();
  schedule();
}

}  // namespace weir::inline v1::net
