// What a protocol stands on: bytes both ways, in order, with backpressure. A Socket is one; a layer
// between, such as TLS, can be another.
#pragma once

#include <cstddef>
#include <string_view>
#include <system_error>

#include "weir/net/socket_options.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::net {

// A protocol's end of a stream. No call comes from inside a call to the stream; each of them may do
// anything, also let go of the stream or destroy whatever owns it.
class StreamUser {
 public:
  // Never after pause() has returned.
  virtual void on_stream_data(Buffer bytes) noexcept = 0;
  // The peer sends no more; after all data.
  virtual void on_stream_end() noexcept = 0;
  // The kernel has taken something. `drained`: as the socket's 'drain'.
  virtual void on_stream_sent(bool drained) noexcept = 0;
  // No activity for the socket's set_timeout().
  virtual void on_stream_idle() noexcept = 0;
  // Last; the stream has let go of its user before. No code: nothing went wrong.
  virtual void on_stream_closed(const Error& error) noexcept = 0;
  // In the place of on_stream_closed(), when whoever owns the stream destroys it: from inside that
  // call, so no handler may be called from here. The stream is gone.
  virtual void on_stream_gone() noexcept {}

 protected:
  ~StreamUser() = default;
};

// Thread: its reactor's. The calls are those of Socket, where each is described.
class Stream {
 public:
  // Whoever gets what comes, before any listener; not owned. It consumes: data flows unless paused.
  // Null: what comes from now on is the listeners' alone, and waits for one; the stream is then
  // neither paused nor flowing, and an end that has come already is told again.
  virtual void set_user(StreamUser* user) = 0;

  virtual Write write(Buffer&& bytes) = 0;
  virtual Write write(std::string_view bytes) = 0;
  // A write() by somebody who has gathered all there is to write: a stream that can sends at once.
  virtual Write write_at_once(std::string_view bytes) { return write(bytes); }
  // A layer that changes the bytes reads the file itself.
  virtual Expected<Write> send_file(FileRange&& range) = 0;
  virtual void end() = 0;
  virtual void destroy(std::error_code code = {}) = 0;
  virtual void pause() = 0;
  virtual void resume() = 0;
  virtual std::size_t writable_length() const noexcept = 0;
  // The parts of writable_length().
  virtual Queued queued() const noexcept = 0;

 protected:
  ~Stream() = default;
};

}  // namespace weir::inline v1::net
