// A pipe, terminal or file and its operations: what a Channel is to a Socket.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "weir/net/write_queue.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class NetPart;

// What a file channel tells. All calls but on_file_closed() come from the reactor, none from inside
// a call to the channel.
class FileOwner {
 public:
  virtual void on_file_opened() noexcept = 0;
  virtual void on_file_read(Buffer bytes) noexcept = 0;
  virtual void on_file_end() noexcept = 0;
  virtual void on_file_written(bool drained) noexcept = 0;
  // `syscall` is "open", "read" or "write".
  virtual void on_file_broken(std::error_code code, const char* syscall) noexcept = 0;
  // After close(): every operation has ended, the fd is closed or left, the channel is gone. Comes
  // from within close() when nothing is in flight.
  virtual void on_file_closed() noexcept = 0;

 protected:
  ~FileOwner() = default;
};

// Owned by the reactor: it outlives its owner until its last operation has ended. Invariants:
//   - one read and one write at a time; bytes queued behind the write are gathered when it has
//     completed
//   - the fd is closed, or left to whoever has lent it, only when no operation is in flight on it
class FileChannel final : public Resident {
 public:
  FileChannel(NetPart& net, const QueueLimits& limits, FileOwner& owner) noexcept;
  FileChannel(const FileChannel&) = delete;
  FileChannel& operator=(const FileChannel&) = delete;

  // One of the two, once. A lent fd is not closed, nor are 0 to 2 ever.
  void adopt(int fd, bool lent) noexcept;
  // As OpenOp; on_file_opened() follows.
  struct Opening : OpenOp {
    explicit Opening(FileChannel& its_channel) noexcept
        : OpenOp(on_open), channel(its_channel) {}
    FileChannel& channel;
  };
  void open(std::string path, bool writes, bool appends);

  int fd() const noexcept { return fd_; }
  // Reads at most so many bytes, unless a read is in flight.
  void read(std::size_t size) noexcept;
  // Queueing never enters the kernel; flush() submits what is queued, unless a write is in flight.
  WriteQueue::Push push(Buffer&& bytes) noexcept;
  WriteQueue::Push push_copy(std::string_view bytes) noexcept;
  void flush() noexcept;
  std::size_t queued() const noexcept { return queue_.bytes(); }
  bool needs_drain() const noexcept { return queue_.needs_drain(); }
  bool writing() const noexcept { return !write_.idle(); }

  // Ends everything and drops the queue; on_file_closed() follows.
  void close() noexcept;
  // The owner goes away: as close(), but tells nobody.
  void leave() noexcept;
  void abandon() noexcept override { leave(); }

 private:
  struct Reading : ReadOp {
    explicit Reading(FileChannel& its_channel) noexcept
        : ReadOp(on_read), channel(its_channel) {}
    FileChannel& channel;
  };
  struct Writing : WriteOp {
    explicit Writing(FileChannel& its_channel) noexcept
        : WriteOp(on_write), channel(its_channel) {}
    FileChannel& channel;
  };

  ~FileChannel();
  static void on_open(Op& op, Completion& completion) noexcept;
  static void on_read(Op& op, Completion& completion) noexcept;
  static void on_write(Op& op, Completion& completion) noexcept;
  WriteQueue::Push account(WriteQueue::Push pushed, std::size_t before) noexcept;
  void finish_close_if_idle() noexcept;

  NetPart& net_;
  FileOwner* owner_;
  QueueLimits limits_;
  WriteQueue queue_;
  std::unique_ptr<Opening> opening_;  // until the file is open
  Reading read_;
  Writing write_;
  std::array<iovec, weir::limits::kGatherPiecesMax> pieces_;
  int fd_ = -1;
  bool lent_ = false;
  bool closing_ = false;
};

}  // namespace weir::inline v1::net
