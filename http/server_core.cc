#include "http/server_core.h"

#include <algorithm>
#include <utility>

#include "weir/net/net_part.h"

namespace weir::inline v1::http {
namespace {

// What a socket may queue is decided by its Connection, which has output that waits besides.
net::ServerOptions for_connections(net::ServerOptions options) {
  options.socket.allow_half_open = true;
  options.socket.queue.bytes_max = SIZE_MAX;
  return options;
}

Duration default_headers_timeout(Duration request_timeout) noexcept {
  if (request_timeout == Duration::zero()) return limits::kHeadersTimeoutDefault;
  return std::min(request_timeout, limits::kHeadersTimeoutDefault);
}

}  // namespace

ServerCore::ServerCore(Reactor& its_reactor, ServerOptions its_options)
    : reactor(its_reactor),
      part(HttpPart::of(its_reactor)),
      options(std::move(its_options)),
      net(std::in_place, its_reactor, for_connections(options.net)) {
  if (!options.headers_timeout) {
    options.headers_timeout = default_headers_timeout(options.request_timeout);
  }
  net->on_connection([this](net::Socket& socket) { accept(socket); });
  net->on_server_close([this](net::Server&) { drain_timer.cancel(); });
}

void ServerCore::accept(net::Socket& socket) {
  if (closing) return socket.destroy();  // it was in the kernel's queue
  Connection* connection = part.connections().create(*this, socket);
  if (connection == nullptr) return socket.destroy(errno_code(ENOMEM));
  connection->index_ = static_cast<std::uint32_t>(connections.size());
  connections.push_back(connection);
}

void ServerCore::remove(Connection& connection) noexcept {
  Connection* moved = connections.back();
  connections[connection.index_] = moved;
  moved->index_ = connection.index_;
  connections.pop_back();
}

bool ServerCore::offer_upgrade(const Request& request_of_it, Upgrade* taken) {
  UpgradeOffer offer{.request = request_of_it, .upgrade = taken};
  upgrade_offer.emit_each([&](auto& listener, bool) {
    listener(offer);
    return !gone;
  });
  return offer.taken;
}

std::string& ServerCore::stage_for(Connection& connection) {
  if (staged_for != &connection) {
    if (staged_for != nullptr) staged_for->flush_staged();
    staged_for = &connection;
  }
  return staged;
}

void ServerCore::abandon() {
  gone = true;
  drain_timer.cancel();
  for (Connection* connection : connections) connection->abandon();
  connections.clear();
  net.reset();
  net::NetPart::of(reactor).destroy_later(
      {this, [](void* core) noexcept { delete static_cast<ServerCore*>(core); }});
}

}  // namespace weir::inline v1::http
