// Feeding what one socket or file gives into another, with backpressure and without copying.
#pragma once

#include "weir/net/input_stream.h"
#include "weir/net/output_stream.h"
#include "weir/net/socket.h"

namespace weir::inline v1::net {

struct PipeOptions {
  bool end = true;  // the source's 'end' ends the destination
};

// Writes what `from` receives to `to`, which may be the same socket (an echo). While `to` has its
// high-water mark of bytes queued, `from` is not read; its own pause() and resume() stay its
// user's. Every byte that was received is written once, in order. An error of `from` does not end
// `to`; the 'close' of either, and 'finish' of `to`, end the pipe. Any number of pipes may start or
// end at a socket: a source is read as fast as its slowest destination takes.
void pipe(Socket& from, Socket& to, PipeOptions options = {});
void pipe(Socket& from, OutputStream& to, PipeOptions options = {});
void pipe(InputStream& from, Socket& to, PipeOptions options = {});
void pipe(InputStream& from, OutputStream& to, PipeOptions options = {});
// Ends that pipe. What the destination had refused is lost to it; `from` keeps its data listeners
// and goes on being read by them.
void unpipe(Socket& from, Socket& to) noexcept;
void unpipe(Socket& from, OutputStream& to) noexcept;
void unpipe(InputStream& from, Socket& to) noexcept;
void unpipe(InputStream& from, OutputStream& to) noexcept;

}  // namespace weir::inline v1::net
