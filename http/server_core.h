// What a server and its connections share. Private to http.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "weir/http/head_lines.h"
#include "weir/http/latency.h"
#include "weir/http/server.h"
#include "weir/reactor/tally.h"
#include "http/http_part.h"

namespace weir::inline v1::http {

// Counted by the server's thread, read by any; see ServerStats.
struct ServerTallies {
  Tally requests_begun;
  Tally requests_answered;
  Tally requests_taken_over;
  Tally requests_cut_off;
  Tally refusals;
  std::array<Tally, ServerStats::kClasses> responses;
  Tally bytes_in;
  Tally bytes_out;
  Tally bytes_written;
  Tally bytes_lost;  // written, and the connection ended before the kernel had them
  std::unique_ptr<Latencies> latency;  // null: not measured

  void count_response(int status) noexcept {
    const auto last = static_cast<int>(responses.size()) - 1;
    ++responses[static_cast<std::size_t>(std::clamp(status / 100 - 1, 0, last))];
  }
  ServerStats read(const net::ServerCounters& connections) const noexcept;
};

// Whether a listener that chooses wants a request, and then what it wants.
struct UpgradeOffer {
  const Request& request;
  Upgrade* upgrade = nullptr;  // null: this is only the question
  bool taken = false;
};

// Owner: the Server, until it goes; then a task, when no handler can be running.
struct ServerCore : private Task {
  struct Stop {
    Server* server;
    void operator()() const { static_cast<void>(server->close()); }
  };

  ServerCore(Server& its_server, Reactor& its_reactor, ServerOptions its_options);

  // The server goes: no handler is called any more, all connections end.
  void abandon();
  // close() was called: tells it, soon.
  void begin_closing();
  void accept(net::Socket& socket);
  void remove(Connection& connection) noexcept;
  // A listener for upgrades that chooses has chosen this one, and has got it where there is one.
  // Not when a listener has ended it all.
  bool offer_upgrade(const Request& request_of_it, Upgrade* taken);
  // Output of `connection` is gathered in `staged` from now on.
  std::string& stage_for(Connection& connection);
  // As of this turn.
  const HeadLines& head_lines() noexcept;

  Server& server;  // valid until it is gone
  Reactor& reactor;
  HttpPart& part;
  ServerOptions options;
  HeadLines lines;
  Instant lines_of = Instant::min();  // the turn's time
  std::optional<net::Server> net;
  std::vector<Connection*> connections;
  // Small pieces of output that lie one behind the other on the wire, of one connection at a time:
  // heads, chunk lines and small bodies become one piece of its queue.
  std::string staged;
  Connection* staged_for = nullptr;
  ServerTallies tallies;
  Timer drain_timer;
  std::optional<std::stop_callback<Stop>> stop;  // of the listen() that holds
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
  net::Event<Server&> close_begun;

 private:
  void tell_closing() noexcept;
};

}  // namespace weir::inline v1::http
