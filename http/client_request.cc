#include "weir/http/client_request.h"

#include <utility>

#include "http/agent_core.h"
#include "http/call.h"
#include "http/client_connection.h"
#include "http/outgoing_message_impl.h"

namespace weir::inline v1::http {

template class OutgoingMessage<ClientRequest, Call>;

void ClientRequest::reset() noexcept {
  if (has_listeners_) {
    socket_.clear();
    continue_.clear();
    information_.clear();
    response_.clear();
    upgrade_.clear();
    connect_.clear();
  }
  OutgoingMessage::reset();
  method_.clear();
  target_.clear();
  host_.clear();
  plan_.reset();
  idle_timeout_ = Duration::zero();
  reused_ = false;
}

// ---- The head ----

// The plan refers to the fields and texts, which do not change any more.
Expected<void> ClientRequest::settle_head(std::optional<std::uint64_t> body_size) {
  const auto plan = plan_request({.method = method_,
                                  .target = target_,
                                  .default_host = host_,
                                  .fields = &fields_,
                                  .body_size = body_size,
                                  .keeps_connection = owner_.agent->says_keep_alive(owner_)});
  if (!plan) return failure(plan.error());
  plan_.emplace(*plan);
  settle(plan->framing());
  return {};
}

void ClientRequest::send_head() {
  std::string& text = owner_.agent->head_text;
  text.clear();
  plan_->append_to(text);
  owner_.put(std::string_view(text));
}

// Nothing is sent. What is wrong is told as 'error'.
void ClientRequest::head_failed() { owner_.fail_silently(); }

// ---- Its connection ----

ClientResponse* ClientRequest::response() const noexcept {
  return owner_.response_begun ? &owner_.response : nullptr;
}

net::Socket* ClientRequest::socket() const noexcept {
  return owner_.connection == nullptr ? nullptr : &owner_.connection->socket();
}

Expected<void> ClientRequest::set_timeout(Duration timeout) {
  if (timeout < Duration::zero() || timeout == Duration::max()) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "a timeout must be neither negative nor endless: 0 is none"});
  }
  idle_timeout_ = timeout;
  if (owner_.connection == nullptr) return {};
  return owner_.connection->socket().set_timeout(timeout);
}

void ClientRequest::destroy(std::error_code code) { owner_.destroy(code); }

// ---- Listeners ----

ListenerId ClientRequest::on_socket(Function<void(ClientRequest&, net::Socket&)> call,
                                    Times times) {
  has_listeners_ = true;
  return socket_.add(std::move(call), times == Times::once);
}

ListenerId ClientRequest::on_continue(Function<void(ClientRequest&)> call, Times times) {
  has_listeners_ = true;
  return continue_.add(std::move(call), times == Times::once);
}

ListenerId ClientRequest::on_information(
    Function<void(ClientRequest&, const ReceivedHead&)> call, Times times) {
  has_listeners_ = true;
  return information_.add(std::move(call), times == Times::once);
}

ListenerId ClientRequest::on_response(Function<void(ClientResponse&)> call, Times times) {
  has_listeners_ = true;
  return response_.add(std::move(call), times == Times::once);
}

ListenerId ClientRequest::on_upgrade(Function<void(ClientUpgrade&)> call, Times times) {
  has_listeners_ = true;
  return upgrade_.add(std::move(call), times == Times::once);
}

ListenerId ClientRequest::on_connect(Function<void(ClientUpgrade&)> call, Times times) {
  has_listeners_ = true;
  return connect_.add(std::move(call), times == Times::once);
}

void ClientRequest::off(ListenerId id) noexcept {
  socket_.remove(id);
  continue_.remove(id);
  information_.remove(id);
  response_.remove(id);
  upgrade_.remove(id);
  connect_.remove(id);
  remove_listener(id);
}

ClientRequestRef ClientRequest::weak() const noexcept { return {owner_, owner_.number}; }

ClientRequest* ClientRequestRef::get() const noexcept {
  if (call_ == nullptr || call_->number != number_) return nullptr;
  return &call_->request;
}

}  // namespace weir::inline v1::http
