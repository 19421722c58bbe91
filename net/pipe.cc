#include "weir/net/pipe.h"

#include <algorithm>

#include "net/pipe_ends.h"

namespace weir::inline v1::net {

void pipe(Socket& from, Socket& to, PipeOptions options) {
  Pipe::join(source_of(from), sink_of(to), options.end);
}

void pipe(Socket& from, OutputStream& to, PipeOptions options) {
  Pipe::join(source_of(from), sink_of(to), options.end);
}

void pipe(InputStream& from, Socket& to, PipeOptions options) {
  Pipe::join(source_of(from), sink_of(to), options.end);
}

void pipe(InputStream& from, OutputStream& to, PipeOptions options) {
  Pipe::join(source_of(from), sink_of(to), options.end);
}

void unpipe(Socket& from, Socket& to) noexcept { Pipe::part(source_of(from), sink_of(to)); }

void unpipe(Socket& from, OutputStream& to) noexcept {
  Pipe::part(source_of(from), sink_of(to));
}

void unpipe(InputStream& from, Socket& to) noexcept {
  Pipe::part(source_of(from), sink_of(to));
}

void unpipe(InputStream& from, OutputStream& to) noexcept {
  Pipe::part(source_of(from), sink_of(to));
}

void Pipe::join(PipeSource& from, PipeSink& to, bool end) {
  auto* made = new Pipe{.from = &from, .to = &to, .end = end, .refused = {}};
  from.pipes_out.push_back(made);
  to.pipes_in.push_back(made);
  from.pipe_added();
}

void Pipe::part(PipeSource& from, PipeSink& to) noexcept {
  for (Pipe* pipe : from.pipes_out) {
    if (pipe->to == &to) return pipe->remove();
  }
}

void Pipe::part_all(PipeSource& from) noexcept {
  while (!from.pipes_out.empty()) from.pipes_out.back()->source_gone();
}

void Pipe::part_all(PipeSink& to) noexcept {
  while (!to.pipes_in.empty()) to.pipes_in.back()->remove();
}

// Asks for the address only: the pipe itself may be gone.
bool Pipe::is_in(const std::vector<Pipe*>& pipes, const Pipe* pipe) noexcept {
  return std::find(pipes.begin(), pipes.end(), pipe) != pipes.end();
}

// No handler runs inside of a write; but it may close its socket, and end any of the pipes. With
// one pipe, the rule, nothing is copied.
void Pipe::feed_all(PipeSource& from, Buffer bytes) {
  const std::vector<Pipe*>& left = from.pipes_out;
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
  PipeSink& destination = *to;
  const bool may_write = destination.pipe_may_write();
  const Write result =
      may_write ? destination.pipe_write(std::move(bytes)) : Write::refused;
  if (result == Write::closed) {
    // A write that closes its socket has ended this pipe already.
    if (is_in(destination.pipes_in, this)) remove();
    return false;
  }
  // NOLINTNEXTLINE(bugprone-use-after-move): who refuses takes nothing
  if (result == Write::refused) refused = std::move(bytes);
  if (result != Write::ok) block();
  return true;
}

void Pipe::end_all(PipeSource& from) {
  for (Pipe* pipe : from.pipes_out) {
    if (!pipe->end) continue;
    if (pipe->refused.empty() && pipe->to->pipe_may_write()) {
      pipe->to->pipe_end();
    } else {
      pipe->end_due = true;
      if (!pipe->blocked) pipe->block();
    }
  }
}

void Pipe::resume_all(PipeSink& to) {
  const std::vector<Pipe*>& left = to.pipes_in;
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
  if (end_due) to->pipe_end();
  if (from == nullptr) remove();
}

void Pipe::block() {
  blocked = true;
  if (from == nullptr) return;
  ++from->blocked_pipes;
  from->pipe_blocked();
}

void Pipe::unblock() {
  blocked = false;
  if (from == nullptr) return;
  --from->blocked_pipes;
  from->pipe_unblocked();
}

// What it had delivered and the destination has not taken is still owed.
void Pipe::source_gone() {
  if (refused.empty() && !end_due) return remove();
  --from->blocked_pipes;
  std::erase(from->pipes_out, this);
  from = nullptr;
}

void Pipe::remove() noexcept {
  if (blocked) unblock();
  std::erase(to->pipes_in, this);
  if (from != nullptr) {
    std::erase(from->pipes_out, this);
    from->pipe_unblocked();
  }
  delete this;
}

}  // namespace weir::inline v1::net
