// What an http::Server is told when it is made. Times that are zero: none.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/http/limits.h"
#include "weir/net/server.h"

namespace weir::inline v1::http {

struct ServerOptions {
  ParserLimits parser = {};
  // Of a request; beyond it 413. Nothing: as long as it likes, since a body is never stored.
  std::optional<std::uint64_t> body_bytes_max = {};

  // From the connection, or from the first byte of a later request, until its head is complete;
  // then 408. Not above request_timeout, unless that is zero. Nothing: 60 s, or request_timeout if
  // that is less.
  std::optional<Duration> headers_timeout = {};
  // Until the request is complete. Time that the server itself makes the client wait is not
  // counted, here and below.
  Duration request_timeout = limits::kRequestTimeoutDefault;
  // A body slower than this, bytes a second on average from its begin, is cut off with 408; looked
  // at from limits::kBodyRateDelay after the grace on. 0: any pace will do.
  std::uint32_t body_rate_min = limits::kBodyRateMinDefault;
  Duration body_rate_grace = limits::kBodyRateGraceDefault;
  // From the end of the last response until the first byte of the next request; then closed.
  Duration keep_alive_timeout = limits::kKeepAliveTimeoutDefault;

  // The response to the last one says Connection: close; later ones get 503. 0: any number.
  std::uint32_t requests_per_socket_max = 0;
  // Requests of a connection that are dispatched and not answered; then it is not read.
  std::size_t pipelined_max = limits::kPipelinedMaxDefault;
  bool send_date = true;
  // Fills ServerStats::latency: from the turn in which a request's head was complete until the turn
  // in which the kernel had told that it has the last byte of the response, by the reactor's clock,
  // Reactor::now(). Waiting in a busy loop is in it, before and after the handler; the time in the
  // kernel's queues and on the wire is not. Costs 8 KiB, and 16 bytes for each response on its way.
  // Response::set_measured() takes one out.
  bool measure_latency = false;

  // Accepting and the sockets' options. allow_half_open is always on, no_delay the default, and
  // pause_on_connect without effect. socket.timeout is that of Server::on_timeout(), and the only
  // limit to how long a client may leave its answer unread.
  net::ServerOptions net = {.socket = {.no_delay = true}};
};

}  // namespace weir::inline v1::http
