#include "weir/net/server.h"

#include <cerrno>

#include "weir/net/balancer.h"
#include "weir/net/block_list.h"
#include "weir/net/net_part.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::net {

namespace {

// In the place of an fd.
constexpr int kNeedsLookup = -1;  // the host is a name
constexpr int kNoListener = -2;   // another server accepts

}  // namespace

// Outlives the server until no handler is running and the last of its sockets has gone.
struct Server::Events : Socket::Shared {
  Events(NetPart& its_net, Server& its_server, const SocketOptions& its_options) noexcept
      : Shared{.net = its_net, .options = &socket_options, .server = &its_server,
               .events = &sockets},
        socket_options(its_options) {}
  static void destroy(void* socket) noexcept {
    auto* dying = static_cast<Socket*>(socket);
    static_cast<Events*>(dying->shared_)->slab.destroy(dying);
  }
  // Visits every socket but those whose memory is about to go.
  template <class Visitor>
  void for_each_socket(Visitor&& visit) {
    slab.for_each([&](Socket& socket) {
      if (!socket.retired_) visit(socket);
    });
  }

  SocketOptions socket_options;
  SocketEvents sockets;
  Slab<Socket> slab;
  Event<Socket&> connection;
  Event<Server&> listening;
  Event<Server&, const Error&> error;
  Event<Server&, const Drop&> drop;
  Event<Server&> close;
  bool server_gone = false;  // a handler has destroyed it
};

struct Server::Pending {
  struct Stop {
    Server* server;
    void operator()() const { static_cast<void>(server->close()); }
  };
  struct Closed {
    Function<void(Server&, std::error_code)> done;
    std::error_code code;
  };

  Lookup* lookup = nullptr;
  ListenAt at;  // while its host is looked up
  ListenerId once_listening = ListenerId::none;
  std::optional<std::stop_callback<Stop>> stop;
  std::vector<Closed> closed;
};

Server::Server(Reactor& reactor, ServerOptions options)
    : Task([](Task& task) noexcept { static_cast<Server&>(task).service(); }),
      net_(NetPart::of(reactor)),
      options_(options),
      events_(std::make_unique<Events>(net_, *this, options_.socket)),
      open_max_(options_.max_connections.value_or(kNoLimit)),
      pending_(std::make_unique<Pending>()) {}

Server::~Server() {
  events_->server_gone = true;
  if (pending_->lookup != nullptr) pending_->lookup->abandon();
  if (listener_ != nullptr) listener_->abandon();
  for (Listener* listener : closers_) listener->abandon();
  // A handler of a socket or of the server may be running: memory goes in a task of its own.
  events_->server = nullptr;
  events_->events = nullptr;
  events_->for_each_socket([this](Socket& socket) {
    socket.abandon();
    net_.destroy_later({&socket, Events::destroy});
  });
  net_.destroy_later(
      {events_.release(), [](void* events) noexcept { delete static_cast<Events*>(events); }});
  let_reactor_go();
}

void Server::remove_listener(ListenerId id) noexcept {
  events_->sockets.remove(id);
  events_->connection.remove(id);
  events_->listening.remove(id);
  events_->error.remove(id);
  events_->drop.remove(id);
  events_->close.remove(id);
}

ServerCounters Server::counters() const noexcept {
  ServerCounters counters{.accepted = accepted_, .dropped = dropped_, .open = open_};
  if (const std::uint64_t most = open_max_; most != kNoLimit) counters.open_max = most;
  return counters;
}

SocketEvents& Server::own_events() { return events_->sockets; }

void Server::data_listener_added() {
  events_->for_each_socket([](Socket& socket) { socket.data_listener_added(); });
}

// ---- Listening ----

Expected<int> Server::bind(const ListenAt& at, Address& address) {
  const auto mistake = [](Mistake code, std::string detail) {
    return failure({.code = code, .detail = std::move(detail)});
  };
  Backend& backend = net_.reactor().backend();
  const int backlog = at.backlog > 0 ? at.backlog : limits::kBacklogDefault;
  const ListenOptions options{.backlog = backlog,
                              .ipv6_only = at.ipv6_only,
                              .reuse_port = at.reuse_port,
                              .readable_all = at.readable_all,
                              .writable_all = at.writable_all,
                              .replace_stale = at.replace_stale};
  if (at.fd >= 0) {
    auto adopted = backend.adopt_listener(at.fd, backlog);
    if (!adopted) return failure(adopted.error());
    address = backend.address(at.fd, End::local);
    return at.fd;
  }
  if (!at.path.empty()) {
    const bool abstract = at.abstract || at.path.front() == '\0';
    if (!abstract && at.path.find('\0') != std::string::npos) {
      return mistake(Mistake::bad_argument, "a path must not contain a NUL byte");
    }
    if (abstract && (at.readable_all || at.writable_all)) {
      return mistake(Mistake::bad_argument, "an abstract name has no file, and so no permissions");
    }
    address = Address::unix_path(at.abstract ? std::string(1, '\0') + at.path : at.path);
    return backend.listen(address, options);
  }
  if (at.port == -1 && at.balancer != nullptr) return kNoListener;
  if (at.port == -1) return mistake(Mistake::bad_argument, "listen() needs a port, path or fd");
  if (at.port < 0 || at.port > 65535) {
    return mistake(Mistake::bad_port,
                   std::to_string(at.port) + " is not a port: it must be in 0..65535");
  }
  const auto port = static_cast<std::uint16_t>(at.port);
  if (at.host.empty()) return bind_everywhere(port, options, address);
  auto numeric = Address::parse_ip(at.host, port);
  if (!numeric) return kNeedsLookup;
  address = *numeric;
  return backend.listen(address, options);
}

Expected<int> Server::bind_everywhere(std::uint16_t port, const ListenOptions& options,
                                      Address& address) {
  Backend& backend = net_.reactor().backend();
  address = Address::any_ipv6(port);
  auto fd = backend.listen(address, options);
  const bool no_ipv6 = !fd && (fd.error().code == errno_code(EAFNOSUPPORT) ||
                               fd.error().code == errno_code(EADDRNOTAVAIL));
  if (!no_ipv6 || options.ipv6_only) return fd;
  address = Address::any_ipv4(port);
  return backend.listen(address, options);
}

Expected<Address> Server::listen(const ListenAt& at, Function<void(Server&)> once_listening) {
  if (listening() || pending_->lookup != nullptr) {
    return failure({.code = Mistake::already_listening, .address = address_});
  }
  if (at.balancer != nullptr && net_.reactor().counters().backend == BackendKind::sim) {
    return failure({.code = errno_code(ENOTSUP), .detail = "no balancer on the simulator"});
  }
  Address address;
  auto fd = bind(at, address);
  if (!fd) return failure(fd.error());
  if (*fd == kNeedsLookup) {
    pending_->lookup = Lookup::start(net_, at.host, Family::none, nullptr, *this);
    if (pending_->lookup == nullptr) {
      return failure({.code = ResolveError::no_memory, .syscall = "getaddrinfo", .host = at.host});
    }
    pending_->at = at;
  }
  if (once_listening) {
    pending_->once_listening = on_listening(std::move(once_listening), Times::once);
  }
  closing_ = false;
  pending_->stop.reset();
  if (*fd >= 0) start_listening(*fd, address, at);
  if (*fd == kNoListener) announce_listening(at);
  hold_reactor();
  if (at.stop.stop_possible()) pending_->stop.emplace(at.stop, Pending::Stop{this});
  return address_;
}

void Server::start_listening(int fd, Address address, const ListenAt& at) {
  Backend& backend = net_.reactor().backend();
  if (!address.is_unix()) {
    address = backend.address(fd, End::local);
    // Accepted sockets inherit what is set on the listener.
    const SocketOptions& socket = options_.socket;
    if (socket.no_delay) backend.set(fd, SocketOption::no_delay, 1);
    if (socket.keep_alive) set_keep_alive_on(backend, fd, true, socket.keep_alive_delay);
  }
  // The socket is ours, and so is the file of its path.
  const bool created = at.fd < 0;
  const bool has_file = created && address.is_unix() && address.path().front() != '\0';
  listener_ = Listener::create(net_, fd, has_file ? address.path() : "", *this);
  address_ = address;
  announce_listening(at);
}

void Server::announce_listening(const ListenAt& at) {
  if (at.balancer != nullptr) seat_ = std::make_unique<BalancerSeat>(*at.balancer, *this);
  listening_due_ = true;
  net_.reactor().schedule(*this);
}

// ---- A host name ----

void Server::on_looked_up(std::error_code code, std::vector<IpEndpoint> found) noexcept {
  pending_->lookup = nullptr;
  const ListenAt at = std::exchange(pending_->at, {});
  if (!code) {
    ListenAt numeric = at;
    numeric.host = found.front().ip();
    Address address;
    auto fd = bind(numeric, address);
    if (fd) return start_listening(*fd, address, numeric);
    forget_listening();
    return report(fd.error());
  }
  const Events& events = *events_;
  forget_listening();
  if (events.server_gone) return;
  report({.code = code, .syscall = "getaddrinfo", .host = at.host});
}

// It has failed, or was taken back: its callback goes.
void Server::forget_listening() noexcept {
  if (pending_->lookup != nullptr) std::exchange(pending_->lookup, nullptr)->abandon();
  seat_.reset();
  if (listener_ == nullptr && !closing_) let_reactor_go();
  // Last: the callback may hold the server.
  events_->listening.remove(std::exchange(pending_->once_listening, ListenerId::none));
}

// ---- Accepting ----

void Server::on_accepted(int fd) noexcept {
  if (seat_ == nullptr) return take(fd);
  switch (seat_->give(fd)) {
    case BalancerSeat::Given::to_nobody: return take(fd);
    case BalancerSeat::Given::to_another: return;
    case BalancerSeat::Given::lost:
      ++accepted_;
      ++dropped_;
      report({.code = errno_code(ENOBUFS), .syscall = "accept", .address = address_});
  }
}

void Server::count_open(std::uint64_t connections) noexcept {
  open_ = connections;
  if (seat_ != nullptr) seat_->set_open(connections);
}

void Server::take(int fd) noexcept {
  ++accepted_;
  if (refuse(fd)) return;
  Socket* socket = nullptr;
  if (memory::is_plentiful()) {
    socket = events_->slab.create(*events_);
  }
  if (socket == nullptr || !socket->open(fd)) {
    if (socket != nullptr) Events::destroy(socket);
    net_.reactor().backend().close(fd);
    return report({.code = errno_code(ENOMEM), .syscall = "accept", .address = address_});
  }
  count_open(open_ + 1);
  if (options_.pause_on_connect) socket->pause();
  Events& events = *events_;
  events.connection.emit_each([&](auto& listener, bool) {
    listener(*socket);
    return !events.server_gone;
  });
  if (!events.server_gone) socket->start();
}

// A connection that the limit or the block list keeps out is closed at once; its peer sees the end.
bool Server::refuse(int fd) {
  const bool too_many = open_ >= open_max_;
  if (!too_many && options_.block_list == nullptr) return false;
  Backend& backend = net_.reactor().backend();
  const Drop drop{.local = Address(backend.address(fd, End::local).ip()),
                  .remote = Address(backend.address(fd, End::peer).ip())};
  const bool blocked =
      options_.block_list != nullptr && options_.block_list->check(drop.remote);
  if (!too_many && !blocked) return false;
  ++dropped_;
  backend.shutdown(fd, Direction::both);
  backend.close(fd);
  if (blocked) return true;
  Events& events = *events_;
  events.drop.emit_each([&](auto& listener, bool) {
    listener(*this, drop);
    return !events.server_gone;
  });
  return true;
}

void Server::on_accept_error(std::error_code code) noexcept {
  report({.code = code, .syscall = "accept", .address = address_});
}

void Server::report(const Error& error) {
  if (events_->error.empty()) return net_.reactor().report_unhandled(error);
  Events& events = *events_;
  events.error.emit_each([&](auto& listener, bool) {
    listener(*this, error);
    return !events.server_gone;
  });
}

// ---- Closing ----

Expected<void> Server::close(Function<void(Server&, std::error_code)> done) {
  const bool ran = listening();
  const std::error_code code = ran ? std::error_code() : Mistake::not_running;
  if (done) pending_->closed.push_back({.done = std::move(done), .code = code});
  listening_due_ = false;
  pending_->stop.reset();
  closing_ = true;
  const Events& events = *events_;
  forget_listening();
  if (events.server_gone) return {};
  if (listener_ != nullptr) {
    address_ = {};
    Listener* closing = std::exchange(listener_, nullptr);
    closers_.push_back(closing);
    closing->close();
    return {};
  }
  hold_reactor();
  net_.reactor().schedule(*this);
  if (ran) return {};
  return failure({.code = Mistake::not_running});
}

void Server::on_listener_closed(Listener& listener) noexcept {
  std::erase(closers_, &listener);
  net_.reactor().schedule(*this);
}

void Server::drain(Duration patience) {
  if (listening() || pending_->lookup != nullptr) static_cast<void>(close());
  bool any = false;
  events_->for_each_socket([&any](Socket& socket) {
    socket.drain();
    any = true;
  });
  if (!any) return;
  drain_timer_ = net_.reactor().after(patience, [this] { close_all_connections(); });
  if (!drain_timer_.armed()) close_all_connections();  // nobody would end it, for want of memory
}

void Server::close_all_connections() {
  events_->for_each_socket([](Socket& socket) { socket.destroy(); });
}

// The socket's 'close' has been emitted: its memory goes in a task, when no handler can run.
void Server::reclaim(Socket& socket) {
  socket.retired_ = true;
  net_.destroy_later({&socket, Events::destroy});
  if (done()) net_.reactor().schedule(*this);
}

void Server::service() noexcept {
  Events& events = *events_;
  const auto call = [&](auto& listener, bool) {
    listener(*this);
    return !events.server_gone;
  };
  if (std::exchange(listening_due_, false)) {
    events.listening.emit_each(call);
    if (events.server_gone) return;
  }
  if (done()) emit_closed();
}

void Server::emit_closed() {
  closing_ = false;
  drain_timer_.cancel();
  let_reactor_go();
  Events& events = *events_;
  for (Pending::Closed& one : std::exchange(pending_->closed, {})) {
    one.done(*this, one.code);
    one.done.reset();
    if (events.server_gone) return;
  }
  events.close.emit_each([&](auto& listener, bool) {
    listener(*this);
    return !events.server_gone;
  });
}

// ---- Facts ----

void Server::hold_reactor() noexcept {
  if (!referenced_ || holds_reactor_) return;
  holds_reactor_ = true;
  net_.reactor().ref();
}

void Server::let_reactor_go() noexcept {
  if (std::exchange(holds_reactor_, false)) net_.reactor().unref();
}

void Server::ref() {
  referenced_ = true;
  if (listening() || pending_->lookup != nullptr || closing_) hold_reactor();
}

void Server::unref() {
  referenced_ = false;
  let_reactor_go();
}

ListenerId Server::on_connection(Function<void(Socket&)> call, Times times) {
  return events_->connection.add(std::move(call), times == Times::once);
}

ListenerId Server::on_listening(Function<void(Server&)> call, Times times) {
  return events_->listening.add(std::move(call), times == Times::once);
}

ListenerId Server::on_server_error(Function<void(Server&, const Error&)> call, Times times) {
  return events_->error.add(std::move(call), times == Times::once);
}

ListenerId Server::on_drop(Function<void(Server&, const Drop&)> call, Times times) {
  return events_->drop.add(std::move(call), times == Times::once);
}

ListenerId Server::on_server_close(Function<void(Server&)> call, Times times) {
  return events_->close.add(std::move(call), times == Times::once);
}

}  // namespace weir::inline v1::net
