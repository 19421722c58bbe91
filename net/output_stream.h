// A pipe, terminal or file as a sink of bytes: standard output, for one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "weir/net/event.h"
#include "weir/net/file_stream.h"
#include "weir/net/socket_events.h"

namespace weir::inline v1::net {

class PipeSink;

struct OutputOptions {
  QueueLimits queue = {};
  // The descriptor stays the caller's. 0 to 2 always do.
  bool lent = false;
  // Of a path: goes on at the file's end. Else the file is truncated. It is created with 0666, less
  // the umask.
  bool append = false;
};

// Writes to any descriptor that is no listening socket, whatever its flags, which it never changes;
// the reactor's thread does not wait for it (pipe(7), tty(4), io_uring(7)).
//
// Owner: the user's; destroying one calls no handler any more, and drops what is queued. The
// reactor outlives it.
// Thread: the reactor's.
// Events: as of a Socket: 'drain', 'finish' when everything is written after end(), then 'close',
// once and last; 'error' before it. Handlers never run inside the call that causes them, and may do
// anything, also destroy the stream.
// Errors: what the system says comes as 'error': EBADF, ENOSPC, EPIPE when a pipe's reader has gone
// (no signal is raised). Without a listener it goes to Reactor::on_unhandled_error.
// It keeps run() going only while it has something to write or to end; see unref().
class OutputStream final : public FileStream {
 public:
  // From the descriptor's own position on.
  OutputStream(Reactor& reactor, int fd, OutputOptions options = {});
  // Opens or creates a file, on a thread; what is written before that is queued.
  OutputStream(Reactor& reactor, std::string path, OutputOptions options = {});
  ~OutputStream();

  ListenerId on_drain(Function<void(OutputStream&)> call, Times times = Times::always);
  ListenerId on_finish(Function<void(OutputStream&)> call, Times times = Times::always);
  ListenerId on_error(Function<void(OutputStream&, const Error&)> call,
                      Times times = Times::always);
  // With the error that ended it, or none.
  ListenerId on_close(Function<void(OutputStream&, std::error_code)> call,
                      Times times = Times::always);
  // Removes a listener; harmless when it has gone.
  void off(ListenerId id) noexcept;

  // Queues; never enters the kernel. Moves from `bytes` exactly when the result is ok or full.
  // After end(): destroys the stream with ERR_STREAM_WRITE_AFTER_END.
  Write write(Buffer&& bytes);
  Write write(std::string_view bytes);  // copies
  // Writes everything that is queued, then 'finish', then 'close'. Again: harmless.
  void end();
  bool writable() const noexcept { return !ended_ && !destroyed(); }
  // Accepted by write() and not yet by the kernel.
  std::size_t writable_length() const noexcept;
  bool writable_needs_drain() const noexcept;
  // Given to write(), queued or not.
  std::uint64_t bytes_written() const noexcept { return bytes_written_; }

 private:
  friend PipeSink& sink_of(OutputStream& stream);
  struct Own;
  struct Sink;

  Write after_push(WriteQueue::Push pushed, std::size_t size);
  Write closed_write();
  bool emit(Event<OutputStream&>& event);
  bool tell_error(const Error& error) override;
  bool tell_close(std::error_code code) override;
  void let_go() noexcept override;
  void serve() noexcept override;
  bool busy() const noexcept override;
  void on_file_read(Buffer) noexcept override {}
  void on_file_end() noexcept override {}
  void on_file_written(bool drained) noexcept override;

  Own* own_;
  std::uint64_t bytes_written_ = 0;
  bool ended_ = false;
};

// Standard output and error, which are never closed.
inline OutputStream stdout_stream(Reactor& reactor, OutputOptions options = {}) {
  return OutputStream(reactor, 1, options);
}
inline OutputStream stderr_stream(Reactor& reactor, OutputOptions options = {}) {
  return OutputStream(reactor, 2, options);
}
inline OutputStream create_file(Reactor& reactor, std::string path, OutputOptions options = {}) {
  return OutputStream(reactor, std::move(path), options);
}

}  // namespace weir::inline v1::net
