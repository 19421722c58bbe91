// A pipe, terminal or file as a source of bytes: standard input, for one.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "weir/net/event.h"
#include "weir/net/file_stream.h"
#include "weir/net/limits.h"
#include "weir/net/socket_events.h"

namespace weir::inline v1::net {

class PipeSource;

struct InputOptions {
  // Wanted by one read, 1 to kFileBytesMax; also the most that is held while nobody reads.
  std::size_t read_bytes = limits::kFileReadBytesDefault;
  // The descriptor stays the caller's. 0 to 2 always do.
  bool lent = false;
};

// Reads what any descriptor gives that is no listening socket, whatever its flags, which it never
// changes; the reactor's thread does not wait for it (pipe(7), tty(4), io_uring(7)). A terminal of
// which this process is a background job gives EIO.
//
// Owner: the user's; destroying one calls no handler any more. The reactor outlives it.
// Thread: the reactor's.
// Events: 'data' for as long as somebody listens or a pipe takes, and it is not paused; 'end' after
// all data, or else 'error'; then 'close', once and last. Handlers never run inside the call that
// causes them, and may do anything, also destroy the stream.
// Errors: what the system says comes as 'error': EBADF, EISDIR, ENOENT of a path. Without a
// listener it goes to Reactor::on_unhandled_error.
// It keeps run() going until 'close'; see unref().
class InputStream final : public FileStream {
 public:
  // From the descriptor's own position on, to its end.
  InputStream(Reactor& reactor, int fd, InputOptions options = {});
  // Opens a file, on a thread: a FIFO that nobody writes to holds one of the few
  // (kBlockingThreadsMax).
  InputStream(Reactor& reactor, std::string path, InputOptions options = {});
  ~InputStream();

  ListenerId on_data(Function<void(InputStream&, Buffer)> call, Times times = Times::always);
  ListenerId on_end(Function<void(InputStream&)> call, Times times = Times::always);
  ListenerId on_error(Function<void(InputStream&, const Error&)> call,
                      Times times = Times::always);
  // With the error that ended it, or none.
  ListenerId on_close(Function<void(InputStream&, std::error_code)> call,
                      Times times = Times::always);
  // Removes a listener; harmless when it has gone.
  void off(ListenerId id) noexcept;

  // No 'data' after pause() has returned; what a read in flight brings is held.
  void pause() noexcept;
  void resume() noexcept;
  bool is_paused() const noexcept { return paused_; }
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }

 private:
  friend PipeSource& source_of(InputStream& stream);
  struct Own;
  struct Source;

  bool consuming() const noexcept;
  bool deliver(Buffer bytes);
  void look_again() noexcept;
  bool tell_error(const Error& error) override;
  bool tell_close(std::error_code code) override;
  void let_go() noexcept override;
  void serve() noexcept override;
  bool busy() const noexcept override;
  void on_file_read(Buffer bytes) noexcept override;
  void on_file_end() noexcept override;
  void on_file_written(bool) noexcept override {}

  Own* own_;
  std::size_t read_bytes_;
  Buffer held_;  // read, and nobody takes it
  std::uint64_t bytes_read_ = 0;
  bool paused_ = false;
  bool flowing_ = false;  // resume() was called: data may be dropped without a listener
};

// Standard input, which is never closed.
inline InputStream stdin_stream(Reactor& reactor) { return InputStream(reactor, 0); }
inline InputStream open_file(Reactor& reactor, std::string path, InputOptions options = {}) {
  return InputStream(reactor, std::move(path), options);
}

}  // namespace weir::inline v1::net
