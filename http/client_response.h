// A response as whoever made the request sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

#include "weir/http/incoming_message.h"
#include "weir/http/received_head.h"

namespace weir::inline v1::http {

struct Call;
class ClientRequest;
class ClientResponse;

extern template class IncomingMessage<ClientResponse, Call>;

// Owner: the agent. There from 'response' until its 'close' has been emitted, and part of its
// request. What it reads is bounded by the agent's ParserLimits; a body that nobody reads waits in
// the kernel.
class ClientResponse final : public IncomingMessage<ClientResponse, Call> {
 public:
  // As it was parsed.
  const ReceivedHead& head() const noexcept { return head_; }
  int status() const noexcept { return head_.status; }
  std::string_view reason() const noexcept { return head_.reason; }  // as sent; may be empty
  int version_minor() const noexcept { return head_.version_minor; }
  // From the head: nothing when the body is chunked or lasts until the connection ends.
  std::optional<std::uint64_t> body_size() const noexcept;
  // In the place of 'data' and 'end' listeners: the whole body when it is complete, or what went
  // wrong: EMSGSIZE for one that is larger and ENOMEM for one without memory, after which the
  // request is destroyed; what 'error' says, when it is cut off. The view is good for the call.
  void read_body(std::size_t bytes_max,
                 Function<void(ClientResponse&, Expected<std::string_view>)> done);
  // As ClientRequest::destroy().
  void destroy(std::error_code code = {});

  ClientRequest& request() const noexcept;
  void off(ListenerId id) noexcept { remove_listener(id); }

 private:
  friend struct Call;
  explicit ClientResponse(Call& call) noexcept : IncomingMessage(call) {}
  ~ClientResponse() = default;

  bool keep_head(const ReceivedHead& head) noexcept;
  void reset() noexcept;

  ReceivedHead head_;
};

}  // namespace weir::inline v1::http
