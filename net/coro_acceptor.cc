#include "weir/net/coro_acceptor.h"

#include <algorithm>

namespace weir::inline v1::coro {

Acceptor::Acceptor(Reactor& reactor, net::ServerOptions options)
    : server_(reactor, options) {
  queue_.reserve(kAcceptQueueMax);
  server_.on_connection([this](net::Socket& socket) { on_connection(socket); });
  // Streams are told by their sockets; of a connection that nobody has accepted nobody is.
  server_.on_error([](net::Socket&, const Error&) {});
  server_.on_close([this](net::Socket& socket, std::error_code) {
    if (!queue_.empty()) std::erase(queue_, &socket);
  });
  server_.on_server_close([this](net::Server&) { stopped(); });
}

Acceptor::~Acceptor() {
  if (accept_ != nullptr) {
    accept_->acceptor_ = nullptr;
    if (accept_->waiting()) accept_->complete_later();
  }
  while (!streams_.empty()) streams_.front().forget_socket();
}

Expected<Address> Acceptor::listen(const net::ListenAt& at) {
  auto bound = server_.listen(at);
  if (bound) listening_ = true;
  return bound;
}

void Acceptor::close() {
  stopped();
  static_cast<void>(server_.close());
}

void Acceptor::stopped() noexcept {
  listening_ = false;
  if (accept_ != nullptr && accept_->waiting() && queue_.empty()) accept_->complete_later();
}

void Acceptor::on_connection(net::Socket& socket) {
  if (queue_.size() >= kAcceptQueueMax) return socket.destroy();
  queue_.push_back(&socket);
  if (accept_ != nullptr && accept_->waiting()) accept_->complete();
}

bool Acceptor::Accept::await_ready() noexcept {
  if (take_cancel() || !acceptor_->queue_.empty() || !acceptor_->listening_) return true;
  WEIR_ASSERT(acceptor_->accept_ == nullptr);  // one accept at a time
  acceptor_->accept_ = this;
  return false;
}

Expected<Stream> Acceptor::Accept::await_resume() {
  Acceptor* acceptor = acceptor_;
  let_go();
  if (failed_ != 0) return failure({.code = errno_code(failed_), .syscall = "accept"});
  if (acceptor == nullptr || acceptor->queue_.empty()) {
    return failure({.code = Mistake::not_running, .syscall = "accept"});
  }
  net::Socket& socket = *acceptor->queue_.front();
  acceptor->queue_.erase(acceptor->queue_.begin());
  return Stream(socket, acceptor->streams_);
}

}  // namespace weir::inline v1::coro
