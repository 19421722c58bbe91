// An HTTP/1.1 client (RFC 9110, RFC 9112): requests, and a pool of connections for them, in the
// spirit of Node's http.Agent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/client_request.h"
#include "weir/http/client_response.h"
#include "weir/http/limits.h"
#include "weir/http/request_options.h"
#include "weir/net/socket_options.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::http {

struct AgentCore;

// Which of several idle connections is used again: the one that was used last, so that the others
// can go, or the one that was idle longest, so that all are kept alive.
enum class Scheduling : std::uint8_t { lifo, fifo };

// The defaults are those of Node's global agent.
struct AgentOptions {
  // Idle connections are kept for later requests. Without it, or a max_sockets, requests say
  // Connection: close; a connection still goes to a request that waits for one.
  bool keep_alive = true;
  // Of an origin, idle ones included; those that want one more wait, first come, first served.
  std::size_t max_sockets = SIZE_MAX;
  std::size_t max_total_sockets = SIZE_MAX;  // of all origins
  // Idle ones of an origin; more are closed.
  std::size_t max_free_sockets = limits::kFreeSocketsMaxDefault;
  // Requests that wait for a connection; beyond, request() gives ENOBUFS.
  std::size_t max_waiting = limits::kWaitingRequestsMaxDefault;
  Scheduling scheduling = Scheduling::lifo;
  // An idle connection is closed after so long, or a second before the time that the server's
  // Keep-Alive gives it, if that is sooner. Zero: only by the latter.
  Duration idle_timeout = limits::kKeepAliveTimeoutDefault;
  bool retry = true;  // see ClientRequest

  ParserLimits parser = {};  // of responses
  // Interim responses to one request; one more is an error.
  std::size_t max_interim = limits::kInterimResponsesMaxDefault;
  // Of the connections. allow_half_open is always on.
  net::SocketOptions socket = {
      .no_delay = true, .keep_alive = true, .keep_alive_delay = limits::kKeepAliveDelayDefault};
};

// Numbers of now, and since the agent was made.
struct AgentStats {
  std::size_t sockets = 0;  // idle ones included
  std::size_t idle = 0;
  std::size_t waiting = 0;  // requests
  std::uint64_t requests = 0;
  std::uint64_t connections = 0;  // that were begun
  std::uint64_t reused = 0;       // requests that got a connection which had been used before
  std::uint64_t retried = 0;
};

// Owner: the user. Destroying it calls no handler any more and ends its connections. Thread: the
// reactor's. The reactor outlives it.
// An origin is host, port, local address, family and resolver, or the path of a Unix socket.
// Requests of one origin get connections in order. A connection has one request at a time: nothing
// is pipelined.
// A connection is used again when the response is complete and HTTP/1.1, the request is with the
// kernel, both sides keep alive, and nothing came behind the response. Idle ones do not keep run()
// going, and what goes wrong with them is nobody's.
// Memory of a request: its head, what it writes before the kernel takes it (see OutgoingMessage),
// up to limits::kReplayBytesMax that might be sent again, and the head of its response.
class Agent {
 public:
  using OnResponse = Function<void(ClientResponse&)>;

  explicit Agent(Reactor& reactor, AgentOptions options = {});
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent();

  // A request, to be written and ended; nothing is sent before the first of its calls that says so,
  // but for Expect: 100-continue among the headers, whose head goes at once. `once_response` is an
  // on_response(). Never null. Errors: Mistakes in the options; ENOBUFS (max_waiting); ENOMEM.
  Expected<ClientRequest*> request(const RequestOptions& options, OnResponse once_response = {});
  // host, port, target and credentials are those of the url: see parse_http_url().
  Expected<ClientRequest*> request(std::string_view url, RequestOptions options,
                                   OnResponse once_response = {});
  // request() and end().
  Expected<ClientRequest*> get(const RequestOptions& options, OnResponse once_response = {});
  Expected<ClientRequest*> get(std::string_view url, OnResponse once_response = {});

  void close_idle_connections();
  // Ends all connections and requests, those that wait too: ECONNRESET. The agent can be used
  // again.
  void destroy();

  AgentStats stats() const noexcept;
  const AgentOptions& options() const noexcept;
  Reactor& reactor() const noexcept;

 private:
  AgentCore* core_;  // goes when no handler can be running
};

}  // namespace weir::inline v1::http
