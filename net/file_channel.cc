#include "weir/net/file_channel.h"

#include <cerrno>

#include "weir/net/net_part.h"

namespace weir::inline v1::net {
namespace {

constexpr int kLastStandardFd = 2;

}  // namespace

FileChannel::FileChannel(NetPart& net, const QueueLimits& limits, FileOwner& owner) noexcept
    : net_(net), owner_(&owner), limits_(limits), queue_(&limits_), read_(*this), write_(*this) {
  net_.reactor().adopt(*this);
}

FileChannel::~FileChannel() { net_.unqueued(queue_.bytes()); }

void FileChannel::adopt(int fd, bool lent) noexcept {
  fd_ = fd;
  lent_ = lent || fd <= kLastStandardFd;
}

void FileChannel::open(std::string path, bool writes, bool appends) {
  opening_ = std::make_unique<Opening>(*this);
  opening_->path = std::move(path);
  opening_->writes = opening_->creates = writes;
  opening_->appends = appends;
  opening_->truncates = writes && !appends;
  net_.reactor().backend().submit(*opening_);
}

void FileChannel::on_open(Op& op, Completion& completion) noexcept {
  FileChannel& channel = static_cast<Opening&>(op).channel;
  channel.opening_.reset();
  if (completion.result >= 0) channel.fd_ = completion.result;
  if (channel.closing_) return channel.finish_close_if_idle();
  if (completion.result >= 0) return channel.owner_->on_file_opened();
  channel.owner_->on_file_broken(errno_code(completion.result), "open");
}

// ---- Input ----

void FileChannel::read(std::size_t size) noexcept {
  if (closing_ || !read_.idle()) return;
  read_.fd = fd_;
  read_.size = size;
  net_.reactor().backend().submit(read_);
}

void FileChannel::on_read(Op& op, Completion& completion) noexcept {
  FileChannel& channel = static_cast<Reading&>(op).channel;
  if (channel.closing_) return channel.finish_close_if_idle();
  if (completion.result > 0) return channel.owner_->on_file_read(std::move(completion.buffer));
  if (completion.result == 0) return channel.owner_->on_file_end();
  channel.owner_->on_file_broken(errno_code(completion.result), "read");
}

// ---- Output ----

WriteQueue::Push FileChannel::push(Buffer&& bytes) noexcept {
  const std::size_t before = queue_.bytes();
  return account(queue_.push(std::move(bytes)), before);
}

WriteQueue::Push FileChannel::push_copy(std::string_view bytes) noexcept {
  const std::size_t before = queue_.bytes();
  return account(queue_.push_copy(bytes), before);
}

WriteQueue::Push FileChannel::account(WriteQueue::Push pushed, std::size_t before) noexcept {
  const std::size_t added = queue_.bytes() - before;
  net_.queued(added);
  if (added == 0 || pushed != WriteQueue::Push::ok || !net_.over_budget()) return pushed;
  queue_.owe_drain();
  return WriteQueue::Push::full;
}

void FileChannel::flush() noexcept {
  if (closing_ || opening_ != nullptr || queue_.empty() || writing()) return;
  write_.fd = fd_;
  write_.pieces = {pieces_.data(), queue_.gather(pieces_, weir::limits::kFileBytesMax)};
  net_.reactor().backend().submit(write_);
}

// A file that takes nothing and gives no reason would be tried for ever.
void FileChannel::on_write(Op& op, Completion& completion) noexcept {
  FileChannel& channel = static_cast<Writing&>(op).channel;
  if (channel.closing_) return channel.finish_close_if_idle();
  const std::int32_t result = completion.result == 0 ? -EIO : completion.result;
  if (result < 0) return channel.owner_->on_file_broken(errno_code(result), "write");
  const auto size = static_cast<std::size_t>(result);
  channel.net_.unqueued(size);
  const bool drained = channel.queue_.sent(size);
  channel.owner_->on_file_written(drained);
}

// ---- Closing ----

void FileChannel::close() noexcept {
  if (closing_) return;
  closing_ = true;
  Backend& backend = net_.reactor().backend();
  if (opening_ != nullptr) backend.cancel(*opening_);
  if (!read_.idle()) backend.cancel(read_);
  if (writing()) backend.cancel(write_);
  finish_close_if_idle();
}

void FileChannel::leave() noexcept {
  owner_ = nullptr;
  close();
}

// The one place where the fd is closed.
void FileChannel::finish_close_if_idle() noexcept {
  if (opening_ != nullptr || !read_.idle() || writing()) return;
  Backend& backend = net_.reactor().backend();
  if (fd_ >= 0 && lent_) backend.release(fd_);
  if (fd_ >= 0 && !lent_) backend.close_file(fd_);
  FileOwner* owner = owner_;
  delete this;
  if (owner != nullptr) owner->on_file_closed();
}

}  // namespace weir::inline v1::net
