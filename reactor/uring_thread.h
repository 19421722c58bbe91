// The thread that a ring belongs to.
#pragma once

#include <liburing.h>

#include <cstdint>

namespace weir::inline v1 {

// A ring is made disabled, so that whichever thread runs the reactor becomes its single issuer.
//
// Between run_begins() and run_ends() the ring's fd is registered with that thread, which makes
// entering cheaper. It may be no longer: what is registered lives as long as the thread, whoever
// closes the ring, and with it everything that was asked of the kernel.
class RingThread {
 public:
  explicit RingThread(bool registers) noexcept : registers_(registers) {}

  // Before the first call of enable() nobody knows whose ring it is, and anybody may fill it.
  bool is_known() const noexcept { return issuer_ != 0; }
  bool is_this() const noexcept;
  // Before each time that the ring is entered.
  void enable(io_uring& ring) noexcept {
    if (!is_known()) claim(ring);
    if (to_be_registered_) register_fd(ring);
  }
  void run_begins() noexcept { to_be_registered_ = registers_; }
  void run_ends(io_uring* ring) noexcept;

 private:
  void claim(io_uring& ring) noexcept;
  void register_fd(io_uring& ring) noexcept;

  std::uint64_t issuer_ = 0;
  bool registers_;
  bool to_be_registered_ = false;
  bool registered_ = false;
};

}  // namespace weir::inline v1
