// What a socket has accepted and the kernel has not. Pure: no socket, no loop.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weir/net/limits.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/shared_file.h"

namespace weir::inline v1::net {

struct QueueLimits {
  std::size_t high_water = limits::kHighWaterDefault;
  std::size_t low_water = limits::kLowWaterDefault;  // below high_water
  std::size_t bytes_max = limits::kQueueBytesMaxDefault;
  // Pieces of at least so many bytes are lent to the kernel, which then does not copy them; 0: none
  // are. It pays from some 64 KiB on, towards peers behind a network card that gathers; what stays
  // on the machine (loopback, veth) the kernel copies all the same, and that is 1.1 to 2 times
  // dearer than a plain send: a socket that finds this out lends no more. On io_uring only, and
  // from Linux 6.2 on; elsewhere it is without effect. The bytes stay in memory until the peer has
  // acknowledged them, in the place of the copy that the kernel would have made: they count as sent
  // as ever, for marks, drains and callbacks. 'close' waits for them when the connection was ended,
  // for kReleasePatience at most, or until destroy(); that of one that is broken off by destroy()
  // does not, nor does a reactor that is destroyed: it resets the connection. So whoever lends
  // waits for 'close' before the end.
  std::size_t zero_copy_from = 0;
};

// Part of a file, from an offset of its own on: the file's position is neither used nor moved.
struct FileRange {
  SharedFile file;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

// What a queue holds.
struct Queued {
  std::size_t bytes = 0;   // those of files too
  std::size_t memory = 0;  // without those
  std::size_t files = 0;
};

// Buffers in, iovecs out, memory back; and files in between.
//
//     push -> [piece][piece][piece][block of small ones] -> gather -> kernel -> sent
//                              ^ a file comes here            next_file
//
// Every byte that push() took is gathered in order, exactly once, until sent() has counted it.
// Bytes that were gathered neither move nor change before sent() has counted them, so they may be
// with the kernel meanwhile. So for files: what is before a file is gathered without what is
// behind it, and may go out with the file, which stays open until sent() has counted all of it.
//
// A file's bytes count as all others do, for marks and drains; but they take no memory, so for the
// limit they do not: what bounds files is their number. One thread.
class WriteQueue {
 public:
  // ok: taken, below the high-water mark. full: taken, at or above it. refused: not taken, the
  // limit would be passed. no_memory: not taken. A push onto an empty queue is never refused.
  enum class Push : std::uint8_t { ok, full, refused, no_memory };

  explicit WriteQueue(const QueueLimits* limits) noexcept : limits_(limits) {}
  WriteQueue(const WriteQueue&) = delete;
  WriteQueue& operator=(const WriteQueue&) = delete;
  ~WriteQueue();

  // Moves from `bytes` exactly when it is taken.
  Push push(Buffer&& bytes) noexcept;
  Push push_copy(std::string_view bytes) noexcept;

  // Moves from `range` exactly when it is taken. refused: kQueuedFilesMax are queued, or more bytes
  // than can be counted.
  Push push_file(FileRange&& range) noexcept;
  // What is left of the file that is to be sent now; null when bytes are, or nothing.
  const FileRange* next_file() const noexcept;

  // Fills `room` with the first pieces, at most `bytes_max` bytes; returns how many were filled.
  // Precondition: no file is next.
  std::size_t gather(std::span<iovec> room, std::size_t bytes_max) const noexcept;
  // The file that comes right behind what was gathered, or is next when that is nothing; null when
  // there is none.
  const FileRange* file_behind(std::span<const iovec> gathered) const noexcept;

  // Views of the pieces that were gathered, which keep their memory.
  void share(std::span<Buffer> room) const noexcept;
  std::size_t zero_copy_from() const noexcept { return limits_->zero_copy_from; }

  // The first `size` bytes are out: of what was gathered, and of the file behind it. True when a
  // drain is due: since the last one some push said full or refused, and now at most low_water
  // bytes are left.
  [[nodiscard]] bool sent(std::size_t size) noexcept;

  // Drops everything. For a queue that starts anew under other limits.
  void reset(const QueueLimits* limits) noexcept;
  // A drain is owed although nothing was refused: a budget above this queue said `full`.
  void owe_drain() noexcept { needs_drain_ = true; }

  std::size_t bytes() const noexcept { return bytes_; }  // those of files too
  std::size_t memory() const noexcept { return bytes_ - file_bytes_; }
  Queued queued() const noexcept { return {bytes_, memory(), files_}; }
  std::size_t pieces() const noexcept { return count_; }
  bool empty() const noexcept { return bytes_ == 0; }
  bool needs_drain() const noexcept { return needs_drain_; }
  void set_limits(const QueueLimits* limits) noexcept { limits_ = limits; }

 private:
  struct QueuedFile {
    std::size_t ahead;  // bytes of memory to be sent before it and behind the file before it
    FileRange range;    // what is left
    QueuedFile* next;
  };

  Buffer& piece(std::size_t index) const noexcept { return ring_[(first_ + index) & (room_ - 1)]; }
  Push admit(std::size_t size) noexcept;
  bool append(Buffer&& bytes) noexcept;
  bool gather_small(std::string_view bytes) noexcept;
  bool grow() noexcept;
  Push taken(std::size_t size) noexcept;
  Push taken_in_memory(std::size_t size) noexcept;
  void drop_first_file() noexcept;
  void only_piece_sent() noexcept;
  void take_off(std::size_t size) noexcept;
  void memory_sent(std::size_t size) noexcept;
  Buffer* in_place() noexcept { return reinterpret_cast<Buffer*>(storage_); }

  const QueueLimits* limits_;
  QueuedFile* first_file_ = nullptr;
  QueuedFile* last_file_ = nullptr;
  std::size_t files_ = 0;
  std::size_t file_bytes_ = 0;
  std::size_t behind_files_ = 0;  // bytes of memory behind the last file
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
  std::size_t first_ = 0;
  std::size_t room_ = limits::kPiecesInPlace;  // a power of two
  Buffer* ring_ = in_place();                  // of `room_` places; those in use hold a Buffer
  BufferBlock block_;        // where small pieces are gathered
  bool last_in_block_ = false;  // true exactly when the last piece ends where block_ ends
  bool needs_drain_ = false;
  alignas(Buffer) std::byte storage_[limits::kPiecesInPlace * sizeof(Buffer)];
};

}  // namespace weir::inline v1::net
