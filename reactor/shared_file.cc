#include "weir/reactor/shared_file.h"

#include <atomic>
#include <cerrno>
#include <new>

#include "reactor/posix_files.h"
#include "weir/reactor/memory.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1 {

struct SharedFile::Held {
  std::atomic<std::size_t> holders{1};
  int fd = -1;
};

Expected<SharedFile> SharedFile::adopt(int fd) {
  const int refused = posix::check_regular(fd);
  if (refused == -EINVAL) {
    return failure({.code = Mistake::bad_fd_type, .detail = "only a regular file can be sent"});
  }
  if (refused != 0) {
    return failure({.code = errno_code(refused),
                    .syscall = "open",
                    .detail = "descriptor " + std::to_string(fd) + " is not open for reading"});
  }
  void* room = memory::allocate(sizeof(Held));
  if (room == nullptr) return failure({.code = errno_code(ENOMEM), .syscall = "open"});
  Held* held = ::new (room) Held;
  held->fd = fd;
  return SharedFile(held);
}

SharedFile& SharedFile::operator=(SharedFile&& other) noexcept {
  if (this == &other) return *this;
  reset();
  held_ = std::exchange(other.held_, nullptr);
  return *this;
}

SharedFile SharedFile::share() const noexcept {
  if (held_ != nullptr) held_->holders.fetch_add(1, std::memory_order_relaxed);
  return SharedFile(held_);
}

void SharedFile::reset() noexcept {
  Held* held = std::exchange(held_, nullptr);
  if (held == nullptr || held->holders.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  posix::close(held->fd);
  held->~Held();
  memory::release(held);
}

int SharedFile::fd() const noexcept { return held_ == nullptr ? -1 : held_->fd; }

Expected<std::uint64_t> SharedFile::size() const {
  const std::int64_t size = posix::file_size(fd());
  if (size >= 0) return static_cast<std::uint64_t>(size);
  return failure({.code = errno_code(static_cast<int>(size)), .syscall = "fstat"});
}

}  // namespace weir::inline v1
