// What a server and its connections share. Private to http.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weir/http/head_date.h"
#include "weir/http/server.h"
#include "http/http_part.h"

namespace weir::inline v1::http {

// Whether a listener that chooses wants a request, and then what it wants.
struct UpgradeOffer {
  const Request& request;
  Upgrade* upgrade = nullptr;  // null: this is only the question
  bool taken = false;
};

// Owner: the Server, until it goes; then a task, when no handler can be running.
struct ServerCore {
  ServerCore(Reactor& its_reactor, ServerOptions its_options);

  // The server goes: no handler is called any more, all connections end.
  void abandon();
  void accept(net::Socket& socket);
  void remove(Connection& connection) noexcept;
  // A listener for upgrades that chooses has chosen this one, and has got it where there is one.
  // Not when a listener has ended it all.
  bool offer_upgrade(const Request& request_of_it, Upgrade* taken);
  // Output of `connection` is gathered in `staged` from now on.
  std::string& stage_for(Connection& connection);
  std::string_view date() noexcept { return head_date.text(reactor.backend().unix_seconds()); }

  Reactor& reactor;
  HttpPart& part;
  ServerOptions options;
  HeadDate head_date;
  std::optional<net::Server> net;
  std::vector<Connection*> connections;
  // Small pieces of output that lie one behind the other on the wire, of one connection at a time:
  // heads, chunk lines and small bodies become one piece of its queue.
  std::string staged;
  Connection* staged_for = nullptr;
  Timer drain_timer;
  bool closing = false;  // close() was called
  bool gone = false;     // the server is

  net::Event<Request&, Response&> request;
  net::Event<Request&, Response&> check_continue;
  net::Event<Request&, Response&> check_expectation;
  net::Event<Upgrade&> upgrade;
  net::Event<UpgradeOffer&> upgrade_offer;
  net::Event<Upgrade&> connect;
  net::Event<const ClientError&, net::Socket&> client_error;
  net::Event<Request&> drop_request;
  net::Event<net::Socket&> timeout;
};

}  // namespace weir::inline v1::http
