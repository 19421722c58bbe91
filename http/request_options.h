// What a request of a client is told when it is made.
#pragma once

#include <initializer_list>
#include <stop_token>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/limits.h"
#include "weir/net/resolver.h"
#include "weir/reactor/address.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::http {

// Views are good for the call that gets them. Times that are zero: none.
struct RequestOptions {
  std::string_view method = "GET";  // sent in upper case
  std::string_view host = "localhost";  // a name, or an address, an IPv6 one without brackets
  int port = limits::kPortDefault;
  std::string_view target = "/";  // path and query, escaped; for CONNECT host:port
  std::string_view socket_path = {};  // of a Unix socket; wins over host and port
  bool abstract = false;              // it is an abstract name (unix(7)) without its leading NUL
  std::initializer_list<Field> headers = {};
  std::string_view credentials = {};  // "user:password" for Authorization: Basic, as in a URL
  bool set_host = true;               // Host: host, with the port unless it is 80

  std::string_view local_address = {};   // numeric; empty: the kernel chooses
  Family family = Family::none;          // of a name's addresses; none: both
  net::Resolver* resolver = nullptr;     // in the place of getaddrinfo(3); outlives the agent
  // A connection for this request alone: beyond the agent's limits, and closed after it.
  bool own_connection = false;

  // Without activity of its connection for so long, connecting included, 'timeout' is told. Only a
  // notice.
  Duration timeout = Duration::zero();
  // From now until the response is complete, waiting included; then destroyed with ETIMEDOUT.
  Duration time_limit = Duration::zero();
  // A request to stop destroys it with ABORT_ERR. To be made on the reactor's thread.
  std::stop_token stop = {};
};

}  // namespace weir::inline v1::http
