#include "weir/net/listener.h"

#include <cerrno>

namespace weir::inline v1::net {

Listener* Listener::create(Reactor& reactor, int fd, std::string path, ListenerOwner& owner) {
  return new Listener(reactor, fd, std::move(path), owner);
}

Listener::Listener(Reactor& reactor, int fd, std::string path, ListenerOwner& owner)
    : reactor_(reactor),
      owner_(&owner),
      accept_(
          [](Op& op, Completion& completion) noexcept {
            static_cast<Owned<AcceptOp>&>(op).listener.accepted(completion);
          },
          *this),
      poll_(
          [](Op& op, Completion&) noexcept {
            static_cast<Owned<PollOp>&>(op).listener.client_waits();
          },
          *this),
      path_(std::move(path)),
      fd_(fd) {
  accept_.fd = poll_.fd = fd;
  poll_.wanted = {Events::readable};
  reactor_.adopt(*this);
  reactor_.backend().submit(accept_);
}

void Listener::accepted(const Completion& completion) noexcept {
  if (completion.result >= 0) {
    told_ = false;
    if (closing_) {
      reactor_.backend().close(completion.result);
    } else {
      in_callback_ = true;
      owner_->on_accepted(completion.result);
      in_callback_ = false;
    }
  }
  if (completion.more) return;
  if (closing_) return finish_close_if_idle();
  rest(errno_code(completion.result));
}

void Listener::rest(std::error_code reason) noexcept {
  reason_ = reason;
  rest_ = reactor_.after(weir::limits::kAcceptBackoff,
                         [this] { reactor_.backend().submit(poll_); });
  rest_.unref();
}

void Listener::client_waits() noexcept {
  if (closing_) return finish_close_if_idle();
  in_callback_ = true;
  if (!std::exchange(told_, true)) owner_->on_accept_error(reason_);
  in_callback_ = false;
  if (closing_) return finish_close_if_idle();
  reactor_.backend().submit(accept_);
}

void Listener::close() noexcept {
  if (closing_) return;
  closing_ = true;
  rest_.cancel();
  if (!path_.empty()) reactor_.backend().remove_path(path_);
  reactor_.backend().cancel(accept_);
  reactor_.backend().cancel(poll_);
  if (!in_callback_) finish_close_if_idle();
}

void Listener::abandon() noexcept {
  owner_ = nullptr;
  close();
}

void Listener::finish_close_if_idle() noexcept {
  if (!accept_.idle() || !poll_.idle()) return;
  reactor_.backend().close(fd_);
  if (owner_ != nullptr) owner_->on_listener_closed(*this);
  delete this;
}

}  // namespace weir::inline v1::net
