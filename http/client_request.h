// A request as whoever makes it writes it. Agent::request() makes one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "weir/http/client_response.h"
#include "weir/http/outgoing_message.h"
#include "weir/http/request_head.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::net {
class Socket;
}

namespace weir::inline v1::http {

class ClientRequestRef;

// A response that turns its connection into something else. Good for the duration of the listener.
struct ClientUpgrade {
  ClientRequest& request;
  ClientResponse& response;
  std::unique_ptr<net::Socket> socket;  // the listener's; closed if it leaves it here
  Buffer head;  // what came behind the response's head, the first bytes of the new protocol
};

extern template class OutgoingMessage<ClientRequest, Call>;

// Owner: the agent. There until its 'close' has been emitted; whoever keeps it longer than a
// handler holds a ClientRequestRef.
// Events: socket, finish, (continue | information)*, response, or upgrade or connect; then those of
// the response; close. Or error, close: when there is no response, or it was refused. A response
// that is cut off says so itself.
// Framing: see plan_request(). With end() alone there is no body.
// Nothing is sent twice, but for this: a request of an idempotent method (RFC 9110, section 9.2.2)
// that meets the end of a connection which had been used before, while no byte of an answer has
// come, goes to a new connection, once (AgentOptions::retry).
class ClientRequest final : public OutgoingMessage<ClientRequest, Call> {
 public:
  std::string_view method() const noexcept { return method_; }
  std::string_view target() const noexcept { return target_; }
  std::string_view host() const noexcept { return host_; }  // as Host says it unless it was set
  // Null before 'response'.
  ClientResponse* response() const noexcept;
  // Its connection; null before it has one ('socket' tells), and once the response is complete.
  net::Socket* socket() const noexcept;
  // The connection had been used for another request before.
  bool reused_socket() const noexcept { return reused_; }

  // 'timeout' after so long without activity of its connection; see RequestOptions::timeout.
  Expected<void> set_timeout(Duration timeout);
  // Ends it and its connection now. Before 'response' the request gets 'error', the code or
  // ECONNRESET "socket hang up", and 'close'; during it the response gets 'aborted', 'error' and
  // 'close', then the request 'close'. Again, or after the response: harmless.
  void destroy(std::error_code code = {});

  // It has a connection, which may still be connecting.
  ListenerId on_socket(Function<void(ClientRequest&, net::Socket&)> call,
                       Times times = Times::always);
  // 100: the server wants the body.
  ListenerId on_continue(Function<void(ClientRequest&)> call, Times times = Times::always);
  // Any 1xx but 101; the views of the head are good for the call.
  ListenerId on_information(Function<void(ClientRequest&, const ReceivedHead&)> call,
                            Times times = Times::always);
  // The head is there; the body follows. Without a listener the body is dropped.
  ListenerId on_response(Function<void(ClientResponse&)> call, Times times = Times::always);
  // 101. Without a listener the request ends with an error.
  ListenerId on_upgrade(Function<void(ClientUpgrade&)> call, Times times = Times::always);
  // 2xx to CONNECT; likewise.
  ListenerId on_connect(Function<void(ClientUpgrade&)> call, Times times = Times::always);
  void off(ListenerId id) noexcept;

  ClientRequestRef weak() const noexcept;

 private:
  friend struct Call;
  friend struct AgentCore;
  friend class OutgoingMessage<ClientRequest, Call>;
  explicit ClientRequest(Call& call) noexcept : OutgoingMessage(call) {}
  ~ClientRequest() = default;

  Expected<void> settle_head(std::optional<std::uint64_t> body_size);
  void send_head();
  void head_failed();
  void reset() noexcept;

  std::string method_;
  std::string target_;
  std::string host_;
  std::optional<RequestPlan> plan_;  // once the head is settled
  Duration idle_timeout_ = Duration::zero();
  net::Event<ClientRequest&, net::Socket&> socket_;
  net::Event<ClientRequest&> continue_;
  net::Event<ClientRequest&, const ReceivedHead&> information_;
  net::Event<ClientResponse&> response_;
  net::Event<ClientUpgrade&> upgrade_;
  net::Event<ClientUpgrade&> connect_;
  bool reused_ = false;
};

// Weak: get() is null once 'close' was emitted, or the agent is gone, from its next turn on. Must
// not outlive the reactor.
class ClientRequestRef {
 public:
  ClientRequestRef() noexcept = default;
  ClientRequest* get() const noexcept;

 private:
  friend class ClientRequest;
  ClientRequestRef(Call& call, std::uint64_t number) noexcept : call_(&call), number_(number) {}
  Call* call_ = nullptr;
  std::uint64_t number_ = 0;
};

}  // namespace weir::inline v1::http
