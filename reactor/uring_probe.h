// Finding out what io_uring offers on this machine, and making a ring of it.
#pragma once

#include <liburing.h>

#include <memory>
#include <string>

#include "weir/reactor/backend.h"
#include "reactor/uring_buffers.h"

namespace weir::inline v1 {

// A ring, disabled until its thread enables it, with its receive memory. Members are destroyed from
// the last to the first: the ring is closed before its buffers go, the buffers before the pool.
struct UringRing {
  struct Disown {
    void operator()(BufferPool* pool) const noexcept { pool->disown(); }
  };
  struct Exit {
    void operator()(io_uring* ring) const noexcept {
      io_uring_queue_exit(ring);
      delete ring;
    }
  };
  std::unique_ptr<BufferPool, Disown> pool;
  std::unique_ptr<BufferRing> buffers;  // null: multishot poll and plain receives
  std::unique_ptr<io_uring, Exit> ring;
  std::string techniques;
  bool zero_copy = false;  // sends without a copy
};

// Tries a round trip on a small ring, then makes the real one, with less where the kernel has less:
// smaller on ENOMEM, a plain buffer ring before Linux 6.12. The error says what to do.
Expected<UringRing> make_uring_ring(const BackendOptions& options);

// The calling thread becomes the ring's single issuer. -errno on failure. (liburing 2.3 declares
// io_uring_enable_rings but does not export it.)
int enable_ring(io_uring& ring) noexcept;

// A filter that comes after the probe takes away what everything stands on: the next two end the
// process, with a line that says so. Going on would be spinning, with nobody served.
void enable_probed_ring(io_uring& ring) noexcept;
void entry_failed(int result) noexcept;  // any other failure shows as no completion
inline void check_entry(int result) noexcept {
  if (result < 0) entry_failed(result);
}

}  // namespace weir::inline v1
