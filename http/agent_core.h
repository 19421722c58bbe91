// The pool of an agent: which call gets which connection. Private to http.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "weir/http/agent.h"
#include "weir/net/socket_options.h"
#include "weir/reactor/intrusive_list.h"
#include "http/call.h"
#include "http/client_connection.h"
#include "http/http_part.h"

namespace weir::inline v1::http {

// A place that requests go to. There while it has a connection or a call.
struct Origin : ListNode {
  std::string key;
  net::ConnectOptions target;
  IntrusiveList<Call> waiting;
  IntrusiveList<ClientConnection> idle;  // the one that was used last is the last
  std::size_t idle_count = 0;
  std::size_t sockets = 0;  // that count for the limits
  std::size_t uses = 0;     // calls and connections
};

// Invariants:
//   1. origin.sockets <= max_sockets, and all of them together <= max_total_sockets; those of
//      own_connection calls do not count.
//   2. A call waits only while its origin has no idle connection and may not open another one.
//   3. An origin is in `crowded_` exactly while calls wait for it.
//   4. A call is in `active_`, or it waits; a connection is in `busy_` or idle, until it is
//      condemned.
//
// Owner: the Agent, until it goes; then a task, when no handler can be running.
struct AgentCore {
  AgentCore(Reactor& its_reactor, AgentOptions its_options);
  ~AgentCore();

  Expected<ClientRequest*> request(const RequestOptions& request, Agent::OnResponse once_response);
  // The agent goes: no handler is called any more, all connections end.
  void abandon() noexcept;
  void close_idle_connections() noexcept;
  void destroy() noexcept;

  // For calls and connections. ------------------------------------------------------------------
  // It was lost on a connection that had been used, and that ends now: once more.
  void retry(Call& call, ClientConnection& lost);
  // Its call is over: it goes to the next one, or to the pool, or ends.
  void release(ClientConnection& connection);
  // It ends now, or has ended, or is somebody else's.
  void end(ClientConnection& connection) noexcept;
  void stop_waiting(Call& call) noexcept;
  // It is over.
  void give_back(Call& call) noexcept;
  bool says_keep_alive(const Call& call) const noexcept {
    return !call.own_connection && (options.keep_alive || options.max_sockets != SIZE_MAX);
  }

  Reactor& reactor;
  HttpPart& part;
  AgentOptions options;
  AgentStats stats;
  std::string head_text;  // of the request whose head is being written
  bool gone = false;      // the agent is

 private:
  Origin& origin_of(const RequestOptions& request);
  Expected<void> fill(Call& call, const RequestOptions& request);
  bool may_open(const Origin& origin) const noexcept;
  void assign(Call& call);
  void open_connection(Call& call);
  void start(Call& call, ClientConnection& connection);
  void wait(Call& call) noexcept;
  void serve_waiting();
  void make_room() noexcept;
  std::optional<Duration> idle_time_of(const ClientConnection& connection) const noexcept;
  void drop(ClientConnection& connection) noexcept;
  void drop_use(Origin& origin) noexcept;

  std::unordered_map<std::string_view, std::unique_ptr<Origin>> origins_;  // by their key
  IntrusiveList<Origin> crowded_;          // calls wait for them
  IntrusiveList<Call> active_;
  IntrusiveList<ClientConnection> busy_;
  std::size_t counted_ = 0;                // sockets that count for the limits
  std::string key_;                        // of the request that is being made
};

}  // namespace weir::inline v1::http
