// A listening server over TCP or a Unix socket, in the spirit of Node's net.Server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "weir/net/listener.h"
#include "weir/net/socket.h"

namespace weir::inline v1::net {

class Balancer;
class BalancerSeat;

struct ListenAt {
  int port = -1;      // 0: the kernel chooses
  // Numeric, or a name, whose first address is taken; empty: every address, IPv6 and IPv4, or IPv4
  // where IPv6 is missing.
  std::string host = {};
  std::string path = {};   // of a Unix socket, wins over port; a leading NUL makes it abstract
  int fd = -1;             // a bound or listening socket, which is taken over; wins over all
  bool abstract = false;   // `path` is an abstract name (unix(7)) without its leading NUL
  int backlog = limits::kBacklogDefault;
  bool ipv6_only = false;
  bool reuse_port = false;  // SO_REUSEPORT: several servers share a port, the kernel spreads
  bool readable_all = false;  // the socket's file is readable for everybody,
  bool writable_all = false;  // or writable, which connecting needs; else as the umask says
  // Removes a socket file at `path` that refuses connections: who made it is gone. Without it an
  // existing file is EADDRINUSE, whatever it is.
  bool replace_stale = false;
  // What is accepted is shared out among all servers that listen with it (see Balancer). Without a
  // port, path or fd this one accepts nothing itself.
  Balancer* balancer = nullptr;
  std::stop_token stop = {};  // a request, on the reactor's thread, closes the server
};

struct ServerOptions {
  SocketOptions socket = {};    // of every accepted socket
  bool pause_on_connect = false;  // nothing is read before resume()
  // A connection beyond so many is closed at once, with 'drop'; 0 refuses all.
  std::optional<std::size_t> max_connections = {};
  const BlockList* block_list = nullptr;  // peers in it are closed at once; outlives the server
};

// A connection that max_connections has refused; no addresses on Unix sockets.
struct Drop {
  Address local;
  Address remote;
};

// What a server has done so far, and what it holds now. Each number is of a moment of its own.
struct ServerCounters {
  std::uint64_t accepted = 0;  // connections
  std::uint64_t dropped = 0;   // of those, closed at once for max_connections or the block list
  std::size_t open = 0;        // whose 'close' has not come
  std::optional<std::size_t> open_max = {};  // max_connections
};

// Owner: the user. Destroying it calls no handler any more, closes the listener and ends its
// connections. Thread: the reactor's. The reactor outlives it.
// Listeners for all its sockets are set on the server itself (see SocketListeners): one table
// serves every connection. The server's own events have names of their own.
// Errors: listen() returns what the kernel says; what goes wrong later comes as on_server_error.
class Server final : public SocketListeners<Server>,
                     private ListenerOwner,
                     private LookupOwner,
                     private Task {
 public:
  explicit Server(Reactor& reactor, ServerOptions options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // Returns the address that was bound (with the port that the kernel chose), or for a host name
  // Family::none; 'listening' follows, for a name or else on_server_error. A failed listen() leaves
  // the server as it was: it may try again, and drops `once_listening`. One between close() and the
  // server's 'close' takes the close() back.
  Expected<Address> listen(const ListenAt& at, Function<void(Server&)> once_listening = {});
  // At a port that the kernel chooses.
  Expected<Address> listen() { return listen({.port = 0}); }
  bool listening() const noexcept { return listener_ != nullptr || seat_ != nullptr; }
  // Where it listens; Family::none when it does not, or has what another one accepts.
  Address address() const { return address_; }

  // Stops listening; connections go on. 'close' when the last one is closed, and `done` with it.
  // When it did not listen: ERR_SERVER_NOT_RUNNING, also for `done`, and 'close' all the same, once
  // there is no connection.
  Expected<void> close(Function<void(Server&, std::error_code)> done = {});
  // close(), and end() on every connection, which sends what is queued first; handlers that write
  // on get `closed`, nothing worse. What is still open after `patience` is destroyed.
  void drain(Duration patience);
  void close_all_connections();

  // The listening fd, for options that weir does not know; -1 when there is none. It stays the
  // server's. Accepted sockets inherit most of what is set on it.
  int native_handle() const noexcept { return listener_ == nullptr ? -1 : listener_->fd(); }
  // Whose 'close' has not come.
  std::size_t connections() const noexcept { return open_; }
  void set_max_connections(std::optional<std::size_t> most) noexcept {
    open_max_ = most.value_or(kNoLimit);
  }
  // Any thread, while the server lives; on the simulator the owner's.
  ServerCounters counters() const noexcept;
  Reactor& reactor() const noexcept { return net_.reactor(); }
  void ref();
  void unref();  // listening alone does not keep run() going any more

  // A connection was accepted: addresses known, options applied, nothing read yet.
  ListenerId on_connection(Function<void(Socket&)> call, Times times = Times::always);
  ListenerId on_listening(Function<void(Server&)> call, Times times = Times::always);
  // Accepting failed, or memory for a connection was refused; the server goes on listening.
  ListenerId on_server_error(Function<void(Server&, const Error&)> call,
                             Times times = Times::always);
  // A connection was refused for max_connections.
  ListenerId on_drop(Function<void(Server&, const Drop&)> call, Times times = Times::always);
  // After close(), when no connection is left; after the last socket's 'close'.
  ListenerId on_server_close(Function<void(Server&)> call, Times times = Times::always);

 private:
  friend class BalancerSeat;
  friend class Socket;
  friend class SocketListeners<Server>;
  struct Events;
  static constexpr std::uint64_t kNoLimit = UINT64_MAX;

  SocketEvents& own_events();
  void data_listener_added();
  void remove_listener(ListenerId id) noexcept;
  void on_accepted(int fd) noexcept override;
  void on_accept_error(std::error_code code) noexcept override;
  void on_listener_closed(Listener& listener) noexcept override;
  void take(int fd) noexcept;
  void count_open(std::uint64_t connections) noexcept;
  void uncount() noexcept { count_open(open_ - 1); }
  void reclaim(Socket& socket);
  void service() noexcept;
  void report(const Error& error);
  void on_looked_up(std::error_code code, std::vector<IpEndpoint> found) noexcept override;
  Expected<int> bind(const ListenAt& at, Address& address);
  Expected<int> bind_everywhere(std::uint16_t port, const ListenOptions& options,
                                Address& address);
  void start_listening(int fd, Address address, const ListenAt& at);
  void announce_listening(const ListenAt& at);
  void forget_listening() noexcept;
  bool refuse(int fd);
  void hold_reactor() noexcept;
  void let_reactor_go() noexcept;
  bool done() const noexcept { return closing_ && closers_.empty() && open_ == 0; }
  void emit_closed();

  NetPart& net_;
  ServerOptions options_;
  std::unique_ptr<Events> events_;  // and the sockets
  Listener* listener_ = nullptr;
  std::unique_ptr<BalancerSeat> seat_;
  Address address_;
  std::vector<Listener*> closers_;  // closed by us, their fds are still open
  Tally open_;      // sockets whose 'close' has not come
  Tally open_max_;  // or kNoLimit
  Tally accepted_;
  Tally dropped_;
  Timer drain_timer_;
  struct Pending;
  std::unique_ptr<Pending> pending_;  // what goes with the listen() and close() under way
  bool closing_ = false;         // close() was called, 'close' has not come
  bool listening_due_ = false;   // 'listening' is to be emitted
  bool referenced_ = true;
  bool holds_reactor_ = false;
};

}  // namespace weir::inline v1::net
