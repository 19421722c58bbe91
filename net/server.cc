#include "weir/net/server.h"

#include <cerrno>

#include "weir/net/net_part.h"

namespace weir::inline v1::net {

// Sockets of all servers of a reactor.
struct SocketSlab {
  explicit SocketSlab(Reactor&) noexcept {}
  static SocketSlab& of(NetPart& net) { return net.reactor().part<SocketSlab>(); }
  static void destroy(void* socket) noexcept {
    auto* dying = static_cast<Socket*>(socket);
    Reactor& reactor = dying->reactor();
    reactor.part<SocketSlab>().sockets.destroy(dying);
  }
  Slab<Socket> sockets;
};

struct Server::Events {
  SocketEvents sockets;
  Event<Socket&> connection;
  Event<Server&> listening;
  Event<Server&, const Error&> error;
  Event<Server&> close;
  // A handler has destroyed the server; these tables outlive it until no handler is running.
  bool server_gone = false;
};

Server::Server(Reactor& reactor, ServerOptions options)
    : Task([](Task& task) noexcept { static_cast<Server&>(task).service(); }),
      net_(NetPart::of(reactor)),
      options_(std::move(options)),
      events_(std::make_unique<Events>()) {
  SocketSlab::of(net_);
}

Server::~Server() {
  events_->server_gone = true;
  if (listener_ != nullptr) listener_->abandon();
  for (Listener* listener : closers_) listener->abandon();
  // A handler of a socket or of the server may be running: memory goes in a task of its own.
  for (Socket* socket : sockets_) {
    socket->abandon();
    net_.destroy_later({socket, SocketSlab::destroy});
  }
  net_.destroy_later(
      {events_.release(), [](void* events) noexcept { delete static_cast<Events*>(events); }});
  let_reactor_go();
}

SocketEvents& Server::own_events() { return events_->sockets; }

void Server::data_listener_added() {
  for (Socket* socket : sockets_) socket->data_listener_added();
}

// ---- Listening ----

Expected<int> Server::bind(const ListenAt& at, Address& address) {
  const auto mistake = [](Mistake code, std::string detail) {
    return failure({.code = code, .address = {}, .detail = std::move(detail)});
  };
  Backend& backend = net_.reactor().backend();
  const ListenOptions options{.backlog = at.backlog > 0 ? at.backlog : limits::kBacklogDefault,
                              .ipv6_only = at.ipv6_only,
                              .reuse_port = at.reuse_port};
  if (!at.path.empty()) {
    address = Address::unix_path(at.path);
    return backend.listen(address, options);
  }
  if (at.port == -1) return mistake(Mistake::bad_argument, "listen() needs a port or a path");
  if (at.port < 0 || at.port > 65535) {
    return mistake(Mistake::bad_port,
                   std::to_string(at.port) + " is not a port: it must be in 0..65535");
  }
  const auto port = static_cast<std::uint16_t>(at.port);
  if (at.host.empty()) {
    address = Address::any_ipv6(port);
    auto fd = backend.listen(address, options);
    const bool no_ipv6 = !fd && (fd.error().code == errno_code(EAFNOSUPPORT) ||
                                 fd.error().code == errno_code(EADDRNOTAVAIL));
    if (!no_ipv6 || at.ipv6_only) return fd;
    address = Address::any_ipv4(port);
    return backend.listen(address, options);
  }
  auto numeric = Address::parse_ip(at.host == "localhost" ? "127.0.0.1" : at.host, port);
  if (!numeric) {
    return mistake(Mistake::bad_ip_address,
                   "\"" + at.host + "\" is not a numeric IPv4 or IPv6 address");
  }
  address = *numeric;
  return backend.listen(address, options);
}

Expected<Address> Server::listen(const ListenAt& at) {
  if (listener_ != nullptr) {
    return failure(
        {.code = Mistake::already_listening, .address = address_});
  }
  Address address;
  auto fd = bind(at, address);
  if (!fd) return failure(fd.error());
  Backend& backend = net_.reactor().backend();
  if (!address.is_unix()) {
    address = backend.address(*fd, End::local);
    // Accepted sockets inherit what is set on the listener.
    const SocketOptions& socket = options_.socket;
    if (socket.no_delay) backend.set(*fd, SocketOption::no_delay, 1);
    if (socket.keep_alive_seconds > 0) {
      backend.set(*fd, SocketOption::keep_alive_seconds, socket.keep_alive_seconds);
    }
  }
  const bool has_file = address.is_unix() && address.path().front() != '\0';
  listener_ = Listener::create(net_.reactor(), *fd, has_file ? address.path() : "", *this);
  address_ = address;
  closing_ = false;
  listening_due_ = true;
  hold_reactor();
  net_.reactor().schedule(*this);
  return address_;
}

void Server::on_accepted(int fd) noexcept {
  Socket* socket = SocketSlab::of(net_).sockets.create(*this, net_, options_.socket,
                                                       events_->sockets);
  if (socket == nullptr || !socket->open(fd)) {
    if (socket != nullptr) SocketSlab::destroy(socket);
    net_.reactor().backend().close(fd);
    return report(
        {.code = errno_code(ENOMEM), .syscall = "accept", .address = address_});
  }
  socket->server_index_ = static_cast<std::uint32_t>(sockets_.size());
  sockets_.push_back(socket);
  ++open_;
  if (options_.pause_on_connect) socket->pause();
  Events& events = *events_;
  events.connection.emit_each([&](auto& listener, bool) {
    listener(*socket);
    return !events.server_gone;
  });
  if (!events.server_gone) socket->start();
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

Expected<void> Server::close() {
  if (listener_ == nullptr) {
    return failure({.code = Mistake::not_running});
  }
  closing_ = true;
  listening_due_ = false;
  address_ = {};
  Listener* closing = std::exchange(listener_, nullptr);
  closers_.push_back(closing);
  closing->close();
  return {};
}

void Server::on_listener_closed(Listener& listener) noexcept {
  std::erase(closers_, &listener);
  net_.reactor().schedule(*this);
}

void Server::drain(Duration patience) {
  if (listener_ != nullptr) close().value();
  for (Socket* socket : sockets_) socket->drain();
  if (sockets_.empty()) return;
  drain_timer_ = net_.reactor().after(patience, [this] { close_all_connections(); });
}

void Server::close_all_connections() {
  for (Socket* socket : sockets_) socket->destroy();
}

// The socket's 'close' has been emitted: its memory goes in a task, when no handler can run.
void Server::reclaim(Socket& socket) {
  Socket* moved = sockets_.back();
  sockets_[socket.server_index_] = moved;
  moved->server_index_ = socket.server_index_;
  sockets_.pop_back();
  socket.server_ = nullptr;
  net_.destroy_later({&socket, SocketSlab::destroy});
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
  if (!done()) return;
  closing_ = false;
  drain_timer_.cancel();
  let_reactor_go();
  events.close.emit_each(call);
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
  if (listener_ != nullptr || closing_) hold_reactor();
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

ListenerId Server::on_server_close(Function<void(Server&)> call, Times times) {
  return events_->close.add(std::move(call), times == Times::once);
}

}  // namespace weir::inline v1::net
