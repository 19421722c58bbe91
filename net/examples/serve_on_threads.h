// A server on one reactor or on several that share its connections; a signal ends it in order.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "net/examples/server_flags.h"
#include "weir/net/balancer.h"
#include "weir/net/ip.h"
#include "weir/net/server.h"
#include "weir/reactor/reactor_group.h"

namespace weir::example {

// A name would be looked up later: what cannot work is to be told at once. Empty: every address.
inline Expected<void> check_numeric(const std::string& host) {
  if (host.empty() || net::is_ip(host) != 0) return {};
  return failure({.code = Mistake::bad_ip_address,
                  .detail = "--host " + host + " is not a numeric address"});
}

// Where each of them listens: the first one at what the flags say, the others with it. `port` is
// what the first one got.
inline net::ListenAt place_of(std::size_t index, const ServerFlags& flags, int port,
                              net::Balancer& balancer) {
  if (flags.balance && index > 0) return {.balancer = &balancer};
  return {.port = index == 0 ? flags.port : port,
          .host = flags.host,
          .path = flags.unix_path,
          .reuse_port = flags.threads > 1 && !flags.balance,
          .balancer = flags.balance ? &balancer : nullptr};
}

// Returns the program's exit code: after SIGINT or SIGTERM, when all are drained, or at once when
// something cannot be had. `make` gives the service for a reactor, a ReactorGroup::Service that has
// besides: Expected<Address> listen(const net::ListenAt&).
template <class Make>
int serve_on_threads(const ServerFlags& flags, Make make) {
  net::Balancer balancer;
  auto created = ReactorGroup::create(
      {.size = static_cast<std::size_t>(flags.threads),
       .pin = flags.pin,
       .reactor = [&](std::size_t) { return reactor_options(flags); }});
  if (!created) return fail(created.error());
  ReactorGroup& group = **created;
  Address bound;
  const auto started = group.start([&](Reactor& reactor, std::size_t index)
                                       -> Expected<std::unique_ptr<ReactorGroup::Service>> {
    auto service = make(reactor);
    auto at = service->listen(place_of(index, flags, bound.port(), balancer));
    if (!at) return failure(at.error());
    if (index == 0) bound = *at;
    return service;
  });
  if (!started) return fail(started.error());
  if (auto on = group.drain_on({SIGINT, SIGTERM}); !on) return fail(on.error());
  const Counters counters = group[0].counters();
  std::printf("listening on %s\nbackend %s: %s\n", bound.to_string().c_str(),
              name_of(counters.backend), counters.reason.c_str());
  std::fflush(stdout);
  if (auto ran = group.run(); !ran) return fail(ran.error());
  return 0;
}

}  // namespace weir::example
