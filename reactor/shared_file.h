// An open file that several places send from at the same time.
#pragma once

#include <cstdint>
#include <utility>

#include "weir/reactor/error.h"

namespace weir::inline v1 {

// Holds the descriptor of a regular file together with all others that were shared from it; the
// last of them to go closes it. Move-only; sharing is spelled share(), costs an increment and
// allocates nothing. A cache keeps one and shares it with each connection: what the cache drops is
// closed when the last connection has sent it.
// Thread: any, each object by one at a time.
class SharedFile {
 public:
  SharedFile() noexcept = default;  // no file
  SharedFile(SharedFile&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  SharedFile& operator=(SharedFile&& other) noexcept;
  ~SharedFile() { reset(); }

  // Takes over the descriptor of a regular file that is open for reading. On errors it stays the
  // caller's: EBADF, or ERR_INVALID_FD_TYPE for a directory, pipe, socket or device.
  static Expected<SharedFile> adopt(int fd);

  SharedFile share() const noexcept;
  void reset() noexcept;
  explicit operator bool() const noexcept { return held_ != nullptr; }
  // -1 for no file. It stays this object's.
  int fd() const noexcept;
  // In bytes, as the file is now (fstat(2)).
  Expected<std::uint64_t> size() const;

 private:
  struct Held;
  explicit SharedFile(Held* held) noexcept : held_(held) {}

  Held* held_ = nullptr;
};

}  // namespace weir::inline v1
