#include "http/server_core.h"

#include <algorithm>
#include <utility>

#include "weir/net/net_part.h"

namespace weir::inline v1::http {
namespace {

// Above what the user allows, once for the response whose turn it is and once for those that wait:
// heads, which are not refused.
constexpr std::size_t kQueueRoomForHeads =
    limits::kPipelinedMaxDefault * (limits::kSentFieldBytesMax + 8 * 1024);

net::ServerOptions with_room_for_heads(net::ServerOptions options) {
  options.socket.allow_half_open = true;
  options.socket.queue.bytes_max = 2 * options.socket.queue.bytes_max + kQueueRoomForHeads;
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
      net(std::in_place, its_reactor, with_room_for_heads(options.net)) {
  if (!options.headers_timeout) {
    options.headers_timeout = default_headers_timeout(options.request_timeout);
  }
  net->on_connection([this](net::Socket& socket) { accept(socket); });
  net->on_server_close([this](net::Server&) { drain_timer.cancel(); });
}

void ServerCore::accept(net::Socket& socket) {
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
