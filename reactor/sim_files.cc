// Files in the simulator: those of the machine it runs on.
#include <algorithm>
#include <cerrno>

#include "reactor/file_operations.h"
#include "reactor/posix_files.h"
#include "reactor/sim_network.h"
#include "weir/reactor/posix.h"
#include "weir/reactor/sim_backend.h"

namespace weir::inline v1 {
namespace {

bool last(Op& op, std::int32_t result, Completion& out) noexcept {
  out = {.op = &op, .result = result, .more = false};
  return true;
}

}  // namespace

// Files are outside of the simulation: a plain call, which takes no virtual time and does not fail
// by chance but for memory.
bool SimBackend::attempt_file(Op& op, Completion& out) noexcept {
  if (op.kind == OpKind::open) return last(op, posix::open_file(static_cast<OpenOp&>(op)), out);
  const posix::FileKind kind = posix::kind_of(op.fd);
  if (kind == posix::FileKind::closed) return last(op, -EBADF, out);
  if (kind != posix::FileKind::regular) return last(op, -ENOTSUP, out);
  if (op.kind == OpKind::write) {
    const auto& write = static_cast<WriteOp&>(op);
    if (write.pieces.empty()) return last(op, 0, out);
    const iovec& first = write.pieces.front();
    return last(op,
                posix::write_file(op.fd, write.offset,
                                  {static_cast<const char*>(first.iov_base), first.iov_len}),
                out);
  }
  auto& read = static_cast<ReadOp&>(op);
  const bool room = read.room.room() >= read.size || read.room.allocate(read.size);
  if (!room) return last(op, -ENOMEM, out);
  last(op, posix::read_file(op.fd, read.offset, read.room.space().first(read.size)), out);
  if (out.result > 0) out.buffer = bytes_read(read.room, static_cast<std::size_t>(out.result));
  return true;
}

// As a send of what is before it and what the file has there.
bool SimBackend::attempt_send_file(SendFileOp& op, sim::Socket& mine, Completion& out) noexcept {
  BufferBlock room;
  const std::size_t size = std::min(op.size, limits::kSendFileBytesMax);
  if (!room.allocate(size)) return last(op, -ENOMEM, out);
  const std::int32_t read = posix::read_file(op.file, op.offset, room.space().first(size));
  if (read <= 0 && op.before.empty()) return last(op, read, out);
  iovec pieces[limits::kGatherPiecesMax + 1];
  std::size_t count = 0;
  for (const iovec& piece : op.before) pieces[count++] = piece;
  if (read > 0) {
    pieces[count++] = {.iov_base = room.space().data(), .iov_len = static_cast<std::size_t>(read)};
  }
  const std::span all(pieces, count);
  std::size_t most = bytes_of(all);
  sim::Random& random = network_.random();
  if (random.chance(network_.faults().short_write)) most = 1 + random.below(most);
  const std::int32_t result = network_.send(mine, all, most);
  if (result != -EAGAIN) return last(op, result, out);
  mine.writer = &op;
  return false;
}

void SimBackend::close_file(int fd) noexcept { posix::close(fd); }

}  // namespace weir::inline v1
