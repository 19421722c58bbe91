#include "weir/net/pipe.h"

#include <algorithm>

#include "net/socket_state.h"

namespace weir::inline v1::net {

void pipe(Socket& from, Socket& to, PipeOptions options) { Pipe::join(from, to, options.end); }

void unpipe(Socket& from, Socket& to) noexcept { Pipe::part(from, to); }

void Pipe::join(Socket& from, Socket& to, bool end) {
  auto* made = new Pipe{.from = &from, .to = &to, .end = end, .refused = {}};
  from.own().pipes_out.push_back(made);
  to.own().pipes_in.push_back(made);
  from.data_listener_added();
}

void Pipe::part(Socket& from, Socket& to) noexcept {
  if (from.own_ == nullptr) return;
  for (Pipe* pipe : from.own_->pipes_out) {
    if (pipe->to == &to) return pipe->remove();
  }
}

void Pipe::part_all(Socket& socket) noexcept {
  if (socket.own_ == nullptr) return;
  while (!socket.own_->pipes_out.empty()) socket.own_->pipes_out.back()->source_gone();
  while (!socket.own_->pipes_in.empty()) socket.own_->pipes_in.back()->remove();
}

void Pipe::destination_finished(Socket& to) noexcept {
  if (to.own_ == nullptr) return;
  while (!to.own_->pipes_in.empty()) to.own_->pipes_in.back()->remove();
}

// Asks for the address only: the pipe itself may be gone.
bool Pipe::is_in(const std::vector<Pipe*>& pipes, const Pipe* pipe) noexcept {
  return std::find(pipes.begin(), pipes.end(), pipe) != pipes.end();
}

// No handler runs inside of a write; but it may close its socket, and end any of the pipes. With
// one pipe, the rule, nothing is copied.
void Pipe::feed_all(Socket& from, Buffer bytes) {
  const std::vector<Pipe*>& left = from.own_->pipes_out;
  if (left.size() == 1) {
    left.front()->feed(std::move(bytes));
    return;
  }
  const std::vector<Pipe*> pipes = left;
  for (Pipe* pipe : pipes) {
    if (is_in(left, pipe)) pipe->feed(bytes.share());
  }
}

// False when the pipe is gone.
bool Pipe::feed(Buffer bytes) {
  // A destination that is yet to connect takes nothing.
  const bool unconnected = to->state_ == Socket::State::fresh;
  Socket& destination = *to;
  const Write result = unconnected ? Write::refused : to->write(std::move(bytes));
  if (result == Write::closed) {
    // A write that closes its socket has ended this pipe already.
    if (is_in(destination.own_->pipes_in, this)) remove();
    return false;
  }
  if (result == Write::refused) refused = std::move(bytes);
  if (result != Write::ok) block();
  return true;
}

void Pipe::end_all(Socket& from) {
  if (from.own_ == nullptr) return;
  for (Pipe* pipe : from.own_->pipes_out) {
    if (!pipe->end) continue;
    if (pipe->refused.empty() && pipe->to->state_ != Socket::State::fresh) {
      pipe->to->end();
    } else {
      pipe->end_due = true;
      if (!pipe->blocked) pipe->block();
    }
  }
}

void Pipe::resume_all(Socket& to) {
  if (to.own_ == nullptr) return;
  const std::vector<Pipe*>& left = to.own_->pipes_in;
  if (left.size() == 1) return left.front()->resume();
  const std::vector<Pipe*> pipes = left;
  for (Pipe* pipe : pipes) {
    if (is_in(left, pipe)) pipe->resume();
  }
}

void Pipe::resume() {
  if (!blocked) return;
  unblock();
  if (!refused.empty() && !feed(std::exchange(refused, {}))) return;
  if (!refused.empty()) return;
  if (end_due) to->end();
  if (from == nullptr) remove();
}

void Pipe::block() {
  blocked = true;
  if (from == nullptr) return;
  ++from->own_->blocked_pipes;
  from->note_pause();
}

void Pipe::unblock() {
  blocked = false;
  if (from == nullptr) return;
  --from->own_->blocked_pipes;
  from->look_again();
}

// What it had delivered and the destination has not taken is still owed.
void Pipe::source_gone() {
  if (refused.empty() && !end_due) return remove();
  --from->own_->blocked_pipes;
  std::erase(from->own_->pipes_out, this);
  from = nullptr;
}

void Pipe::remove() noexcept {
  if (blocked) unblock();
  std::erase(to->own_->pipes_in, this);
  if (from != nullptr) {
    std::erase(from->own_->pipes_out, this);
    from->look_again();
  }
  delete this;
}

}  // namespace weir::inline v1::net
