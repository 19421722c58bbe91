#include "http/client_connection.h"

#include <cerrno>
#include <utility>

#include "weir/net/net_part.h"
#include "weir/reactor/gathered_bytes.h"
#include "http/agent_core.h"
#include "http/call.h"

namespace weir::inline v1::http {
namespace {

// What may be queued is decided by the call, which has output that waits besides.
net::SocketOptions for_connection(net::SocketOptions options) {
  options.allow_half_open = true;
  options.queue.bytes_max = SIZE_MAX;
  return options;
}

Answers answers_to(std::string_view method) noexcept {
  if (method == "HEAD") return Answers::head;
  return method == "CONNECT" ? Answers::connect : Answers::other;
}

}  // namespace

ClientConnection::ClientConnection(AgentCore& agent, Origin& origin, bool counts)
    : agent_(agent),
      part_(agent.part),
      origin_(origin),
      socket_(std::make_unique<net::Socket>(agent.reactor, for_connection(agent.options.socket))),
      parser_(&agent.options.parser),
      idle_timer_(*this),
      counts_(counts) {
  socket_->set_user(this);
}

Expected<void> ClientConnection::connect(net::ConnectOptions options) {
  return socket_->connect(std::move(options));
}

void ClientConnection::begin(Call& call) {
  call_ = &call;
  silent_ = true;
  agent_.reactor.wheel().cancel(idle_timer_);
  if (calls_++ != 0) socket_->ref();
  parser_.expect(answers_to(call.request.method()));
  const Duration timeout = call.timeout();
  if (socket_->timeout() != timeout) static_cast<void>(socket_->set_timeout(timeout));
}

void ClientConnection::keep(bool reusable, std::optional<std::uint32_t> seconds) noexcept {
  reusable_ = reusable;
  keep_alive_seconds_ = seconds;
}

bool ClientConnection::is_reusable() const noexcept {
  // What came behind it while it was paused is held by the socket, or by the kernel.
  const bool more_waits = !input_.empty() || (paused_ && socket_->undelivered_input());
  return reusable_ && !input_ended_ && !more_waits && !socket_->destroyed();
}

void ClientConnection::rest(Duration idle_time) {
  call_ = nullptr;
  socket_->unref();
  update_flow(true);
  if (socket_->timeout() != Duration::zero()) static_cast<void>(socket_->set_timeout({}));
  if (idle_time == Duration::zero()) return;
  Reactor& reactor = agent_.reactor;
  reactor.wheel().insert(idle_timer_, later(reactor.now(), idle_time));
}

void ClientConnection::IdleTimer::on_fire(TimerNode& node) noexcept {
  ClientConnection& connection = static_cast<IdleTimer&>(node).connection;
  connection.agent_.end(connection);
}

std::unique_ptr<net::Socket> ClientConnection::give_socket() noexcept {
  socket_->set_user(nullptr);
  socket_->set_queue_limits(agent_.options.socket.queue);
  static_cast<void>(socket_->set_timeout({}));
  return std::move(socket_);
}

void ClientConnection::condemn() noexcept {
  call_ = nullptr;
  unlink();
  agent_.reactor.wheel().cancel(idle_timer_);
  if (socket_ != nullptr) {
    socket_->set_user(nullptr);
    socket_->destroy();
  }
  net::NetPart::of(agent_.reactor)
      .destroy_later({this, [](void* object) noexcept {
                        auto* dying = static_cast<ClientConnection*>(object);
                        dying->part_.client_connections().destroy(dying);
                      }});
}

void ClientConnection::update_flow(bool reads) {
  const bool pause = !reads || !input_.empty();
  if (std::exchange(paused_, pause) == pause) return;
  if (!pause) return socket_->resume();
  socket_->pause();
  // What waits is not to keep a whole chunk of the receive memory.
  if (!input_.empty() && input_.size() <= limits::kCopiedPieceMax) {
    if (Buffer own = input_.to_owned(); !own.empty()) input_ = std::move(own);
  }
}

// ---- What the stream tells ----

// What comes while nothing was asked for is no response: it would be taken for the next one.
void ClientConnection::on_stream_data(Buffer bytes) noexcept {
  if (call_ == nullptr) return agent_.end(*this);
  if (silent_ && is_used() && call_->is_unsent()) return call_->lose_connection({});
  silent_ = false;
  if (input_.empty()) {
    input_ = std::move(bytes);
  } else {  // a listener has resumed the socket that we had paused
    input_ = joined(input_, bytes);
    if (input_.empty()) return call_->fail({.code = errno_code(ENOMEM)});
  }
  call_->run();
}

void ClientConnection::on_stream_end() noexcept {
  if (call_ == nullptr) return agent_.end(*this);
  input_ended_ = true;
  call_->run();
}

void ClientConnection::on_stream_sent(bool) noexcept {
  if (call_ != nullptr) call_->run();
}

void ClientConnection::on_stream_idle() noexcept {
  if (call_ != nullptr) call_->tell_timeout();
}

void ClientConnection::on_stream_closed(const Error& error) noexcept {
  if (call_ == nullptr) return agent_.end(*this);
  call_->lose_connection(error);
}

}  // namespace weir::inline v1::http
