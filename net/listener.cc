#include "weir/net/listener.h"

#include <cerrno>

#include "weir/net/net_part.h"

namespace weir::inline v1::net {

Listener* Listener::create(NetPart& net, int fd, std::string path, ListenerOwner& owner) {
  return new Listener(net, fd, std::move(path), owner);
}

Listener::Listener(NetPart& net, int fd, std::string path, ListenerOwner& owner)
    : net_(net),
      reactor_(net.reactor()),
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
      rest_(*this),
      resting_(*this),
      path_(std::move(path)),
      fd_(fd) {
  accept_.fd = poll_.fd = fd;
  poll_.wanted = {Events::readable};
  reactor_.adopt(*this);
  accept();
}

void Listener::accept() noexcept {
  closings_seen_ = net_.closings();
  reactor_.backend().submit(accept_);
}

void Listener::accepted(const Completion& completion) noexcept {
  if (completion.result >= 0) {
    closings_seen_ = net_.closings();
    // What is accepted sooner after a refusal belongs to the burst that is going on.
    if (reactor_.now() - refused_at_ >= weir::limits::kAcceptBackoff) told_ = false;
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
  refused_at_ = reactor_.now();
  // A connection that has closed meanwhile may have left what was missing.
  if (closings_seen_ != net_.closings()) return reactor_.backend().submit(poll_);
  reactor_.wheel().insert(rest_, later(reactor_.now(), weir::limits::kAcceptBackoff));
  net_.add_resting(resting_);
}

void Listener::wake() noexcept {
  resting_.unlink();
  reactor_.wheel().cancel(rest_);
  reactor_.backend().submit(poll_);
}

void Listener::client_waits() noexcept {
  if (closing_) return finish_close_if_idle();
  in_callback_ = true;
  if (!std::exchange(told_, true)) owner_->on_accept_error(reason_);
  in_callback_ = false;
  if (closing_) return finish_close_if_idle();
  accept();
}

void Listener::close() noexcept {
  if (closing_) return;
  closing_ = true;
  resting_.unlink();
  reactor_.wheel().cancel(rest_);
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
