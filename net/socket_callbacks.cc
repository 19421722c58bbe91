// Calling back for writes and ends, in the order in which they were made, exactly once.
#include <cerrno>

#include "weir/net/net_part.h"
#include "weir/net/socket.h"
#include "net/socket_state.h"

namespace weir::inline v1::net {

Socket::Callbacks& Socket::callbacks() {
  Own& mine = own();
  if (mine.callbacks == nullptr) mine.callbacks = std::make_unique<Callbacks>();
  return *mine.callbacks;
}

Write Socket::write(Buffer&& bytes, WriteDone done) {
  const bool was_writable = writable();
  const std::error_code if_closed = closed_code();
  return remember(write(std::move(bytes)), was_writable, if_closed, std::move(done));
}

Write Socket::write(std::string_view bytes, WriteDone done) {
  const bool was_writable = writable();
  const std::error_code if_closed = closed_code();
  return remember(write(bytes), was_writable, if_closed, std::move(done));
}

Expected<Write> Socket::send_file(FileRange&& range, WriteDone done) {
  constexpr std::uint64_t kOffsetMax = INT64_MAX;
  if (!range.file) {
    return failure({.code = Mistake::bad_argument, .detail = "there is no file to send"});
  }
  if (range.offset > kOffsetMax || range.size > kOffsetMax - range.offset) {
    return failure({.code = Mistake::out_of_range, .detail = "no file is as long as that"});
  }
  const bool was_writable = writable();
  const std::error_code if_closed = closed_code();
  return remember(queue_file(std::move(range)), was_writable, if_closed, std::move(done));
}

// What a write that is not taken any more is told.
std::error_code Socket::closed_code() const noexcept {
  if (auto_ended_) return errno_code(EPIPE);
  if (state_ == State::fresh) return Mistake::socket_closed;
  return destroyed() || detaching_ ? Mistake::stream_destroyed : Mistake::write_after_end;
}

Write Socket::remember(Write result, bool was_writable, std::error_code if_closed,
                       WriteDone done) {
  if (result == Write::refused || !done) return result;
  std::error_code code;
  // A write that closed the socket itself (no memory, QueuePolicy::close) is told why.
  if (result == Write::closed) code = was_writable ? own().error.code : if_closed;
  callbacks().writes.push_back({.end = bytes_written_, .done = std::move(done), .code = code});
  schedule();
  return result;
}

void Socket::end(WriteDone done) {
  call_at_end(std::move(done));
  if (ended_ || destroyed() || detaching_) return;
  ended_ = true;
  corked_ = 0;
  schedule();
}

Write Socket::end(Buffer&& last, WriteDone done) {
  const bool was_writable = writable();
  const std::error_code if_closed = closed_code();
  const Write result = write(std::move(last));
  if (result == Write::closed) return remember(result, was_writable, if_closed, std::move(done));
  if (result != Write::refused) end(std::move(done));
  return result;
}

Write Socket::end(std::string_view last, WriteDone done) {
  const bool was_writable = writable();
  const std::error_code if_closed = closed_code();
  const Write result = write(last);
  if (result == Write::closed) return remember(result, was_writable, if_closed, std::move(done));
  if (result != Write::refused) end(std::move(done));
  return result;
}

void Socket::call_at_end(WriteDone done) {
  if (!done) return;
  const bool alive = (state_ == State::open || state_ == State::connecting) && !detaching_;
  if (alive && !finished_) return callbacks().ends.push_back(std::move(done));
  const std::error_code code = finished_ ? Mistake::already_finished : closed_code();
  callbacks().writes.push_back({.end = bytes_written_, .done = std::move(done), .code = code});
  schedule();
}

// False when the socket was destroyed by the callback.
bool Socket::call(WriteDone done, std::error_code code) {
  Guard guard(*this, net());
  done(*this, code);
  done.reset();
  return guard.alive();
}

// Those that are due. What the callbacks themselves write has its turn in the next round.
bool Socket::complete_writes() {
  if (own_ == nullptr || own_->callbacks == nullptr) return true;
  auto& writes = own_->callbacks->writes;
  for (std::size_t left = writes.size(); left > 0 && !writes.empty(); --left) {
    Callbacks::PendingWrite& first = writes.front();
    const bool is_closed = state_ == State::closing || state_ == State::closed;
    const std::uint64_t sent =
        is_closed ? own_->callbacks->sent : bytes_written_ - writable_length();
    if (!first.code && first.end > sent) return true;
    Callbacks::PendingWrite due = std::move(first);
    writes.pop_front();
    if (!call(std::move(due.done), due.code)) return false;
  }
  if (!writes.empty() && writes.front().code) schedule();
  return true;
}

bool Socket::complete_ends(std::error_code code) {
  if (own_ == nullptr || own_->callbacks == nullptr) return true;
  for (WriteDone& done : std::exchange(own_->callbacks->ends, {})) {
    if (!call(std::move(done), code)) return false;
  }
  return true;
}

// The connection is over: what the kernel has not taken whole will not be.
bool Socket::fail_callbacks() {
  if (own_ == nullptr || own_->callbacks == nullptr) return true;
  std::error_code code = own_->error.code;
  if (!code) code = stood_ ? Mistake::stream_destroyed : Mistake::closed_before_connection;
  for (Callbacks::PendingWrite& write : own_->callbacks->writes) {
    if (!write.code && write.end > own_->callbacks->sent) write.code = code;
  }
  return complete_writes() && complete_ends(code);
}

}  // namespace weir::inline v1::net
