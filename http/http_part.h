// What http keeps for each reactor: memory for its objects. Private to http.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "weir/http/field.h"
#include "weir/http/limits.h"
#include "weir/net/net_part.h"
#include "weir/reactor/slab.h"
#include "http/call.h"
#include "http/client_connection.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/spares.h"

namespace weir::inline v1::http {

// Owner thread; made with the first server or agent of a reactor, gone with the reactor.
class HttpPart {
 public:
  // Makes the part of net first, which goes first and destroys what is condemned.
  explicit HttpPart(Reactor& reactor) { net::NetPart::of(reactor); }
  HttpPart(const HttpPart&) = delete;
  HttpPart& operator=(const HttpPart&) = delete;

  static HttpPart& of(Reactor& reactor) { return reactor.part<HttpPart>(); }

  // Null: memory refused.
  Exchange* take_exchange(Connection& connection) noexcept;
  Call* take_call() noexcept;
  // Precondition: no listener of it is running.
  void give_back(Exchange& exchange) noexcept {
    exchange.number = 0;  // no weak reference finds it from here on
    exchanges_.give_back(exchange);
  }
  void give_back(Call& call) noexcept {
    call.number = 0;
    calls_.give_back(call);
  }
  // For the parsers of its connections, which take turns.
  std::span<Field> head_fields() noexcept { return head_fields_; }
  Slab<Connection>& connections() noexcept { return connections_; }
  Slab<ClientConnection>& client_connections() noexcept { return client_connections_; }

 private:
  Spares<Exchange> exchanges_;
  Spares<Call> calls_;
  Slab<Connection> connections_;
  Slab<ClientConnection> client_connections_;
  std::array<Field, limits::kFieldsInPlace> head_fields_;
  std::uint64_t last_number_ = 0;
};

}  // namespace weir::inline v1::http
