#include "weir/http/server.h"

#include <algorithm>
#include <utility>

#include "http/server_core.h"

namespace weir::inline v1::http {

Server::Server(Reactor& reactor, ServerOptions options)
    : core_(new ServerCore(*this, reactor, options)) {}

Server::Server(Reactor& reactor, Handler handler, ServerOptions options)
    : Server(reactor, options) {
  on_request(std::move(handler));
}

Server::~Server() { core_->abandon(); }

Expected<Address> Server::listen(const net::ListenAt& at, Function<void(Server&)> once_listening) {
  const ServerOptions& options = core_->options;
  const Duration whole = options.request_timeout;
  if (options.pipelined_max == 0) {
    return failure({.code = Mistake::out_of_range, .detail = "pipelined_max must be at least 1"});
  }
  const Duration least =
      std::min({*options.headers_timeout, whole, options.body_rate_grace,
                options.keep_alive_timeout, options.net.socket.timeout});
  if (least < Duration::zero()) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "a timeout must not be negative: 0 is none"});
  }
  if (whole != Duration::zero() && *options.headers_timeout > whole) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "headers_timeout must not be above request_timeout"});
  }
  auto call = boxed([this, listening = std::move(once_listening)](net::Server&) mutable {
    if (listening) listening(*this);
  });
  net::ListenAt of_net = at;
  of_net.stop = {};  // would close the listener alone
  auto bound = core_->net->listen(of_net, std::move(call));
  if (!bound) return bound;
  core_->closing = false;
  core_->drain_timer.cancel();
  core_->stop.reset();
  if (at.stop.stop_possible()) core_->stop.emplace(at.stop, ServerCore::Stop{this});
  return bound;
}

bool Server::listening() const noexcept { return core_->net->listening(); }
Address Server::address() const { return core_->net->address(); }

Expected<void> Server::close(Function<void(Server&, std::error_code)> done) {
  core_->stop.reset();
  core_->begin_closing();
  for (Connection* connection : core_->connections) connection->server_closes();
  if (!done) return core_->net->close();
  return core_->net->close(
      boxed([this, call = std::move(done)](net::Server&, std::error_code code) mutable {
        call(*this, code);
      }));
}

void Server::drain(Duration patience) {
  ServerCore& core = *core_;
  static_cast<void>(close());
  // A callback that closing has dropped may have held this server.
  if (core.gone || core.net->connections() == 0) return;
  core.drain_timer = core.reactor.after(patience, [&core] { core.net->close_all_connections(); });
  // Nobody would end it, for want of memory.
  if (!core.drain_timer.armed()) core.net->close_all_connections();
}

void Server::close_idle_connections() {
  for (Connection* connection : core_->connections) {
    if (connection->is_idle()) connection->destroy({});
  }
}

void Server::close_all_connections() { core_->net->close_all_connections(); }

std::size_t Server::connections() const noexcept { return core_->net->connections(); }
const ServerOptions& Server::options() const noexcept { return core_->options; }
ServerStats Server::stats() const noexcept {
  return core_->tallies.read(core_->net->counters());
}

net::Server& Server::net() noexcept { return *core_->net; }
Reactor& Server::reactor() const noexcept { return core_->reactor; }

// ---- Listeners ----

ListenerId Server::on_request(Handler call, Times times) {
  return core_->request.add(std::move(call), times == Times::once);
}

ListenerId Server::on_check_continue(Handler call, Times times) {
  return core_->check_continue.add(std::move(call), times == Times::once);
}

ListenerId Server::on_check_expectation(Handler call, Times times) {
  return core_->check_expectation.add(std::move(call), times == Times::once);
}

ListenerId Server::on_upgrade(Function<void(Upgrade&)> call, Times times) {
  return core_->upgrade.add(std::move(call), times == Times::once);
}

ListenerId Server::on_upgrade(Function<bool(const Request&)> wants,
                              Function<void(Upgrade&)> call) {
  return core_->upgrade_offer.add(
      boxed([wants = std::move(wants), call = std::move(call)](UpgradeOffer& offer) mutable {
        if (offer.taken || !wants(offer.request)) return;
        offer.taken = true;
        if (offer.upgrade != nullptr) call(*offer.upgrade);
      }),
      false);
}

ListenerId Server::on_connect(Function<void(Upgrade&)> call, Times times) {
  return core_->connect.add(std::move(call), times == Times::once);
}

ListenerId Server::on_client_error(Function<void(const ClientError&, net::Socket&)> call,
                                   Times times) {
  return core_->client_error.add(std::move(call), times == Times::once);
}

ListenerId Server::on_drop_request(Function<void(Request&)> call, Times times) {
  return core_->drop_request.add(std::move(call), times == Times::once);
}

ListenerId Server::on_connection(Function<void(net::Socket&)> call, Times times) {
  return core_->net->on_connection(std::move(call), times);
}

ListenerId Server::on_timeout(Function<void(net::Socket&)> call, Times times) {
  return core_->timeout.add(std::move(call), times == Times::once);
}

ListenerId Server::on_server_error(Function<void(Server&, const Error&)> call, Times times) {
  return core_->net->on_server_error(
      boxed([this, call = std::move(call)](net::Server&, const Error& error) mutable {
        call(*this, error);
      }),
      times);
}

ListenerId Server::on_closing(Function<void(Server&)> call, Times times) {
  return core_->close_begun.add(std::move(call), times == Times::once);
}

ListenerId Server::on_server_close(Function<void(Server&)> call, Times times) {
  return core_->net->on_server_close(
      boxed([this, call = std::move(call)](net::Server&) mutable { call(*this); }), times);
}

void Server::off(ListenerId id) noexcept {
  core_->request.remove(id);
  core_->check_continue.remove(id);
  core_->check_expectation.remove(id);
  core_->upgrade.remove(id);
  core_->upgrade_offer.remove(id);
  core_->connect.remove(id);
  core_->client_error.remove(id);
  core_->drop_request.remove(id);
  core_->timeout.remove(id);
  core_->close_begun.remove(id);
  core_->net->off(id);
}

}  // namespace weir::inline v1::http
