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

ServerStats ServerTallies::read(const net::ServerCounters& connections) const noexcept {
  ServerStats stats{.connections = connections,
                    .requests_begun = requests_begun,
                    .requests_answered = requests_answered,
                    .requests_taken_over = requests_taken_over,
                    .requests_cut_off = requests_cut_off,
                    .refusals = refusals,
                    .bytes_in = bytes_in,
                    .bytes_out = bytes_out};
  const std::uint64_t written = bytes_written;
  const std::uint64_t over = stats.bytes_out + bytes_lost;
  stats.queue_bytes = written > over ? written - over : 0;
  std::ranges::copy(responses, stats.responses.begin());
  if (latency != nullptr) stats.latency = latency->counts();
  return stats;
}

ServerCore::ServerCore(Server& its_server, Reactor& its_reactor, ServerOptions its_options)
    : Task([](Task& task) noexcept { static_cast<ServerCore&>(task).tell_closing(); }),
      server(its_server),
      reactor(its_reactor),
      part(HttpPart::of(its_reactor)),
      options(its_options),
      lines(static_cast<std::uint32_t>(
          std::chrono::floor<std::chrono::seconds>(options.keep_alive_timeout).count())),
      net(std::in_place, its_reactor, for_connections(options.net)) {
  if (!options.headers_timeout) {
    options.headers_timeout = default_headers_timeout(options.request_timeout);
  }
  if (options.measure_latency) tallies.latency = std::make_unique<Latencies>();
  net->on_connection([this](net::Socket& socket) { accept(socket); });
  net->on_server_close([this](net::Server&) { drain_timer.cancel(); });
}

const HeadLines& ServerCore::head_lines() noexcept {
  if (lines_of != reactor.now()) {
    lines_of = reactor.now();
    lines.renew(reactor.backend().unix_seconds());
  }
  return lines;
}

void ServerCore::begin_closing() {
  if (!std::exchange(closing, true) && !close_begun.empty()) reactor.schedule(*this);
}

void ServerCore::tell_closing() noexcept {
  if (gone || !closing) return;
  close_begun.emit_each([this](auto& listener, bool) {
    listener(server);
    return !gone;
  });
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
  unlink();
  drain_timer.cancel();
  stop.reset();
  for (Connection* connection : connections) connection->abandon();
  connections.clear();
  net.reset();
  net::NetPart::of(reactor).destroy_later(
      {this, [](void* core) noexcept { delete static_cast<ServerCore*>(core); }});
}

}  // namespace weir::inline v1::http
