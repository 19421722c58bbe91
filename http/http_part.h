// What http keeps for each reactor: memory for its objects. Private to http.
#pragma once

#include <cstdint>

#include "weir/net/net_part.h"
#include "weir/reactor/slab.h"
#include "http/connection.h"
#include "http/exchange.h"

namespace weir::inline v1::http {

// Owner thread; made with the first server of a reactor, gone with the reactor.
class HttpPart {
 public:
  // Makes the part of net first, which goes first and destroys what is condemned.
  explicit HttpPart(Reactor& reactor) { net::NetPart::of(reactor); }
  HttpPart(const HttpPart&) = delete;
  HttpPart& operator=(const HttpPart&) = delete;
  ~HttpPart();

  static HttpPart& of(Reactor& reactor) { return reactor.part<HttpPart>(); }

  // Null: memory refused.
  Exchange* take_exchange(Connection& connection) noexcept;
  // Precondition: no listener of it is running.
  void give_back(Exchange& exchange) noexcept;
  Slab<Connection>& connections() noexcept { return connections_; }

 private:
  Slab<Exchange> exchanges_;
  IntrusiveList<Exchange> spare_;
  std::size_t spare_count_ = 0;
  Slab<Connection> connections_;
  std::uint64_t last_number_ = 0;
};

}  // namespace weir::inline v1::http
