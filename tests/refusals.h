// Refuses memory: one allocation of many, of the library's own kind or by operator new.
#pragma once

#include <cstdint>

namespace weir::test {

// What may say no. A program that links refusals.cc has an operator new that can.
enum class Memory : std::uint8_t {
  library,       // memory::allocate()
  operator_new,  // and all that stands on it: containers, texts, objects
};

// From now on the nth allocation of that kind by this thread is refused, or it and all behind it.
// What a test asks for itself, while it has a TestsOwn, is not counted.
void refuse(Memory kind, long nth, bool all_after = false) noexcept;
// Nothing is refused any more. How many of that kind were asked for since refuse().
long stop_refusing() noexcept;
// True from the first allocation that was refused to the next refuse().
bool refused_any() noexcept;

class TestsOwn {
 public:
  TestsOwn() noexcept;
  TestsOwn(const TestsOwn&) = delete;
  TestsOwn& operator=(const TestsOwn&) = delete;
  ~TestsOwn();
};

// What operator new has made, on any thread, and operator delete has not taken back.
long live_objects() noexcept;

}  // namespace weir::test
