// What the kernel may do to a correct program, at the moment that a test wants: libc_wraps.cc
// stands between reactor/ and the C library (ld(1), --wrap), and asks here before each call.
//
// Invariants:
// 1. The wrap never claims that bytes, datagrams, descriptors or events moved when they did not, or
//    the other way round. A call that fails was not made; one that falls short was made for less.
//    What it did not take is still there, and what it did not give can still be asked for.
// 2. Exceptions, for the sake of 1: close(2) closes also when it fails, as Linux does; shutdown(2)
//    fails with ENOTCONN only after the connection has been broken off; a call that fails with
//    EPIPE raises SIGPIPE where the real one would; SO_ERROR is asked for, and then answered.
// 3. An edge is given once (epoll(7)). Whoever was told "not now", or given less than there was,
//    waits for the next one: the wrap asks the kernel for it (EPOLL_CTL_MOD), which gives it if
//    there is something. Where nobody can ask, on a ring, nothing is held back.
// 4. An eventfd is read and written whole. Datagrams come and go whole, only fewer at a time.
// 5. Only calls of the library are seen, from any thread (libc_callers.h), and nothing happens to
//    them without a Faults.
// 6. The same seed gives the same faults to the same calls in the same order.
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>

#include "tests/libc_calls.h"

namespace weir::test {

struct Failure {
  LibcCall call;
  long nth = 1;  // 1: the next
  int error = 0;
  bool lasting = false;  // so do all that come later
};

// Counts calls, and lets happen what was asked for, until it goes. One at a time.
class Faults {
 public:
  Faults();                               // counts only
  explicit Faults(const Failure& failure);  // one call fails
  // Faults that nobody may notice, one call in 2 to 8: EINTR, "not now", less than there is.
  explicit Faults(std::uint64_t seed);
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
  ~Faults();

  long made(LibcCall call) const;   // calls, those that failed too
  long given(LibcCall call) const;  // faults
  long given() const;
  void stop();  // counts and harms nothing any more
};

// ---- For libc_wraps.cc ----

struct Verdict {
  int error = 0;               // the call fails with it
  std::size_t most = SIZE_MAX;  // or it is made for so much
};
struct Attempt {
  const void* caller;  // where the call returns to
  LibcCall call;
  int fd;  // -1: none
};
Verdict judge(const Attempt& attempt, std::size_t size) noexcept;

// Asks the kernel for another edge.
void tell_again(int fd) noexcept;
// What was registered, changed or taken back; what is about to be closed.
void note_registration(int set, int change, int fd, const epoll_event& event) noexcept;
void note_closed(int fd) noexcept;

}  // namespace weir::test
