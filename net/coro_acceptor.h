// coro::Acceptor: a server as awaitable connections.
#pragma once

#include <cstddef>
#include <vector>

#include "weir/net/coro_stream.h"
#include "weir/net/server.h"

namespace weir::inline v1::coro {

// Connections that wait for an accept(); a further one is closed at once.
inline constexpr std::size_t kAcceptQueueMax = 128;

// Owns a Server, and so the sockets of the streams that it gives out: destroying it ends their
// connections, and whoever awaits them is told. A coroutine may do so.
// Thread: the reactor's. The reactor outlives it.
class Acceptor {
 public:
  class Accept;

  // Every accepted socket gets `options.socket`, with allow_half_open.
  explicit Acceptor(Reactor& reactor, net::ServerOptions options = {});
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  // As Server::listen().
  Expected<Address> listen(const net::ListenAt& at);
  // At a port that the kernel chooses.
  Expected<Address> listen() { return listen({.port = 0}); }

  // Expected<Stream>: the next connection, of which nothing is read before. One coroutine at a time
  // (asserted). ERR_SERVER_NOT_RUNNING when it does not listen and none is left. What goes wrong
  // with accepting is told by server().on_server_error(); accept() waits on.
  [[nodiscard]] Accept accept() noexcept;

  // Stops listening; the streams go on.
  void close();

  // Options, limits and listeners of its own events. Its sockets are the streams'.
  net::Server& server() noexcept { return server_; }

 private:
  void on_connection(net::Socket& socket);
  void stopped() noexcept;
  bool listens() const noexcept { return listening_; }

  net::Server server_;
  IntrusiveList<Stream> streams_;
  std::vector<net::Socket*> queue_;  // nobody has accepted them yet; the oldest first
  Accept* accept_ = nullptr;
  bool listening_ = false;
};

class Acceptor::Accept final : public Operation {
 public:
  explicit Accept(Acceptor& acceptor) noexcept : acceptor_(&acceptor) {}
  Accept(Accept&&) noexcept = default;
  ~Accept() { let_go(); }
  bool await_ready() noexcept;
  Expected<Stream> await_resume();

 private:
  friend class Acceptor;
  void let_go() noexcept {
    if (acceptor_ != nullptr && acceptor_->accept_ == this) acceptor_->accept_ = nullptr;
    acceptor_ = nullptr;
  }
  Acceptor* acceptor_;
};

inline Acceptor::Accept Acceptor::accept() noexcept { return Accept(*this); }

}  // namespace weir::inline v1::coro
