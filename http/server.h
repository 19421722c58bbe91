// An HTTP/1.1 server (RFC 9110, RFC 9112), in the spirit of Node's http.Server.
#pragma once

#include <cstddef>
#include <optional>

#include "weir/http/client_error.h"
#include "weir/http/request.h"
#include "weir/http/response.h"
#include "weir/http/server_options.h"
#include "weir/http/server_stats.h"
#include "weir/net/server.h"
#include "weir/net/socket.h"

namespace weir::inline v1::http {

struct ServerCore;

// A request that turns its connection into something else.
struct Upgrade {
  Request& request;     // good for the duration of the listener
  net::Socket& socket;  // the listener's: http has let go of it
  Buffer head;          // what came behind the request's head, the first bytes of the new protocol
};

// Owner: the user. Destroying it calls no handler any more, closes the listener and ends its
// connections. Thread: the reactor's. The reactor outlives it.
// A request without any listener for it gets a 404.
// Memory of a connection: input that came before a pause took effect (see Socket::pause()), its
// unanswered requests (at most pipelined_max heads), and output up to twice the socket's queue
// limit: for the response whose turn it is, and for those that wait behind it.
class Server {
 public:
  using Handler = Function<void(Request&, Response&)>;

  explicit Server(Reactor& reactor, ServerOptions options = {});
  Server(Reactor& reactor, Handler handler, ServerOptions options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // As net::Server::listen(); ListenAt::stop closes this server. Mistake::out_of_range when the
  // options contradict one another.
  Expected<Address> listen(const net::ListenAt& at, Function<void(Server&)> once_listening = {});
  Expected<Address> listen() { return listen({.port = 0}); }
  bool listening() const noexcept;
  Address address() const;

  // Stops listening. Idle connections are closed, silent ones too; the others when their requests
  // are answered, and these responses say Connection: close. 'server_close' when the last one is
  // gone.
  Expected<void> close(Function<void(Server&, std::error_code)> done = {});
  // close(); what is still open after `patience` is destroyed.
  void drain(Duration patience);
  void close_idle_connections();
  void close_all_connections();

  std::size_t connections() const noexcept;
  const ServerOptions& options() const noexcept;
  // Any thread, while the server lives; on the simulator the owner's.
  ServerStats stats() const noexcept;
  net::Server& net() noexcept;  // for 'connection', 'drop' and the like
  Reactor& reactor() const noexcept;

  // A request's head is there; its body follows.
  ListenerId on_request(Handler call, Times times = Times::always);
  // In place of 'request' for Expect: 100-continue: answers with Response::write_continue(), or
  // finally. Without a listener the 100 is sent and 'request' follows.
  ListenerId on_check_continue(Handler call, Times times = Times::always);
  // Any other expectation; without a listener 417.
  ListenerId on_check_expectation(Handler call, Times times = Times::always);
  // A request with Upgrade. Without a listener it is an ordinary one.
  ListenerId on_upgrade(Function<void(Upgrade&)> call, Times times = Times::always);
  // Only a request that `wants` says yes to, the first such listener's alone, before those above;
  // without a yes it is as if this were not here. `wants` is asked more than once and does nothing
  // else.
  ListenerId on_upgrade(Function<bool(const Request&)> wants, Function<void(Upgrade&)> call);
  // CONNECT. Without a listener the connection is closed without an answer.
  ListenerId on_connect(Function<void(Upgrade&)> call, Times times = Times::always);
  // What came is no request, or came too slowly. Whoever listens answers, and ends the socket or
  // destroys it; http does nothing more. Without a listener the client gets the status, and the
  // connection is closed.
  ListenerId on_client_error(Function<void(const ClientError&, net::Socket&)> call,
                             Times times = Times::always);
  // One beyond requests_per_socket_max, which gets a 503.
  ListenerId on_drop_request(Function<void(Request&)> call, Times times = Times::always);
  // A connection was accepted, nothing read yet.
  ListenerId on_connection(Function<void(net::Socket&)> call, Times times = Times::always);
  // No activity for options.net.socket.timeout, or that of Request::set_timeout(), which see.
  ListenerId on_timeout(Function<void(net::Socket&)> call, Times times = Times::always);
  ListenerId on_server_error(Function<void(Server&, const Error&)> call,
                             Times times = Times::always);
  // close() or drain() was called, or a stop asked for, for the first time since listen(). What has
  // no end of its own, as a stream of events, is to come to one.
  ListenerId on_closing(Function<void(Server&)> call, Times times = Times::always);
  // After close(), when no connection is left.
  ListenerId on_server_close(Function<void(Server&)> call, Times times = Times::always);
  void off(ListenerId id) noexcept;

 private:
  ServerCore* core_;  // goes when no handler can be running
};

}  // namespace weir::inline v1::http
