// What a pipe knows of its two ends. Private to net.
#pragma once

#include <cstdint>
#include <vector>

#include "weir/net/socket_options.h"
#include "weir/reactor/buffer.h"

namespace weir::inline v1::net {

struct Pipe;

// Where bytes come from. It calls Pipe::feed_all(), end_all(), and part_all() before it goes.
class PipeSource {
 public:
  PipeSource() noexcept = default;
  PipeSource(const PipeSource&) = delete;
  PipeSource& operator=(const PipeSource&) = delete;

  // It is not to be read while this says so.
  bool pipe_is_blocked() const noexcept { return blocked_pipes != 0; }
  // A pipe begins here: somebody consumes.
  virtual void pipe_added() noexcept = 0;
  // pipe_is_blocked() may have changed; the first only to true.
  virtual void pipe_blocked() noexcept = 0;
  virtual void pipe_unblocked() noexcept = 0;

  std::vector<Pipe*> pipes_out;
  std::uint32_t blocked_pipes = 0;  // of those

 protected:
  ~PipeSource() = default;
};

// Where bytes go. It calls Pipe::resume_all() when it has drained, destination_finished(), and
// part_all() before it goes.
class PipeSink {
 public:
  PipeSink() noexcept = default;
  PipeSink(const PipeSink&) = delete;
  PipeSink& operator=(const PipeSink&) = delete;

  // False: not yet; resume_all() follows.
  virtual bool pipe_may_write() const noexcept = 0;
  // As Socket::write() and end(). Neither runs a handler; a write may close the sink.
  virtual Write pipe_write(Buffer&& bytes) = 0;
  virtual void pipe_end() = 0;

  std::vector<Pipe*> pipes_in;

 protected:
  ~PipeSink() = default;
};

// One source feeding one sink. Owned by both: the first to go deletes it.
struct Pipe {
  static void join(PipeSource& from, PipeSink& to, bool end);
  static void part(PipeSource& from, PipeSink& to) noexcept;
  // All that start here, and all that end here.
  static void part_all(PipeSource& from) noexcept;
  static void part_all(PipeSink& to) noexcept;
  // The source has bytes, or its end; the destination has room again.
  static void feed_all(PipeSource& from, Buffer bytes);
  static void end_all(PipeSource& from);
  static void resume_all(PipeSink& to);
  // Nothing more can be written to it: its sources are read on without it.
  static void destination_finished(PipeSink& to) noexcept { part_all(to); }

  static bool is_in(const std::vector<Pipe*>& pipes, const Pipe* pipe) noexcept;
  bool feed(Buffer bytes);
  void block();
  void unblock();
  void resume();
  void source_gone();
  void remove() noexcept;

  PipeSource* from;  // null when it has gone before the destination took its last bytes
  PipeSink* to;
  bool end;
  bool blocked = false;
  bool end_due = false;  // the source has ended while bytes of it wait here
  Buffer refused;        // not taken by the destination yet
};

}  // namespace weir::inline v1::net
