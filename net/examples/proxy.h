// A TCP proxy: what either side sends goes to the other, half-close and resets included.
#pragma once

#include <list>
#include <utility>

#include "weir/net/pipe.h"
#include "weir/net/server.h"

namespace weir::example {

// Owner: whoever makes it, on the reactor's thread; the reactor outlives it.
// A received buffer goes into the other side's write queue as it is: no byte is copied here. A side
// that does not read holds at most the high-water mark of its queue and one receive beyond it, and
// what the kernels on the way take; then the other side is not read.
class Proxy {
 public:
  // Each accepted connection gets one of its own to `upstream`.
  Proxy(Reactor& reactor, net::ConnectOptions upstream)
      : reactor_(reactor), upstream_(std::move(upstream)), server_(reactor, {.socket = kSocket}) {
    server_.on_connection([this](net::Socket& client) { connect(client); });
    server_.on_error([](net::Socket&, const Error&) {});  // 'close' has the code
  }

  Expected<Address> listen(const net::ListenAt& at) {
    return server_.listen(at);
  }
  // Accepts no more; those that are there go on.
  void close() { (void)server_.close(); }
  // Ends what is there, too.
  void close_all() {
    server_.close_all_connections();
    links_.clear();
  }
  std::size_t connections() const noexcept { return links_.size(); }

 private:
  static constexpr net::SocketOptions kSocket = {.allow_half_open = true, .no_delay = true};

  struct Link {
    explicit Link(Reactor& reactor) : upstream(reactor, kSocket) {}
    net::Socket upstream;
    net::Socket* client = nullptr;  // null once it is closed
  };
  using Links = std::list<Link>;

  void connect(net::Socket& client) {
    const Links::iterator link = links_.emplace(links_.end(), reactor_);
    link->client = &client;
    client.on_close([this, link](net::Socket&, std::error_code code) {
      link->client = nullptr;
      if (link->upstream.destroyed()) {
        links_.erase(link);
      } else if (code) {
        break_off(link->upstream);
      }
    });
    link->upstream.on_error([](net::Socket&, const Error&) {});
    link->upstream.on_close([this, link](net::Socket&, std::error_code code) {
      if (link->client == nullptr) {
        links_.erase(link);
      } else if (code) {
        break_off(*link->client);
      }
    });
    net::pipe(client, link->upstream);
    net::pipe(link->upstream, client);
    if (!link->upstream.connect(upstream_)) break_off(client);
  }

  // The other side has ended with an error: nobody is to take this for a clean end.
  static void break_off(net::Socket& socket) {
    if (!socket.reset_and_destroy()) socket.destroy();
  }

  Reactor& reactor_;
  net::ConnectOptions upstream_;
  net::Server server_;
  Links links_;
};

}  // namespace weir::example
